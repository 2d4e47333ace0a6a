"""Measure search: the names of class folders as queries, their photos as relevant."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from devise.arrays import Bool, Float32
from devise.errors import UsageError
from devise.model.labeller import Model
from devise.model.typed import TypedLabel
from devise.search.query import PhotoSearch
from devise.search.results import Wanted
from devise.taxonomy.everyday import kinds
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["ORDERS", "ClassQuality", "Quality", "Retrieval", "class_of", "measure_search", "retrieval"]

ORDERS = ("name", "probability", "cosine")
"""Orders of photos: by the class's name as a user types it, by its id, by the cosine with its id alone."""


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Retrieval quality of one word.

    average_precision: mean of the precision at the place of each right photo, in [0, 1]. precision_at_5,
    precision_at_10: share of right photos among the first five and ten, or among all if there are fewer.
    relevant: number of right photos.
    """

    average_precision: float
    precision_at_5: float
    precision_at_10: float
    relevant: int


def retrieval(scores: Float32[np.ndarray, "photos"], right: Bool[np.ndarray, "photos"]) -> Retrieval:
    """Measure photos ordered by score, ties by position; UsageError if no photo is right.

    >>> retrieval(np.float32([0.9, 0.5, 0.7]), np.array([True, True, False])).average_precision.__round__(3)
    0.833
    """
    if not right.any():
        raise UsageError("measuring a word needs at least one right photo, got none")
    hits = right[np.argsort(-scores, kind="stable")]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return Retrieval(float(precision[hits].mean()), float(hits[:5].mean()), float(hits[:10].mean()), int(right.sum()))


@dataclass(frozen=True, slots=True)
class ClassQuality:
    """Results of one class as a query. by: order of the photos, one of ORDERS.

    kept, wrong: shares of the right photos, and of all others, that search finds at all, by its rule "auto".
    """

    synset: str
    name: str
    trained: bool | None
    by: str
    found: Retrieval
    kept: float
    wrong: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Results of all classes. photos: number searched, including those outside class folders."""

    classes: tuple[ClassQuality, ...]
    photos: int

    def found(self, by: str, trained: bool | None) -> tuple[float, float]:
        """Return the means of `kept` and `wrong` over the same classes."""
        rows = [(row.kept, row.wrong) for row in self.classes if (row.by, row.trained) == (by, trained)]
        kept, wrong = np.mean(rows, axis=0).tolist()
        return kept, wrong

    def mean(self, by: str, trained: bool | None) -> Retrieval | None:
        """Average over the trained classes, or the others; None if there are none."""
        rows = [row.found for row in self.classes if (row.by, row.trained) == (by, trained)]
        if not rows:
            return None
        return Retrieval(
            float(np.mean([row.average_precision for row in rows])),
            float(np.mean([row.precision_at_5 for row in rows])),
            float(np.mean([row.precision_at_10 for row in rows])),
            sum(row.relevant for row in rows),
        )


def measure_search(model: Model, search: PhotoSearch) -> Quality:
    """Query every class folder's synset among all photos of the index.

    Photos are ordered in three ways, see ORDERS. A name finds photos of its kinds too, which count as right.
    UsageError if no photo is in a folder named by a synset.
    """
    truth = [class_of(Path(fact.path), model.parts.taxonomy) for fact in search.rows.facts]
    synsets = sorted({synset for synset in truth if synset is not None})
    if not synsets:
        raise UsageError("no photo of the index is in a folder named by a synset (n02084071): index class folders")
    return Quality(tuple(row for one in synsets for row in _of_class(model, search, truth, one)), len(search))


def class_of(path: Path, taxonomy: Taxonomy) -> str | None:
    """Return the nearest folder of a path that is named by a synset, or None."""
    return next((folder.name for folder in path.parents if folder.name in taxonomy), None)


def _of_class(model: Model, search: PhotoSearch, truth: Sequence[str | None], synset: str) -> list[ClassQuality]:
    taxonomy = model.parts.taxonomy
    known = model.parts.trained_ids
    name, trained = taxonomy.synset(synset).name, synset in known if known else None
    included = kinds(taxonomy, synset)
    asked = {
        "name": Wanted((TypedLabel(name),)),
        "probability": Wanted((TypedLabel(synset),)),
        "cosine": Wanted((TypedLabel(synset),), by="cosine"),
    }
    right = {by: np.array([one in included if by == "name" else one == synset for one in truth]) for by in asked}
    rows = []
    for by, wanted in asked.items():
        kept = search.accepted(replace(wanted, reject="auto"))
        shares = [float(kept[side].mean()) if side.any() else 0.0 for side in (right[by], ~right[by])]
        rows.append(ClassQuality(synset, name, trained, by, retrieval(search.scores(wanted), right[by]), *shares))
    return rows
