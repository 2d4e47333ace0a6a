"""Trains on the blocks of a text, epoch after epoch, on all threads."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from devise.errors import DeviseError
from devise.text.engine.config import ProgressCallback, SkipGramConfig, SkipGramProgress
from devise.text.engine.encoding import EncodedText
from devise.text.engine.huffman import Paths, huffman_paths
from devise.text.engine.rows import Rows, padded

__all__ = ["BlockResult", "keep_shares", "noise_sums", "train_blocks"]

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
    rows: Rows,
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


def _trainer(text: EncodedText, rows: Rows, config: SkipGramConfig) -> Callable[[int, int], BlockResult]:
    """What trains on block b of epoch e (both from 0)."""
    try:
        from devise.text.engine.kernels import train_block
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
                padded(rows.dim),
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
