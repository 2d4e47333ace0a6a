import itertools
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.text.engine import encoding
from devise.text.engine.config import SkipGramConfig
from devise.text.engine.encoding import SENTENCE_END, EncodedText, encode
from devise.text.engine.training import (
    Matrices,
    close_up,
    fresh_rows,
    huffman_paths,
    keep_shares,
    noise_sums,
    padded,
    train_blocks,
)

pytest.importorskip("numba")


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return import_module("reference.skipgram")


def zipf_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, sentences: int = 30) -> EncodedText:
    """Words of very different frequency, in several blocks; some stand twice in a window."""
    monkeypatch.setattr(encoding, "_BLOCK", 100)
    rng = np.random.default_rng(3)
    return encode(
        [[f"w{min(word, 60)}" for word in rng.zipf(1.4, int(rng.integers(1, 30))).tolist()] for _ in range(sentences)],
        tmp_path,
    )


def blocks_of(text: EncodedText) -> list[list[list[int]]]:
    found = []
    for block in range(len(text.blocks) - 1):
        sentences: list[list[int]] = [[]]
        for number in text.block(block).tolist():
            if number == SENTENCE_END:
                sentences.append([])
            else:
                sentences[-1].append(number)
        found.append(sentences[:-1])
    return found


def by_reference(
    reference: ModuleType,
    text: EncodedText,
    config: SkipGramConfig,
    tile: tuple[int, int],
    numbers: type[np.floating] = np.float64,
    *,
    near_root: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    from devise.text.engine import loops

    paths = huffman_paths(text.counts.tolist())
    starts = paths.starts.tolist()
    codes = [
        list(zip(paths.nodes[a:b].tolist(), paths.labels[a:b].astype(int).tolist(), strict=True))
        if config.hierarchical_softmax
        else []
        for a, b in pairwise(starts)
    ]
    rows = fresh_rows(len(text.words), config)
    inputs, outputs = reference.train(
        blocks_of(text),
        rows.inputs[:, : config.dim],
        rows.outputs[:, : config.dim],
        epochs=config.epochs,
        window=config.window,
        alpha=config.alpha,
        min_alpha=config.min_alpha,
        keep=keep_shares(text.counts, config.sample),
        codes=codes,
        noise=noise_sums(text.counts),
        negative=config.negative,
        seed=config.seed,
        tile=tile,
        group=loops._GROUP,
        reused=loops._REUSED,
        near_root=loops._COPIED if near_root is None else near_root,
        numbers=numbers,
    )
    return inputs, outputs


def by_engine(text: EncodedText, config: SkipGramConfig) -> Matrices:
    rows = fresh_rows(len(text.words), config)
    train_blocks(text, rows, config)
    return rows


@pytest.mark.parametrize(
    ("hierarchical_softmax", "negative", "dim", "window", "sample"),
    [(True, 0, 20, 5, 0.0), (False, 5, 16, 3, 0.02), (True, 3, 33, 11, 0.05), (True, 0, 1, 1, 1e-4)],
)
def test_the_same_as_the_slow_reference(
    reference: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hierarchical_softmax: bool,
    negative: int,
    dim: int,
    window: int,
    sample: float,
) -> None:
    from devise.text.engine.tiles import shape

    text = zipf_text(tmp_path, monkeypatch)
    assert len(text.blocks) > 3
    config = SkipGramConfig(
        dim=dim,
        window=window,
        epochs=3,
        min_count=1,
        sample=sample,
        hierarchical_softmax=hierarchical_softmax,
        negative=negative,
        threads=1,
        seed=7,
        alpha=0.2,
        min_alpha=0.05,
    )
    rows = by_engine(text, config)
    tile = (shape().contexts, shape().targets)
    exact = by_reference(reference, text, config, tile)
    rounded = by_reference(reference, text, config, tile, np.float32)
    moved = np.abs(exact[0] - fresh_rows(len(text.words), config).inputs[:, :dim]).max()
    assert moved > 0.01
    for found, wanted, other in zip((rows.inputs[:, :dim], rows.outputs[:, :dim]), exact, rounded, strict=True):
        # The engine keeps float32, and each of thousands of steps carries the rounding of those before it on: how far
        # depends on the text and the steps, so the same steps in float32, summed in another order, say how far.
        # Two such ways differ by chance: 0.8 to 1.3 times (root mean square), 0.6 to 1.6 times (greatest), 16 runs.
        off, allowed = np.abs(found - wanted), np.abs(other - wanted)
        assert np.sqrt(np.mean(off**2)) < 2 * np.sqrt(np.mean(allowed**2))
        assert off.max() < 4 * allowed.max()
    assert not rows.inputs[:, dim:].any()
    assert not rows.outputs[:, dim:].any()


def test_rows_with_and_without_copies_are_the_same_as_the_slow_reference(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from devise.text.engine import loops
    from devise.text.engine.tiles import shape

    monkeypatch.setattr(encoding, "_BLOCK", 300)
    numbers = np.random.default_rng(4).zipf(1.1, 700) % (2 * loops._COPIED)
    text = encode([[f"w{number}" for number in sentence] for sentence in np.array_split(numbers, 14)], tmp_path)
    assert len(text.words) > loops._COPIED + 20
    assert text.size > 2 * loops._MERGE_EVERY
    config = SkipGramConfig(dim=20, window=2, epochs=1, min_count=1, sample=0.0, negative=2, threads=1, alpha=0.2)
    rows = by_engine(text, config)
    exact = by_reference(reference, text, config, (shape().contexts, shape().targets))
    for found, wanted in zip((rows.inputs[:, :20], rows.outputs[:, :20]), exact, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


def test_what_two_threads_move_their_copies_adds_up() -> None:
    from devise.text.engine import loops

    shared = np.ones((loops._COPIED + 1, 16), dtype=np.float32)
    nothing = shared[:0]
    matrices = shared, nothing, nothing
    one, other = [tuple(loops._copied.py_func(matrix, 16) for matrix in matrices) for _ in range(2)]
    one[0][0][5] += 2
    other[0][0][5] += 3
    other[0][0][6] -= 1
    loops._merge.py_func(matrices, one)
    assert (shared[5] == 3).all()
    loops._merge.py_func(matrices, other)
    loops._merge.py_func(matrices, one)
    wanted = np.ones((loops._COPIED + 1, 16))
    wanted[5], wanted[6] = 6, 0
    np.testing.assert_array_equal(shared, wanted)
    for copies in (one, other):
        np.testing.assert_array_equal(copies[0][0], wanted[: loops._COPIED])


def test_tiles_do_as_pairs_one_by_one_at_the_usual_step(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = zipf_text(tmp_path, monkeypatch, sentences=60)
    config = SkipGramConfig(dim=16, window=5, epochs=3, min_count=1, sample=0.0, threads=1)
    rows = by_engine(text, config)
    inputs, _ = by_reference(reference, text, config, (1, 1), near_root=0)
    start = fresh_rows(len(text.words), config).inputs[:, :16]
    moves, wanted = rows.inputs[:, :16] - start, inputs - start
    # of 60 words the same ones are met again and again within a tile: far more than in a real text
    assert (moves * wanted).sum() > 0.995 * np.linalg.norm(moves) * np.linalg.norm(wanted)
    assert np.linalg.norm(moves) == pytest.approx(np.linalg.norm(wanted), rel=0.1)


def test_words_repeated_over_and_over_do_not_diverge(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    text = encode([rng.choice(list("abc"), 800, p=[0.5, 0.3, 0.2]).tolist() for _ in range(20)], tmp_path)
    # a context meets the root up to 400 times in one step: at 0.1 each, without damping that is of length 40
    config = SkipGramConfig(dim=16, window=20, epochs=3, min_count=1, sample=0.0, threads=1, alpha=0.1)
    rows = by_engine(text, config)
    root, label = 0, huffman_paths(text.counts.tolist()).labels[0]
    share = text.counts[0] / text.counts.sum()
    said = 1 / (1 + np.exp(-rows.inputs[:, :16] @ rows.outputs[root, :16]))
    np.testing.assert_allclose(said, share if label else 1 - share, atol=0.05)


def test_noise_words_shared_by_a_group_do_not_diverge(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    text = encode([rng.choice(list("abc"), 800, p=[0.5, 0.3, 0.2]).tolist() for _ in range(20)], tmp_path)
    config = SkipGramConfig(
        dim=16,
        window=20,
        epochs=3,
        min_count=1,
        sample=0.0,
        hierarchical_softmax=False,
        negative=5,
        threads=1,
        alpha=0.1,
    )
    rows = by_engine(text, config)
    said = 1 / (1 + np.exp(-rows.inputs[:, :16] @ rows.outputs[:, :16].T))
    # a word is met in its share of the meetings, and is noise in 5 times its share of noise where another is met
    share = text.counts / text.counts.sum()
    noise = np.diff(noise_sums(text.counts), prepend=0) / 2**31
    np.testing.assert_allclose(said, np.tile(share / (share + 5 * noise * (1 - share)), (3, 1)), atol=0.06)


def test_vectors_are_closed_up_in_their_memory() -> None:
    rows = fresh_rows(700, SkipGramConfig(dim=20))
    vectors = rows.inputs[:, :20].copy()
    closed = close_up(rows)
    assert closed.flags.c_contiguous
    assert np.shares_memory(closed, rows.inputs)
    np.testing.assert_array_equal(closed, vectors)


def test_a_step_goes_down_the_gradient(reference: ModuleType) -> None:
    rng = np.random.default_rng(0)
    inputs, outputs = rng.normal(size=(1, 6)), rng.normal(size=(3, 6))
    targets = [(0, 1), (1, 0), (2, 1)]

    def loss(context: np.ndarray, rows: np.ndarray) -> float:
        signs = np.array([2 * label - 1 for _, label in targets])
        return float(np.log1p(np.exp(-signs * (rows @ context))).sum())

    step, small = 1e-3, 1e-6
    after_in, after_out = inputs.copy(), outputs.copy()
    wanted = np.array([[label for _, label in targets]])
    reference.learn(after_in, after_out, [0], [0, 1, 2], np.ones((1, 3)), wanted, step, (1, 3))
    for row in range(4):
        for number in range(6):
            ends = []
            for sign in (1, -1):
                context, rows = inputs[0].copy(), outputs.copy()
                (context if row == 3 else rows[row])[number] += sign * small
                ends.append(loss(context, rows))
            slope = (ends[0] - ends[1]) / (2 * small)
            moved = after_in[0, number] - inputs[0, number] if row == 3 else (after_out - outputs)[row, number]
            assert moved == pytest.approx(-step * slope, rel=1e-4, abs=1e-10)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=30), st.floats(1e-6, 1.0))
def test_frequent_words_are_thinned_out(counts: list[int], sample: float) -> None:
    counted = np.array(sorted(counts, reverse=True), dtype=np.int64)
    shares = keep_shares(counted, sample)
    assert (shares > 0).all()
    assert (shares <= 1).all()
    assert (np.diff(shares) >= 0).all()
    assert (shares[counted <= sample * counted.sum()] == 1).all()
    assert (keep_shares(counted, 0.0) == 1).all()


def test_subsampling_by_hand() -> None:
    # 80 % of the text at a threshold of 5 %: sqrt(1/16) + 1/16
    assert keep_shares(np.array([80, 20]), 0.05).tolist() == pytest.approx([0.3125, 0.75])


def test_noise_by_hand() -> None:
    # 16^0.75 = 8, 1^0.75 = 1
    assert (noise_sums(np.array([16, 1])) / 2**31).tolist() == pytest.approx([8 / 9, 1.0], abs=1e-9)
    assert noise_sums(np.array([16, 1]))[-1] == 2**31


@pytest.mark.parametrize("dim", [1, 15, 16, 17, 500, 512])
def test_rows_begin_at_cache_lines_and_are_spread_over_the_cache(dim: int) -> None:
    rows = fresh_rows(3, SkipGramConfig(dim=dim))
    for matrix in (rows.inputs, rows.outputs):
        assert matrix.ctypes.data % 64 == 0
        assert matrix.strides[0] % 128 == 64
        assert matrix.shape[1] >= padded(dim) >= dim
    assert np.abs(rows.inputs[:, :dim]).max() <= 0.5 / dim
    assert not rows.inputs[:, dim:].any()


def test_two_threads_learn_as_well_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_BLOCK", 200)
    rng = np.random.default_rng(5)
    topics = [[f"{topic}{number}" for number in range(5)] for topic in "ab"]
    text = encode([[str(word) for word in rng.choice(topics[number % 2], 8)] for number in range(400)], tmp_path)
    config = SkipGramConfig(dim=16, window=5, epochs=20, sample=0.0, threads=2)
    unit = by_engine(text, config).inputs[:, :16]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    topic = np.array([word[0] for word in text.words])
    cosines = unit @ unit.T
    assert cosines[topic == "a"][:, topic == "a"].min() > cosines[topic == "a"][:, topic == "b"].max()


COUNTS = st.lists(st.integers(1, 50), min_size=1, max_size=40).map(lambda counts: sorted(counts, reverse=True))


def cost(counts: list[int]) -> int:
    """Bits of the whole text."""
    paths = huffman_paths(counts)
    return sum(count * len(paths.code(word)) for word, count in enumerate(counts))


@cache
def least_cost(counts: tuple[int, ...]) -> int:
    """Of all binary trees there are: every way to part the words in two, again and again."""
    if len(counts) == 1:
        return 0
    found = []
    for mask in range(1, 2 ** (len(counts) - 1)):  # the last word stays on the right: sides are alike
        left = tuple(count for place, count in enumerate(counts) if mask >> place & 1)
        right = tuple(count for place, count in enumerate(counts) if not mask >> place & 1)
        found.append(least_cost(left) + least_cost(right))
    return sum(counts) + min(found)


@pytest.mark.parametrize("counts", list(itertools.combinations_with_replacement((13, 8, 5, 2, 1), 4)))
def test_no_tree_is_shorter(counts: tuple[int, ...]) -> None:
    assert cost(list(counts)) == least_cost(counts)


@given(st.lists(st.integers(1, 30), min_size=2, max_size=7).map(lambda counts: sorted(counts, reverse=True)))
def test_no_tree_is_shorter_for_any_counts(counts: list[int]) -> None:
    assert cost(counts) == least_cost(tuple(counts))


def test_by_hand() -> None:
    paths = huffman_paths([10, 4, 3, 3])
    assert sorted(len(paths.code(word)) for word in range(4)) == [1, 2, 3, 3]
    assert paths.nodes[paths.starts[0] : paths.starts[1]].tolist() == [0]
    assert paths.nodes[paths.starts[3] : paths.starts[4]].tolist() == [0, 1, 2]


@given(COUNTS)
def test_codes_are_a_full_tree(counts: list[int]) -> None:
    paths = huffman_paths(counts)
    codes = [paths.code(word) for word in range(len(counts))]
    assert all(one[: len(other)] != other for one, other in itertools.permutations(codes, 2))
    assert sum(2.0 ** -len(code) for code in codes) == 1.0
    assert all(len(one) <= len(other) for one, other in itertools.pairwise(codes))


@given(COUNTS)
def test_the_node_says_how_the_code_goes_on(counts: list[int]) -> None:
    paths = huffman_paths(counts)
    prefixes: dict[int, tuple[int, ...]] = {}
    for word in range(len(counts)):
        code = paths.code(word)
        nodes = paths.nodes[paths.starts[word] : paths.starts[word + 1]].tolist()
        assert len(nodes) == len(code)
        for depth, node in enumerate(nodes):
            assert prefixes.setdefault(node, code[:depth]) == code[:depth]
    assert sorted(prefixes) == list(range(len(counts) - 1))
    assert len(set(prefixes.values())) == len(prefixes)


@pytest.mark.parametrize("counts", [[1, 2], [3, 0], [2, -1]])
def test_counts_that_are_none(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="counts must be at least 1, the greatest first"):
        huffman_paths(counts)


@pytest.mark.parametrize(
    ("features", "expected"),
    [("+avx,+avx2,-avx512f", (8, 4, 3)), ("+avx,+avx512f", (16, 6, 4)), ("+sse", (4, 3, 3))],
)
def test_tiles_fit_the_registers_that_numba_may_use(
    monkeypatch: pytest.MonkeyPatch, features: str, expected: tuple[int, int, int]
):
    from devise.text.engine.tiles import shape

    monkeypatch.setattr("numba.config.CPU_FEATURES", features)
    found = shape.__wrapped__()
    assert (found.lanes, found.contexts, found.targets) == expected
