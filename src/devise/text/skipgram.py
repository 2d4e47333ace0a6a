"""Skip-gram word vectors (Mikolov et al. 2013), the language model of DeViSE, trained by gensim."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from devise.errors import DeviseError, TextError, UsageError
from devise.text.vectors import WordTable

__all__ = ["ProgressCallback", "SentenceFactory", "SkipGramConfig", "SkipGramProgress", "train_skipgram"]

SentenceFactory = Callable[[], Iterable[list[str]]]
"""Gives the same sentences from the start each time it is called: once to count words, then once an epoch."""

_LONGEST_SENTENCE = 10_000  # gensim drops what is behind it
_REPORT_EVERY = 100_000
_NO_GENSIM = "training word vectors needs gensim, which is not installed: pip install 'devise-zsl[train]'"


@dataclass(frozen=True, slots=True)
class SkipGramConfig:
    """How to train. The defaults suit a few million words; the paper has dim 500 or 1000 and epochs 1.

    window: words on each side that a word predicts; for each word drawn evenly from 1 to this.
    min_count: rarer words get no vector and are taken out of the text.
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
            raise UsageError("nothing would be learnt: take hierarchical_softmax, or negative of at least 1")


@dataclass(frozen=True, slots=True)
class SkipGramProgress:
    """How far training is.

    epoch: from 1 while training, 0 while counting. tokens: read in this pass. total: of a whole pass, None
        while counting.
    """

    stage: Literal["counting", "training"]
    epoch: int
    epochs: int
    tokens: int
    total: int | None


ProgressCallback = Callable[[SkipGramProgress], None]


def train_skipgram(
    sentences: SentenceFactory,
    config: SkipGramConfig,
    progress: ProgressCallback | None = None,
) -> WordTable:
    """Train a vector for every word that stands at least `min_count` times, most frequent words first.

    The table's counts are of the whole text; words of equal count stand in the order of their letters.
    progress: called every 100,000 tokens and at the end of each pass, from the thread that reads the text; an
    error it or the text raises ends the training and is raised here.
    DeviseError if gensim is not installed. TextError if no word is frequent enough, or if a later pass
    over the sentences differs in length from the first.
    """
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise DeviseError(_NO_GENSIM) from None
    passes = _Passes(sentences, config.epochs, progress)
    model = Word2Vec(
        vector_size=config.dim,
        window=config.window,
        min_count=config.min_count,
        sample=config.sample,
        sg=1,
        hs=int(config.hierarchical_softmax),
        negative=config.negative,
        workers=config.threads,
        seed=config.seed,
        alpha=config.alpha,
        min_alpha=config.min_alpha,
        epochs=config.epochs,
    )
    model.build_vocab(passes)
    passes.raise_problem()
    if len(model.wv) == 0:
        raise TextError(
            f"no word stands {config.min_count} times in {passes.total} tokens: give more text or a lower min_count"
        )
    model.train(passes, total_examples=model.corpus_count, total_words=model.corpus_total_words, epochs=config.epochs)
    passes.raise_problem()
    words: list[str] = model.wv.index_to_key
    counts = np.asarray(model.wv.expandos["count"], dtype=np.int64)
    table = WordTable(tuple(words), np.array(model.wv.vectors, dtype=np.float32), counts)
    return table.subset(sorted(range(len(words)), key=lambda i: (-counts[i], words[i])))


class _Passes:
    """The sentences, pass after pass, counted and cut to what gensim takes.

    gensim iterates in a thread of its own and would wait for ever if that failed. So an error ends the
    pass, all later passes are empty, and `raise_problem` raises it afterwards.
    """

    def __init__(self, sentences: SentenceFactory, epochs: int, progress: ProgressCallback | None) -> None:
        self._sentences = sentences
        self._epochs = epochs
        self._progress = progress
        self._epoch = -1
        self._problem: BaseException | None = None
        self.total: int | None = None

    def raise_problem(self) -> None:
        if self._problem is not None:
            raise self._problem

    def __iter__(self) -> Iterator[list[str]]:
        self._epoch += 1
        if self._problem is not None:
            return
        try:
            yield from self._one_pass()
        except Exception as problem:
            self._problem = problem

    def _one_pass(self) -> Iterator[list[str]]:
        tokens = reported = 0
        for sentence in self._sentences():
            for start in range(0, len(sentence), _LONGEST_SENTENCE):
                yield sentence[start : start + _LONGEST_SENTENCE]
            tokens += len(sentence)
            if tokens - reported >= _REPORT_EVERY:
                reported = tokens
                self._report(tokens)
        if self.total is None:
            self.total = tokens
        elif tokens != self.total:
            raise TextError(
                f"the sentences gave {self.total} tokens at first and {tokens} in epoch {self._epoch}: "
                "give a function that starts anew each time it is called"
            )
        self._report(tokens)

    def _report(self, tokens: int) -> None:
        if self._progress is not None:
            stage: Literal["counting", "training"] = "training" if self._epoch else "counting"
            total = self.total if self._epoch else None
            self._progress(SkipGramProgress(stage, self._epoch, self._epochs, tokens, total))
