"""Decoders: processes that read untrusted pictures, with limits of memory and time.

What no header shows (a crash of a codec, endless decoding, memory) costs the process and not the service.
"""

import contextlib
import importlib
import json
import math
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from devise.errors import PictureError
from devise.vision.decoding import read_picture, thumbnail
from devise.vision.limits import PictureLimits
from devise.vision.preprocessing import Crop, Crops, Preprocessing, Whole
from devise.vision.videos import read_frames

__all__ = ["VIDEO_SECONDS", "Decoder", "main"]

VIDEO_SECONDS = 60
"""Processor time for the frames of one video. A minute of 4K without key frames takes half of it."""

_SLACK = 128_000_000  # bytes on top of the picture: its output, the library's tables
_PATIENCE = 3  # seconds of the clock for one of the processor: others use it too
_HEAD = struct.Struct(">BQ")  # whether it went well, and the bytes that follow
_SIDES = struct.Struct(">4I")  # width and height of the resized picture, then those of the picture
_READY = b"ready"
_MALLOC = {  # large blocks go back to the system; a trim threshold of 1 MiB would cost each photo .4 ms
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "MALLOC_TRIM_THRESHOLD_": "4194304",
}


Parts: TypeAlias = tuple[Crop, Whole, tuple[int, int]]


class Decoder:
    """A process that reads pictures one by one; started when needed, and again after a kill.

    limits: of one picture. seconds: processor time for one picture; after three times as much wall time the machine
    counts as busy: TimeoutError. Belongs to one thread.
    """

    def __init__(self, limits: PictureLimits, seconds: float) -> None:
        self._limits = limits
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._deadline = math.inf  # of the picture that is being read
        self._late = False
        self._ended = threading.Event()

    def start(self) -> None:
        """Start the process if it is not running; do not wait until it is ready."""
        if self._process is not None and self._process.poll() is None:
            return
        self._end()
        self._ready = False
        asked = json.dumps({"limits": asdict(self._limits), "seconds": self._seconds})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "devise.vision.decoder_process", asked],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_MALLOC, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._late, self._ended = False, threading.Event()
        watch = (self._process, self._ended)
        threading.Thread(target=self._watch, args=watch, name="devise-decoder-watch", daemon=True).start()

    def _watch(self, process: "subprocess.Popen[bytes]", ended: threading.Event) -> None:
        """Kill the process when a picture takes too long.

        One thread per process, not a timer per picture, which would take 0.3 ms of each. Without a picture it sleeps as
        long as one may take: the deadline of the next cannot be before that.
        """
        patience = _PATIENCE * self._seconds
        while not ended.wait(max(0.0, min(self._deadline - time.monotonic(), patience))):
            if time.monotonic() >= self._deadline:
                self._late = True
                process.kill()
                return

    @property
    def pid(self) -> int | None:
        """Return the id of the process, if it runs."""
        return self._process.pid if self._process else None

    def crop(self, data: bytes, preprocessing: Preprocessing) -> Crop:
        """Return the backbone's input for a picture file; PictureError, or TimeoutError on a busy machine."""
        answer = self._ask({"preprocessing": preprocessing.to_dict(), "size": len(data)}, data)
        side = preprocessing.crop
        return np.frombuffer(answer, np.uint8).reshape(side, side, 3)

    def parts(self, data: bytes, preprocessing: Preprocessing) -> Parts:
        """Return the middle of a picture, the whole to look at part by part, and its width and height in pixels."""
        asked = {"preprocessing": preprocessing.to_dict(), "whole": True, "size": len(data)}
        answer = self._ask(asked, data)
        wide, high, width, height = _SIDES.unpack_from(answer)
        side = preprocessing.crop
        values = np.frombuffer(answer, np.uint8, offset=_SIDES.size)
        middle, whole = values[: 3 * side * side], values[3 * side * side :]
        return middle.reshape(side, side, 3), whole.reshape(high, wide, 3), (width, height)

    def thumbnail(self, path: Path, side: int) -> bytes:
        """Return a photo as a small JPEG; see `devise.vision.decoding`. The errors of `crop`."""
        return self._ask({"path": os.fspath(path), "side": side, "size": 0})

    def frames(self, path: Path, count: int, preprocessing: Preprocessing) -> Crops:
        """Return the backbone's input for so many frames of a video; the errors of `crop`, and see `read_frames`."""
        asked = {"path": os.fspath(path), "frames": count, "preprocessing": preprocessing.to_dict(), "size": 0}
        side = preprocessing.crop
        return np.frombuffer(self._ask(asked), np.uint8).reshape(count, side, side, 3)

    def close(self) -> None:
        """End the process."""
        self._end()

    def kill(self) -> None:
        """End the process at once, from any thread: a picture that is being read cannot be read."""
        self._ended.set()
        if (process := self._process) is not None:
            process.kill()

    def _ask(self, asked: Mapping[str, object], data: bytes = b"") -> bytes:
        self.start()
        process = self._process
        assert process is not None
        assert process.stdout is not None
        if not self._ready:  # its start counts for no picture
            self._ready = process.stdout.read(len(_READY)) == _READY
        self._deadline = time.monotonic() + _PATIENCE * self._seconds
        try:
            good, answer = _exchange(process, asked, data)
        except (EOFError, OSError):
            code = self._end()
            if self._late:
                raise TimeoutError from None
            raise PictureError(self._why(code)) from None
        finally:
            self._deadline = math.inf
        if not good:
            raise PictureError(answer.decode())
        return answer

    def _why(self, code: int) -> str:
        if code == -getattr(signal, "SIGXCPU", 0):
            return f"takes over {self._seconds:g} seconds to decode: save it again"
        return "cannot be decoded (the decoder crashed): save it again"

    def _end(self) -> int:
        """Kill the process; return its exit code, 0 if it did not run."""
        process, self._process = self._process, None
        self._ended.set()
        if process is None:
            return 0
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        try:
            code = process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        assert process.stdout is not None
        process.stdout.close()
        return code


