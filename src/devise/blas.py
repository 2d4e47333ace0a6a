"""OpenBLAS, which multiplies NumPy's matrices: settings that it reads when NumPy is imported."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["one_blas_thread", "use_whole_registers"]

_CPUINFO = Path("/proc/cpuinfo")
_HEAD = 8192  # bytes: the first core
_KERNELS = "SkylakeX"
_THEIR_FLAGS = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})


def one_blas_thread() -> None:
    """Let products run on one thread: photos keep all cores busy, and idle threads of OpenBLAS would only spin."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def use_whole_registers() -> None:
    """Let products use AVX-512 on AMD processors that have it.

    OpenBLAS 0.3.31 does not know AMD's family 26 (Zen 5) and takes its kernels for AVX2, half as fast. A variable that
    the user has set stays.
    """
    with suppress(OSError), _CPUINFO.open("rb") as file:
        lines = (line.partition(":") for line in file.read(_HEAD).decode(errors="replace").splitlines())
        known = {name.strip(): value.strip() for name, _, value in reversed([*lines])}  # of the first core
        if known.get("vendor_id") == "AuthenticAMD" and set(known.get("flags", "").split()) >= _THEIR_FLAGS:
            os.environ.setdefault("OPENBLAS_CORETYPE", _KERNELS)
