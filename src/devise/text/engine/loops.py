"""Skip-gram over one block of encoded text, compiled by numba; runs without Python's lock.

Its steps, in this order, define the engine; tests/reference/skipgram.py is the slow reference.
"""

import math
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, no_type_check

import numba
import numpy as np

from devise.text.engine.encoding import SENTENCE_END
from devise.text.engine.tiles import shape, square, step, step_code

__all__ = ["train_block"]

_GROUP = 32  # centre words in a row that share noise words and nodes near the root, at most: docs/skip-gram-engine.md
_REUSED = 3  # centre words per `negative` noise words of a group: with 5 the vectors solve fewer analogies
_FARTHEST = np.float32(2)  # change of a product, over its error, by one step: a move by half of the error at most
_LOSS_EVERY = 32  # groups of which the loss is taken of one
_LEAST = np.float32(1e-7)  # probability of which the logarithm is taken
_SCORES = 64
_COPIED = 128  # rows of which each thread has a copy: as many of the inputs, of the nodes and of the noise words
_MERGE_EVERY = 256  # centre words
_INPUTS, _NODES, _NOISE = range(3)  # the matrices of rows
_LANES, _CONTEXTS, _TARGETS = shape().lanes, shape().contexts, shape().targets
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
# nogil: threads share the matrices without a lock (Recht et al. 2011). What most windows move, each has copies of.
_compiled: Any = numba.njit(nogil=True, error_model="numpy")
_compiled_once: Any = numba.njit(nogil=True, error_model="numpy", cache=True)


class _Room(NamedTuple):
    """The arrays that a thread fills for each group of centre words."""

    left: Any  # where the window of each centre word begins
    right: Any  # and ends
    seats: Any  # of each word: its number among the contexts of the group
    members: Any  # of each place: the number of its word
    rows: Any  # of each context of the group: the address of its row
    context_squares: Any  # and the square of its length
    target_squares: Any
    column: Any  # of each top node: its number among the shared nodes, -1 if it is none
    window_seats: Any  # of each context of the group: its number among those of a window
    distinct: Any
    often: Any
    contexts: Any
    targets: Any
    labels: Any
    times: Any
    wanted: Any
    damped_times: Any
    damped_wanted: Any
    ones: Any
    scores: Any


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
def _bases(matrices, copies):
    """For each matrix: addresses of this thread's copies and of the shared rows, how many copies, bytes of a row.

    To look these up in the tuples of arrays for each row took 10 % of the core time with noise words.
    """
    bases = np.empty((len(matrices), 4), dtype=np.int64)
    for number in range(len(matrices)):
        shared, own = matrices[number], copies[number][0]
        bases[number, 0], bases[number, 1] = own.ctypes.data, shared.ctypes.data
        bases[number, 2], bases[number, 3] = len(own), shared.strides[0]
    return bases


@_compiled
@no_type_check
def _address(matrix, row, bases):
    """Where this thread moves a row, of `_bases`: in its own copies if it is one of them."""
    return bases[matrix, np.int64(row >= bases[matrix, 2])] + row * bases[matrix, 3]


