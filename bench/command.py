"""The command line as a person runs it: a new process, its answer, its time and its memory."""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO

from bench.figures import Reading, timed

__all__ = ["Answered", "Sample", "answered", "environment", "python", "run", "watched"]

_MAIN = "from devise.cli.app import main; main()"


@dataclass(frozen=True, slots=True)
class Answered:
    """Seconds from the start of a command to the last piece of its output, and to the end of its process."""

    printed: float
    ended: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory of a process at one moment. lines: how many it had printed. resident, peak: bytes now, and at most."""

    lines: int
    resident: int
    peak: int


def environment() -> dict[str, str]:
    """This process's, without what would keep Python from storing compiled modules, as an installed package has."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "COLUMNS": "120", "NO_COLOR": "1"}


def python(*arguments: str) -> str:
    """Run Python with these arguments; what it printed. RuntimeError with its complaint if it fails."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)[:200]} failed: {done.stderr.strip()[-400:]}")
    return done.stdout


def run(*arguments: str) -> Reading:
    """`devise ARGUMENTS` from its start to its end."""
    return timed(lambda: python("-c", _MAIN, *arguments))


def answered(*arguments: str) -> Answered:
    """`devise ARGUMENTS`, its output watched as it comes."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", _MAIN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        printed = 0.0
        while os.read(process.stdout.fileno(), 1 << 16):
            printed = time.perf_counter() - began
    ended = time.perf_counter() - began
    if process.returncode or not printed:
        raise RuntimeError(f"devise {' '.join(arguments)[:200]} failed with exit code {process.returncode}")
    return Answered(printed, ended)


def watched(*arguments: str, every: float = 0.05) -> list[Sample]:
    """The memory of `devise ARGUMENTS` while it runs, every so many seconds. Linux only."""
    samples: list[Sample] = []
    with subprocess.Popen(
        [sys.executable, "-c", _MAIN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
    ) as process:
        counted = [0]
        reader = Thread(target=_count_lines, args=(process.stdout, counted))
        reader.start()
        while process.poll() is None:
            sample = _sample(process.pid, counted[0])
            samples += [sample] if sample else []
            time.sleep(every)
        reader.join()
    if process.returncode or not samples:
        raise RuntimeError(f"devise {' '.join(arguments)[:200]} failed with exit code {process.returncode}")
    return samples


def _count_lines(stream: IO[bytes], counted: list[int]) -> None:
    for _ in stream:
        counted[0] += 1


def _sample(pid: int, lines: int) -> Sample | None:
    """None when the process has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    kilobytes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status, re.MULTILINE))
    if len(kilobytes) != 2:
        return None
    return Sample(lines, 1024 * int(kilobytes["VmRSS"]), 1024 * int(kilobytes["VmHWM"]))
