"""devise also: a scorer more in the record."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.cli.app import main
from devise.evaluation.record import ImageRecord, Record, ScorerRecord, read_record, write_record
from devise.evaluation.tables import EvaluationSettings
from devise.taxonomy.wordnet import default_taxonomy

KIANG, HARP = "n02390738", "n03495258"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """record.json, photos/ and toy.py, which prefers the longer name, as the working directory."""
    (tmp_path / "photos" / KIANG).mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(tmp_path / "photos" / KIANG / "0.png")
    ranked = ScorerRecord(2, np.array([[1, 0]]), np.array([[1, 0]], dtype=np.float32), np.array([2]))
    rules = asdict(EvaluationSettings((1,), (1,), graph=default_taxonomy().graph_hash))
    images = (ImageRecord(f"{KIANG}/0.png", KIANG),)
    write_record(Record(rules, (KIANG, HARP), (), images, {"fused": ranked}), tmp_path / "record.json")
    (tmp_path / "toy.py").write_text(
        "class Toy:\n    def scores(self, pictures, names):\n"
        "        return [[len(name) for name in names]] * len(pictures)\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["also", *arguments])
    return int(stop.value.code or 0)


def test_a_row_is_added_and_the_table_printed(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run("record.json", "--scorer", "toy=toy.py:Toy", "--photos", "photos", "-o", "new.json") == 0
    told = capsys.readouterr().out
    assert [line.split()[:2] for line in told.splitlines()[:4]] == [
        ["scorer", "hit@1"],
        ["fused", "0.0"],
        ["toy", "100.0"],
        ["chance", "50.0"],
    ]
    assert told.splitlines()[-1] == "new.json: 2 scorers"
    assert list(read_record(folder / "new.json").scorers) == ["fused", "toy"]
    assert list(read_record(folder / "record.json").scorers) == ["fused"]


@pytest.mark.parametrize(
    ("scorers", "said"),
    [
        (["toy.py:Toy"], "--scorer needs NAME=MODULE:ATTRIBUTE, got 'toy.py:Toy'"),
        (["a=toy.py:Toy", "a=toy.py:Toy"], "two scorers have the same name"),
        (["fused=toy.py:Toy"], "there is a scorer 'fused' in the record"),
        (["toy=toy.py:Boy"], "has no Boy"),
    ],
)
def test_bad_input(folder: Path, capsys: pytest.CaptureFixture[str], scorers: list[str], said: str):
    options = [part for one in scorers for part in ("--scorer", one)]
    assert run("record.json", *options, "--photos", "photos", "-o", "new.json") == 2
    assert said in capsys.readouterr().err
    assert not (folder / "new.json").exists()