@_compiled
@no_type_check
def _learn(contexts, m, n, often, damped, counted, across, alpha, length, room, with_loss):
    """Move m contexts and the first n targets of the room, tile by tile; return the updates, and the loss if requested.

    damped, counted: `times` and `wanted` of `step`, for the step and for the loss. across: numbers from those of one
    context to those of the next. Tiles in which no pair meets are left out.
    """
    loss = 0.0
    updates = 0
    where, which, weights = contexts.ctypes.data, room.targets.ctypes.data, often.ctypes.data
    met, positive, found = damped[0].ctypes.data, damped[1].ctypes.data, room.scores.ctypes.data
    # Tiles of even size: 5 contexts are 3 + 2, not 4 + 1, because a small tile loads a row for few products.
    rows, columns = (n + _TARGETS - 1) // _TARGETS, (m + _CONTEXTS - 1) // _CONTEXTS
    first = 0
    for row in range(rows):
        last = n * (row + 1) // rows
        left = 0
        for column in range(columns):
            right = m * (column + 1) // columns
            pair = left * across + first
            if across and not _meet(counted[0], pair, right - left, last - first, across):
                left = right
                continue
            updates += (right - left) * (last - first)
            step(
                where + 8 * left,
                which + 8 * first,
                weights + 4 * left,
                met + 4 * pair,
                positive + 4 * pair,
                4 * across,
                alpha,
                length,
                found,
                right - left,
                last - first,
            )
            if with_loss:
                wide = last - first
                for at in range((right - left) * wide):
                    here = pair + at // wide * across + at % wide
                    score = min(max(room.scores[at], _LEAST), 1 - _LEAST)
                    good, bad = counted[1][here], counted[0][here] - counted[1][here]
                    loss -= often[left + at // wide] * (good * math.log(score) + bad * math.log(1 - score))
            left = right
        first = last
    return updates, loss


@_compiled
@no_type_check
def _meet(times, pair, m, n, across):
    """Whether any context and target of a tile meet."""
    for context in range(m):
        for target in range(n):
            if times[pair + context * across + target]:
                return True
    return False


@_compiled
@no_type_check
def _distinct(items, first, last, without, seats, distinct, often):
    """List the items at places `first` to `last` - 1 but one, each item once; how many there are.

    seats: the place of an item in the list. often: how often each item of the list occurs.
    """
    count = 0
    for place in range(first, last):
        if place == without:
            continue
        item = items[place]
        seat = seats[item]
        if seat >= count or distinct[seat] != item:  # so seats of an earlier list need not be cleared
            seat = seats[item] = count
            distinct[seat] = item
            often[seat] = 0
            count += 1
        often[seat] += 1
    return count


@_compiled
@no_type_check
def _windows(start, stop, count, state, window, room):
    """Draw the window of each centre word of a group; return the state, where the first begins and the last ends."""
    low, high = start, stop
    for centre in range(start, stop):
        state += _GOLDEN
        reach = 1 + _below(state, window)
        room.left[centre - start] = max(0, centre - reach)
        room.right[centre - start] = min(count, centre + reach + 1)
        low, high = min(low, room.left[centre - start]), max(high, room.right[centre - start])
    return state, low, high


@_compiled
@no_type_check
def _shared_nodes(words, start, stop, union, tree, room):
    """Number the nodes that the windows of a group share, and put them in `targets`; how many there are."""
    starts, nodes, _ = tree
    column = room.column
    column[:] = 0
    for centre in range(start, stop):
        for at in range(starts[words[centre]], starts[words[centre] + 1]):
            if nodes[at] >= len(column):
                break
            column[nodes[at]] += room.right[centre - start] - room.left[centre - start]
    n = 0
    for node in range(len(column)):
        # Shared, a node takes one product per context of the group, otherwise one per context of each window.
        shared = column[node] > union
        column[node] = n if shared else -1
        if shared:
            room.targets[n] = node
            n += 1
    return n


@_compiled
@no_type_check
def _meet_nodes(words, start, stop, low, high, n, across, tree, room):
    """Count in `times` and `wanted` how often each context of a group meets each of n nodes, and with a label of 1."""
    starts, nodes, labels = tree
    # A node meets the places of a window before and after its centre. To sum up where these begin and end takes
    # less than to count each place: 2 % of the core time with AVX2.
    changes = np.zeros((2, high - low + 1, n), dtype=np.float32)
    for centre in range(start, stop):
        left, right = room.left[centre - start], room.right[centre - start]
        for at in range(starts[words[centre]], starts[words[centre] + 1]):
            if nodes[at] >= len(room.column) or room.column[nodes[at]] < 0:
                break
            node, label = room.column[nodes[at]], labels[at]
            for place, change in ((left, 1), (centre, -1), (centre + 1, 1), (right, -1)):
                changes[0, place - low, node] += change
                changes[1, place - low, node] += change * label
    running = np.zeros((2, n), dtype=np.float32)
    for place in range(low, high):
        pair = room.members[place] * across
        for node in range(n):
            running[0, node] += changes[0, place - low, node]
            room.times[pair + node] += running[0, node]
        for node in range(n):
            running[1, node] += changes[1, place - low, node]
            room.wanted[pair + node] += running[1, node]


@_compiled
@no_type_check
def _meet_words(words, start, stop, m, n, centres, drawn, negative, room):
    """Count in `times` and `wanted` how often each of m contexts meets each centre word and each noise word.

    n, centres, drawn: how many nodes, different centre words, and noise words the group has.
    """
    across = n + centres + drawn
    for centre in range(start, stop):
        target = n + room.seats[words[centre]]
        for place in range(room.left[centre - start], room.right[centre - start]):
            if place != centre:
                room.times[room.members[place] * across + target] += 1
                room.wanted[room.members[place] * across + target] += 1
    share = np.float32(negative / drawn)  # each meeting has `negative` noise words, and here all of the group
    for context in range(m):
        first = context * across + n
        met = np.float32(0)
        for target in range(first, first + centres):
            met += room.times[target]
        room.times[first + centres : first + centres + drawn] = share * met
    for target in range(n + centres, across):
        word = room.targets[target]
        own = n + room.seats[word]
        if own < n + centres and room.targets[own] == word:  # a word is not its own noise
            for context in range(0, m * across, across):
                room.times[context + target] -= share * room.times[context + own]


@_compiled
@no_type_check
def _damp(m, n, alpha, room):
    """Let meetings count for less where their steps together would overshoot.

    A step moves the product of two rows by alpha times the sum of their squares, times the error; the error follows a
    move of the product by a quarter at most. So at `_FARTHEST` one step corrects up to half of an error. Without it
    the vectors of 20 million words diverge.
    """
    for context in range(m):
        pairs = slice(context * n, context * n + n)  # slices and no branch: so numba's loop is in vectors
        times, wanted = room.times[pairs], room.wanted[pairs]
        damped_times, damped_wanted = room.damped_times[pairs], room.damped_wanted[pairs]
        length = room.context_squares[context]
        for target in range(n):
            far = alpha * times[target] * (length + room.target_squares[target])
            factor = _FARTHEST / max(far, _FARTHEST)
            damped_times[target] = times[target] * factor
            damped_wanted[target] = wanted[target] * factor


@_compiled
@no_type_check
def _learn_shared(words, start, stop, low, high, state, tree, noise, negative, alpha, length, bases, room, with_loss):
    """Train a group of centre words on the targets that its windows share; return the state, the updates and the loss.

    These are nodes near the root, the centre words, and the group's noise words; the last two if `negative`.
    """
    m = _distinct(words, low, high, -1, room.seats, room.distinct, room.often)
    for at in range(m):
        room.rows[at] = _address(_INPUTS, room.distinct[at], bases)
        room.context_squares[at] = square(room.rows[at], length)
    for place in range(low, high):
        room.members[place] = room.seats[words[place]]
    n = _shared_nodes(words, start, stop, high - low, tree, room)
    centres = drawn = 0
    if negative:
        targets = room.targets[n:]
        centres = _distinct(words, start, stop, -1, room.seats, targets, room.often)
        drawn = (negative * (stop - start) + _REUSED - 1) // _REUSED
        for at in range(drawn):
            state += _GOLDEN
            # Running sums and a binary search need 8 bytes per word; word2vec's table of noise words takes 400 MB.
            targets[centres + at] = np.searchsorted(noise, np.int64(_mixed(state) >> np.uint64(33)), side="right")
    count = n + centres + drawn
    room.times[: m * count] = 0
    room.wanted[: m * count] = 0
    if n:
        _meet_nodes(words, start, stop, low, high, n, count, tree, room)
    if negative:
        _meet_words(words, start, stop, m, n, centres, drawn, negative, room)
    for at in range(count):
        room.targets[at] = _address(_NODES if at < n else _NOISE, room.targets[at], bases)
        room.target_squares[at] = square(room.targets[at], length)
    _damp(m, count, alpha, room)
    damped, counted = (room.damped_times, room.damped_wanted), (room.times, room.wanted)
    updates, loss = _learn(room.rows, m, count, room.ones, damped, counted, count, alpha, length, room, with_loss)
    return state, updates, loss


@_compiled
@no_type_check
def _learn_own(word, m, tree, alpha, length, bases, room, with_loss):
    """Train the nodes that a centre word does not share on the m contexts of its window; return updates and loss.

    All contexts of the window predict the same word, so they have the same targets.
    """
    starts, nodes, path_labels = tree
    n = 0
    for at in range(starts[word], starts[word + 1]):
        node = nodes[at]
        if node >= len(room.column) or room.column[node] < 0:
            room.targets[n] = _address(_NODES, node, bases)
            room.labels[n] = path_labels[at]
            n += 1
    once = room.ones, room.labels
    return _learn(room.contexts, m, n, room.often, once, once, 0, alpha, length, room, with_loss)


@_compiled
@no_type_check
def _room(words, tokens, window, tree, top, negative):
    """Allocate the arrays for a block."""
    starts = tree[0]
    longest = 1
    for word in range(len(starts) - 1):
        longest = max(longest, starts[word + 1] - starts[word])
    targets, contexts = max(longest, top) + _GROUP + negative * _GROUP, 2 * window + _GROUP
    return _Room(
        left=np.empty(_GROUP, dtype=np.int64),
        right=np.empty(_GROUP, dtype=np.int64),
        seats=np.zeros(words, dtype=np.int32),
        members=np.empty(tokens, dtype=np.int32),
        rows=np.empty(contexts, dtype=np.int64),
        context_squares=np.empty(contexts, dtype=np.float32),
        target_squares=np.empty(targets, dtype=np.float32),
        column=np.empty(top, dtype=np.int64),
        window_seats=np.zeros(contexts, dtype=np.int32),
        distinct=np.empty(contexts, dtype=np.int64),
        often=np.empty(contexts, dtype=np.float32),
        contexts=np.empty(contexts, dtype=np.int64),
        targets=np.empty(targets, dtype=np.int64),
        labels=np.empty(targets, dtype=np.float32),
        times=np.empty(contexts * targets, dtype=np.float32),
        wanted=np.empty(contexts * targets, dtype=np.float32),
        damped_times=np.empty(contexts * targets, dtype=np.float32),
        damped_wanted=np.empty(contexts * targets, dtype=np.float32),
        ones=np.ones(max(contexts, targets), dtype=np.float32),
        scores=np.empty(_SCORES, dtype=np.float32),
    )


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
        that begin at multiples of 64 bytes, moved in place; zeros follow the first `dim` numbers and stay. starts,
        nodes, path_labels: of `Paths`. noise: int64 [words], running sums of the shares of noise words, times 2^31.
        negative: noise words of a centre word; their rows are after those of the nodes.
        """
        _ = code  # numba's cache looks at this source alone, and the tiles are another file
        state = _block_state(seed, epoch, block)
        length = (dim + _LANES - 1) // _LANES * _LANES * 4
        noise_row = len(outputs) - len(keep) * (negative > 0)
        matrices = inputs, outputs[:noise_row], outputs[noise_row:]
        copies = _copied(inputs, dim), _copied(outputs[:noise_row], dim), _copied(outputs[noise_row:], dim)
        bases = _bases(matrices, copies)
        tree = starts, nodes, path_labels
        room = _room(len(keep), len(tokens), window, tree, len(copies[_NODES][0]), negative)
        kept = np.empty(len(tokens), dtype=np.int64)
        trained = updates = pairs = groups = merged = 0
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
            for start in range(0, count, _GROUP):
                stop = min(start + _GROUP, count)
                if trained + start >= merged + _MERGE_EVERY:
                    _merge(matrices, copies)
                    merged = trained + start
                state, low, high = _windows(start, stop, count, state, window, room)
                with_loss = groups % _LOSS_EVERY == 0
                groups += 1
                state, moved, lost = _learn_shared(
                    kept,
                    start,
                    stop,
                    low,
                    high,
                    state,
                    tree,
                    noise,
                    negative,
                    step_size,
                    length,
                    bases,
                    room,
                    with_loss,
                )
                updates += moved
                loss += lost
                for centre in range(start, stop):
                    first, last = room.left[centre - start], room.right[centre - start]
                    pairs += (last - first - 1) * with_loss
                    if not len(nodes):
                        continue
                    m = _distinct(room.members, first, last, centre, room.window_seats, room.distinct, room.often)
                    for at in range(m):
                        room.contexts[at] = room.rows[room.distinct[at]]
                    moved, lost = _learn_own(kept[centre], m, tree, step_size, length, bases, room, with_loss)
                    updates += moved
                    loss += lost
            trained += count
            begin = end + 1
        _merge(matrices, copies)
        return trained, updates, pairs, loss

    return train_block  # type: ignore[no-any-return]


train_block = _trainer(zlib.crc32(step_code().encode()))
