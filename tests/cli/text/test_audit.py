import json
from pathlib import Path

import numpy as np
import pytest

from devise.evaluation.audit import WORD_PAIRS
from devise.meaning.senses import ask
from devise.model.labeller import Model
from devise.model.other_space import open_in_space


@pytest.fixture
def listed(tmp_path: Path) -> str:
    """The cats: four more classes than the 1000."""
    path = tmp_path / "lists.json"
    path.write_text(json.dumps({"cats": ["n02121620", "n02121808", "n02122298", "n02122948", "n02123045"]}))
    return f"{path}#cats"


def test_tables_and_json(cli, listed: str, tmp_path: Path, packaged: Model):
    out, _ = cli("audit", "--classes", listed, "--json", tmp_path / "a.json", "--pairs", 2000, "--worst", 3)
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["trained"]["classes"] == 1000
    assert found["wide"]["classes"] == 1004  # the tabby is one of the 1000
    assert found["wide"]["list"] == "the trained and lists.json#cats"
    assert sum(pair["trained"] for pair in found["coverage"].values()) == 1000
    assert sum(pair["others"] for pair in found["coverage"].values()) == 4
    assert [len(found["trained"][kind]) for kind in ("far", "hubs")] == [3, 3]
    assert set(found["similarities"]) == {"|".join(pair) for pair in WORD_PAIRS}
    cat, kitten = ask(packaged.parts, "cat"), ask(packaged.parts, "kitten")
    assert found["label_similarities"]["cat|kitten"] == pytest.approx(float(cat.vector @ kitten.vector), abs=1e-6)
    words = [packaged.parts.words.get(one).astype(float) for one in ("cat", "kitten")]
    plain = words[0] @ words[1] / np.linalg.norm(words[0]) / np.linalg.norm(words[1])
    assert found["similarities"]["cat|kitten"] == pytest.approx(plain, abs=1e-5)
    assert found["similarities"]["cat|kitten"] > found["similarities"]["cat|dog"]
    assert found["similarities"]["guitar|harp"] > 3 * found["similarities"]["guitar|clock"]
    assert found["label_similarities"]["guitar|harp"] > found["label_similarities"]["guitar|clock"] + 0.3
    for piece in (
        "label space compared with WordNet",
        "cat / kitten",
        "hubs: trained",
        "nearest to pineapple",
        "seed 0",
    ):
        assert piece in out


def test_the_same_bytes_twice(cli, listed: str, tmp_path: Path):
    for name in ("a.json", "b.json"):
        cli("audit", "--classes", listed, "--json", tmp_path / name, "--pairs", 500)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.slow
def test_other_words_and_another_policy(cli, vectors_file: Path, listed: str, tmp_path: Path):
    other = ("--label-vectors", vectors_file, "--label-policy", "mean-of-terms")
    cli("audit", *other, "--classes", listed, "--json", tmp_path / "a")
    found = json.loads((tmp_path / "a").read_text())
    assert (found["policy"], found["words"]) == ("mean-of-terms over words.txt", 11)
    assert found["trained"]["without_vector"] == found["coverage"]["none"]["trained"] > 900
    assert found["similarities"]["cat|kitten"] is not None


@pytest.mark.slow
def test_the_same_words_and_policy_make_nearly_the_vectors_that_the_bundle_keeps(packaged: Model):
    """Not quite: the bundle keeps its vectors in eight bits, and not all the words they were made of."""
    again = open_in_space(None, policy="sense-aware")
    assert again.space.labels.ids == packaged.parts.space.labels.ids
    cosines = (packaged.parts.space.vectors[packaged.parts.trained] * again.space.vectors[again.trained]).sum(axis=1)
    assert np.median(cosines) > 0.99
    first = int(packaged.parts.trained[0])
    assert again.space.labels[first] == packaged.parts.space.labels[first]
    assert ask(again, "cat").chosen.in_model


def test_wrong_usage(cli, tmp_path: Path):
    assert "must be one of first-term, mean-of-terms" in cli("audit", "--label-policy", "best", code=2)[1]
    assert "existing folder" in cli("audit", "--json", tmp_path / "no" / "a.json", code=2)[1]
    assert "no file" in cli("audit", "--classes", tmp_path / "none.txt", code=2)[1]
    unknown = tmp_path / "unknown.txt"
    unknown.write_text("n99999999\n")
    assert "n99999999" in cli("audit", "--classes", unknown, code=1)[1]
