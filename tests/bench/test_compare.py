from pathlib import Path

import numpy as np
import pytest

from bench.compare import Ran, compared, figures_of, interval, main


@pytest.mark.parametrize("count", [1, 2, 5, 6, 9, 12, 20])
def test_the_interval_has_the_median_in_95_of_100_samples_or_is_all(count: int):
    samples = np.random.default_rng(count).normal(size=(4000, count))
    found = np.array([interval(sample.tolist()) for sample in samples])
    inside = ((found[:, 0] <= 0) & (found[:, 1] >= 0)).mean()
    assert inside > (0.94 if count > 5 else 1 - 2 * 0.5**count - 0.03)
    if count <= 5:
        assert np.array_equal(found[:, 0], samples.min(axis=1))


def test_a_ratio_above_the_limit_in_all_rounds_is_missed():
    base = [Ran(1.0, 2.0, 100 * 2**20)] * 9
    slower = [Ran(1.5, 2.2, 100 * 2**20)] * 9
    figures = {one.what: one for one in figures_of("label", {"base": base, "this": slower})}
    assert figures["core, this / base"].value == pytest.approx(1.1)
    assert figures["core, this / base"].met is False
    assert figures["wall, this / base"].met is None  # said, not judged
    assert figures["wall, this / base"].note == "surely slower"
    assert figures["peak, this / base"].met is None
    assert figures["highest memory"].value == 100


def code(folder: Path, body: str) -> Path:
    """A package `devise` whose command line is this body."""
    (folder / "devise" / "cli").mkdir(parents=True)
    for name in ("devise/__init__.py", "devise/cli/__init__.py"):
        (folder / name).write_text("")
    (folder / "devise/cli/app.py").write_text(f"import sys\ndef main():\n    {body}\n")
    return folder


def test_commands_run_in_turn_and_one_that_the_base_lacks_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    log = tmp_path / "log"
    write = f"open({str(log)!r}, 'a').write(sys.argv[1] + ' ')"
    base = code(tmp_path / "base", f"sys.exit(2) if sys.argv[1] == 'new' else {write}")
    this = code(tmp_path / "this", write)
    runs = compared({"base": base, "this": this}, {"new": ("new",), "old": ("{code}{run}",)}, 2)
    assert log.read_text().split() == ["base0", "this0", "base1", "this1", "this2", "base2"]
    assert list(runs) == ["old"]
    assert all(ran.peak > 2**20 and ran.wall > 0 for ran in runs["old"]["base"])
    assert "left out new" in capsys.readouterr().out


def test_few_rounds_say_nothing_for_sure():
    few = {"base": [Ran(1.0, 1.0, 1.0)] * 5, "this": [Ran(2.0, 2.0, 2.0)] * 5}
    assert {one.met for one in figures_of("label", few)} == {None}
    assert {one.note for one in figures_of("label", few)} == {""}


def test_no_such_commit():
    with pytest.raises(SystemExit, match="no worktree of no-such-commit"):
        main(["no-such-commit"])