def _exchange(process: "subprocess.Popen[bytes]", asked: Mapping[str, object], data: bytes) -> tuple[bool, bytes]:
    """Return the process's answer and whether it is a result; EOFError or OSError if it ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    process.stdin.write(data)
    process.stdin.flush()
    good, size = _HEAD.unpack(_exactly(process.stdout, _HEAD.size))
    return bool(good), _exactly(process.stdout, size)


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


def main(arguments: list[str]) -> None:
    """Run the process: read a line of JSON and its bytes, write an answer, until the input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all of a group: what was taken is finished
        signal.signal(number, signal.SIG_IGN)
    asked = json.loads(arguments[0])
    limits = PictureLimits(**asked["limits"])
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints gets among the answers
    import simplejpeg  # noqa: F401  # before the memory is bounded
    from PIL import Image

    Image.init()
    for name in ("pillow_heif", "rawpy"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    _bound_memory(limits)
    answers.write(_READY)
    answers.flush()
    while line := source.readline():
        request = json.loads(line)
        data = source.read(request["size"])
        _bound_seconds(asked["seconds"])
        try:
            good, answer = True, _answer(request, data, limits)
        except PictureError as error:
            good, answer = False, str(error).encode("utf-8", "replace")
        except MemoryError:
            good, answer = False, b"too large for the memory: make it smaller"
        del data
        answers.write(_HEAD.pack(good, len(answer)))
        answers.write(answer)
        answers.flush()


def _answer(request: Mapping[str, Any], data: bytes, limits: PictureLimits) -> bytes | memoryview:
    if "side" in request:
        return thumbnail(Path(request["path"]), request["side"], limits=limits)
    preprocessing = Preprocessing.from_dict(request["preprocessing"])
    if "frames" in request:
        frames = read_frames(
            Path(request["path"]), request["frames"], min_side=preprocessing.decode_side, limits=limits
        )
        return b"".join(preprocessing.apply(frame).tobytes() for frame in frames)
    sizes: list[tuple[int, int]] = []
    pixels = read_picture(
        data, min_side=preprocessing.decode_side, limits=limits, on_size=lambda *size: sizes.append(size)
    )
    middle = preprocessing.apply(pixels)
    if "whole" not in request:
        return middle.tobytes()
    whole = preprocessing.whole(pixels)
    return _SIDES.pack(whole.shape[1], whole.shape[0], *sizes[0]) + middle.tobytes() + whole.tobytes()


def _bound_memory(limits: PictureLimits) -> None:
    """Limit memory to the current use plus one picture and its file; Linux only."""
    try:
        import resource

        now = int(re.findall(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))[0]) << 10
    except (ImportError, OSError, IndexError):
        return
    most = now + limits.memory + limits.bytes + _SLACK
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _bound_seconds(seconds: float) -> None:
    """Limit further processor time; the system kills the process after it."""
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), hard))


if __name__ == "__main__":
    main(sys.argv[1:])
