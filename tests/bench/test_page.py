"""The page of benchmarks: it is what the command makes of the committed files, and shows what they contain."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.figures import Figure
from bench.machine import ROOT, instructions
from bench.page import MADE_FROM, main, page


def run(instructions: str, *figures: Figure, quick: bool = False) -> dict[str, Any]:
    machine = {
        "cpu": "A processor",
        "cores": 2,
        "instructions": instructions,
        "commit": "0123456789ab",
        "python": "3.11.0",
        "packages": {"numpy": "2.0.0", "rich": None},
        "load": [0.5, 0.4, 0.3],
        "load_after": [1.5, 1.0, 0.5],
        "environment": {"OPENBLAS_CORETYPE": "Haswell"} if quick else {},
    }
    shown = [figure.to_dict() for figure in figures]
    return {"machine": machine, "photos": "8 photos", "quick": quick, "seconds": {"a": 60, "b": 120}, "figures": shown}


def test_the_page_is_what_the_command_makes_of_the_committed_files(tmp_path: Path):
    assert main(["--out", str(tmp_path / "page.md")]) == 0
    made = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert made == (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"), "run make bench-page"
    for name in MADE_FROM:
        stored = json.loads((ROOT / name).read_text(encoding="utf-8"))
        assert stored["machine"]["instructions"] in made
        assert all(f"| {figure['what'].strip()} |" in made for figure in stored["figures"])


def test_a_figure_of_each_run_is_in_its_column():
    both = Figure.of("One", "rate", [1281167.0, 1000000.0, 2000000.0], "rows/s", limit=900.0, at_least=True)
    missed = Figure("One", "  step: memory", 3.456, "MB", limit=3.0)
    made = page([run("AVX-512", both, missed), run("AVX2", both, Figure("Two", "x: not measured", 0, "", note="why"))])
    assert made.endswith(
        "### One\n"
        "| What | AVX-512 | AVX2 | Limit |\n"
        "|---|---|---|---|\n"
        "| rate | 1,281,167 rows/s (1,000,000 to 2,000,000) | 1,281,167 rows/s (1,000,000 to 2,000,000) "
        "| at least 900 |\n"
        "| step: memory | **3.46 MB: missed** | - | at most 3.00 |\n"
        "\n"
        "### Two\n"
        "| What | AVX-512 | AVX2 | Limit |\n"
        "|---|---|---|---|\n"
        "| x: not measured | - | why |  |\n"
    )


def test_a_machine_is_described_and_a_quick_run_is_called_one():
    made = page([run("AVX2", quick=True), run("AVX-512")])
    assert "- **AVX2**:\n    - A processor, 2 cores\n    - **a run of `--quick`" in made
    assert made.count("--quick`: it shows") == 1
    assert "    - A processor, 2 cores\n    - 8 photos\n    - 3 minutes, load 0.5 before and 1.5 after\n" in made
    assert "    - Python 3.11.0, numpy 2.0.0\n    - set in the environment: OPENBLAS_CORETYPE\n" in made
    assert made.count("set in the environment") == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"quick": 1, "seconds": {}}', '{"quick": true}'])
def test_another_file_is_refused(tmp_path: Path, content: str):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(SystemExit, match=r"a\.json is not a file of `make bench`"):
        main([str(tmp_path / "a.json"), "--out", str(tmp_path / "page.md")])
    assert not (tmp_path / "page.md").exists()


@pytest.mark.parametrize(
    ("flags", "environment", "expected"),
    [
        ("avx avx2", {}, "AVX2"),
        ("avx avx2 avx_vnni", {}, "AVX2 with VNNI"),
        ("avx2 avx512f", {}, "AVX-512"),
        ("avx2 avx512f avx512_vnni avx_vnni", {}, "AVX-512 with VNNI"),
        ("avx2 avx512f avx512_vnni", {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "AVX2, AVX-512 switched off"),
    ],
)
def test_the_instructions_of_a_machine(flags: str, environment: dict[str, str], expected: str):
    assert instructions(flags.split(), environment) == expected
