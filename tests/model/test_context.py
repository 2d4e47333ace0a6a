"""Photos labelled in context: two passes, the same answers as slow loops, in order, in flat memory."""

import gc
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from devise.errors import DeviseError, UsageError
from devise.model import context
from devise.model.answers import Answer
from devise.model.context import NEIGHBOURS, FeatureSpool, in_context, neighbours_of
from devise.model.labeller import LabelRequest, Model
from devise.space.labelspace import unit_rows

Plain = Callable[[tuple[int, int, int]], np.ndarray]

RNG = np.random.default_rng(0)
COLOURS = tuple((int(r), int(g), int(b)) for r, g, b in RNG.integers(0, 256, (30, 3)))


def scores_of(answer: Answer) -> dict[str, float]:
    return {guess.label.id: guess.score for guess in answer.guesses}


def slow_answers(slow: ModuleType, model: Model, colours: tuple[tuple[int, int, int], ...]) -> list[dict[str, float]]:
    """The probabilities of all labels: fused points moved to their neighbours, cosines, the stacking rule."""
    parts = model.parts
    trained = parts.space.vectors[parts.trained].tolist()
    queries, shares = [], []
    for colour in colours:
        features = [(channel - 127) / 128 for channel in colour]
        rows = zip(parts.classifier.weight.tolist(), parts.classifier.bias.tolist(), strict=True)
        shares.append(slow.softmax([slow.dot(row, features) + bias for row, bias in rows]))
        devise = slow.devise(features, parts.surgery.map.tolist())
        queries.append(slow.unit(slow.fused(devise, slow.conse(shares[-1], trained, 2))))
    found = []
    for query, share in zip(slow.in_context(queries, 10, 1.0), shares, strict=True):
        scores = {}
        for label, vector in zip(parts.space.labels, parts.space.vectors.tolist(), strict=True):
            scores[label.id] = slow.cosine(query, vector) if any(vector) else -np.inf
            if label.id in parts.trained_ids:
                scores[label.id] += 0.75 * share[parts.trained_ids.index(label.id)] - 0.125
        powers = {label_id: float(np.exp(score / 0.5)) for label_id, score in scores.items()}
        found.append({label_id: power / sum(powers.values()) for label_id, power in powers.items()})
    return found


def test_scores_are_the_formulas(slow: ModuleType, small: Model, plain: Plain):
    answers = list(small.label_many(map(plain, COLOURS), top=9, context=True))
    for answer, wanted in zip(answers, slow_answers(slow, small, COLOURS), strict=True):
        assert scores_of(answer) == pytest.approx(wanted, abs=1e-4)
        assert answer.context == 10
    alone = list(small.label_many(map(plain, COLOURS), top=9))
    assert [answer.context for answer in alone] == [None] * 30
    assert [answer.guesses for answer in alone] != [answer.guesses for answer in answers]


def test_a_photo_in_doubt_gets_the_name_of_its_folder(small: Model, plain: Plain):
    """Twelve photos of a tabby, and a dark one that alone is rather named zebra."""
    tabby, zebra, dark = "n02123045", "n02391049", (66, 81, 39)
    photos = [plain((99 + shift, 238 + shift, 16 + shift)) for shift in range(-6, 6)] + [plain(dark)]
    assert first_names(small.label_many(photos)) == [tabby] * 12 + [zebra]
    assert first_names(small.label_many(photos, context=True)) == [tabby] * 13


def first_names(answers: Iterator[Answer]) -> list[str]:
    return [answer.guesses[0].label.id for answer in answers]


def test_order_does_not_matter(small: Model, plain: Plain):
    answers = list(small.label_many(map(plain, COLOURS), top=9, context=True))
    turned = list(small.label_many(map(plain, COLOURS[::-1]), top=9, context=True))[::-1]
    for one, other in zip(answers, turned, strict=True):
        assert scores_of(one) == pytest.approx(scores_of(other), abs=1e-5)


def test_an_unreadable_photo_is_reported_in_its_place(small: Model, plain: Plain, monkeypatch: pytest.MonkeyPatch):
    good = list(small.label_many(map(plain, COLOURS[:5]), context=True))
    pictures = [plain(COLOURS[0]), b"", *map(plain, COLOURS[1:4]), b"no picture", plain(COLOURS[4])]
    for block in (64, 2):
        monkeypatch.setattr(context, "_BLOCK", block)
        answers = list(small.label_many(pictures, context=True))
        assert [answer.source for answer in answers] == [f"#{number}" for number in range(7)]
        assert [answer.problem is None for answer in answers] == [True, False, True, True, True, False, True]
        assert [answer.context for answer in answers] == [4, 0, 4, 4, 4, 0, 4]
        kept = [answer for answer in answers if answer.problem is None]
        for one, other in zip(kept, good, strict=True):
            assert scores_of(one) == pytest.approx(scores_of(other), abs=1e-6)


def test_one_photo_has_no_context(small: Model, plain: Plain):
    with pytest.raises(UsageError, match="context needs at least 2 photos that can be read, got 1: leave it out"):
        next(small.label_many([plain(COLOURS[0])], context=True))
    with pytest.raises(UsageError, match=r"got 1 \(2 cannot be read, the first: empty\)"):
        next(small.label_many([b"", plain(COLOURS[0]), b"no picture"], context=True))


def test_no_photo_at_all(small: Model):
    assert list(small.label_many([], context=True)) == []
    assert [answer.problem for answer in small.label_many([b"", b""], context=True)] == ["empty", "empty"]


