"""The machine a run was made on, as far as it bears on the figures."""

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "cores", "facts", "instructions", "load", "peak_memory"]

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""

_PACKAGES = ("numpy", "openvino", "pillow", "rich", "safetensors", "simplejpeg", "typer")
_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX")
_WITHHELD = ("ONEDNN_MAX_CPU_ISA", "NUMBA_CPU_FEATURES", "OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY")
"""By which libraries are kept from instructions that the processor has; `make bench AVX2=1` sets them all."""


def facts(more: Sequence[str] = ()) -> dict[str, Any]:
    """Plain values for JSON. more: packages whose versions are added too."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gb": round(_memory() / 2**30, 1),
        "load": load(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in (*_PACKAGES, *more)},
        "instructions": instructions(_flags(), os.environ),
        "environment": {name: os.environ[name] for name in (*_SETTINGS, *_WITHHELD) if name in os.environ},
        "commit": _commit(),
    }


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> list[float]:
    """Mean number of running processes over 1, 5 and 15 minutes; empty where the system does not say."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else []


def peak_memory() -> int:
    """Highest memory of this process so far, in bytes.

    Where /proc says it: `getrusage` starts a process with the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def instructions(flags: Container[str], environment: Mapping[str, str]) -> str:
    """The widest vector instructions that the libraries use, for the heading of a column.

    >>> instructions({"avx2", "avx512f", "avx512_vnni"}, {})
    'AVX-512 with VNNI'
    >>> instructions({"avx2", "avx512f"}, {"ONEDNN_MAX_CPU_ISA": "AVX2"})
    'AVX2, AVX-512 switched off'
    """
    if "avx512f" not in flags:
        return ("AVX2 with VNNI" if "avx_vnni" in flags else "AVX2") if "avx2" in flags else platform.machine()
    if environment.get("ONEDNN_MAX_CPU_ISA") == "AVX2":
        return "AVX2, AVX-512 switched off"
    return "AVX-512 with VNNI" if "avx512_vnni" in flags else "AVX-512"


def _flags() -> list[str]:
    return _cpuinfo().get("flags", "").split()


def _cpuinfo() -> dict[str, str]:
    """What the system says of the first core; nothing where it has no such file."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    first = path.read_text(encoding="utf-8").split("\n\n")[0]
    lines = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def _cpu() -> str:
    """The model, and its numbers where the name alone says little."""
    known = _cpuinfo()
    if not known:
        return platform.processor() or platform.machine()
    name = known.get("model name", platform.machine())
    return f"{name} (family {known.get('cpu family', '?')}, model {known.get('model', '?')})"


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    """The commit, and whether the checkout differs from it."""
    head = _git("rev-parse", "--verify", "HEAD")
    if head is None:
        return "none"
    return f"{head[:12]}{' and changes' if _git('status', '--porcelain') else ''}"


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
