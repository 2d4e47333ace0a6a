"""The settings of word vector training, and its progress."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from devise.errors import UsageError

__all__ = ["ProgressCallback", "SkipGramConfig", "SkipGramProgress"]


@dataclass(frozen=True, slots=True)
class SkipGramConfig:
    """The settings of training. The defaults suit a few million words; the paper has dim 500 or 1000 and epochs 1.

    window: words on each side that a word predicts; for each word drawn evenly from 1 to this.
    min_count: rarer words get no vector and are taken out of the text.
    max_words: of more words than this the rarest get no vector; None = no cap.
    sample: frequent words are taken out at random, the more the further their share is above this; 0 = none.
    hierarchical_softmax, negative: what predicts; negative is the number of noise words, 0 = no noise words.
    threads: with 1 the same sentences give the same vectors to the bit, with more they do not.
    alpha, min_alpha: the step at the start and at the end.
    """

    dim: int = 300
    window: int = 20
    epochs: int = 5
    min_count: int = 2
    sample: float = 1e-3
    hierarchical_softmax: bool = True
    negative: int = 0
    threads: int = 2
    seed: int = 1
    alpha: float = 0.025
    min_alpha: float = 0.0001
    max_words: int | None = None

    def __post_init__(self) -> None:
        for name in ("dim", "window", "epochs", "min_count", "threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("sample", "negative", "seed", "min_alpha"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be at least 0, got {getattr(self, name)}")
        if not self.min_alpha <= self.alpha < math.inf:
            raise UsageError(f"alpha must be at least min_alpha {self.min_alpha}, got {self.alpha}")
        if not self.hierarchical_softmax and self.negative == 0:
            raise UsageError("nothing would be learnt: use hierarchical_softmax, or negative of at least 1")
        if self.max_words is not None and self.max_words < 1:
            raise UsageError(f"max_words must be at least 1, got {self.max_words}")


@dataclass(frozen=True, slots=True)
class SkipGramProgress:
    """How far training is.

    epoch: from 1 while training, 0 while counting. tokens: read in this pass, rare ones too. total: of a whole
        pass, None while counting.
    loss: mean over the pairs of a centre word and a context since the report before, of a sample of them: what
        the context had to pay for the centre word, in nats. None while counting.
    updates: products of a context's row and an output row since the report before, some for many pairs; 6 operations
        for each number of a vector.
    """

    stage: Literal["counting", "training"]
    epoch: int
    epochs: int
    tokens: int
    total: int | None
    loss: float | None = None
    updates: int = 0


ProgressCallback = Callable[[SkipGramProgress], None]
