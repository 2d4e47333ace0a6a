"""Skip-gram from the formulas, slowly: Python's integers for chance, float64 for vectors, one row at a time.

Says what the engine does and in which order. Written from Mikolov et al. 2013 (arXiv:1310.4546: equations 3 and 4,
section 2.3) and the description of SplitMix64; shares no code with the package.
"""

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
    numbers: type[np.floating] = np.float64,
) -> tuple[np.ndarray, np.ndarray]:
    """blocks: sentences of word numbers. codes: for each word its (node, label) pairs. Copies of both, moved.

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
                for centre, word in enumerate(kept):
                    reach = 1 + ((chance.bits() >> 32) * window >> 32)
                    left, right = max(0, centre - reach), centre + reach + 1
                    contexts = kept[left:centre] + kept[centre + 1 : right]
                    targets = list(codes[word])
                    if negative:
                        targets.append((noise_row + word, 1))
                    for _ in range(negative):
                        drawn = int(np.searchsorted(noise, chance.bits() >> 33, side="right"))
                        if drawn != word:
                            targets.append((noise_row + drawn, 0))
                    learn(inputs, outputs, contexts, targets, step, tile)
                place += len(sentence) + 1
    return inputs, outputs


def learn(
    inputs: np.ndarray,
    outputs: np.ndarray,
    contexts: Sequence[int],
    targets: Sequence[tuple[int, int]],
    step: float,
    tile: tuple[int, int],
) -> None:
    for some in groups(len(targets), tile[1]):
        for few in groups(len(contexts), tile[0]):
            rows = [targets[place][0] for place in some]
            gradient = {
                (c, t): step * (targets[t][1] - sigmoid(inputs[contexts[c]] @ outputs[targets[t][0]]))
                for c in few
                for t in some
            }
            before = outputs[rows].copy()
            moves = np.zeros_like(before)
            for c in few:  # a word that stands twice has moved when its turn comes again
                row = inputs[contexts[c]].copy()
                for i, t in enumerate(some):
                    inputs[contexts[c]] += gradient[c, t] * before[i]
                    moves[i] += gradient[c, t] * row
            for i, row in enumerate(rows):
                outputs[row] += moves[i]
