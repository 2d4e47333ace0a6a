import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devise.errors import RecordError
from devise.evaluation.record import (
    Best,
    Branch,
    Hedging,
    ImageRecord,
    Record,
    ScorerRecord,
    read_record,
    write_record,
)

IDS = tuple(f"n{number:08d}" for number in range(1, 6))


@pytest.fixture
def record() -> Record:
    full = ScorerRecord(
        labels=3,
        top=np.array([[1, 0], [2, 1]]),
        scores=np.array([[0.1, -0.25], [0.5, -np.inf]], dtype=np.float32),
        rank=np.array([2, 0]),
        confidence=np.array([1 / 3, 0.75], dtype=np.float32),
        trained=Best(np.array([1, -1]), np.array([0.1, -np.inf], dtype=np.float32)),
        other=Best(np.array([0, 2]), np.array([-0.25, 0.5], dtype=np.float32)),
        branch=np.array([3, -1]),
        log_truth=np.array([-1.25, -np.inf], dtype=np.float32),
        squares=np.array([0.5, 0.625], dtype=np.float32),
        answers=np.array([[0, 5], [-1, 6]]),
    )
    bare = ScorerRecord(1, np.array([[4], [3]]), np.array([[1], [2]], dtype=np.float32), np.zeros(2, dtype=np.int64))
    images = (ImageRecord("a/é.png", IDS[0]), ImageRecord("b/1.png", IDS[4]))
    hedging = Hedging((0.25, 0.9), ("n00000008", "n00000009"))
    scorers = {"fused": full, "softmax": bare}
    return Record(
        {"graph": "x"}, IDS[:3], (IDS[1], *IDS[3:]), images, scorers, {"n": 1}, Branch(IDS[3], IDS[3:]), hedging
    )


def test_what_is_written_is_read(record: Record, tmp_path: Path) -> None:
    write_record(record, tmp_path / "r.json")
    back = read_record(tmp_path / "r.json")
    for name in ("settings", "facts", "candidates", "trained", "images", "branch", "hedging", "labels", "truth_ids"):
        assert getattr(back, name) == getattr(record, name)
    assert back.labels == IDS
    assert list(back.scorers) == ["fused", "softmax"]
    for name, one in record.scorers.items():
        fields = ("labels", "top", "scores", "rank", "confidence", "log_truth", "squares", "answers")
        np.testing.assert_equal(
            [getattr(back.scorers[name], field) for field in fields], [getattr(one, field) for field in fields]
        )
    for side in ("trained", "other"):
        found, wanted = getattr(back.scorers["fused"], side), getattr(record.scorers["fused"], side)
        np.testing.assert_array_equal(found.labels, wanted.labels)
        np.testing.assert_array_equal(found.scores, wanted.scores)
    np.testing.assert_array_equal(back.scorers["fused"].branch, [3, -1])
    assert back.scorers["softmax"].trained is back.scorers["softmax"].branch is None
    write_record(back, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "r.json").read_bytes()


def test_it_is_strict_json_with_null_for_what_is_not_there(record: Record, tmp_path: Path) -> None:
    write_record(record, tmp_path / "r.json")
    stored = json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)
    fused = stored["scorers"]["fused"]
    assert (fused["rank"], fused["scores"]) == ([2, None], [[0.1, -0.25], [0.5, None]])
    assert (fused["trained"], fused["branch"]) == ([[1, 0.1], [None, None]], [3, None])


def test_a_record_of_format_1_is_read_without_what_it_lacks(record: Record, tmp_path: Path) -> None:
    write_record(record, tmp_path / "r.json")
    stored = json.loads((tmp_path / "r.json").read_text()) | {"format": 1}
    for one in stored["scorers"].values():
        del one["log_truth"], one["squares"], one["answers"]
    del stored["hedging"]
    (tmp_path / "old.json").write_text(json.dumps(stored))
    old = read_record(tmp_path / "old.json").scorers["fused"]
    assert old.log_truth is old.squares is old.answers is read_record(tmp_path / "old.json").hedging is None
    np.testing.assert_array_equal(old.confidence, record.scorers["fused"].confidence)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a record"),
        ('{"rows": []}', "is not a record"),
        ('{"format": 3, "scorers": {}}', "has format 3, expected 1 to 2"),
        ('{"format": 1, "scorers": {}}', "is a broken record"),
    ],
)
def test_files_that_are_no_record(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=message) as caught:
        read_record(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["scores", "confidence", "log_truth"])
def test_numbers_beyond_32_bits_are_told(record: Record, tmp_path: Path, column: str) -> None:
    write_record(record, tmp_path / "r.json")
    stored = json.loads((tmp_path / "r.json").read_text())
    stored["scorers"]["fused"][column][0] = [-1e308, 0.0] if column == "scores" else -1e308
    (tmp_path / "r.json").write_text(json.dumps(stored))
    with pytest.raises(RecordError, match=r"is a broken record.*a number of -1e\+308"):
        read_record(tmp_path / "r.json")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no record at .*r\.json"):
        read_record(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top": np.array([[1, 0], [2, 5]])}, "names an unknown label"),
        ({"answers": np.array([[0, 7], [0, 0]])}, "answers with an unknown node"),
        ({"answers": np.array([[0], [0]])}, "answers with an unknown node"),
        ({"rank": np.array([1])}, "does not have 2 images"),
        ({"scores": np.zeros((2, 1), dtype=np.float32)}, "not have one score per label"),
    ],
)
def test_records_that_do_not_fit_together(
    record: Record, tmp_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    broken = ScorerRecord.__new__(ScorerRecord)
    for field in ScorerRecord.__slots__:
        object.__setattr__(broken, field, change.get(field, getattr(record.scorers["fused"], field)))
    write_record(replace(record, scorers={"fused": broken}), tmp_path / "r.json")
    with pytest.raises(RecordError, match=message):
        read_record(tmp_path / "r.json")
