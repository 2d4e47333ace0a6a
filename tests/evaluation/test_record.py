import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import LabelError, RecordError, UsageError
from devise.evaluation.record import (
    LEAST_LOG,
    SHARES,
    THRESHOLDS,
    Best,
    Branch,
    Hedging,
    ImageRecord,
    Record,
    Recorder,
    ScorerRecord,
    read_record,
    write_record,
)
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy

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


LABELS = tuple(f"n{number:08d}" for number in range(1, 8))
RANKED = (LABELS[3], LABELS[0], LABELS[5], LABELS[1])
TRAINED = frozenset({LABELS[0], LABELS[1], LABELS[6]})


def recorded(scores: list[list[float]], truth: list[str], **more: float) -> ScorerRecord:
    block = np.array(scores, dtype=np.float32)
    return Recorder(LABELS, TRAINED, truth).record(RANKED, [block], **more)


ROWS = st.lists(
    st.tuples(
        st.lists(st.sampled_from([-np.inf, 0.0, 0.25, 0.5, 1.0]), min_size=4, max_size=4), st.sampled_from(LABELS)
    ),
    min_size=1,
    max_size=20,
)


@given(ROWS, st.integers(1, 7))
def test_ranks_and_bests_are_the_slow_ones(slow: ModuleType, rows: list[tuple[list[float], str]], step: int) -> None:
    scores = np.array([row for row, _ in rows], dtype=np.float32)
    truth = [one for _, one in rows]
    blocks = (scores[start : start + step] for start in range(0, len(scores), step))  # of different lengths
    found = Recorder(LABELS, TRAINED, truth).record(RANKED, blocks)
    for image, (row, true) in enumerate(rows):
        order = sorted(range(4), key=lambda i: (-row[i], i))
        assert [LABELS[place] for place in found.top[image].tolist()] == [RANKED[i] for i in order]
        assert found.rank[image] == (slow.rank(row, RANKED.index(true)) if true in RANKED else 0)
        assert found.trained is not None
        assert found.other is not None
        for best, kind in ((found.trained, True), (found.other, False)):
            first = next(i for i in order if (RANKED[i] in TRAINED) == kind)
            assert LABELS[best.labels[image]] == RANKED[first]
            assert best.scores[image] == np.float32(row[first])


def test_the_rank_of_the_truth_is_where_it_stands_in_the_ranking() -> None:
    found = recorded([[0.5, 0.5, 0.5, 0.5], [0.0, 0.5, 0.5, 1.0]], [LABELS[5], LABELS[5]])
    assert found.rank.tolist() == [3, 3]
    assert [row.index(5) + 1 for row in found.top.tolist()] == [3, 3]


def test_a_label_without_a_vector_is_last_of_all() -> None:
    found = recorded([[-np.inf, 0.1, -np.inf, 0.2]], [LABELS[5]])
    assert found.rank.tolist() == [4]
    assert found.top.tolist() == [[1, 0, 3, 5]]


def test_confidence_is_the_share_of_the_best() -> None:
    row = [0.1, 0.7, -np.inf, 0.3]
    shares = np.exp(np.array(row) / 0.25)
    warm = recorded([row], [LABELS[0]], temperature=0.25).confidence
    np.testing.assert_allclose(warm, [shares[1] / shares.sum()], rtol=1e-6)
    share = recorded([[0.1, 0.2, 0.05, 0.05]], [LABELS[0]], temperature=SHARES).confidence
    np.testing.assert_allclose(share, [0.5], rtol=1e-6)
    without = recorded([row], [LABELS[0]])
    assert without.confidence is without.log_truth is without.squares is without.answers is None


def test_brier_and_log_loss_need_two_numbers(slow: ModuleType) -> None:
    """Shares 1/8, 1/2, 1/8, 1/4 of the labels 4, 1, 6, 2; the second photo's label is not ranked."""
    found = recorded([[1, 4, 1, 2], [0, 0, 5, 0]], [LABELS[1], LABELS[2]], temperature=SHARES)
    assert found.log_truth is not None
    assert found.squares is not None
    np.testing.assert_allclose(found.log_truth, [np.log(1 / 4), -np.inf], rtol=1e-6)
    np.testing.assert_allclose(found.squares, [1 / 64 + 1 / 4 + 1 / 64 + 1 / 16, 1], rtol=1e-6)
    assert slow.brier([1 / 8, 1 / 2, 1 / 8, 1 / 4], 3) == pytest.approx(1 + found.squares[0] - 2 / 4)
    assert slow.brier([0, 0, 1, 0], None) == 1 + found.squares[1]


