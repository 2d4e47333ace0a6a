import os
import subprocess
import sys
from pathlib import Path

import pytest

from devise import blas

ZEN5 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 26
flags\t\t: fpu sse2 avx2 avx512f avx512dq avx512cd avx512bw avx512vl avx512_bf16

processor\t: 1
vendor_id\t: AuthenticAMD
flags\t\t: fpu
"""


@pytest.mark.parametrize(
    ("text", "set_before", "kernels"),
    [
        (ZEN5, None, "SkylakeX"),
        (ZEN5, "Haswell", "Haswell"),
        (ZEN5.replace("AuthenticAMD", "GenuineIntel"), None, None),  # OpenBLAS knows these
        (ZEN5.replace(" avx512vl", ""), None, None),
        ("processor : 0\nCPU implementer : 0x41\n", None, None),
        (None, None, None),
    ],
)
def test_the_kernels_of_openblas(
    text: str | None, set_before: str | None, kernels: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas, "_CPUINFO", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if set_before is not None:
        monkeypatch.setenv("OPENBLAS_CORETYPE", set_before)
    blas.use_whole_registers()
    assert os.environ.get("OPENBLAS_CORETYPE") == kernels


def test_numpy_takes_them_in_a_command() -> None:
    """It is set before numpy is imported, and OpenBLAS has kernels of this name."""
    script = (
        "from devise import blas; blas.use_whole_registers(); import os, numpy, threadpoolctl; "
        "print(os.environ.get('OPENBLAS_CORETYPE'), *{one['architecture'] for one in threadpoolctl.threadpool_info() "
        "if one['internal_api'] == 'openblas'})"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    asked, *taken = done.stdout.split()
    if asked == "None":
        pytest.skip("not an AMD processor with AVX-512")
    assert taken == [asked]


def test_no_command_imports_numpy_before() -> None:
    script = "import sys; from devise.cli import app; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
