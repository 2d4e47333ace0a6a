"""What README and the pages of docs show is run, with pictures of the names they use."""

import json
import re
import shlex
from dataclasses import asdict
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.cli.app import main
from devise.cli.demo_output import sample_folder
from devise.evaluation.record import ImageRecord, Record, ScorerRecord, write_record
from devise.evaluation.tables import EvaluationSettings
from devise.taxonomy.wordnet import default_taxonomy

ROOT = Path(__file__).parents[1]
PYTHON_PAGES = ("README.md", "docs/python.md", "docs/search.md")
COMMAND_PAGES = ("README.md", "docs/command-line.md", "docs/data.md", "docs/search.md", "docs/tutorial.md")
PICTURES = (
    "cat.jpg",
    "a.jpg",
    "b.jpg",
    "photo.jpg",
    "pool.jpg",
    "holiday.jpg",
    "photos/n02084071/one.jpg",
    "photos/n02084071/two.jpg",
    "photos/coffee.png",
    "photos/chelsea.png",
    "classes/n02084071/one.jpg",
)


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The pictures and files that the pages name, in the working directory."""
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    for name in PICTURES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    write_record(small_record(), tmp_path / "record.json")
    (tmp_path / "synset_words.txt").write_text("n02129165 lion, king of beasts\nn02129604 tiger\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small_record() -> Record:
    """One photo of a dog, three candidates."""
    candidates = ("n02084071", "n02121620", "n03495258")
    one = ScorerRecord(3, np.array([[1, 0, 2]]), np.array([[3, 2, 1]], dtype=np.float32), np.array([2]))
    scorers = dict.fromkeys(("fused", "devise", "conse", "softmax"), one)
    image = ImageRecord("n02084071/one.jpg", candidates[0])
    rules = asdict(EvaluationSettings((1, 2), (2,), graph=default_taxonomy().graph_hash))
    return Record(rules, candidates, ("n02121620",), (image,), scorers)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PYTHON_PAGES)
def test_python_runs(page: str, pictures: Path, capsys: pytest.CaptureFixture[str]):
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)
    assert capsys.readouterr().out


ELSEWHERE = re.compile(
    r"[|$]|seen/|examples/|with-clip|s3:|shards/|--ray|caltech|--label-vectors|--truth xmp|--grid"
    r"|devise (build|serve|watch)|text (audit|corpus|eval|policies|train) "
)
"""What needs a pipe, a terminal, data, another model, a large text or minutes, or does not end; each has tests of its
own."""


def commands() -> list[str]:
    """Every devise command of the pages that needs only the pictures, and ends."""
    lines = (line for page in COMMAND_PAGES for block in blocks(page, "sh") for line in block.splitlines())
    plain = (line.partition(" #")[0].strip() for line in lines)
    return sorted({line for line in plain if line.startswith("devise ") and not ELSEWHERE.search(line)})


def test_commands_are_found():
    assert len(commands()) >= 16


@pytest.mark.parametrize("command", commands())
def test_command_runs(command: str, pictures: Path, capsys: pytest.CaptureFixture[str]):
    if command.startswith(("devise index", "devise search", "devise duplicates")):
        pytest.importorskip("pyarrow")
    if command.startswith(("devise search", "devise duplicates")):
        with pytest.raises(SystemExit):
            main(["index", "photos", "--out", "my-index"])
        capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(shlex.split(command)[1:])
    assert not done.value.code
    assert capsys.readouterr().out or any(pictures.glob("*.csv")) or any(pictures.glob("*.json"))


@pytest.mark.parametrize("name", ["unseen", "search", "regions"])
def test_the_pictures_of_the_readme_say_what_the_model_says(name: str):
    """Their comment is what is written on them; another processor may change a score by a point."""
    for package in ("skimage", "sklearn", "pyarrow"):
        pytest.importorskip(package)
    spec = spec_from_file_location("readme_pictures", ROOT / "tools" / "readme_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    with Image.open(ROOT / "docs" / "pictures" / f"{name}.jpg") as picture:
        drawn = json.loads(picture.info["comment"])
    if name == "regions":
        found = script.regions_found()
        assert [(one["name"], one["box"]) for one in found] == [(one["name"], one["box"]) for one in drawn]
        assert all(
            one["share"] == pytest.approx(other["share"], abs=0.02) for one, other in zip(found, drawn, strict=True)
        )
        return
    now = script.unseen_answers() if name == "unseen" else script.searched()
    assert [one["photo"] for one in now] == [one["photo"] for one in drawn]
    for one, other in zip(now, drawn, strict=True):
        if name == "search":
            assert (one["word"], one["score"]) == (other["word"], pytest.approx(other["score"], abs=0.02))
            continue
        for column in ("softmax", "devise"):
            assert one[column][0][0] == other[column][0][0]
            scores = {row[0]: row[1] for row in other[column]}
            assert all(row[1] == pytest.approx(scores.get(row[0], row[1]), abs=0.02) for row in one[column])


def test_the_readme_shows_what_the_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """The names of the first block of output; its photos are inside scikit-image."""
    pytest.importorskip("skimage")
    (tmp_path / "photos").mkdir()
    shown = blocks("README.md", "text")[0]
    for name in re.findall(r"photos/(\S+)", shown):
        (tmp_path / "photos" / name).symlink_to(sample_folder() / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["label", "photos/", "--top", "3"])
    without_scores = [re.sub(r"< 0.1 %|[\d.]+ %", "", text).split() for text in (capsys.readouterr().out, shown)]
    assert without_scores[0] == without_scores[1]
