"""Trains on the blocks of a text, epoch after epoch, on all threads: the two matrices, and the tree of the words."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from devise.arrays import Float32, Int32, Int64
from devise.errors import DeviseError
from devise.text.engine.config import ProgressCallback, SkipGramConfig, SkipGramProgress
from devise.text.engine.encoding import EncodedText

__all__ = [
    "BlockResult",
    "Matrices",
    "Paths",
    "close_up",
    "fresh_rows",
    "huffman_paths",
    "keep_shares",
    "noise_sums",
    "padded",
    "train_blocks",
]

_LINE = 16  # float32 in a cache line
_AT_ONCE = 256

RowMatrix = Float32[np.ndarray, "_ padded"]


@dataclass(frozen=True, eq=False, slots=True)
class Matrices:
    """inputs: row w is the vector of word w. outputs: first the tree's nodes, then one per noise word.

    Rows begin at multiples of 64 bytes, and zeros follow the numbers of a vector.
    """

    inputs: RowMatrix
    outputs: RowMatrix
    dim: int


def padded(dim: int) -> int:
    """Return the length of a vector, padded to whole cache lines.

    >>> padded(500), padded(16)
    (512, 16)
    """
    return -(-dim // _LINE) * _LINE


def fresh_rows(words: int, config: SkipGramConfig) -> Matrices:
    """Make initial rows as word2vec: inputs uniform from -1 / (2 dim) to 1 / (2 dim), outputs 0."""
    outputs = (words - 1) * config.hierarchical_softmax + words * (config.negative > 0)
    rows = Matrices(_zeros(words, config.dim), _zeros(outputs, config.dim), config.dim)
    rng = np.random.default_rng(config.seed)
    for start in range(0, words, _AT_ONCE):
        part = rows.inputs[start : start + _AT_ONCE, : config.dim]
        part[:] = (rng.random(part.shape, dtype=np.float32) - np.float32(0.5)) / np.float32(config.dim)
    return rows


def _zeros(rows: int, dim: int) -> RowMatrix:
    """Allocate an odd number of cache lines per row, or rows would compete for the same cache sets."""
    stride = padded(dim)
    stride += _LINE * (stride // _LINE % 2 == 0)
    # numpy aligns to 16 bytes: a line more is allocated, and the rows begin at its first multiple of 64.
    flat = np.zeros(rows * stride + _LINE, dtype=np.float32)
    skip = -flat.ctypes.data % 64 // 4
    return flat[skip : skip + rows * stride].reshape(rows, stride)


def close_up(rows: Matrices) -> Float32[np.ndarray, "words dim"]:
    """Move the word vectors together, in their own memory, and return them; `rows` is of no use after that.

    A copy would need as much memory again: the peak with 78,000 vectors of 500 numbers was 673 MB, and is 537 MB.
    """
    count, dim = len(rows.inputs), rows.dim
    closed: Float32[np.ndarray, "words dim"] = rows.inputs.reshape(-1)[: count * dim].reshape(count, dim)
    for start in range(0, count, _AT_ONCE):  # numpy copies what overlaps, so few at once
        closed[start : start + _AT_ONCE] = rows.inputs[start : start + _AT_ONCE, :dim]
    return closed


@dataclass(frozen=True, eq=False, slots=True)
class Paths:
    """For word w, entries starts[w] to starts[w + 1] - 1 of the other two, from the root down.

    nodes: the inner nodes passed; 0 is the root, and nodes that more of the text passes have lower numbers.
    labels: what the node has to say there: 1 for a code bit of 0, 0 for a code bit of 1 (as word2vec has it).
    """

    starts: Int64[np.ndarray, "starts"]
    nodes: Int32[np.ndarray, "entries"]
    labels: Float32[np.ndarray, "entries"]

    def code(self, word: int) -> tuple[int, ...]:
        """The bits of a word, from the root down."""
        return tuple(1 - int(label) for label in self.labels[self.starts[word] : self.starts[word + 1]])


def huffman_paths(counts: Sequence[int]) -> Paths:
    """The paths of words with these counts, most frequent first (Huffman 1952; Mikolov et al. 2013, section 2.1).

    Of equal counts a word comes before an inner node and the later word before the earlier, so that the same counts
    give the same tree. A single word gets a path of no nodes. ValueError if counts grow or one is below 1.

    >>> paths = huffman_paths([5, 2, 1])
    >>> [paths.code(word) for word in range(3)], paths.nodes.tolist()
    ([(1,), (0, 1), (0, 0)], [0, 0, 1, 0, 1])
    """
    words = len(counts)
    if any(later > earlier for earlier, later in pairwise(counts)) or (words and counts[-1] < 1):
        raise ValueError("counts must be at least 1, the greatest first")
    parent, bit = _merged(counts)
    root = 2 * words - 2
    starts = np.zeros(words + 1, dtype=np.int64)
    depth = _depths(parent, words)
    np.cumsum(depth[:words], out=starts[1:])
    nodes = np.zeros(int(starts[-1]), dtype=np.int32)
    labels = np.zeros(int(starts[-1]), dtype=np.float32)
    at = np.arange(words)
    write = starts[1:].copy()
    moving = np.flatnonzero(depth[:words])
    while len(moving):  # all words climb one step at a time
        write[moving] -= 1
        here = at[moving]
        labels[write[moving]] = 1 - bit[here]
        at[moving] = parent[here]
        nodes[write[moving]] = root - parent[here]  # the node made last is the root
        moving = moving[at[moving] != root]
    return Paths(starts, nodes, labels)


def _merged(counts: Sequence[int]) -> tuple[Int64[np.ndarray, "all"], Int64[np.ndarray, "all"]]:
    """Parent and code bit of each word (0 to W - 1) and inner node (W to 2 W - 2).

    The two rarest are joined W - 1 times. Words wait in order of their counts and inner nodes in the order they were
    made, which is that of theirs: so the rarest is always the first of one of the two rows.
    """
    words = len(counts)
    size = max(2 * words - 1, 0)
    total = [*counts, *[0] * (size - words)]
    parent, bit = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
    word, inner = words - 1, words
    for made in range(words, size):
        pair = []
        for _ in range(2):
            if word >= 0 and (inner >= made or total[word] <= total[inner]):
                pair.append(word)
                word -= 1
            else:
                pair.append(inner)
                inner += 1
        total[made] = total[pair[0]] + total[pair[1]]
        parent[pair] = made
        bit[pair[1]] = 1
    return parent, bit


def _depths(parent: Int64[np.ndarray, "all"], words: int) -> Int64[np.ndarray, "all"]:
    """Steps from each node up to the root: parents have higher numbers than their children."""
    depth = [0] * len(parent)
    above = parent.tolist()
    for node in range(len(depth) - 2, -1, -1):
        depth[node] = depth[above[node]] + 1
    return np.asarray(depth, dtype=np.int64)


_NO_NUMBA = "training word vectors needs numba, which is not installed: pip install 'devise-zsl[train]'"
_NOISE_POWER = 0.75


@dataclass(frozen=True, slots=True)
class BlockResult:
    """words: trained on. updates: of `SkipGramProgress`. pairs, loss: of the sample with a loss."""

    words: int
    updates: int
    pairs: int
    loss: float


def keep_shares(counts: Int64[np.ndarray, "words"], sample: float) -> Float32[np.ndarray, "words"]:
    """Compute the share of its occurrences that each word keeps: sqrt(s/f) + s/f, at most 1 (word2vec).

    f: the word's share of the text.
    """
    if sample == 0:
        return np.ones(len(counts), dtype=np.float32)
    ratio = sample * counts.sum() / counts
    shares: Float32[np.ndarray, "words"] = np.minimum(1, np.sqrt(ratio) + ratio).astype(np.float32)
    return shares


def noise_sums(counts: Int64[np.ndarray, "words"]) -> Int64[np.ndarray, "words"]:
    """Running sums, out of 2^31, of the chances of noise words: count^0.75 (Mikolov et al. 2013, section 2.2)."""
    weights = np.cumsum(counts**_NOISE_POWER)
    sums: Int64[np.ndarray, "words"] = np.round(weights * (2**31 / weights[-1])).astype(np.int64)
    return sums


def train_blocks(
    text: EncodedText,
    rows: Matrices,
    config: SkipGramConfig,
    *,
    first: int = 0,
    progress: ProgressCallback | None = None,
    between: Callable[[int], float | None] | None = None,
) -> None:
    """Train from block `first` on, counted over all epochs, to the end; the rows are moved in place.

    between: called with the number of blocks done while no thread trains; it gives the seconds until it wants to be
    called again, None for never. It is called first before the first block, and when Ctrl-C ends the training.
    DeviseError if numba is not installed.
    """
    train = _trainer(text, rows, config)
    blocks = len(text.blocks) - 1
    end = blocks * config.epochs
    report = _Report(text, config, progress)
    wait = between(first) if between else None
    since = time.monotonic()
    pending: deque[tuple[int, Future[BlockResult]]] = deque()
    position = asked = first
    with ThreadPoolExecutor(config.threads, thread_name_prefix="skipgram") as pool:
        try:
            while position < end or pending:
                due = wait is not None and position > asked and time.monotonic() - since >= wait
                while position < end and len(pending) <= config.threads and not due:
                    pending.append((position, pool.submit(train, *divmod(position, blocks))))
                    position += 1
                if pending:
                    report.done(pending[0][0], pending[0][1].result())
                    pending.popleft()
                elif between is not None:
                    wait, asked = between(position), position
                    since = time.monotonic()
        except KeyboardInterrupt:
            position = _settled(pending, position)
            if between is not None:
                between(position)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _settled(pending: "deque[tuple[int, Future[BlockResult]]]", position: int) -> int:
    """Cancel the waiting blocks, wait for the running ones; return the first block that is not done."""
    while pending and pending[-1][1].cancel():
        position, _ = pending.pop()
    for _, future in pending:
        future.result()
    return position


def _trainer(text: EncodedText, rows: Matrices, config: SkipGramConfig) -> Callable[[int, int], BlockResult]:
    """What trains on block b of epoch e (both from 0)."""
    try:
        from devise.text.engine.loops import train_block
    except ImportError:
        raise DeviseError(_NO_NUMBA) from None
    paths = huffman_paths(text.counts.tolist()) if config.hierarchical_softmax else _no_paths(len(text.words))
    keep = keep_shares(text.counts, config.sample)
    noise = noise_sums(text.counts)
    fall = (config.alpha - config.min_alpha) / (config.epochs * text.size)

    def train(epoch: int, block: int) -> BlockResult:
        return BlockResult(
            *train_block(
                text.block(block),
                config.seed,
                epoch,
                block,
                config.alpha - fall * (epoch * text.size + int(text.blocks[block])),
                fall,
                config.min_alpha,
                keep,
                config.window,
                rows.inputs,
                rows.outputs,
                rows.dim,
                paths.starts,
                paths.nodes,
                paths.labels,
                noise,
                config.negative,
            )
        )

    return train


def _no_paths(words: int) -> Paths:
    nothing = np.zeros(0, dtype=np.int32)
    return Paths(np.zeros(words + 1, dtype=np.int64), nothing, nothing.astype(np.float32))


class _Report:
    """Reports each finished block, in the order of the text."""

    def __init__(self, text: EncodedText, config: SkipGramConfig, progress: ProgressCallback | None) -> None:
        self._text = text
        self._epochs = config.epochs
        self._progress = progress

    def done(self, position: int, result: BlockResult) -> None:
        if self._progress is None:
            return
        epoch, block = divmod(position, len(self._text.blocks) - 1)
        loss = result.loss / result.pairs if result.pairs else None
        tokens = int(self._text.read[block + 1])
        self._progress(
            SkipGramProgress("training", epoch + 1, self._epochs, tokens, self._text.tokens, loss, result.updates)
        )
