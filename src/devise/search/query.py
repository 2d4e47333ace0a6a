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
_FEW_LABELS = 64  # of more labels all photos are looked at
_TOGETHER = 64  # photos that are named at once
_SURE = np.float32(-1e-6)  # logarithm of the highest probability: not all of it is taken from what is asked
_ROUNDING = np.float32(1e-4)  # of logarithms of probabilities, far above that of 32 bits


def _go_on() -> None:
    """Let a search run as long as it takes."""


@dataclass(frozen=True, eq=False, slots=True)
class _Query:
    """A query in the label space: a label of each of the spaces, or a point to be near.

    weights: of each space, or none; below 0 the photo should show none of its labels.
    points: photos to be near or, with a weight below 0, far from, as well as the spaces.
    check: called before each block of photos is scored.
    """

    spaces: tuple[LabelSpace, ...] = ()
    point: Float32[np.ndarray, "dim"] | None = None
    weights: tuple[float, ...] = ()
    points: tuple[tuple[float, Float32[np.ndarray, "dim"]], ...] = ()
    probable: bool = True
    notes: tuple[str, ...] = ()
    reject: Reject = 0.0
    check: Callable[[], None] = _go_on

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
        self._renamed: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def in_language(self, model: Model) -> "PhotoSearch":
        """Return the same search with the names of another model, which differs in nothing else; they share memory."""
        _ = self._vectors, self._by_class, self._coarse
        other = copy.copy(self)
        other._model = model
        return other

    def passing(self, filters: Filters) -> tuple[Int64[np.ndarray, "some"], tuple[str, ...]]:
        """Return the positions of photos that pass, and notes on those that lack a date or rating."""
        return _passing(self.rows.facts, filters)

    def find(self, wanted: Wanted | str, top: int = 20, *, check: Callable[[], None] = _go_on) -> Hits:
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
        some = PhotoSearch(self._model, self.rows.taken(places), notes=self._notes, all_nouns=self._all_nouns)
        found = some.find(replace(wanted, filters=Filters()), top, check=check)
        return replace(found, notes=(*found.notes, *notes))

    def like(self, place: int, top: int = 20) -> Hits:
        """Return the photos nearest by cosine to one of the index, without itself. place: its position in `rows`.

        Uses the vector in the index: the photo itself is not read. IndexError if there is no such position.
        """
        assert top >= 1, "at least one photo must be requested"
        found = self._found(_Query(point=self.rows.vectors[place].astype(np.float32)), top + 1)
        others = [hit for hit in found.hits if hit.path != self.rows.facts[place].path]
        return replace(found, hits=tuple(others[:top]))

    def _found(self, query: "_Query", top: int) -> Hits:
        rows = self._possible(query, min(top, len(self)))
        among = self if rows is None else PhotoSearch(self._model, self.rows.taken(rows))
        found = top_k(among._scores(query)[None], min(top, len(among)))
        shown = np.exp(np.minimum(found.scores[0], 0)) if query.point is None and query.probable else found.scores[0]
        labels = self.labels_of(found.positions[0] if rows is None else rows[found.positions[0]])
        kept = among._kept(query, found.positions[0], shown)
        hits = (
            Hit(among.rows.facts[place].path, min(1.0, score), label)
            for place, score, label, one in zip(found.positions[0].tolist(), shown.tolist(), labels, kept, strict=True)
            if one
        )
        return Hits(tuple(hits), len(self), (*self._notes, *query.notes))

    def kept(self, wanted: Wanted) -> Bool[np.ndarray, "photos"]:
        """Return which photos `wanted` does not reject, in the order of `rows`."""
        query = self._query(wanted)
        scores = self._scores(query)
        if query.point is None and query.probable:
            np.exp(np.minimum(scores, 0, out=scores), out=scores)
        return self._kept(query, np.arange(len(self)), scores)

    def _kept(
        self, query: "_Query", places: Int64[np.ndarray, "some"], scores: PhotoScores
    ) -> Bool[np.ndarray, "some"]:
        """Return which of these photos the query does not reject, by score; see `Wanted`."""
        kept = np.ones(len(places), dtype=bool)
        if query.reject != "auto":
            return scores >= np.float32(query.reject) if query.reject else kept  # a cosine may be below 0
        if query.point is None and query.probable:
            some = PhotoSearch(self._model, self.rows.taken(places))
            most = np.full(len(places), -np.inf if query.spaces else 0, np.float32)
            for space, weight in zip(query.spaces, query.weights or (1,) * len(query.spaces), strict=True):
                shares = some._log_shares(space, None, query.check)
                if weight > 0:
                    kept &= shares > log_sum_exp(log_expected(self._model.parts, space))
                    most = np.maximum(most, shares)
                else:  # `_query` puts these last: at least half of what is wanted is what is not
                    kept &= shares < most - np.float32(np.log(2))
        return kept

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
            return _Query(point=self._placed(wanted.like), reject=wanted.reject)
        spaces: list[LabelSpace] = []
        notes: tuple[str, ...] = ()
        asked, told = understood(self._model.parts, Expression(wanted.words, wanted.terms))
        wanted = replace(wanted, words=asked.words, terms=asked.terms)
        if wanted.terms:
            return self._sum(wanted, told)
        if wanted.words:
            chosen = choose_candidates(self._model.parts, "typed", typed=wanted.words, exact=wanted.exact)
            notes = chosen.notes
            spaces = _any_of(chosen) if wanted.match == "any" else self._each_of(chosen)
        if wanted.under is not None:
            below = choose_candidates(self._model.parts, "all-nouns", under=wanted.under)  # asked for by name
            spaces, notes = [*spaces, below.space], (*notes, *below.notes)
        placed = tuple(photo_space(self._model.parts, space) for space in spaces)
        return _Query(placed, probable=wanted.by == "probability", notes=(*told, *notes), reject=wanted.reject)

    def _sum(self, wanted: Wanted, told: tuple[str, ...]) -> "_Query":
        """Return the query of terms; those to be far from are last."""
        parts, notes = self._model.parts, list(told)
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
        points = tuple((one.weight, self._placed(one.photo)) for one in wanted.terms if one.photo is not None)
        placed = tuple(photo_space(parts, space) for space in spaces)
        return _Query(placed, None, tuple(weights), points, notes=tuple(notes), reject=wanted.reject)

    def _placed(self, photo: Picture) -> Float32[np.ndarray, "dim"]:
        try:
            return self._model.embed(photo)
        except PictureError as error:
            raise PictureError(f"{photo}: {error}" if isinstance(photo, str | Path) else str(error)) from None

    def _each_of(self, chosen: Candidates) -> list[LabelSpace]:
        """Return one space per word: its label and those of its kinds."""
        everyone = range(len(chosen.space.labels))
        if chosen.kinds is None:
            return [chosen.space.subset([one]) for one in everyone]
        words = frozenset(chosen.words)
        return [
            kinds_of(self._model.parts, chosen.space, one)
            if chosen.space.labels.ids[one] in words
            else chosen.space.subset([one])
            for one in everyone
        ]

    def _possible(self, query: "_Query", top: int) -> Int64[np.ndarray, "some"] | None:
        """Return all photos that can be in the `top`; None if all must be scored."""
        listed = self._listed(query, top)
        if listed is not None:
            return listed
        labels = sum(len(space.labels) for space in query.spaces)
        if query.is_sum or labels > _FEW_LABELS or self._coarse is None:
            return None
        slack = self._slack(query, self._coarse)
        if query.point is None and query.probable:
            slack = slack / self._temperature + _ROUNDING
        rows = self._first_rows(query, self._coarse, slack, top)
        return rows if len(rows) < len(self) // 2 else None

    def _listed(self, query: "_Query", top: int) -> Int64[np.ndarray, "some"] | None:
        """Return all photos that can be in the `top` by the lists of the labels; None if they do not suffice."""
        if self._tops is None or not query.probable or query.is_sum or len(query.spaces) != 1:
            return None
        asked = self._model.parts.space.labels.places(query.spaces[0].labels.ids)
        return None if (asked < 0).any() else self._tops.possible(asked, top)

    @cached_property
    def _coarse(self) -> Coarse | None:
        return Coarse(self.rows.vectors) if self._often else None

    def _first_rows(self, query: "_Query", coarse: Coarse, slack: PhotoScores, count: int) -> Int64[np.ndarray, "some"]:
        """Return all photos that can be in the top `count`.

        The logarithm of a sum of exp over n labels is at most log(n) above the highest of them: most photos need no exp
        (of six labels and a million photos it would take 20 ms).
        """
        space = query.spaces[0] if query.probable and len(query.spaces) == 1 else None
        if space is None or self._foreign(space):
            return may_be_first(self._scores(query, coarse), slack, count)
        (block, cosines), *_ = self._cosines(space, coarse, query.check)
        scores = self._scaled(cosines, space, label_prior(self._model.parts, space.labels), block)
        some = may_be_first(scores.max(axis=1), slack, count, float(np.log(len(space.labels))))
        left = may_be_first(log_sum_exp(scores[some]).astype(np.float32), slack[some], count)
        found: Int64[np.ndarray, "some"] = some[left]
        return found

    def _slack(self, query: "_Query", coarse: Coarse) -> PhotoScores:
        """Return how far a photo's score by 8 bits can be from its score, before the temperature.

        A logarithm of a sum moves by no more than its largest part; that of a probability among labels which the
        model lacks is the difference of two such. Scores of several spaces are added.
        """
        if query.point is not None:
            return coarse.slack(query.point[None])
        each = [coarse.slack(space.vectors) for space in query.spaces]
        if query.probable:
            each = [one * (2 if self._foreign(space) else 1) for one, space in zip(each, query.spaces, strict=True)]
        found: PhotoScores = np.sum(each, axis=0) if query.probable else np.max(each, axis=0)
        return found

    def _scores(self, query: "_Query", coarse: Coarse | None = None) -> PhotoScores:
        """Return each photo's score. coarse: take inner products from it instead of the vectors."""
        if query.point is not None:
            cosines: PhotoScores = coarse.products(query.point[None])[0] if coarse else self._vectors @ query.point
            return cosines
        if not query.probable:
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

    def labels_of(self, places: Int64[np.ndarray, "some"]) -> list[Label]:
        """Return the labels of these photos among all labels of the model, or those not withheld.

        The index keeps the top label: if it is withheld, the best of the others is found now.
        """
        labels, named = self._model.labels, self.rows.labels[places].tolist()
        if not self._all_nouns:
            withheld = self._model.parts.withheld
            asked = zip(places.tolist(), named, strict=True)
            self._rename([place for place, one in asked if labels.ids[one] in withheld and place not in self._renamed])
            named = [self._renamed.get(place, one) for place, one in zip(places.tolist(), named, strict=True)]
        return [self._model.parts.labelled(labels[position]) for position in named]

    def _rename(self, places: list[int]) -> None:
        """Find the most probable label that is not withheld for each of these photos."""
        parts = self._model.parts
        prior = label_prior(parts, parts.placed.labels)
        for start in range(0, len(places), _TOGETHER):
            some = places[start : start + _TOGETHER]
            few = PhotoSearch(self._model, self.rows.taken(np.array(some, dtype=np.int64)))
            scores = few._scaled(parts.placed.cosines(few._vectors), parts.placed, prior, slice(0, len(few)))
            best = parts.answerable_places[scores[:, parts.answerable_places].argmax(axis=1)]
            self._renamed.update(zip(some, best.tolist(), strict=True))

    def _scaled(self, scores: Scores, space: LabelSpace, prior: LabelPrior | None, block: slice) -> Scores:
        """Compute the fused score over temperature minus the photo's log sum over all labels, in place."""
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

    def _photos_of(self, column: int, block: slice) -> tuple[Int64[np.ndarray, "some"], Float32[np.ndarray, "some"]]:
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


