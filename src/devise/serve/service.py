"""State shared by the routes of one service."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import numpy as np

from devise.errors import DeviseError, UsageError
from devise.model.hedges import Hedger
from devise.model.labeller import Model
from devise.serve.bodies import Bodies
from devise.serve.engine import Engine
from devise.serve.labelmap import BRANCHES, Plane
from devise.serve.limits import Limits
from devise.serve.own_labels import OwnLabels
from devise.serve.photos import IndexedPhotos, Thumbnails
from devise.serve.problems import ServiceError, busy
from devise.serve.runs import Runs
from devise.serve.schema import LabelMap
from devise.serve.telemetry import Metrics
from devise.taxonomy.languages import CODES
from devise.vision.pipeline import cores

__all__ = ["Service", "open_languages"]

_Found = TypeVar("_Found")


@dataclass(eq=False)
class Service:
    """A model, the users' labels and photo indexes by name; `close` ends its threads.

    languages: the model by the code of the language it speaks, the first of them `model`; empty: `model` alone.
    corrections: whether what people say of names is kept next to the photos.
    """

    model: Model
    own: OwnLabels
    indexes: Mapping[str, IndexedPhotos] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    languages: Mapping[str, Model] = field(default_factory=dict)
    corrections: bool = False
    draining: bool = False
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.bodies = Bodies(self.limits)
        self.runs = Runs(self.speaking, self.limits.sets, self.limits.seconds)
        self.engine = Engine(
            self.model.backbone(), self.limits, on_block=self.metrics.blocks.observe, maps=self.model.feature_maps
        )
        self.thumbnails = Thumbnails(self.engine, self.limits.seconds)
        self._making = threading.RLock()
        self._translated: dict[tuple[str, str], IndexedPhotos] = {}
        self._hedgers: dict[Model, Hedger] = {}
        self._names: dict[Model, tuple[str, ...]] = {}
        self._maps: dict[Model, bytes] = {}
        self._searches = asyncio.Semaphore(cores())
        for name, what, value in (
            ("queue_pictures", "Pictures waiting for a core.", lambda: float(self.engine.waiting)),
            ("held_bytes", "Bytes of bodies in memory.", lambda: float(self.bodies.held)),
            ("candidate_sets", "Cached lists of candidate labels.", lambda: float(len(self.runs))),
            ("own_labels", "Stored labels of users.", lambda: float(len(self.own.all()))),
        ):
            self.metrics.watch(name, what, value)

    async def searched(self, find: Callable[[Callable[[], None]], _Found]) -> _Found:
        """Run one search of photos, of at most one per core; ServiceError 429 if it has no result in `limits.seconds`.

        find: called in a thread with a function that it calls again and again, and that ends it after that time. A
        search of a wide word takes 100 MB and a core for as long as it lasts: until it has ended, no other takes its
        place.
        """
        until, why = monotonic() + self.limits.seconds, "other searches take long: try again"

        def check() -> None:
            if monotonic() > until:
                raise TimeoutError

        try:
            async with asyncio.timeout(self.limits.seconds):
                await self._searches.acquire()
                why = f"the search took over {self.limits.seconds:g} seconds: search for a narrower word, or try again"
                found = asyncio.wrap_future(_in_thread(lambda: find(check)))
                found.add_done_callback(self._searched)
                return await asyncio.shield(found)
        except TimeoutError:
            raise busy(why, 2) from None

    def _searched(self, found: "asyncio.Future[Any]") -> None:
        """Let the next search begin. What went wrong after the answer is of no interest."""
        self._searches.release()
        if not found.cancelled():
            found.exception()

    @property
    def plane(self) -> Plane:
        """Return the map of the labels, made once: the first requests wait for each other."""
        with self._making:
            return self._plane

    @property
    def photos(self) -> IndexedPhotos | None:
        """Return the first index, None without one."""
        return next(iter(self.indexes.values()), None)

    def speaking(self, language: str | None) -> Model:
        """Return the model with names in a language; None is the first. ServiceError 404 for one it has not."""
        if language is None:
            return self.model
        if language not in self.languages:
            known = ", ".join(self.languages) or "one only"
            raise ServiceError(404, "language", f"no language {language!r} in this service: it has {known}")
        return self.languages[language]

    def index(self, name: str | None, language: str | None) -> IndexedPhotos:
        """Return an index by name; None is the first. ServiceError 404 for one that the service was not given."""
        if not self.indexes:
            raise ServiceError(404, "no_index", "this service has no photo index, so there is nothing to search")
        name = next(iter(self.indexes)) if name is None else name
        if name not in self.indexes:
            raise ServiceError(404, "no_index", f"no index {name!r} in this service: it has {', '.join(self.indexes)}")
        model = self.speaking(language)
        if language is None or model is self.model:
            return self.indexes[name]
        if (name, language) not in self._translated:
            self._translated[name, language] = self.indexes[name].in_language(model)
        return self._translated[name, language]

    def hedger(self, model: Model) -> Hedger:
        """Return what knows the names above a label, for a model of one language; made once."""
        with self._making:
            return self._hedgers.setdefault(model, Hedger(model.parts, model.labels, model.labels))

    def label_map(self, model: Model) -> bytes:
        """Return a `LabelMap` as JSON, made once for each language."""
        with self._making:
            if model not in self._maps:
                self._maps[model] = self._label_map(model)
            return self._maps[model]

    @cached_property
    def _plane(self) -> Plane:
        return Plane(self.model.parts)

    def _label_map(self, model: Model) -> bytes:
        plane, parts = self.plane, model.parts
        shown, labels = parts.answerable_places, parts.answerable.labels
        points = plane.places(parts.placed.vectors[shown]).astype(float).round(1)
        columns = LabelMap(
            branches=[*BRANCHES, "other"],
            ids="\n".join(labels.ids),
            names="\n".join(label.name for label in labels),
            x=points[:, 0].tolist(),
            y=points[:, 1].tolist(),
            branch=plane.branch[shown].tolist(),
            seen=labels.seen.astype(int).tolist(),
        )
        return columns.model_dump_json().encode()

    def names(self, model: Model) -> tuple[str, ...]:
        """Return the labels' names in lower case, for look-ups; made once for each language."""
        if model not in self._names:
            self._names[model] = tuple(label.name.lower() for label in model.labels)
        return self._names[model]

    def warm(self) -> Any:
        """Do the set-up that the first request would wait for; a text tower is compiled in the background."""
        self.engine.warm()
        if self.model.parts.has_tower:
            threading.Thread(target=self._compile_tower, name="devise-compile", daemon=True).start()
        grey = np.full((64, 64, 3), 127, np.uint8)
        return self.model.embed(grey)

    def _compile_tower(self) -> None:
        with suppress(DeviseError):  # raised by the first typed label
            _ = self.model.parts.tower

    def close(self) -> None:
        """Finish accepted pictures, then end the threads and close the file of labels."""
        self.engine.close()
        self.runs.close()
        self.own.close()


