"""The top photos of every label, kept with an index: a search for words reads these instead of all photos.

This is the threshold algorithm (Fagin, Lotem and Naor 2003) on one list per label. A photo that no list contains has at
most the last score of each list; so a search knows whether a photo outside can be among the best.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise.arrays import Float32, Int32, Int64
from devise.errors import PhotoIndexError
from devise.files import reason_of
from devise.model.parts import ModelParts
from devise.model.scorers import label_prior
from devise.search.arrayfile import read_arrays, write_arrays
from devise.search.rows import Rows, fingerprint
from devise.vision.pipeline import cores

__all__ = ["LISTED", "TOP_FILE", "TopPhotos"]

TOP_FILE = "top.bin"
LISTED = 256
"""Photos in the list of a label: 80 MB for 40,000 labels. A search for more photos reads the vectors of all."""

_KINDS = {"places": "<i4", "scores": "<f4"}
_BLOCK = 512  # photos that are scored together; with all labels 80 MB
_LABELS = 2048  # labels that one thread scores together: 4 MB of scores, which stay in the processor's cache
_ROUNDING = 2e-4  # of logarithms of probabilities, far above that of 32 bits

_Scores = Float32[np.ndarray, "labels photos"]


@dataclass(frozen=True, eq=False, slots=True)
class TopPhotos:
    """For each label of the model its most probable photos.

    fingerprint: of the rows whose positions these are.
    places: positions of photos. scores: logarithms of probabilities, best first; no other photo has a higher one than
    the last.
    """

    fingerprint: str
    places: Int32[np.ndarray, "labels listed"]
    scores: Float32[np.ndarray, "labels listed"]

    @classmethod
    def of(cls, parts: ModelParts, rows: Rows, listed: int = LISTED) -> "TopPhotos":
        """Score all photos with all labels: three minutes per million photos on two cores.

        rows: at least `listed`.
        """
        scored, order = _Scored(parts, rows), np.random.default_rng(0).permutation(len(rows))
        labels = len(parts.space.labels)
        lists = [_Lists(slice(start, min(start + _LABELS, labels)), listed) for start in range(0, labels, _LABELS)]
        with ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(rows), _BLOCK):
                photos = order[start : start + _BLOCK]  # in no order: photos of one folder are alike
                score = scored.block(photos)
                for _ in pool.map(lambda some, score=score, photos=photos: some.add(score(some.labels), photos), lists):
                    pass
        found = [some.best() for some in lists]
        return cls(fingerprint(rows), *(np.concatenate(column) for column in zip(*found, strict=True)))

    @classmethod
    def read(cls, folder: Path, labels: int, rows: Rows) -> "TopPhotos | None":
        """Read those of an index, None if absent; PhotoIndexError if they are damaged or of other rows."""
        try:
            facts, arrays = read_arrays(folder / TOP_FILE, _KINDS)
            found = cls(facts["fingerprint"], **arrays)
            if found.places.shape != found.scores.shape or found.places.shape[:1] != (labels,):
                raise ValueError("it is of other labels")
            if found.fingerprint != fingerprint(rows):
                raise PhotoIndexError(f"{folder / TOP_FILE}: is out of date: run devise index again, which updates it")
            if not found.places.size or not 0 <= found.places.min() <= found.places.max() < len(rows):
                raise ValueError("it names photos that are not there")
            if not ((found.scores < np.inf).all() and (found.scores[:, 1:] <= found.scores[:, :-1]).all()):
                raise ValueError("its scores are out of range or order")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PhotoIndexError(
                f"{folder / TOP_FILE}: is damaged ({reason_of(error)}): run devise index again, which rebuilds it"
            ) from None
        return found

    def write(self, folder: Path) -> None:
        """Write it to a folder, complete or not at all."""
        (folder / TOP_FILE).unlink(missing_ok=True)  # a pipe of this name would wait for a reader
        write_arrays(folder / TOP_FILE, {"fingerprint": self.fingerprint}, {n: getattr(self, n) for n in _KINDS})

    def possible(self, labels: Int64[np.ndarray, "asked"], count: int) -> Int64[np.ndarray, "some"] | None:
        """Return sorted positions of all photos that can be in the top `count`; None if others can be too.

        The score of a photo is the sum of its probabilities of these labels.
        """
        if count > self.places.shape[1]:
            return None
        shares = np.exp(self.scores[labels].astype(np.float64))
        least = shares[:, -1:]  # of each label, what an unlisted photo has at most
        places, of = np.unique(self.places[labels].ravel(), return_inverse=True)
        if len(places) < count:
            return None
        known = np.bincount(of, shares.ravel())
        most = least.sum() + np.bincount(of, (shares - least).ravel())
        bound = np.partition(known, len(known) - count)[len(known) - count] * (1 - _ROUNDING)
        if least.sum() >= bound:
            return None
        found: Int64[np.ndarray, "some"] = places[most >= bound].astype(np.int64)
        return found


class _Scored:
    """The scores that `PhotoSearch` gives, of a few photos and many labels."""

    def __init__(self, parts: ModelParts, rows: Rows) -> None:
        self._rows, self._rule, self._trained = rows, parts.bundle.stacking(), parts.trained
        self._temperature = np.float32(parts.setting("fused", "temperature"))
        self._space = parts.placed
        prior = label_prior(parts, self._space.labels)
        offset = np.zeros(len(self._space.labels), np.float32) if prior is None else prior.astype(np.float32)
        offset[self._trained] -= np.float32(self._rule.penalty)
        columns = [
            self._space.vectors / self._temperature,
            offset[:, None] / self._temperature,
            -np.ones((len(offset), 1)),
        ]
        self._weights = np.concatenate(columns, axis=1).astype(np.float32)

    def block(self, photos: Int64[np.ndarray, "some"]) -> Callable[[slice], _Scores]:
        """Return what scores labels with these photos."""
        rows, rule = self._rows, self._rule
        ones = np.ones((len(photos), 1), np.float32)
        points = np.concatenate([rows.vectors[photos].astype(np.float32), ones, rows.totals[photos, None]], axis=1)
        labels, shares = self._trained[rows.classes[photos].astype(np.int64)], rows.shares[photos]
        more = np.float32(rule.confidence) * shares / self._temperature
        firsts = None if rule.first is None else -np.logaddexp(0, -rule.first.log_odds(shares[:, 0]))

        def score(some: slice) -> _Scores:
            scores: _Scores = self._weights[some] @ points.T
            photo, best = np.nonzero((labels >= some.start) & (labels < some.stop))
            scores[labels[photo, best] - some.start, photo] += more[photo, best]
            if firsts is not None:
                photo = photo[best == 0]
                scores[labels[photo, 0] - some.start, photo] = firsts[photo]
            without = self._space.without_vector
            scores[without[(without >= some.start) & (without < some.stop)] - some.start] = -np.inf
            return scores

        return score


class _Lists:
    """The best photos so far of a few labels, and some more, which are left out when there is no room."""

    def __init__(self, labels: slice, listed: int) -> None:
        self.labels, self._listed = labels, listed
        shape = (labels.stop - labels.start, listed + _BLOCK)
        self._places, self._scores = np.zeros(shape, np.int32), np.full(shape, -np.inf, np.float32)
        self._filled = np.full(shape[0], listed)  # the first places count as photos that are impossible
        self._least = np.full((shape[0], 1), -np.inf, np.float32)

    def add(self, scores: _Scores, photos: Int64[np.ndarray, "some"]) -> None:
        """Add photos, where they are better than the worst of a full list."""
        found = np.flatnonzero(scores > self._least)
        label, photo = np.divmod(found, scores.shape[1])
        counts = np.bincount(label, minlength=len(self._filled))
        if (self._filled + counts).max() > self._scores.shape[1]:
            self._shorten()
        slots = self._filled[label] + np.arange(len(label)) - (np.cumsum(counts) - counts)[label]
        self._scores[label, slots] = scores.ravel()[found]
        self._places[label, slots] = photos[photo]
        self._filled += counts

    def best(self) -> tuple[Int32[np.ndarray, "labels listed"], Float32[np.ndarray, "labels listed"]]:
        """Return the lists, best first."""
        self._shorten()
        places, scores = self._places[:, : self._listed], self._scores[:, : self._listed]
        order = np.argsort(-scores, axis=1, kind="stable")
        return np.take_along_axis(places, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def _shorten(self) -> None:
        best = np.argpartition(-self._scores, self._listed - 1, axis=1)[:, : self._listed]
        for kept, blank in ((self._scores, -np.inf), (self._places, 0)):
            kept[:, : self._listed] = np.take_along_axis(kept, best, axis=1)
            kept[:, self._listed :] = blank
        self._filled[:] = self._listed
        self._least = self._scores[:, : self._listed].min(axis=1, keepdims=True)