def _passing(facts: Sequence[PhotoFact], filters: Filters) -> tuple[Int64[np.ndarray, "some"], tuple[str, ...]]:
    """Return the places of photos that pass, and notes on those without the facts that are asked for.

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
    notes = [f"{counted(unread, 'photo')} left out, of unknown date and rating: run devise index again"] * bool(unread)
    if dated:
        without = int(np.count_nonzero(keep & read & ~has_date))
        notes += [f"{counted(without, 'photo')} without a date left out"] * bool(without)
        keep &= has_date
        if filters.since is not None:
            keep &= columns.taken >= filters.since
        if filters.until is not None:
            keep &= columns.taken <= filters.until
    if filters.rating is not None:
        without = int(np.count_nonzero(keep & (columns.ratings == 0)))
        notes += [f"{counted(without, 'photo')} without a rating left out"] * bool(without)
        keep &= columns.ratings >= filters.rating
    return np.flatnonzero(keep), tuple(notes)


def _weighted(logs: PhotoScores, weight: float) -> PhotoScores:
    """Return weight times the logarithms or, for a weight below 0, times those of one minus the probabilities."""
    if weight > 0:
        return np.float32(weight) * logs
    no: PhotoScores = np.float32(-weight) * np.log1p(-np.exp(np.minimum(logs, _SURE)))
    return no


def _any_of(chosen: Candidates) -> list[LabelSpace]:
    return [chosen.space if chosen.kinds is None else chosen.kinds.space]


@dataclass(frozen=True, eq=False, slots=True)
class _ByClass:
    """Photos grouped by classes they store a probability of: class c from starts[c] to starts[c + 1]."""

    starts: Int64[np.ndarray, "bounds"]
    photos: Int64[np.ndarray, "kept"]
    shares: Float32[np.ndarray, "kept"]


def _blocks(photos: int, labels: int) -> Iterator[slice]:
    """Yield blocks of photos whose scores fit in `_BLOCK_BYTES`, at least one photo each."""
    step = max(1, _BLOCK_BYTES // (4 * max(1, labels)))
    for start in range(0, photos, step):
        yield slice(start, min(start + step, photos))
