import json
from pathlib import Path

import pytest

from devise.evaluation.audit import audit_label_space
from devise.model.labeller import Model
from devise.model.other_space import open_composers, open_in_space


@pytest.fixture
def listed(tmp_path: Path) -> str:
    path = tmp_path / "ids.txt"
    path.write_text("n02121620\nn02122298\n")
    return str(path)


@pytest.mark.slow
def test_one_row_a_policy_with_the_figures_of_the_audit(cli, vectors_file: Path, listed: str, tmp_path: Path):
    asked = ("--policies", "first-term, mean-of-terms", "--label-vectors", vectors_file, "--candidates", listed)
    out, _ = cli("policies", *asked, "--json", tmp_path / "a.json")
    found = json.loads((tmp_path / "a.json").read_text())
    assert [row["policy"] for row in found["policies"]] == ["first-term", "mean-of-terms"]
    assert "mean-of-terms: mean-of-terms over words.txt" in out
    alone = audit_label_space(open_in_space(None, str(vectors_file), "mean-of-terms"), listed)
    assert found["policies"][1]["wide"] == json.loads(json.dumps(alone.wide.to_dict()))
    assert found["policies"][1]["photos"] is None


def test_wrong_usage(cli, vectors_file: Path, tmp_path: Path):
    assert "must be unique" in cli("policies", "--policies", "first-term,first-term", code=2)[1]
    assert "must be one of" in cli("policies", "--policies", "best", code=2)[1]
    assert "existing folder" in cli("policies", "--json", tmp_path / "no" / "a.json", code=2)[1]
    tagged = ("--policies", "sense-tagged", "--label-vectors", vectors_file)
    assert "devise text train --sense-tags" in cli("policies", *tagged, code=1)[1]


def test_policies_that_words_are_fit_for(packaged: Model, vectors_file: Path):
    found = open_composers(packaged.parts, "model")
    assert "sense-tagged" not in found
    assert found.keys() >= {"first-term", "mean-of-terms", "sense-aware", "retrofitted"}
