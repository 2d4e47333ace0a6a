"""Other zero-shot models as rows of the same tables: same photos, same candidates, same rules."""

import importlib
import importlib.util
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from devise.arrays import Scores
from devise.errors import DeviseError, PictureError, RecordError, UsageError
from devise.evaluation.record import SHARES, Record, Recorder, ScorerRecord
from devise.taxonomy.wordnet import Taxonomy
from devise.vision.decoding import read_picture

__all__ = ["NameScorer", "label_names", "load_adapter", "with_others"]

_BATCH = 16  # pictures given to an adapter at once


@runtime_checkable
class NameScorer(Protocol):
    """The interface of an adapter; any object with this method works.

    It may have an attribute `probabilities`: true if each row of its scores is in proportion to probabilities over
    the names, which then count as its confidence.
    """

    def scores(self, pictures: Sequence[Image.Image], names: Sequence[str]) -> Any:
        """Score pictures (RGB): one row per picture, one column per name, higher is better; anything NumPy can read.

        It is called with a few pictures at a time and always with the same names, so text is worth keeping.
        """


def label_names(taxonomy: Taxonomy, ids: Sequence[str]) -> tuple[str, ...]:
    """Name each synset uniquely: its first term; if several share it, with the hypernym appended.

    >>> from devise.taxonomy.wordnet import default_taxonomy
    >>> label_names(default_taxonomy(), ["n02012849", "n03126707", "n02391049"])
    ('crane (wading bird)', 'crane (lifting device)', 'zebra')
    """
    names = [taxonomy.synset(one).name for one in ids]
    kinds = [[f"{name} ({kind})" for kind in _kinds(taxonomy, one)] for name, one in zip(names, ids, strict=True)]
    for further in range(2):
        shared = Counter(names)
        names = [of[further] if shared[name] > 1 else name for name, of in zip(names, kinds, strict=True)]
    shared = Counter(names)
    return tuple(f"{name} [{one}]" if shared[name] > 1 else name for name, one in zip(names, ids, strict=True))


def load_adapter(spec: str) -> NameScorer:
    """The adapter at `module:attribute` or `file.py:attribute`; a class or function is called for it.

    This runs the code that is named. UsageError if there is none, or what is there has no method `scores`.
    """
    place, _, attribute = spec.rpartition(":")
    if not place or not attribute.isidentifier():
        raise UsageError(f"an adapter is module:attribute or file.py:attribute, got {spec!r}")
    found = getattr(_module(place), attribute, None)
    if found is None:
        raise UsageError(f"{place} has no {attribute}: check the name after the colon")
    adapter = found() if not hasattr(found, "scores") or isinstance(found, type) else found
    if not callable(getattr(adapter, "scores", None)):
        raise UsageError(f"{spec} has no method scores(pictures, names): see the examples")
    return adapter  # type: ignore[no-any-return]


def with_others(
    record: Record,
    others: Mapping[str, NameScorer],
    taxonomy: Taxonomy,
    find: Callable[[str], Path | None],
    *,
    on_photo: Callable[[int], None] | None = None,
) -> Record:
    """Add one scorer per adapter to the record; each ranks all candidates.

    find: where a photo of the record is, see `report.measured.finder`. on_photo: called with how many more are done.
    UsageError for a name that is taken, PictureError for a photo that is lost (all scorers have to see the same),
    DeviseError for scores of the wrong shape or that are not numbers.
    """
    if taken := [name for name in others if name in record.scorers or name == "chance"]:
        raise UsageError(f"there is a scorer {taken[0]!r} in the record: use another name")
    names = label_names(taxonomy, record.candidates)
    recorder = Recorder(record.labels, frozenset(record.trained), record.truth_ids, taxonomy)
    if record.hedging not in (None, recorder.hedging):
        raise RecordError("the record has answers for other nodes or thresholds than this version: make it again")
    made = {name: _Asked(name, adapter, names, recorder, record.candidates) for name, adapter in others.items()}
    for start in range(0, len(record.images), _BATCH):
        pictures = [_picture(image.id, find) for image in record.images[start : start + _BATCH]]
        for asked in made.values():
            asked.take(pictures)
        if on_photo is not None:
            on_photo(len(pictures))
    facts = record.facts | {"names given to other scorers": "first terms; if shared, with the hypernym appended"}
    scorers = {**record.scorers, **{name: one.row() for name, one in made.items()}}
    return replace(record, scorers=scorers, facts=facts, hedging=recorder.hedging)


class _Asked:
    """The answers of one adapter, block by block."""

    def __init__(
        self, name: str, adapter: NameScorer, names: tuple[str, ...], recorder: Recorder, candidates: Sequence[str]
    ) -> None:
        self._name, self._adapter, self._names = name, adapter, names
        self._sure = bool(getattr(adapter, "probabilities", False))
        self._taken = recorder.begin(candidates, temperature=SHARES if self._sure else None)

    def take(self, pictures: list[Image.Image]) -> None:
        self._taken.take(self._scores(pictures))

    def row(self) -> ScorerRecord:
        return self._taken.done()

    def _scores(self, pictures: list[Image.Image]) -> Scores:
        given = np.asarray(self._adapter.scores(pictures, self._names), dtype=np.float32)
        expected = (len(pictures), len(self._names))
        if given.shape != expected:
            raise DeviseError(
                f"{self._name} gave scores of shape {given.shape}, expected {expected}: one row per picture, one "
                "column per name"
            )
        if np.isnan(given).any():
            raise DeviseError(f"{self._name} gave a score that is NaN: fix its scores")
        if self._sure and ((given < 0).any() or not np.isfinite(given).all() or not given.any(axis=1).all()):
            raise DeviseError(
                f"{self._name} has `probabilities`, but gave a score below 0, an infinite one or only zeros: leave the "
                "attribute out"
            )
        return given


def _kinds(taxonomy: Taxonomy, synset_id: str) -> list[str]:
    """Return the names of the hypernym and of its hypernym, if they exist."""
    kinds, here = [], synset_id
    for _ in range(2):
        parents = taxonomy.parents(here)
        if parents:
            here = parents[0]
        kinds.append(taxonomy.synset(here).name)
    return kinds


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise UsageError(f"no module {error.name}: install it, or give the file as FILE.py:ATTRIBUTE") from None
    path = Path(place)
    name = f"devise_adapter_{path.stem}"  # not its own name, which may be that of the library it needs
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UsageError(f"no file {place}: check the path")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(f"{place} needs {error.name}: install it") from None
    return module


def _picture(name: str, find: Callable[[str], Path | None]) -> Image.Image:
    path = find(name)
    if path is None:
        raise PictureError(f"{name} is not in the folders given: every scorer needs the same photos")
    try:
        return Image.fromarray(read_picture(path, min_side=None))
    except PictureError as error:
        raise PictureError(f"{name}: {error}") from None
