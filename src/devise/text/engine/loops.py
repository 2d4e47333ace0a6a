"""Skip-gram over one block of encoded text, compiled by numba; runs without Python's lock.

Its steps, in this order, define the engine; tests/reference/skipgram.py is the slow reference.
"""

import math
import zlib
from collections.abc import Callable
from typing import Any, no_type_check

import numba
import numpy as np

from devise.text.engine.encoding import SENTENCE_END
from devise.text.engine.tiles import shape, step, step_code

__all__ = ["train_block"]

_LOSS_EVERY = 32  # centre words of which the loss is taken of one
_SCORES = 64
_COPIED = 128  # rows of which each thread has a copy: as many of the inputs, of the nodes and of the noise words
_MERGE_EVERY = 256  # centre words
_INPUTS, _NODES, _NOISE = range(3)  # the matrices of rows
_CONTEXTS, _TARGETS = shape().contexts, shape().targets
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
# nogil: threads share the matrices without a lock (Recht et al. 2011). What most windows move, each has copies of.
_compiled: Any = numba.njit(nogil=True, error_model="numpy")
_compiled_once: Any = numba.njit(nogil=True, error_model="numpy", cache=True)


@_compiled
@no_type_check
def _mixed(state):
    """The random 64 bits of a state (SplitMix64; Steele et al. 2014)."""
    z = state
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@_compiled
@no_type_check
def _block_state(seed, epoch, block):
    """Return the first state of a block; each block has its own, so that training can start at any."""
    state = _mixed(np.uint64(seed) + _GOLDEN)
    state = _mixed(state + np.uint64(epoch) * _GOLDEN + np.uint64(1))
    return _mixed(state + np.uint64(block) * _GOLDEN + np.uint64(2))


@_compiled
@no_type_check
def _below(state, limit):
    """A number from 0 to limit - 1, out of the upper 32 bits."""
    return np.int64(((_mixed(state) >> np.uint64(32)) * np.uint64(limit)) >> np.uint64(32))


@_compiled
@no_type_check
def _fraction(state):
    """A number in [0, 1) of 24 bits."""
    return np.float32(_mixed(state) >> np.uint64(40)) * np.float32(2.0**-24)


@_compiled
@no_type_check
def _copied(shared, dim):
    """Copy the first rows, those of the most frequent words or nodes, for one thread; twice, the second for `_merge`.

    A row that two threads move in turn goes from cache to cache, the root at every window. Copies take 0.90 to
    0.96 of the core time where two cores are near each other, and 0.52 where they are far: docs/skip-gram-engine.md.
    """
    count, stride = min(_COPIED, len(shared)), shared.shape[1]
    flat = np.empty(count * stride + 16, dtype=np.float32)
    skip = (-flat.ctypes.data % 64) // 4
    own = flat[skip : skip + count * stride].reshape(count, stride)
    own[:] = shared[:count]
    return own, own[:, :dim].copy()


@_compiled
@no_type_check
def _merge(matrices, copies):
    """Add to the shared rows what this thread moved its copies since the last merge, and to those what others moved."""
    for number in range(len(matrices)):
        own, before = copies[number]
        for row in range(len(own)):
            shared, mine, last = matrices[number][row], own[row], before[row]
            for at in range(len(last)):
                # A single thread adds 0, so its result is the same to the bit as without copies.
                shared[at] = mine[at] = last[at] = mine[at] + (shared[at] - last[at])


@_compiled
@no_type_check
def _address(matrix, row, matrices, copies):
    """Where this thread moves a row: in its own copies if it is one of them."""
    own = copies[matrix][0]
    if row < len(own):
        return own.ctypes.data + row * own.strides[0]
    return matrices[matrix].ctypes.data + row * matrices[matrix].strides[0]


@_compiled
@no_type_check
def _learn(contexts, m, targets, labels, n, alpha, length, scores, with_loss):
    """Train one centre word: all contexts against all targets, tile by tile; the loss if requested."""
    loss = 0.0
    # Tiles of even size: 5 contexts are 3 + 2, not 4 + 1, because a small tile loads a row for few products.
    rows, columns = (n + _TARGETS - 1) // _TARGETS, (m + _CONTEXTS - 1) // _CONTEXTS
    first = 0
    for row in range(rows):
        last = n * (row + 1) // rows
        left = 0
        for column in range(columns):
            right = m * (column + 1) // columns
            step(
                contexts.ctypes.data + 8 * left,
                targets.ctypes.data + 8 * first,
                labels.ctypes.data + 4 * first,
                alpha,
                length,
                scores.ctypes.data,
                right - left,
                last - first,
            )
            if with_loss:
                wide = last - first
                for at in range((right - left) * wide):
                    score = scores[at] if labels[first + at % wide] > 0.5 else 1 - scores[at]
                    loss -= math.log(max(score, np.float32(1e-30)))
            left = right
        first = last
    return loss


