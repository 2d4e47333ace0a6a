"""Search an index of photos by nouns, by a WordNet subtree, or by a photo."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from devise.arrays import Bool, Float32, Int64, Scores
from devise.errors import PhotoIndexError, PictureError, UsageError, counted
from devise.labels import Label
from devise.model.candidates import Candidates, choose_candidates, kinds_of
from devise.model.labeller import Model, Picture
from devise.model.methods import label_prior, photo_space
from devise.model.rejection import Reject, log_expected
from devise.ranking import top_k
from devise.search.coarse import Coarse, may_be_first
from devise.search.expression import Expression, parse_expression, understood
from devise.search.photofacts import FactColumns, PhotoFact
from devise.search.photoindex import header_of
from devise.search.results import Filters, Hit, Hits, Wanted
from devise.search.rows import Rows
from devise.search.store import PhotoStore
from devise.search.top_photos import TopPhotos
from devise.space.evidence import log_sum_exp
from devise.space.labelspace import LabelSpace
from devise.space.prior import LabelPrior
from devise.vision.folders import folder_filter

__all__ = ["PhotoScores", "PhotoSearch", "open_search"]

PhotoScores = Float32[np.ndarray, "photos"]
_BLOCK_BYTES = 32 * 2**20
_COARSE_FROM = 20_000  # photos; fewer are scored as quickly without a first look
_FEW_LABELS = 64  # with more labels than this, every photo is scored exactly
_TOGETHER = 64  # photos per batch when top labels are replaced
_HIGHEST_LOG = np.float32(-1e-6)  # of the probability p of an unwanted term: log(1 - p) must stay finite
_ROUNDING = np.float32(1e-4)  # of logarithms of probabilities, far above that of 32 bits


def _no_check() -> None:
    """Never end a search."""


@dataclass(frozen=True, eq=False, slots=True)
class _Query:
    """A query in the label space: a label of each of the spaces, or a point to be near.

    weights: of each space, or none; below 0 the photo should show none of its labels, and the space is last.
    points: photos to be near or, with a weight below 0, far from, as well as the spaces.
    by_probability: whether scores are logarithms of probabilities; else they are cosines, as for a `point` always.
    check: called before each block of photos is scored.
    """

    spaces: tuple[LabelSpace, ...] = ()
    point: Float32[np.ndarray, "dim"] | None = None
    weights: tuple[float, ...] = ()
    points: tuple[tuple[float, Float32[np.ndarray, "dim"]], ...] = ()
    by_probability: bool = True
    notes: tuple[str, ...] = ()
    reject: Reject = 0.0
    check: Callable[[], None] = _no_check

    @property
    def is_sum(self) -> bool:
        """Return whether its parts have weights, or some of them are photos."""
        return bool(self.weights or self.points)


class PhotoSearch:
    """An index in memory. Safe to use from several threads.

    rows: its photos, in the order of their paths. notes: returned with all results.
    tops: the top photos of each label, of the same rows. often: prepare for several searches, which takes a second:
    each search then computes 8-bit scores first. Either way, a search scores all photos that can be among the best, and
    the results are the same.
    all_nouns: photos may get withheld nouns as labels; without it, such a photo gets its most probable other label.
    """

    def __init__(
        self,
        model: Model,
        rows: Rows,
        tops: TopPhotos | None = None,
        *,
        notes: tuple[str, ...] = (),
        often: bool = False,
        all_nouns: bool = False,
    ) -> None:
        self.rows = rows
        self._tops = tops
        self._often = often and len(rows) >= _COARSE_FROM
        if tops is None:
            _ = self._coarse  # with `tops`, few searches need it
        self._notes = notes
        self._model = model
        self._temperature = np.float32(model.parts.setting("fused", "temperature"))
        self._rule = model.parts.bundle.stacking()
        self._column = {label_id: column for column, label_id in enumerate(model.parts.trained_ids)}
        self._all_nouns = all_nouns
        self._replaced: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def in_language(self, model: Model) -> "PhotoSearch":
        """Return the same search with the names of another model, which differs in nothing else; they share memory."""
        _ = self._vectors, self._by_class, self._coarse
        other = copy.copy(self)
        other._model = model
        return other

    def passing(self, filters: Filters) -> tuple[Int64[np.ndarray, "subset"], tuple[str, ...]]:
        """Return the positions of photos that pass, and notes on those that lack a date or rating."""
        return _passing(self.rows.facts, filters)

    def find(self, wanted: Wanted | str, top: int = 20, *, check: Callable[[], None] = _no_check) -> Hits:
        """Return the best `top` photos, or all if there are fewer.

        wanted: a query, or its text as `devise search` takes it: "beach - person + 2*sunset", "a dog on a sofa".
        check: called before each block of photos is scored; what it raises ends the search.
        LabelError or UsageError for an unknown word, PictureError for an unreadable photo.
        """
        if top < 1:
            raise UsageError(f"top must be at least 1, got {top}")
        if isinstance(wanted, str):
            wanted = parse_expression(wanted).wanted()
        if not len(self):
            return Hits((), 0, self._notes)
        if wanted.filters != Filters():
            return self._filtered(wanted, top, check)
        return self._found(replace(self._query(wanted), check=check), top)

    def _filtered(self, wanted: Wanted, top: int, check: Callable[[], None]) -> Hits:
        """Search the photos that the filters leave, each of them."""
        places, notes = _passing(self.rows.facts, wanted.filters)
        subset = PhotoSearch(self._model, self.rows.taken(places), notes=self._notes, all_nouns=self._all_nouns)
        found = subset.find(replace(wanted, filters=Filters()), top, check=check)
        return replace(found, notes=(*found.notes, *notes))

    def like(self, place: int, top: int = 20) -> Hits:
        """Return the photos nearest by cosine to one of the index, without itself. place: its position in `rows`.

        Uses the vector in the index: the photo itself is not read. IndexError if there is no such position.
        """
        assert top >= 1, "at least one photo must be requested"
        found = self._found(_Query(point=self.rows.vectors[place].astype(np.float32), by_probability=False), top + 1)
        others = [hit for hit in found.hits if hit.path != self.rows.facts[place].path]
        return replace(found, hits=tuple(others[:top]))

    def _found(self, query: "_Query", top: int) -> Hits:
        rows = self._possible(query, min(top, len(self)))
        among = self if rows is None else PhotoSearch(self._model, self.rows.taken(rows))
        best = top_k(among._scores(query)[None], min(top, len(among)))
        places, scores = best.positions[0], best.scores[0]
        shown = np.exp(np.minimum(scores, 0)) if query.by_probability else scores
        labels = self.labels_of(places if rows is None else rows[places])
        accepted = among._accepted(query, places, shown)
        hits = (
            Hit(among.rows.facts[place].path, min(1.0, score), label)
            for place, score, label, passes in zip(places.tolist(), shown.tolist(), labels, accepted, strict=True)
            if passes
        )
        return Hits(tuple(hits), len(self), (*self._notes, *query.notes))

    def accepted(self, wanted: Wanted) -> Bool[np.ndarray, "photos"]:
        """Return which photos `wanted` does not reject, in the order of `rows`."""
        query = self._query(wanted)
        scores = self._scores(query)
        if query.by_probability:
            np.exp(np.minimum(scores, 0, out=scores), out=scores)
        return self._accepted(query, np.arange(len(self)), scores)

    def _accepted(
        self, query: "_Query", places: Int64[np.ndarray, "subset"], scores: PhotoScores
    ) -> Bool[np.ndarray, "subset"]:
        """Return which of these photos the query does not reject, by score; see `Wanted`."""
        accepted = np.ones(len(places), dtype=bool)
        if query.reject != "auto":
            return scores >= np.float32(query.reject) if query.reject else accepted  # a cosine may be below 0
        if query.by_probability:
            subset = PhotoSearch(self._model, self.rows.taken(places))
            most = np.full(len(places), -np.inf if query.spaces else 0, np.float32)
            for space, weight in zip(query.spaces, query.weights or (1,) * len(query.spaces), strict=True):
                shares = subset._log_shares(space, None, query.check)
                if weight > 0:
                    accepted &= shares > log_sum_exp(log_expected(self._model.parts, space))
                    most = np.maximum(most, shares)
                else:
                    # Terms with negative weight come last: drop a photo if an unwanted term is at least half as
                    # probable as the best wanted one.
                    accepted &= shares < most - np.float32(np.log(2))
        return accepted

    def scores(self, wanted: Wanted) -> PhotoScores:
        """Return every photo's score, higher is better, in the order of `rows`.

        For words, the logarithm of a probability: that the photo shows any of the words or their kinds; or, for match
        all, that it shows each of them, taken as independent; and likewise that it shows something below `under`.
        Of terms it is the sum over weight times logarithm: of the probability of the words or, for a photo, of
        exp((cosine - 1) / temperature); for a weight below 0, of one minus that. Chosen by tools/query_trials.py.
        """
        return self._scores(self._query(wanted))

    def _query(self, wanted: Wanted) -> "_Query":
        if wanted.like is not None:
            return _Query(point=self._placed(wanted.like), by_probability=False, reject=wanted.reject)
        spaces: list[LabelSpace] = []
        expression, notes = understood(self._model.parts, Expression(wanted.words, wanted.terms))
        wanted = replace(wanted, words=expression.words, terms=expression.terms)
        if wanted.terms:
            return self._sum(wanted, notes)
        if wanted.words:
            chosen = choose_candidates(self._model.parts, "typed", typed=wanted.words, exact=wanted.exact)
            notes = (*notes, *chosen.notes)
            spaces = _any_of(chosen) if wanted.match == "any" else self._each_of(chosen)
        if wanted.under is not None:
            below = choose_candidates(self._model.parts, "all-nouns", under=wanted.under)  # asked for by name
            spaces, notes = [*spaces, below.space], (*notes, *below.notes)
        placed = tuple(photo_space(self._model.parts, space) for space in spaces)
        return _Query(placed, by_probability=wanted.by == "probability", notes=notes, reject=wanted.reject)

    def _sum(self, wanted: Wanted, meanings: tuple[str, ...]) -> "_Query":
        """Return the query of terms, those with negative weight last. meanings: notes on how the words are read."""
        parts, notes = self._model.parts, list(meanings)
        spaces: list[LabelSpace] = []
        weights: list[float] = []
        if wanted.under is not None:
            below = choose_candidates(parts, "all-nouns", under=wanted.under)
            spaces, weights, notes = [below.space], [1.0], [*notes, *below.notes]
        for term in sorted(wanted.terms, key=lambda term: term.weight < 0):
            if term.words:
                chosen = choose_candidates(parts, "typed", typed=term.words, exact=wanted.exact)
                spaces += _any_of(chosen)
                weights.append(term.weight)
                notes += chosen.notes
        points = tuple((term.weight, self._placed(term.photo)) for term in wanted.terms if term.photo is not None)
        placed = tuple(photo_space(parts, space) for space in spaces)
        return _Query(placed, None, tuple(weights), points, notes=tuple(notes), reject=wanted.reject)

    def _placed(self, photo: Picture) -> Float32[np.ndarray, "dim"]:
        """Return the point of a photo; PictureError names the photo."""
        try:
            return self._model.embed(photo)
        except PictureError as error:
            raise PictureError(f"{photo}: {error}" if isinstance(photo, str | Path) else str(error)) from None

    def _each_of(self, chosen: Candidates) -> list[LabelSpace]:
        """Return one space per word: its label and those of its kinds."""
        places = range(len(chosen.space.labels))
        if chosen.kinds is None:
            return [chosen.space.subset([place]) for place in places]
        words = frozenset(chosen.words)
        return [
            kinds_of(self._model.parts, chosen.space, place)
            if chosen.space.labels.ids[place] in words
            else chosen.space.subset([place])
            for place in places
        ]

    def _possible(self, query: "_Query", top: int) -> Int64[np.ndarray, "subset"] | None:
        """Return all photos that can be in the `top`; None if all must be scored."""
        listed = self._listed(query, top)
        if listed is not None:
            return listed
        labels = sum(len(space.labels) for space in query.spaces)
        if query.is_sum or labels > _FEW_LABELS or self._coarse is None:
            return None
        slack = self._slack(query, self._coarse)
        if query.by_probability:
            slack = slack / self._temperature + _ROUNDING
        rows = self._first_rows(query, self._coarse, slack, top)
        return rows if len(rows) < len(self) // 2 else None

    def _listed(self, query: "_Query", top: int) -> Int64[np.ndarray, "subset"] | None:
        """Return all photos that can be in the `top` by the lists of the labels; None if they do not suffice."""
        if self._tops is None or not query.by_probability or query.is_sum or len(query.spaces) != 1:
            return None
        labels = self._model.parts.space.labels.places(query.spaces[0].labels.ids)
        return None if (labels < 0).any() else self._tops.possible(labels, top)

    @cached_property
    def _coarse(self) -> Coarse | None:
        return Coarse(self.rows.vectors) if self._often else None

    def _first_rows(
        self, query: "_Query", coarse: Coarse, slack: PhotoScores, count: int
    ) -> Int64[np.ndarray, "subset"]:
        """Return all photos that can be in the top `count`.

        The logarithm of a sum of exp over n labels is at most log(n) above the highest of them: most photos need no exp
        (of six labels and a million photos it would take 20 ms).
        """
        space = query.spaces[0] if query.by_probability and len(query.spaces) == 1 else None
        if space is None or self._foreign(space):
            return may_be_first(self._scores(query, coarse), slack, count)
        (block, cosines), *_ = self._cosines(space, coarse, query.check)
        scores = self._scaled(cosines, space, label_prior(self._model.parts, space.labels), block)
        rows = may_be_first(scores.max(axis=1), slack, count, float(np.log(len(space.labels))))
        among = may_be_first(log_sum_exp(scores[rows]).astype(np.float32), slack[rows], count)
        found: Int64[np.ndarray, "subset"] = rows[among]
        return found

    def _slack(self, query: "_Query", coarse: Coarse) -> PhotoScores:
        """Return how far a photo's score by 8 bits can be from its score, before the temperature.

        A logarithm of a sum moves by no more than its largest part; that of a probability among labels which the
        model lacks is the difference of two such. Scores of several spaces are added.
        """
        if query.point is not None:
            return coarse.slack(query.point[None])
        slacks = [coarse.slack(space.vectors) for space in query.spaces]
        if not query.by_probability:
            largest: PhotoScores = np.max(slacks, axis=0)
            return largest
        factors = [2 if self._foreign(space) else 1 for space in query.spaces]
        total: PhotoScores = np.sum([factor * slack for factor, slack in zip(factors, slacks, strict=True)], axis=0)
        return total

    def _scores(self, query: "_Query", coarse: Coarse | None = None) -> PhotoScores:
        """Return each photo's score. coarse: take inner products from it instead of the vectors."""
        if query.point is not None:
            cosines: PhotoScores = coarse.products(query.point[None])[0] if coarse else self._vectors @ query.point
            return cosines
        if not query.by_probability:
            nearness = [
                np.concatenate([cosines.max(axis=1) for _, cosines in self._cosines(space, coarse, query.check)])
                for space in query.spaces
            ]
            lowest: PhotoScores = np.min(nearness, axis=0)
            return lowest
        if query.is_sum:
            return self._summed(query)
        total = self._log_shares(query.spaces[0], coarse, query.check)
        for space in query.spaces[1:]:
            total += self._log_shares(space, coarse, query.check)
        return total

    def _summed(self, query: "_Query") -> PhotoScores:
        """Return the sum over the terms, see `scores`."""
        total = np.zeros(len(self), np.float32)
        for space, weight in zip(query.spaces, query.weights, strict=True):
            total += _weighted(self._log_shares(space, None, query.check), weight)
        for weight, point in query.points:
            query.check()
            total += _weighted((self._vectors @ point - 1) / self._temperature, weight)
        return total

    @cached_property
    def _vectors(self) -> Float32[np.ndarray, "photos dim"]:
        return self.rows.vectors.astype(np.float32)

    def _cosines(
        self, space: LabelSpace, coarse: Coarse | None, check: Callable[[], None]
    ) -> Iterator[tuple[slice, Scores]]:
        """Yield blocks of photos with their scores; a label without a vector is last, at -inf."""
        check()
        if coarse is None:
            for block in _blocks(len(self), len(space.labels)):
                check()
                yield block, space.cosines(self._vectors[block])
            return
        scores = coarse.products(space.vectors)
        scores[space.without_vector] = -np.inf
        yield slice(0, len(self)), scores.T

    def _foreign(self, space: LabelSpace) -> list[int]:
        """Return the columns of labels that the model lacks."""
        return [i for i, label in enumerate(space.labels) if label.id not in self._model.labels]

    def _log_shares(self, space: LabelSpace, coarse: Coarse | None, check: Callable[[], None]) -> PhotoScores:
        """Return the log probability that a photo's label is in `space`, among all labels of the model.

        Labels that the model lacks compete too, as in `devise label --labels`. Probabilities of trained classes
        below the ones that the index keeps count as 0.
        """
        total = np.empty(len(self), np.float32)
        prior = label_prior(self._model.parts, space.labels)
        foreign = self._foreign(space)
        for block, cosines in self._cosines(space, coarse, check):
            scores = self._scaled(cosines, space, prior, block)
            total[block] = log_sum_exp(scores)
            if foreign:
                total[block] -= np.logaddexp(np.float32(0), log_sum_exp(scores[:, foreign]))
        return total

    def labels_of(self, places: Int64[np.ndarray, "subset"]) -> list[Label]:
        """Return the labels of these photos among all labels of the model, or those not withheld.

        The index keeps the top label: if it is withheld, the best of the others is found now.
        """
        labels, positions = self._model.labels, self.rows.labels[places].tolist()
        if not self._all_nouns:
            withheld = self._model.parts.withheld
            pairs = list(zip(places.tolist(), positions, strict=True))
            self._replace_labels(
                [place for place, top in pairs if labels.ids[top] in withheld and place not in self._replaced]
            )
            positions = [self._replaced.get(place, top) for place, top in pairs]
        return [self._model.parts.labelled(labels[position]) for position in positions]

    def _replace_labels(self, places: list[int]) -> None:
        """Find the most probable label that is not withheld for each of these photos."""
        parts = self._model.parts
        prior = label_prior(parts, parts.placed.labels)
        for start in range(0, len(places), _TOGETHER):
            batch = places[start : start + _TOGETHER]
            subset = PhotoSearch(self._model, self.rows.taken(np.array(batch, dtype=np.int64)))
            scores = subset._scaled(parts.placed.cosines(subset._vectors), parts.placed, prior, slice(0, len(subset)))
            best = parts.answerable_places[scores[:, parts.answerable_places].argmax(axis=1)]
            self._replaced.update(zip(batch, best.tolist(), strict=True))

    def _scaled(self, scores: Scores, space: LabelSpace, prior: LabelPrior | None, block: slice) -> Scores:
        """Turn cosines into log probabilities among all labels of the model, in place.

        The same as `devise.space.scorers.FusedScorer.scores_of` over the temperature, minus the log sum over all
        labels, but from what the index has of each photo in `block`: that sum and its highest class probabilities.
        """
        if prior is not None:
            scores += prior
        trained = {place: self._column[space.labels.ids[place]] for place in np.flatnonzero(space.labels.seen).tolist()}
        for place, column in trained.items():
            photos, shares = self._photos_of(column, block)
            scores[:, place] -= np.float32(self._rule.penalty)
            scores[photos, place] += np.float32(self._rule.confidence) * shares
        scores /= self._temperature
        scores -= self.rows.totals[block, None]
        if self._rule.first is not None:
            firsts = self.rows.classes[block, 0]
            for place, column in trained.items():
                photos = np.flatnonzero(firsts == column)
                odds = self._rule.first.log_odds(self.rows.shares[block][photos, 0])
                scores[photos, place] = -np.logaddexp(0, -odds)
        return scores

    def _photos_of(
        self, column: int, block: slice
    ) -> tuple[Int64[np.ndarray, "subset"], Float32[np.ndarray, "subset"]]:
        """Return the photos of the block with a stored probability of this class, and the probabilities."""
        first, last = self._by_class.starts[column : column + 2]
        photos = self._by_class.photos[first:last]
        inside = slice(*np.searchsorted(photos, (block.start, block.stop)))
        return photos[inside] - block.start, self._by_class.shares[first:last][inside]

    @cached_property
    def _by_class(self) -> "_ByClass":
        classes = self.rows.classes.ravel()
        order = np.argsort(classes, kind="stable")
        starts = np.searchsorted(classes[order], np.arange(len(self._column) + 1))
        return _ByClass(starts, order // self.rows.classes.shape[1], self.rows.shares.ravel()[order])


def open_search(model: Model, index: Path, *, often: bool = False, all_nouns: bool = False) -> PhotoSearch:
    """Read the index at `index` into memory; PhotoIndexError if absent or of another model.

    Lists of top photos that are damaged or of other rows are not used: searches are slower, and their notes say so.
    often, all_nouns: see `PhotoSearch`.
    """
    rows, note = PhotoStore.opened(index, header_of(model.parts)).rows_and_note()
    notes = (note,) if note else ()
    if len(rows) and not (0 <= rows.labels.min() <= rows.labels.max() < len(model.labels)):
        raise PhotoIndexError(f"{index}: is damaged (a label that the model has not): index the photos again elsewhere")
    try:
        tops = TopPhotos.read(index, len(model.labels), rows)
    except PhotoIndexError as error:
        tops, notes = None, (*notes, f"searches take longer: {error}")
    return PhotoSearch(model, rows, tops, notes=notes, often=often, all_nouns=all_nouns)


def _passing(facts: Sequence[PhotoFact], filters: Filters) -> tuple[Int64[np.ndarray, "subset"], tuple[str, ...]]:
    """Return the positions of photos that pass, and notes on those without a date or rating that the filters need.

    PhotoIndexError if no fact of any photo is known.
    """
    columns = FactColumns.made(facts)
    dated, rated = filters.since is not None or filters.until is not None, filters.rating is not None
    read, has_date = columns.read(), columns.dated()
    unread = int(np.count_nonzero(~read)) if dated or rated else 0
    if unread == len(columns) > 0:
        raise PhotoIndexError("the index has no dates and ratings: run devise index again, which only reads these")
    keep = np.ones(len(columns), dtype=bool)
    if filters.folders:
        inside = folder_filter(filters.folders, filters.below)
        keep &= np.fromiter(map(inside, columns.paths()), bool, len(columns))
    notes = [f"left out {counted(unread, 'photo')} of unknown date and rating: run devise index again"] * bool(unread)
    if dated:
        without = int(np.count_nonzero(keep & read & ~has_date))
        notes += [f"left out {counted(without, 'photo')} without a date"] * bool(without)
        keep &= has_date
        if filters.since is not None:
            keep &= columns.taken >= filters.since
        if filters.until is not None:
            keep &= columns.taken <= filters.until
    if filters.rating is not None:
        without = int(np.count_nonzero(keep & (columns.ratings == 0)))
        notes += [f"left out {counted(without, 'photo')} without a rating"] * bool(without)
        keep &= columns.ratings >= filters.rating
    return np.flatnonzero(keep), tuple(notes)


def _weighted(logs: PhotoScores, weight: float) -> PhotoScores:
    """Return weight times the logarithms or, for a weight below 0, times those of one minus the probabilities."""
    if weight > 0:
        return np.float32(weight) * logs
    logs_of_rest: PhotoScores = np.log1p(-np.exp(np.minimum(logs, _HIGHEST_LOG)))
    return np.float32(-weight) * logs_of_rest


def _any_of(chosen: Candidates) -> list[LabelSpace]:
    return [chosen.space if chosen.kinds is None else chosen.kinds.space]


@dataclass(frozen=True, eq=False, slots=True)
class _ByClass:
    """Photos grouped by classes they store a probability of: class c from starts[c] to starts[c + 1]."""

    starts: Int64[np.ndarray, "bounds"]
    photos: Int64[np.ndarray, "pairs"]
    shares: Float32[np.ndarray, "pairs"]


def _blocks(photos: int, labels: int) -> Iterator[slice]:
    """Yield blocks of photos whose scores fit in `_BLOCK_BYTES`, at least one photo each."""
    step = max(1, _BLOCK_BYTES // (4 * max(1, labels)))
    for start in range(0, photos, step):
        yield slice(start, min(start + step, photos))
