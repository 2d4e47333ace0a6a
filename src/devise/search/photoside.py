"""Rows of a photo index, computed from the features of photos."""

import hashlib
from collections.abc import Sequence

import numpy as np

from devise.arrays import Features
from devise.bundle.bundle import file_sha256
from devise.bundle.manifest import MANIFEST_FILE
from devise.model.parts import ModelParts
from devise.model.scorers import make_scorer
from devise.model.threads import one_thread
from devise.search.rows import PhotoFact, Rows
from devise.search.store import Header
from devise.space.embedding import FusedScorer
from devise.space.evidence import log_sum_exp

__all__ = ["BEST", "PhotoSide", "header_of"]

BEST = 10
"""Most probable classes kept per photo, as many as ConSE averages."""

_TOGETHER = 8  # photos that are scored at once; fewer are filled up to so many


def header_of(parts: ModelParts) -> Header:
    """Return the header of an index made by this model; the name includes how it runs (`ModelParts.name`)."""
    sha256 = file_sha256(parts.bundle.path / MANIFEST_FILE)
    if run := parts.name.removeprefix(parts.bundle.manifest.name):
        sha256 = hashlib.sha256(f"{sha256}{run}".encode()).hexdigest()
    return Header(
        parts.name,
        sha256,
        parts.placed.vectors.shape[1],
        min(BEST, len(parts.trained)),
    )


class PhotoSide:
    """Computes rows of an index from features."""

    def __init__(self, parts: ModelParts) -> None:
        scorer = make_scorer(parts, "fused", parts.space)
        assert isinstance(scorer, FusedScorer)
        self._parts = parts
        self._scorer = scorer
        self._temperature = np.float32(parts.setting("fused", "temperature"))
        self._best = min(BEST, len(parts.trained))

    def rows(self, facts: Sequence[PhotoFact], features: Features) -> Rows:
        """Return one row per photo: point, first label, most probable classes, and the logarithm of

            sum over all labels of exp(fused score / temperature),

        by which a score becomes the probability that `devise label` prints.

        A row is bit-identical whatever other photos are in the block: an updated index equals a new one.
        """
        starts = range(0, len(features), _TOGETHER)
        with one_thread():
            blocks = [self._rows(facts[at : at + _TOGETHER], features[at : at + _TOGETHER]) for at in starts]
        return Rows.joined(blocks)

    def _rows(self, facts: Sequence[PhotoFact], features: Features) -> Rows:
        count = len(features)
        # A product of matrices adds up in an order that depends on their size, and in blocks above 8 rows, on 2 of 3
        # photos, on the place in it: the last digits of a row would depend on its neighbours.
        filled = np.concatenate([features, np.repeat(features[:1], _TOGETHER - count, axis=0)])
        evidence = self._parts.classifier.evidence(filled)
        scores = self._scorer.scores(evidence)
        scores /= self._temperature
        labels = scores.argmax(axis=1)
        totals = log_sum_exp(scores, overwrite=True)
        probabilities = evidence.probabilities
        classes = np.argsort(-probabilities, axis=1, kind="stable")[:, : self._best]
        return Rows(
            tuple(facts),
            self._scorer.queries(evidence).astype(np.float16)[:count],
            totals.astype(np.float32)[:count],
            labels.astype(np.int32)[:count],
            classes.astype(np.uint16)[:count],
            np.take_along_axis(probabilities, classes, axis=1)[:count],
        )