@_compiled
@no_type_check
def _targets(word, state, starts, nodes, path_labels, noise, negative, matrices, copies, targets, labels):
    """The output rows that a centre word predicts, and whether they are to be predicted; how many, and the state."""
    n = 0
    for at in range(starts[word], starts[word + 1]):
        targets[n] = _address(_NODES, nodes[at], matrices, copies)
        labels[n] = path_labels[at]
        n += 1
    if negative:
        targets[n] = _address(_NOISE, word, matrices, copies)
        labels[n] = 1
        n += 1
    for _ in range(negative):
        state += _GOLDEN
        # Running sums and a binary search need 8 bytes per word; word2vec's table of noise words takes 400 MB.
        drawn = np.searchsorted(noise, np.int64(_mixed(state) >> np.uint64(33)), side="right")
        if drawn != word:
            targets[n] = _address(_NOISE, drawn, matrices, copies)
            labels[n] = 0
            n += 1
    return n, state


def _trainer(code: int) -> Callable[..., tuple[int, int, int, float]]:
    """Compile and cache `train_block`; compile again if `code`, which identifies the tiles, differs."""

    @_compiled_once
    @no_type_check
    def train_block(
        tokens,
        seed,
        epoch,
        block,
        alpha,
        fall,
        least,
        keep,
        window,
        inputs,
        outputs,
        dim,
        starts,
        nodes,
        path_labels,
        noise,
        negative,
    ):
        """Train on a block; return kept words, updates, pairs with a loss, and their losses.

        tokens: int32, SENTENCE_END after each sentence. seed, epoch, block: where chance begins. alpha: the step at
        the first token; it falls by `fall` a token, down to `least`, and is set where a sentence begins. keep: float32
        [words], the share of its places that a word keeps. window: the most words on a side. inputs, outputs: rows
        that begin at multiples of 64 bytes, moved in place; numbers after the first `dim`, a multiple of 16, are not
        touched. starts, nodes, path_labels: of `Paths`. noise: int64 [words], running sums of the shares of noise
        words, times 2^31. negative: noise words of a centre word; their rows are after those of the nodes.
        """
        _ = code  # numba's cache looks at this source alone, and the tiles are another file
        state = _block_state(seed, epoch, block)
        length = dim * 4
        noise_row = len(outputs) - len(keep) * (negative > 0)
        matrices = inputs, outputs[:noise_row], outputs[noise_row:]
        copies = _copied(inputs, dim), _copied(outputs[:noise_row], dim), _copied(outputs[noise_row:], dim)
        longest = 1
        for word in range(len(starts) - 1):
            longest = max(longest, starts[word + 1] - starts[word])
        targets = np.empty(longest + negative + 1, dtype=np.int64)
        labels = np.empty(longest + negative + 1, dtype=np.float32)
        contexts = np.empty(2 * window, dtype=np.int64)
        kept = np.empty(len(tokens), dtype=np.int64)
        scores = np.empty(_SCORES, dtype=np.float32)
        trained = updates = pairs = 0
        loss = 0.0
        begin = 0
        while begin < len(tokens):
            end = begin
            count = 0
            while end < len(tokens) and tokens[end] != SENTENCE_END:
                word = tokens[end]
                state += _GOLDEN
                if _fraction(state) < keep[word]:
                    kept[count] = word
                    count += 1
                end += 1
            step_size = np.float32(max(least, alpha - fall * begin))
            for centre in range(count):
                if (trained + centre) % _MERGE_EVERY == 0:
                    _merge(matrices, copies)
                state += _GOLDEN
                reach = 1 + _below(state, window)
                m = 0
                for other in range(max(0, centre - reach), min(count, centre + reach + 1)):
                    if other != centre:
                        contexts[m] = _address(_INPUTS, kept[other], matrices, copies)
                        m += 1
                n, state = _targets(
                    kept[centre], state, starts, nodes, path_labels, noise, negative, matrices, copies, targets, labels
                )
                # All contexts of a window predict the same centre word, so they share its targets, and its noise too.
                with_loss = (trained + centre) % _LOSS_EVERY == 0
                loss += _learn(contexts, m, targets, labels, n, step_size, length, scores, with_loss)
                updates += m * n
                pairs += m * with_loss
            trained += count
            begin = end + 1
        _merge(matrices, copies)
        return trained, updates, pairs, loss

    return train_block  # type: ignore[no-any-return]


train_block = _trainer(zlib.crc32(step_code().encode()))
