"""Skip-gram word vectors (Mikolov et al. 2013), the language model of DeViSE."""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from devise.text.engine.config import ProgressCallback, SkipGramConfig, SkipGramProgress
from devise.text.engine.encoding import encode
from devise.text.engine.training import fresh_rows, train_blocks
from devise.text.vectors import WordTable

__all__ = ["ProgressCallback", "SentenceFactory", "SkipGramConfig", "SkipGramProgress", "train_skipgram"]

SentenceFactory = Callable[[], Iterable[list[str]]]
"""Gives the sentences; called once."""


def train_skipgram(
    sentences: SentenceFactory,
    config: SkipGramConfig,
    progress: ProgressCallback | None = None,
) -> WordTable:
    """Train a vector for every word that occurs at least `min_count` times, most frequent words first.

    The sentences are read once, counted, and kept as numbers in a temporary file, 4 bytes a token. Words of equal
    count stand in the order of their letters. progress: called every 100,000 tokens while counting, then after each
    block of text, and at the end of each pass, in the thread of the caller; an error that it or the text raises ends
    the training and is raised here. DeviseError if numba is not installed. TextError if no word is frequent enough.
    """

    def counted(tokens: int) -> None:
        if progress is not None:
            progress(SkipGramProgress("counting", 0, config.epochs, tokens, None))

    with tempfile.TemporaryDirectory(prefix="devise-skipgram-") as folder:
        text = encode(
            sentences(), Path(folder), min_count=config.min_count, max_words=config.max_words, on_tokens=counted
        )
        rows = fresh_rows(len(text.words), config)
        train_blocks(text, rows, config, progress=progress)
    return WordTable(text.words, np.ascontiguousarray(rows.inputs[:, : config.dim]), text.counts)
