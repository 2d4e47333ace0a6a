"""Frames of videos: a few, spread over the length, upright and scaled, by PyAV."""

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from devise.arrays import Pixels
from devise.errors import VIDEO_EXTRA, PictureError
from devise.vision.folders import absent
from devise.vision.limits import PictureLimits

__all__ = ["FRAMES", "read_frames", "require_av"]

FRAMES = 5
"""Frames per video unless another number is given; see the table in docs/collection.md."""

# No list of other files, and nothing but a file: a playlist or a chain of files under the name of a video would have
# FFmpeg open what a stranger wrote into it, on this machine or elsewhere.
_OPTIONS = {
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo",
    "protocol_whitelist": "file",
}
_FORWARD = 300  # frames decoded at most to reach a place; encoders put a key frame at least every 250
_LONG = 1.0  # seconds that one frame may stand for
_NEAR = 0.25  # of the distance between two places: a key frame so near before a place is taken as it is


def read_frames(path: Path, count: int, *, min_side: int, limits: PictureLimits) -> Iterator[Pixels]:
    """Yield `count` frames of a video, upright, in the order of time; a short video may give one of them twice.

    The places are the middles of `count` equal spans. The video is not decoded as a whole: each place is reached from
    the key frame before it, in at most 300 frames. One frame is in memory at a time, reduced to a short side of
    `min_side` pixels. limits: of one frame.

    PictureError if PyAV is missing, or the file is empty, damaged, cut off, over a limit or without pictures.
    """
    av = require_av()
    size = _size_of(path)
    try:
        with _opened(av, path) as video, _opened(av, path) as scout:
            stream = _stream_of(video, limits)
            if _end_of(path, stream) > size:
                raise PictureError("cut off or damaged: the file ends before its last frame")
            for frame in _spread(video, stream, scout, count):
                yield _upright(frame, stream.sample_aspect_ratio, min_side, limits)
    except av.FFmpegError as error:
        reason = (getattr(error, "strerror", "") or type(error).__name__).lower()
        raise PictureError(f"cut off, damaged or not a video ({reason})") from None


def require_av() -> Any:
    """Import PyAV; PictureError with what to install if it is missing."""
    try:
        import av
    except ModuleNotFoundError:
        raise PictureError(f"videos need {VIDEO_EXTRA}") from None
    return av


def _size_of(path: Path) -> int:
    """Return the bytes of a regular file; PictureError for what `picture_bytes` refuses, except a large one."""
    try:
        state = os.stat(path)
    except FileNotFoundError:
        raise PictureError("a broken link" if os.path.islink(path) else absent(path)) from None
    except OSError as error:
        raise PictureError(f"cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(state.st_mode):
        raise PictureError("not a regular file")
    if not os.access(path, os.R_OK):
        raise PictureError("no permission to read it")
    if not state.st_size:
        raise PictureError("empty")
    return state.st_size


def _end_of(path: Path, stream: Any) -> int:
    """Return how many bytes the file must have by its index or, of an AVI, by its first bytes; 0 if none says it."""
    with path.open("rb") as file:
        head = file.read(8)
    whole = 8 + int.from_bytes(head[4:], "little") if head.startswith(b"RIFF") else 0
    entries = stream.index_entries
    return max(whole, entries[-1].pos + entries[-1].size if len(entries) else 0)


def _opened(av: Any, path: Path) -> Any:
    return av.open(f"file:{os.path.abspath(path)}", options=_OPTIONS, metadata_errors="replace")


def _stream_of(video: Any, limits: PictureLimits) -> Any:
    """Return the first stream of pictures that is not a cover; one thread decodes it: others read other videos."""
    kinds = ((one, str(getattr(one.disposition, "name", "")).lower()) for one in video.streams.video)
    streams = [one for one, kind in kinds if "attached_pic" not in kind]
    if not streams:
        raise PictureError("no pictures in it" + ", only sound" * bool(video.streams.audio))
    stream = streams[0]
    if stream.codec_context is None:
        raise PictureError("its pictures are of an unknown kind")
    limits.check_size((stream.codec_context.width, stream.codec_context.height))
    stream.codec_context.thread_count = 1
    stream.thread_type = "NONE"
    return stream


def _spread(video: Any, stream: Any, scout: Any, count: int) -> Iterator[Any]:
    """Yield the frames nearest to the middles of `count` equal spans. scout: the same file, which finds key frames."""
    looked = scout.streams[stream.index]
    begin, length = _span(scout, looked)
    step = length / count
    frames = video.decode(stream)
    last = None
    for place in range(count):
        wanted = begin + (place + 0.5) * step
        key = _key_before(scout, looked, wanted)
        if key is not None and (last is None or key > last.time):
            video.seek(int(wanted / stream.time_base), stream=stream)
            frames = video.decode(stream)
        taken = 0
        for frame in islice(frames, _FORWARD):
            taken += 1
            if frame.is_corrupt or frame.time is None:
                continue
            last = frame
            if frame.time >= wanted - _NEAR * step:
                break
        ended = taken < _FORWARD and (last is None or last.time < wanted - _NEAR * step)
        if last is None or (ended and last.time < wanted - max(step, _LONG)):
            raise PictureError(f"cut off or damaged: no frame at {wanted - begin:.1f} of {length:.1f} seconds")
        yield last


def _span(scout: Any, stream: Any) -> tuple[float, float]:
    """Return begin and length in seconds, by the header or else by reading all packets; PictureError without one."""
    base = float(stream.time_base)
    if stream.duration:
        return float(stream.start_time or 0) * base, float(stream.duration) * base
    if scout.duration:
        return (float(stream.start_time) * base if stream.start_time else (scout.start_time or 0) / 1e6), (
            scout.duration / 1e6
        )
    times = [packet.pts for packet in scout.demux(stream) if packet.pts is not None]
    if not times:
        raise PictureError("no pictures in it")
    return min(times) * base, (max(times) - min(times)) * base


def _key_before(scout: Any, stream: Any, seconds: float) -> float | None:
    """Return the time of the key frame where decoding would begin for a place; None if that is not known."""
    scout.seek(int(seconds / stream.time_base), stream=stream)
    packet = next(iter(scout.demux(stream)), None)
    return None if packet is None or packet.pts is None else float(packet.pts * stream.time_base)


def _upright(frame: Any, aspect: Any, min_side: int, limits: PictureLimits) -> Pixels:
    """Return the pixels in RGB, with square pixels, scaled and turned as the video says."""
    limits.check_size((frame.width, frame.height))  # a stream may change its size on the way
    width, height = frame.width * float(aspect or 1), float(frame.height)
    scale = min(1.0, min_side / min(width, height))
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    limits.check_size((wide, high))
    pixels = frame.reformat(wide, high, format="rgb24", interpolation="AREA").to_ndarray()
    turned: Pixels = np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
    return turned
