"""The top photos of every label, kept with an index: a search for words reads these instead of all photos.

This is the threshold algorithm (Fagin, Lotem and Naor 2003) on one list per label, and one per wide noun with the sum
of all its kinds. A photo that no list contains has at most the bound of each list; so a search knows whether a photo
outside can be among the best.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from devise.arrays import Bool, Float32, Int32, Int64, UInt64
from devise.errors import PhotoIndexError
from devise.files import reason_of
from devise.model.methods import label_prior
from devise.model.parts import ModelParts
from devise.search.arrayfile import read_arrays, write_arrays
from devise.search.rows import Rows, fingerprint
from devise.taxonomy.everyday import kinds
from devise.vision.pipeline import cores

__all__ = ["LISTED", "TOP_FILE", "TopPhotos"]

TOP_FILE = "top.bin"
LISTED = 256
"""Photos in the list of a label: 80 MB for 40,000 labels. A search for more photos reads the vectors of all."""

_KINDS = {"keys": "<u8", "places": "<i4", "scores": "<f4", "members": "<i4", "ends": "<i8"}
_WIDE = 32  # labels: a noun with more kinds has a list of its own, 700 of them
_BLOCK = 512  # photos that are scored together; with all labels 80 MB
_LABELS = 2048  # labels that one thread scores together: 4 MB of scores, which stay in the processor's cache
_ROUNDING = 2e-4  # of logarithms of probabilities, far above that of 32 bits
_MOST = 70.0  # of a logarithm of a probability, so that sums are finite; only a damaged index has such
_NO_PHOTO = -1  # where a list is shorter than others
_KEYED = 1 << 14  # photos that get their keys together

_Scores = Float32[np.ndarray, "labels photos"]
_Places = Int64[np.ndarray, "some"]
_Listed = tuple[Int32[np.ndarray, "lists listed"], Float32[np.ndarray, "lists listed"]]


@dataclass(frozen=True, eq=False, slots=True)
class TopPhotos:
    """For each label of the model, and then for each noun with many kinds, the most probable photos.

    fingerprint: of the rows whose positions these are. keys: see `_keys`; by them an update knows the photos again.
    places: positions of photos, then -1 where a list is shorter than others. scores: logarithms of probabilities, best
    first. No other photo has a higher score than the last one; the last of a shorter list belongs to no photo.
    members: the labels of the nouns with many kinds, one noun after the other, the widest first. ends: where each ends.
    """

    fingerprint: str
    keys: UInt64[np.ndarray, "photos"]
    places: Int32[np.ndarray, "lists listed"]
    scores: Float32[np.ndarray, "lists listed"]
    members: Int32[np.ndarray, "members"]
    ends: Int64[np.ndarray, "nouns"]

    @classmethod
    def of(cls, parts: ModelParts, rows: Rows, listed: int = LISTED) -> "TopPhotos":
        """Score all photos with all labels: three minutes per million photos on two cores.

        rows: at least `listed`.
        """
        members, ends = _wide_nouns(parts)
        lists = np.arange(len(parts.space.labels) + len(ends))
        found = _best(parts, rows, np.arange(len(rows)), lists, (members, ends), listed)
        return cls(fingerprint(rows), _keys(rows), *found, members, ends)

    def updated(self, parts: ModelParts, rows: Rows) -> "TopPhotos":
        """Return those of changed rows: only photos that are new or have changed are scored.

        A list loses the photos that are gone, and keeps its bound; when it has lost half, it is made again.
        """
        wide, listed, keys = (self.members, self.ends), self.scores.shape[1], _keys(rows)
        moved = _moved(self.keys, keys)
        added = np.ones(len(rows), bool)
        added[moved[moved >= 0]] = False
        lists = np.arange(len(self.places))
        new = _best(parts, rows, np.flatnonzero(added), lists, wide, listed)
        stayed = np.where(self.places >= 0, moved[self.places], _NO_PHOTO).astype(np.int32)
        places, scores = _merged((stayed, self.scores), new)
        short = np.flatnonzero(((places >= 0).sum(axis=1) < (listed + 1) // 2) & (scores[:, -1] > -np.inf))
        places[short], scores[short] = _best(parts, rows, np.arange(len(rows)), short, wide, listed)
        return TopPhotos(fingerprint(rows), keys, places, scores, *wide)

    @classmethod
    def read(cls, folder: Path, labels: int, rows: Rows) -> "TopPhotos | None":
        """Read those of an index, None if absent; PhotoIndexError if they cannot be used or are of other rows."""
        found = cls.stored(folder, labels)
        if found is not None and not found.is_of(rows):
            raise PhotoIndexError(f"{folder / TOP_FILE}: is out of date: run devise index again, which updates it")
        return found

    @classmethod
    def stored(cls, folder: Path, labels: int) -> "TopPhotos | None":
        """Read those of an index, whatever rows they are of; None if absent, PhotoIndexError if they cannot be used."""
        try:
            facts, arrays = read_arrays(folder / TOP_FILE, _KINDS)
            found = cls(facts["fingerprint"], **arrays)
            ends = np.concatenate([[0], found.ends])
            if found.places.shape != found.scores.shape or found.places.shape[:1] != (labels + len(found.ends),):
                raise ValueError("it is of other labels")
            if not found.places.size or not _NO_PHOTO <= found.places.min() <= found.places.max() < len(found.keys):
                raise ValueError("it names photos that are not there")
            if (np.diff(ends) < 1).any() or ends[-1] != len(found.members):
                raise ValueError("its nouns do not end where they should")
            if found.members.size and not 0 <= found.members.min() <= found.members.max() < labels:
                raise ValueError("it names labels that are not there")
            if not ((found.scores < np.inf).all() and (found.scores[:, 1:] <= found.scores[:, :-1]).all()):
                raise ValueError("its scores are out of range or order")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PhotoIndexError(
                f"{folder / TOP_FILE}: cannot be used ({reason_of(error)}): run devise index again, which rebuilds it"
            ) from None
        return found

    def is_of(self, rows: Rows) -> bool:
        """Return whether these are the rows that it was made of."""
        return self.fingerprint == fingerprint(rows) and len(self.keys) == len(rows)

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
        lists = self._lists(labels)
        shares = np.exp(self.scores[lists].astype(np.float64))
        least = shares[:, -1:]  # of each list, what an unlisted photo has at most
        listed = self.places[lists]
        there = listed >= 0
        places, of = np.unique(listed[there], return_inverse=True)
        if len(places) < count:
            return None
        known = np.bincount(of, shares[there])
        most = least.sum() + np.bincount(of, (shares - least)[there])
        bound = np.partition(known, len(known) - count)[len(known) - count] * (1 - _ROUNDING)
        if least.sum() >= bound:
            return None
        found: Int64[np.ndarray, "some"] = places[most >= bound].astype(np.int64)
        return found

    def _lists(self, labels: Int64[np.ndarray, "asked"]) -> Int64[np.ndarray, "lists"]:
        """Return lists that contain each of these labels once: of wide nouns where they can, so that they are few."""
        own = len(self.places) - len(self.ends)
        left = np.zeros(own, bool)
        left[labels] = True
        start, wide = 0, []
        for number, end in enumerate(self.ends.tolist() if len(labels) > _WIDE else ()):
            if end - start <= len(labels) and left[self.members[start:end]].all():
                left[self.members[start:end]] = False
                wide.append(own + number)
            start = end
        return np.concatenate([np.array(wide, np.int64), np.flatnonzero(left)])


def _wide_nouns(parts: ModelParts) -> tuple[Int32[np.ndarray, "members"], Int64[np.ndarray, "nouns"]]:
    """Return the labels of each noun with many kinds, one noun after the other, and where each ends."""
    labels, taxonomy = parts.space.labels, parts.taxonomy
    nouns = {
        tuple(sorted(labels.position(one) for one in below if one in labels))
        for label in labels.ids
        if label in taxonomy and len(below := kinds(taxonomy, label)) > _WIDE
    }
    ordered = sorted((one for one in nouns if len(one) > _WIDE), key=lambda one: (-len(one), one))
    members = np.array([place for one in ordered for place in one], np.int32)
    return members, np.cumsum([len(one) for one in ordered], dtype=np.int64)


def _keys(rows: Rows) -> UInt64[np.ndarray, "photos"]:
    """Hash, per photo, all that its scores depend on.

    The content is read as numbers of 16 bits; the hash is their sum, each times a random odd number, modulo 2**64. Two
    contents that differ in one number never agree, others with a chance of at most 2**-48.
    """
    columns = (rows.vectors, rows.totals, rows.classes, rows.shares)
    found = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _KEYED):
        some = slice(start, start + _KEYED)
        parts = [np.ascontiguousarray(column[some]).view(np.uint16).reshape(len(found[some]), -1) for column in columns]
        content = np.concatenate(parts, axis=1).astype(np.uint64)
        found[some] = content @ (np.random.default_rng(0).integers(0, 2**63, content.shape[1], np.uint64) * 2 + 1)
    return found


def _moved(old: UInt64[np.ndarray, "old"], new: UInt64[np.ndarray, "new"]) -> Int64[np.ndarray, "old"]:
    """Return where each old photo is among the new ones, by its key; -1 if it is gone. Equal ones stay in order."""
    before, now = np.argsort(old, kind="stable"), np.argsort(new, kind="stable")
    keys, sought = new[now], old[before]
    at = np.searchsorted(keys, sought) + np.arange(len(sought)) - np.searchsorted(sought, sought)
    found = at < len(keys)
    found[found] = keys[at[found]] == sought[found]
    moved = np.full(len(old), _NO_PHOTO)
    moved[before[found]] = now[at[found]]
    return moved


def _merged(old: _Listed, new: _Listed) -> _Listed:
    """Merge the lists of old and of new photos; a place of -1 in an old list is a photo that is gone."""
    places, scores = (np.concatenate(both, axis=1) for both in zip(old, new, strict=True))
    listed = old[0].shape[1]
    bound = np.maximum(old[1][:, -1:], new[1][:, -1:])  # of photos in neither
    scores[(places < 0) | (scores < bound)] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :listed]
    places, scores = np.take_along_axis(places, best, axis=1), np.take_along_axis(scores, best, axis=1)
    blank = np.isneginf(scores)
    return np.where(blank, np.int32(_NO_PHOTO), places), np.where(blank, bound, scores)


def _best(
    parts: ModelParts,
    rows: Rows,
    photos: _Places,
    lists: Int64[np.ndarray, "lists"],
    wide: tuple[Int32[np.ndarray, "members"], Int64[np.ndarray, "nouns"]],
    listed: int,
) -> _Listed:
    """Return the best of these photos for some lists, of labels and of wide nouns."""
    if not len(lists):
        return np.empty((0, listed), np.int32), np.empty((0, listed), np.float32)
    own = len(parts.space.labels)
    bounds = np.concatenate([[0], wide[1]])
    nouns = [wide[0][bounds[one] : bounds[one + 1]] for one in (lists[lists >= own] - own).tolist()]
    inside = np.zeros((own, len(nouns)), bool)
    for column, members in enumerate(nouns):
        inside[members, column] = True
    asked = np.union1d(lists[lists < own], np.concatenate([*nouns, np.zeros(0, np.int32)])).astype(np.int64)
    # Labels of the same nouns are neighbours, so that a block of them adds up before the nouns do.
    alike = np.zeros(len(asked), np.int64)
    if nouns:
        alike = np.unique(np.packbits(inside[asked], axis=1), axis=0, return_inverse=True)[1].ravel()
    order = asked[np.argsort(alike, kind="stable")]
    blocks = [slice(start, min(start + _LABELS, len(order))) for start in range(0, len(order), _LABELS)]
    sums = _Sums(np.sort(alike), inside[order], blocks)
    scored = _Scored(parts, rows, order)
    singles = [_Lists(block.stop - block.start, listed) for block in blocks]
    whole = _Lists(len(nouns), listed)

    def add(number: int, score: Callable[[slice], _Scores], some: _Places) -> None:
        scores = score(blocks[number])
        singles[number].add(scores, some)
        if nouns:
            sums.add(number, scores)

    with ThreadPoolExecutor(cores()) as pool:
        mixed = np.random.default_rng(0).permutation(photos)  # in no order: photos of one folder are alike
        for start in range(0, len(mixed), _BLOCK):
            some = mixed[start : start + _BLOCK]
            score = scored.block(some)
            list(pool.map(lambda number, score=score, some=some: add(number, score, some), range(len(blocks))))
            if nouns:
                whole.add(sums.of_nouns(), some)
    found = [some.best() for some in (*singles, whole)]
    back = np.full(own, -1)
    back[order] = np.arange(len(order))
    rank = np.concatenate([back[lists[lists < own]], len(order) + np.arange(len(nouns))])
    places, scores = (np.concatenate(column)[rank] for column in zip(*found, strict=True))
    return places, scores


class _Sums:
    """Probabilities of wide nouns: the sums over labels that are in the same nouns, and their sums."""

    def __init__(
        self, alike: Int64[np.ndarray, "labels"], inside: Bool[np.ndarray, "labels nouns"], blocks: Sequence[slice]
    ) -> None:
        """alike: numbers of the sets of nouns that labels are in. blocks: of labels that are added together."""
        cut = np.zeros(len(alike), bool)
        cut[[block.start for block in blocks]] = True
        cut[1:] |= alike[1:] != alike[:-1]
        firsts = np.flatnonzero(cut)
        self._cuts = [[*firsts[(firsts >= one.start) & (firsts < one.stop)].tolist(), one.stop] for one in blocks]
        self._nouns = inside[firsts].T.astype(np.float32)
        self._sums: list[list[Float32[np.ndarray, "photos"]]] = [[] for _ in blocks]

    def add(self, block: int, scores: _Scores) -> None:
        """Add up the scores of a block of labels, which are overwritten."""
        np.exp(np.minimum(scores, np.float32(_MOST), out=scores), out=scores)
        cuts = [cut - self._cuts[block][0] for cut in self._cuts[block]]
        self._sums[block] = [
            scores[start:end].sum(axis=0) for start, end in pairwise(cuts)
        ]  # np.add.reduceat is ten times slower

    def of_nouns(self) -> _Scores:
        """Return the logarithms of the probabilities of each noun, when all blocks are added."""
        with np.errstate(divide="ignore"):
            found: _Scores = np.log(self._nouns @ np.stack([one for block in self._sums for one in block]))
        return found


class _Scored:
    """The scores that `PhotoSearch` gives, of a few photos and many labels."""

    def __init__(self, parts: ModelParts, rows: Rows, order: Int64[np.ndarray, "labels"]) -> None:
        """order: the labels to score."""
        self._rows, self._rule = rows, parts.bundle.stacking()
        self._temperature = np.float32(parts.setting("fused", "temperature"))
        space = parts.placed
        prior = label_prior(parts, space.labels)
        offset = np.zeros(len(space.labels), np.float32) if prior is None else prior.astype(np.float32)
        offset[parts.trained] -= np.float32(self._rule.penalty)
        columns = [space.vectors / self._temperature, offset[:, None] / self._temperature, -np.ones((len(offset), 1))]
        self._weights = np.concatenate(columns, axis=1).astype(np.float32)[order]
        row = np.full(len(offset), -1)
        row[order] = np.arange(len(order))
        self._trained, self._without = row[parts.trained], row[space.without_vector]

    def block(self, photos: _Places) -> Callable[[slice], _Scores]:
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
            without = self._without
            scores[without[(without >= some.start) & (without < some.stop)] - some.start] = -np.inf
            return scores

        return score


class _Lists:
    """The best photos so far of a few labels, and some more, which are left out when there is no room."""

    def __init__(self, labels: int, listed: int) -> None:
        self._listed = listed
        shape = (labels, listed + _BLOCK)
        self._places, self._scores = np.full(shape, _NO_PHOTO, np.int32), np.full(shape, -np.inf, np.float32)
        self._filled = np.full(labels, listed)  # the first places count as photos that are impossible
        self._least = np.full((labels, 1), -np.inf, np.float32)

    def add(self, scores: _Scores, photos: _Places) -> None:
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

    def best(self) -> _Listed:
        """Return the lists, best first."""
        self._shorten()
        places, scores = self._places[:, : self._listed], self._scores[:, : self._listed]
        order = np.argsort(-scores, axis=1, kind="stable")
        return np.take_along_axis(places, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def _shorten(self) -> None:
        if not self._scores.size:
            return
        best = np.argpartition(-self._scores, self._listed - 1, axis=1)[:, : self._listed]
        for kept, blank in ((self._scores, -np.inf), (self._places, _NO_PHOTO)):
            kept[:, : self._listed] = np.take_along_axis(kept, best, axis=1)
            kept[:, self._listed :] = blank
        self._filled[:] = self._listed
        self._least = self._scores[:, : self._listed].min(axis=1, keepdims=True)
