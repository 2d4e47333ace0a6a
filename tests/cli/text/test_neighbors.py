from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase

import numpy as np
import pytest
from commandline import Cli, Run

from devise.cli.app import main
from devise.model import other_space
from devise.model.labeller import Model
from devise.space import encoders


class Letters:
    """A fake encoder: how often each letter stands in the text."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[text.count(letter) for letter in ascii_lowercase] for text in texts], dtype=np.float32)


def test_words_and_labels_side_by_side(cli, packaged: Model):
    out, _ = cli("neighbors", "tiger shark", "car", "--top", 3)
    lines = out.splitlines()
    assert [f"{name}: {kind}" in lines[0] for name in ("tiger shark", "car") for kind in ("words", "labels")] == [
        True
    ] * 4
    near = packaged.parts.words.nearest("tiger_shark", 3)
    for line, word, cosine in zip(lines[1:4], near.words, near.similarities, strict=True):
        assert line.split()[0] == f"{cosine:.3f}".lstrip("0")
        assert word.replace("_", " ") in line
    assert "'car' has 5 senses" in out
    assert "* n02958343" in out


def test_labels_are_those_of_devise_labels(cli, capsys: pytest.CaptureFixture[str]):
    (found,) = cli.json("neighbors", "snow leopard", "--top", 4)
    with pytest.raises(SystemExit):
        main(["labels", "snow leopard", "--top", "4", "--json"])
    import json

    assert found["labels"] == json.loads(capsys.readouterr().out)["nearest"]
    assert found["chosen"] == "n02128757"
    assert len(found["words"]) == 4


def test_one_kind_only(cli):
    (words,) = cli.json("neighbors", "happy", "--words")
    assert words["labels"] is None
    assert len(words["words"]) == 10
    (labels,) = cli.json("neighbors", "n02390738", "--labels")
    assert labels["words"] is None
    assert labels["labels"][0]["id"].startswith("n")


def test_words_of_a_file(cli, vectors_file: Path):
    (found,) = cli.json("neighbors", "happy cat", "--words", "--label-vectors", vectors_file, "--top", 2)
    assert found["made_of"] == ["happy", "cat"]
    assert len(found["words"]) == 2


def test_only_labels_where_words_have_no_vectors(
    run: Run, small_bundle: Path, tower_bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """The words of the bundle are in another space than labels that an encoder places."""
    monkeypatch.setattr(other_space, "load_encoder", lambda name: Letters())
    monkeypatch.setattr(encoders, "_BLOCK", 4)
    for model in (("--model", small_bundle, "--label-vectors", tmp_path), ("--model", tower_bundle)):
        cli = Cli(run, "text")
        (found,) = cli.json("neighbors", "zebra", "--top", 2, *model)
        assert (found["words"], len(found["labels"])) == (None, 2)
        out, err = cli("neighbors", "zebra", *model)
        assert (out.count("zebra: labels"), out.count("zebra: words")) == (1, 0)
        assert ("devise: texts encoded: 4 of " in err) == ("--label-vectors" in model)
        assert "leave out --words" in cli("neighbors", "zebra", "--words", *model, code=2)[1]
        assert "leave out --offsets" in cli("plot", "--offsets", "--out", tmp_path / "a.png", *model, code=2)[1]


def test_unknown_names_and_wrong_usage(cli):
    assert "close spellings: guitar" in cli("neighbors", "gitar", code=1)[1]
    assert "close spellings: happy" in cli("neighbors", "happpy", "--words", code=1)[1]
    assert "--words and --labels" in cli("neighbors", "cat", "--words", "--labels", code=2)[1]
    cli("neighbors", "cat", "--top", 0, code=2)
