"""How well an index is searched: the names of class folders as words, their photos as the right ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise.errors import UsageError
from devise.model.labeller import Model
from devise.model.typed import TypedLabel
from devise.search.query import PhotoSearch
from devise.search.results import Wanted
from devise.search.retrieval import Retrieval, retrieval
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["ClassQuality", "Quality", "class_of", "measure_search"]


@dataclass(frozen=True, slots=True)
class ClassQuality:
    """One class as a word. by: how photos were ordered, "probability" (as search does) or "cosine"."""

    synset: str
    name: str
    trained: bool
    by: str
    found: Retrieval


@dataclass(frozen=True, slots=True)
class Quality:
    """All classes; photos: how many were searched, those of no class folder among them."""

    classes: tuple[ClassQuality, ...]
    photos: int

    def mean(self, by: str, trained: bool) -> Retrieval | None:
        """Over the classes that were trained on, or the others; None if there are none."""
        rows = [row.found for row in self.classes if (row.by, row.trained) == (by, trained)]
        if not rows:
            return None
        return Retrieval(
            float(np.mean([row.average_precision for row in rows])),
            float(np.mean([row.precision_at_10 for row in rows])),
            sum(row.relevant for row in rows),
        )


def measure_search(model: Model, search: PhotoSearch) -> Quality:
    """Every class folder's synset is looked for among all photos of the index.

    Both orders, by probability and by cosine, are measured.
    UsageError if no photo is in a folder named by a synset.
    """
    truth = [class_of(Path(fact.path), model.parts.taxonomy) for fact in search.rows.facts]
    synsets = sorted({synset for synset in truth if synset is not None})
    if not synsets:
        raise UsageError("no photo of the index is in a folder named by a synset (n02084071): index class folders")
    return Quality(tuple(row for one in synsets for row in _of_class(model, search, truth, one)), len(search))


def class_of(path: Path, taxonomy: Taxonomy) -> str | None:
    """The nearest folder of a path that is named by a synset of the taxonomy, None if there is none."""
    return next((folder.name for folder in path.parents if folder.name in taxonomy), None)


def _of_class(model: Model, search: PhotoSearch, truth: Sequence[str | None], synset: str) -> list[ClassQuality]:
    right = np.array([one == synset for one in truth])
    word = (TypedLabel(synset),)
    scores = {"probability": search.scores(Wanted(word)), "cosine": search.scores(Wanted(word, by="cosine"))}
    name, trained = model.parts.taxonomy.synset(synset).name, synset in model.parts.trained_ids
    return [ClassQuality(synset, name, trained, by, retrieval(values, right)) for by, values in scores.items()]
