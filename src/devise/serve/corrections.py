"""The route that keeps what people say of names of photos, in the photos' XMP sidecars."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool

from devise.errors import UsageError
from devise.files import remove_unfinished, text_name
from devise.labels import Label
from devise.model.labeller import Model
from devise.model.typed import TypedLabel, parse_labels, user_id
from devise.serve.catalogue import Lang, only_known, require_photo, said_of
from devise.serve.photos import IndexedPhotos
from devise.serve.problems import ServiceError, busy
from devise.serve.schema import Corrected, CorrectionAsked
from devise.serve.service import Service
from devise.sidecars import correct_sidecar, corrections_of, sidecar_in_use
from devise.xmp import Correction, SidecarError, Verdict

__all__ = ["correction_routes"]


def correction_routes(service: Service) -> APIRouter:
    """PUT /v1/corrections."""
    routes = APIRouter(prefix="/v1", tags=["corrections"], dependencies=[Depends(only_known)])
    turns = _Turns(service.limits.seconds)

    @routes.put("/corrections", response_model=Corrected, summary="Accept or reject a name of a photo")
    async def put(asked: CorrectionAsked, lang: Lang = None) -> Any:
        """Keep what a person says of a name, in the photo's XMP sidecar; it is on disk when this returns.

        An accepted name becomes a keyword of that person, a rejected one is taken out and stays away. 403 if the
        service does not keep corrections, 409 if the sidecar cannot be changed; it is then as it was.
        """
        if not service.corrections:
            raise ServiceError(403, "corrections_off", "this service was not started to keep corrections")
        model, photos = service.speaking(lang), service.index(asked.index, lang)
        require_photo(photos, asked.photo)
        changes: Sequence[Correction] = ()
        notes: Sequence[str] = ()
        if asked.verdict != "undo":
            chosen = await service.runs.typed(_typed(service, asked.name), lang)
            changes = await run_in_threadpool(_changes, service, model, chosen.space.labels[0], asked)
            notes = chosen.notes
        async with turns.of(photos, asked.photo):
            kept = await run_in_threadpool(_changed, photos, asked.photo, changes, asked.name if not changes else None)
        return Corrected(photo=asked.photo, corrections=said_of(model, kept), notes=list(notes))

    return routes


class _Turns:
    """One change at a time per photo. Belongs to one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._locks: WeakValueDictionary[Path | None, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, photos: IndexedPhotos, photo: int) -> AsyncIterator[None]:
        """Wait for the turn; ServiceError 429 if that takes too long."""
        lock = self._locks.setdefault(photos.path(photo), asyncio.Lock())
        try:
            async with asyncio.timeout(self._seconds):
                await lock.acquire()
        except TimeoutError:
            raise busy("another correction of this photo takes long: try again", 2) from None
        try:
            yield
        finally:
            lock.release()


def _typed(service: Service, name: str) -> TypedLabel:
    """Return the label that a name or id means, with the definition of the user's own label. UsageError for several."""
    labels = parse_labels(name)
    if len(labels) > 1:
        raise UsageError(f"{len(labels)} names in one correction: send each in a request of its own")
    own = {user_id(one.name): one for one in service.own.all()}
    return labels[0] if labels[0].definition else own.get(user_id(labels[0].name), labels[0])


def _changes(service: Service, model: Model, label: Label, asked: CorrectionAsked) -> tuple[Correction, ...]:
    """Return the corrections that a request asks for. UsageError for an unknown label to replace."""
    verdict = Verdict.accepted if asked.verdict == "accept" else Verdict.rejected
    hedger, taxonomy = service.hedger(model), model.parts.taxonomy
    one = Correction(hedger.usual_path(label), label.id, verdict)
    if asked.instead_of is None:
        return (one,)
    if verdict != Verdict.accepted:
        raise UsageError("instead_of goes with accept: leave it out")
    if asked.instead_of not in model.labels:
        raise UsageError(f"instead_of: the model has no label {asked.instead_of!r}")
    above = taxonomy.ancestors(label.id) if label.id in taxonomy else frozenset[str]()
    if asked.instead_of in {label.id, *above}:
        return (one,)
    replaced = model.labels[model.labels.position(asked.instead_of)]
    return one, Correction(hedger.usual_path(replaced), replaced.id, Verdict.rejected)


def _changed(
    photos: IndexedPhotos, number: int, changes: Sequence[Correction], undone: str | None
) -> tuple[Correction, ...]:
    """Change the sidecar of a photo; return all corrections of the photo.

    ServiceError 404 if the photo is not there or has no such correction to undo, 409 if the sidecar cannot be changed.
    """
    photo = photos.path(number)
    if photo is None or not photo.is_file():
        raise ServiceError(404, "unknown", f"the photo {number} of the index is not there any more")
    sidecar = sidecar_in_use(photo)
    _refuse_links(sidecar, photos.root)
    remove_unfinished(sidecar.parent)
    try:
        said = corrections_of(photo)
        ids = [one.id for one in said if undone in (one.id, one.name)]
        if undone is not None and not ids:
            raise ServiceError(404, "unknown", f"the photo has no correction of {undone!r}")
        correct_sidecar(sidecar, changes, ids)
        return corrections_of(photo)
    except SidecarError as error:
        reason = str(error).rpartition(".xmp: ")[2]
        shown = text_name(os.path.relpath(sidecar, photos.root))
        raise ServiceError(409, "sidecar", f"the sidecar {shown} cannot be changed: {reason}") from None


def _refuse_links(sidecar: Path, root: str) -> None:
    """Raise ServiceError 409 if the sidecar is a link, or in a folder to which a link leads out of `root`."""
    top, folder = os.path.realpath(root), os.path.realpath(sidecar.parent)
    everywhere = os.path.dirname(top) == top  # nothing is outside: then no link at all
    inside = folder == str(sidecar.parent) if everywhere else os.path.commonpath([top, folder]) == top
    if not inside or sidecar.is_symlink():
        what = "the folder of the photo" if not inside else "the sidecar"
        raise ServiceError(409, "link", f"{what} is a link, through which nothing is written")