@pytest.mark.parametrize("method", ["branch", "devise", "conse", "softmax"])
def test_methods_without_context(small: Model, method: str):
    with pytest.raises(UsageError, match=f"context needs the method fused or kernel, got {method}"):
        small.label_many([], method=method, context=True)


def test_pictures_and_features_are_not_kept(small: Model, plain: Plain, monkeypatch: pytest.MonkeyPatch):
    """In the second pass the pictures of the first are not in memory, and features come back a block at a time."""
    monkeypatch.setattr(context, "_BLOCK", 4)
    read = FeatureSpool.read
    blocks: list[int] = []
    taken: list[weakref.ref[np.ndarray]] = []

    def counted(spool: FeatureSpool, rows: int) -> np.ndarray:
        if not blocks:
            gc.collect()
            assert sum(ref() is not None for ref in taken) <= 4  # the last block's, at most
        blocks.append(rows)
        return read(spool, rows)

    def pictures() -> Iterator[np.ndarray]:
        for colour in COLOURS:
            picture = plain(colour)
            taken.append(weakref.ref(picture))
            yield picture
            del picture

    monkeypatch.setattr(FeatureSpool, "read", counted)
    assert len(list(small.label_many(pictures(), context=True))) == 30
    assert blocks == [4] * 7 + [2]


def test_a_full_temporary_folder(small: Model, plain: Plain, monkeypatch: pytest.MonkeyPatch):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w+b", buffering=0) as full:
        monkeypatch.setattr(context, "TemporaryFile", lambda prefix: full)
        with pytest.raises(DeviseError, match=r"the temporary folder \S+ cannot be written: No space left.*TMPDIR"):
            next(small.label_many(map(plain, COLOURS[:3]), context=True))


def test_wide_names_typed_labels_and_files(small: Model, plain: Plain, tmp_path: Path):
    """What else may be asked is asked of the moved photos."""
    for number, colour in enumerate(COLOURS[:4]):
        Image.fromarray(plain(colour)).save(tmp_path / f"{number}.png")
    photos = sorted(tmp_path.iterdir())
    request = LabelRequest(2, sure=0.5, explain=True, context=True)
    answers = list(small.run(request).answers(photos))
    assert [answer.source for answer in answers] == list(map(str, photos))
    assert all(answer.hedge is not None and answer.guesses[0].explanation is not None for answer in answers)
    assert all(answer.standings for answer in small.label_many(photos, labels="zedonk: part zebra", context=True))


def random_queries(seed: int, images: int, dim: int = 6) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).standard_normal((images, dim), dtype=np.float32))


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 12), st.floats(0, 4))
def test_against_slow_loops(slow: ModuleType, seed: int, images: int, neighbours: int, weight: float) -> None:
    queries = random_queries(seed, images)
    wanted = slow.in_context(queries.tolist(), neighbours, weight)
    # the sum that is brought to unit length may be short: its rounding error grows by as much
    np.testing.assert_allclose(in_context(queries, neighbours, weight), wanted, atol=2e-4)


def test_three_by_hand() -> None:
    """One neighbour each: the first two are each other's, the third's is the second."""
    queries = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    wanted = unit_rows(np.array([[1.8, 0.6], [1.8, 0.6], [0.8, 1.6]], np.float32))
    np.testing.assert_allclose(in_context(queries, 1), wanted, atol=1e-6)
    np.testing.assert_array_equal(in_context(queries, 1, weight=0.0), unit_rows(queries))


def test_ten_neighbours_or_all_others() -> None:
    assert [neighbours_of(n) for n in (2, 5, 11, 12, 1000)] == [1, 4, 10, 10, 10]
    queries = random_queries(4, 5)
    totals = queries.sum(axis=0, keepdims=True)
    np.testing.assert_allclose(in_context(queries), unit_rows(queries + (totals - queries) / 4), atol=1e-6)


def test_copies_of_a_picture_are_its_neighbours() -> None:
    query = random_queries(5, 1)
    others = random_queries(6, 20)
    found = in_context(np.concatenate([query.repeat(NEIGHBOURS + 1, axis=0), others]))
    np.testing.assert_allclose(found[: NEIGHBOURS + 1], query.repeat(NEIGHBOURS + 1, axis=0), atol=1e-6)


@pytest.mark.parametrize("images", [0, 1])
def test_there_must_be_others(images: int) -> None:
    with pytest.raises(UsageError, match=f"context needs at least 2 photos that can be read, got {images}"):
        in_context(random_queries(1, images))


def test_the_order_of_the_pictures_does_not_matter() -> None:
    queries = random_queries(2, 60)
    order = np.random.default_rng(3).permutation(60)
    np.testing.assert_allclose(in_context(queries[order]), in_context(queries)[order], atol=1e-6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = random_queries(7, 50)
    at_once = in_context(queries)
    for scores in (1, 50, 170, 2499):
        monkeypatch.setattr(context, "_SCORES", scores)
        shapes = [cosines.shape for _, cosines in context._blocks(queries)]
        assert sum(rows for rows, _ in shapes) == 50
        assert max(rows * images for rows, images in shapes) <= max(scores, 50)
        np.testing.assert_allclose(in_context(queries), at_once, atol=1e-6)


def test_never_all_pictures_against_all_others() -> None:
    """10,000 pictures: their cosines would take 400 MB; a block and its order take 8 and 17."""
    queries = random_queries(8, 10_000, dim=2)
    assert next(context._blocks(queries))[1].size <= context._SCORES
    few = random_queries(8, 4_000, dim=2)  # all against all: 64 MB, and 128 for their order
    tracemalloc.start()
    in_context(few)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48_000_000
