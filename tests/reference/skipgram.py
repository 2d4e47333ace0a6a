"""Skip-gram from the formulas, slowly: Python's integers for chance, float64 for vectors, one row at a time.

Says what the engine does and in which order. Written from Mikolov et al. 2013 (arXiv:1310.4546: equations 3 and 4,
section 2.3) and the description of SplitMix64; shares no code with the package.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1


def mixed(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


class Chance:
    def __init__(self, seed: int, epoch: int, block: int) -> None:
        state = mixed((seed + GOLDEN) & MASK)
        state = mixed((state + epoch * GOLDEN + 1) & MASK)
        self.state = mixed((state + block * GOLDEN + 2) & MASK)

    def bits(self) -> int:
        self.state = (self.state + GOLDEN) & MASK
        return mixed(self.state)


def groups(count: int, most: int) -> list[range]:
    """As few ranges as possible of at most so many, all of nearly one size."""
    parts = -(-count // most)
    return [range(count * part // parts, count * (part + 1) // parts) for part in range(parts)]


def sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def train(
    blocks: Sequence[Sequence[Sequence[int]]],
    inputs: np.ndarray,
    outputs: np.ndarray,
    *,
    epochs: int,
    window: int,
    alpha: float,
    min_alpha: float,
    keep: np.ndarray,
    codes: Sequence[Sequence[tuple[int, int]]],
    noise: Sequence[int],
    negative: int,
    seed: int,
    tile: tuple[int, int],
    group: int,
    reused: int,
    near_root: int,
    numbers: type[np.floating] = np.float64,
) -> tuple[np.ndarray, np.ndarray]:
    """blocks: sentences of word numbers. codes: for each word its (node, label) pairs. Copies of both, moved.

    group: centre words in a row. reused: windows per `negative` noise words. near_root: nodes from 0 on that a group
    may share.
    numbers: what the vectors and all arithmetic on them are kept in.
    """
    inputs, outputs = inputs.astype(numbers), outputs.astype(numbers)
    noise_row = len(outputs) - len(inputs)
    size = sum(len(sentence) + 1 for sentences in blocks for sentence in sentences)
    for epoch in range(epochs):
        place = 0
        for number, sentences in enumerate(blocks):
            chance = Chance(seed, epoch, number)
            for sentence in sentences:
                done = (epoch * size + place) / (epochs * size)
                step = max(min_alpha, alpha - (alpha - min_alpha) * done)
                kept = [word for word in sentence if (chance.bits() >> 40) / 2**24 < keep[word]]
                for start in range(0, len(kept), group):
                    centres = range(start, min(start + group, len(kept)))
                    places = {}
                    for centre in centres:
                        reach = 1 + ((chance.bits() >> 32) * window >> 32)
                        places[centre] = range(max(0, centre - reach), min(len(kept), centre + reach + 1))
                    windows = {centre: [kept[i] for i in places[centre] if i != centre] for centre in centres}
                    union = [kept[i] for i in sorted(set().union(*places.values()))]
                    passed: Counter[int] = Counter()
                    for centre in centres:
                        passed.update({node: len(places[centre]) for node, _ in codes[kept[centre]]})
                    shared = sorted(node for node, width in passed.items() if node < near_root and width > len(union))
                    meetings: list[tuple[int, int, int]] = []
                    for centre in centres:
                        near = [(node, label) for node, label in codes[kept[centre]] if node in shared]
                        meetings += [(word, node, label) for word in windows[centre] for node, label in near]
                    contexts = list(dict.fromkeys(union))
                    words = list(dict.fromkeys(kept[centre] for centre in centres)) if negative else []
                    drawn = [
                        int(np.searchsorted(noise, chance.bits() >> 33, side="right"))
                        for _ in range(-(-negative * len(centres) // reused))
                    ]
                    met = [(word, kept[centre], 1) for centre in centres for word in windows[centre]]
                    times, wanted = tables(contexts, shared, meetings)
                    times_of_words, wanted_of_words = tables(contexts, words, met if negative else [])
                    noisy = np.zeros((len(contexts), len(drawn)))
                    for word, centre, _ in met:  # a word is not its own noise
                        noisy[contexts.index(word)] += [negative / len(drawn) * (one != centre) for one in drawn]
                    times = np.hstack([times, times_of_words, noisy])
                    wanted = np.hstack([wanted, wanted_of_words, 0 * noisy])
                    targets = shared + [noise_row + word for word in words + drawn]
                    squares = np.add.outer((inputs[contexts] ** 2).sum(1), (outputs[targets] ** 2).sum(1))
                    scale = np.minimum(1, 2 / np.maximum(2, step * times * squares))
                    learn(inputs, outputs, contexts, targets, times * scale, wanted * scale, step, tile)
                    for centre in centres:
                        own = [(node, label) for node, label in codes[kept[centre]] if node not in shared]
                        often = Counter(windows[centre])  # in the order of their first places
                        labels = np.array([label for _, label in own])
                        times = np.outer(list(often.values()), np.ones(len(own)))
                        learn(inputs, outputs, list(often), [row for row, _ in own], times, times * labels, step, tile)
                place += len(sentence) + 1
    return inputs, outputs


def tables(
    contexts: Sequence[int], rows: Sequence[int], meetings: Sequence[tuple[int, int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    """How often each context meets each row, and in how many of these meetings the label is 1."""
    times, wanted = np.zeros((2, len(contexts), len(rows)))
    for word, row, label in meetings:
        times[contexts.index(word), rows.index(row)] += 1
        wanted[contexts.index(word), rows.index(row)] += label
    return times, wanted


def learn(
    inputs: np.ndarray,
    outputs: np.ndarray,
    contexts: Sequence[int],
    targets: Sequence[int],
    times: np.ndarray,
    wanted: np.ndarray,
    step: float,
    tile: tuple[int, int],
) -> None:
    """times, wanted: for each context and target, how often they meet, and how often of these with label 1."""
    for some in groups(len(targets), tile[1]):
        for few in groups(len(contexts), tile[0]):
            rows = [targets[place] for place in some]
            gradient = {
                (c, t): step * (wanted[c, t] - times[c, t] * sigmoid(inputs[contexts[c]] @ outputs[targets[t]]))
                for c in few
                for t in some
            }
            before = outputs[rows].copy()
            moves = np.zeros_like(before)
            for c in few:
                row = inputs[contexts[c]].copy()
                for i, t in enumerate(some):
                    inputs[contexts[c]] += gradient[c, t] * before[i]
                    moves[i] += gradient[c, t] * row
            for i, row in enumerate(rows):  # a noise word that was drawn twice is here twice
                outputs[row] += moves[i]