def _in_thread(work: Callable[[], _Found]) -> "Future[_Found]":
    """Run `work` in a thread that does not keep the process alive."""
    done: Future[_Found] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except (DeviseError, TimeoutError) as error:
            done.set_exception(error.with_traceback(None))  # whose frames keep scores of photos
        except Exception as error:
            done.set_exception(error)

    try:
        threading.Thread(target=run, name="devise-search", daemon=True).start()
    except RuntimeError as error:  # the system allows no more threads
        done.set_exception(error)
    return done


_ENGLISH = ("en", "eng")


def open_languages(load: Callable[[str | None], Model], asked: Sequence[str]) -> dict[str, Model]:
    """Return a model for each language, by code; the first is the default, and English is always there.

    load: makes the model of the first one. asked: codes ("fr", "fra", "en") or files of names, which are called by
    their names without endings. UsageError for an unknown language, or for two of one code.
    """
    found: dict[str, Model] = {}
    short = {three: two for two, three in CODES.items()}
    wanted = [None if one.strip().lower() in _ENGLISH else one for one in asked]
    for language in wanted if None in wanted else [*wanted, None]:
        model = next(iter(found.values())).in_language(language) if found else load(language)
        names = model.parts.taxonomy.language
        code = "en" if names is None else short.get(names.code, Path(names.code).stem)
        if code in found:
            raise UsageError(f"duplicate language {code}: give each once")
        found[code] = model
    return found