def test_a_probability_of_the_truth_that_is_too_small_for_a_number() -> None:
    for row, temperature in (([0.0, 1.0, -np.inf, 0.0], 0.001), ([0.0, 1.0, 0.0, 0.0], SHARES)):
        for truth in (LABELS[3], LABELS[5]):
            log_truth = recorded([row], [truth], temperature=temperature).log_truth
            assert log_truth is not None
            assert log_truth.tolist() == [np.float32(LEAST_LOG)]
    warm = recorded([[0.0, 1.0, -np.inf, 0.5]], [LABELS[3]], temperature=0.0125).log_truth
    np.testing.assert_allclose(warm, [-80], rtol=1e-6)


@st.composite
def forests(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Parents of every node: the labels, and what may be above them."""
    names = [f"n{number:08d}" for number in range(1, 12)]
    return {
        name: tuple(sorted(draw(st.sets(st.sampled_from(names[place + 1 :]), max_size=2)))) if name < names[-1] else ()
        for place, name in enumerate(names)
    }


@given(forests(), ROWS)
def test_answers_as_wide_as_is_sure(
    slow: ModuleType, parents: dict[str, tuple[str, ...]], rows: list[tuple[list[float], str]]
) -> None:
    """Of the nodes with enough, the one with fewest labels below it, although the scorer ranks only some of these."""
    taxonomy = Taxonomy.from_synsets(Synset(name, (name,), hypernyms=above) for name, above in parents.items())
    scores = np.array([row for row, _ in rows], dtype=np.float32)
    if np.isinf(scores).all(axis=1).any():
        return
    recorder = Recorder(LABELS, TRAINED, [one for _, one in rows], taxonomy)
    found = recorder.record(RANKED, iter([scores]), temperature=0.25)
    assert recorder.hedging is not None
    assert found.answers is not None
    above = {label: slow.ancestors(parents, label) for label in LABELS}
    nodes = (*LABELS, *recorder.hedging.above)
    assert set(nodes) == set().union(*above.values())
    for row, answers in zip(scores.astype(np.float64), found.answers.tolist(), strict=True):
        masses = np.exp((row - row.max()) / 0.25)
        share = {node: sum(m for m, one in zip(masses, RANKED, strict=True) if node in above[one]) for node in nodes}
        below = {node: sum(node in of for of in above.values()) for node in nodes}
        for threshold, answer in zip(THRESHOLDS, answers, strict=True):
            enough = {node: of / masses.sum() for node, of in share.items() if of / masses.sum() >= threshold}
            if any(abs(of / masses.sum() - threshold) < 1e-6 for of in share.values()):
                continue
            if answer < 0:
                assert not enough
            else:
                assert below[nodes[answer]] == min(below[node] for node in enough)
                assert nodes[answer] in enough


def test_labels_of_one_kind_have_no_best_of_each() -> None:
    found = Recorder(LABELS, TRAINED, [LABELS[0]]).record(LABELS[:2], [np.zeros((1, 2), dtype=np.float32)])
    assert found.trained is found.other is None


def test_the_best_of_a_kind_beyond_the_first_twenty() -> None:
    labels = tuple(f"n{number:08d}" for number in range(1, 31))
    scores = np.arange(30, 0, -1, dtype=np.float32)[None]
    found = Recorder(labels, frozenset(labels[25:]), [labels[27]]).record(labels, [scores])
    assert found.trained is not None
    assert (found.trained.labels.tolist(), found.trained.scores.tolist()) == ([25], [5.0])
    assert (found.rank.tolist(), found.top.shape) == ([28], (1, 20))


def test_scores_of_other_images_or_labels() -> None:
    block = np.zeros((2, 4), dtype=np.float32)
    with pytest.raises(UsageError, match="scores of 2 images were given, but there are 3"):
        Recorder(LABELS, TRAINED, LABELS[:3]).record(RANKED, [block])
    with pytest.raises(UsageError, match="more than 1 image were"):
        Recorder(LABELS, TRAINED, LABELS[:1]).record(RANKED, [block])
    with pytest.raises(LabelError, match="n00000009 is ranked, but is neither"):
        Recorder(LABELS, TRAINED, LABELS[:2]).record(("n00000009",), [block[:, :1]])
