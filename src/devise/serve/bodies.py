"""Bodies of requests: bounded in bytes and time, held in memory, never written to a disk."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from devise.serve.problems import ServiceError, busy
from devise.serve.settings import Limits

__all__ = ["Bodies", "Upload"]

_DRAIN_BYTES = 4_000_000
_DRAIN_SECONDS = 0.5
_FIELD_BYTES = 64_000


@dataclass(frozen=True, slots=True)
class Upload:
    """The bytes of a picture file, and the other fields of the form it came in."""

    data: bytes
    fields: dict[str, str] = field(default_factory=dict)


class _InMemory(MultiPartParser):
    """Keeps a file in memory, whose size is bounded before it gets here; Starlette's own would write it to a disk."""

    spool_max_size = 1 << 40


class Bodies:
    """Reads bodies, and knows how many bytes of them are held at once."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.held = 0

    @asynccontextmanager
    async def upload(self, request: Request) -> AsyncIterator[Upload]:
        """The picture of a request: the field `file` of a form, or the whole body. Its bytes count while it is held.

        ServiceError 413 over the limit of bytes, 408 when it does not arrive in time, 429 when too much is held,
        400 for a broken form, 422 without a picture. ClientDisconnect when the sender went away.
        """
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limits.body_bytes:
            await _drain(request)
            raise self._too_large()
        held = 0
        chunks = []
        try:
            try:
                async with asyncio.timeout(self._limits.seconds):
                    async for chunk in request.stream():
                        held += len(chunk)
                        self.held += len(chunk)
                        self._check(held)
                        chunks.append(chunk)
            except TimeoutError:
                raise ServiceError(
                    408, "slow", f"the body did not arrive within {self._limits.seconds:g} seconds: send it again"
                ) from None
            except ServiceError:
                await _drain(request)
                raise
            upload = await _upload(request, b"".join(chunks))
            chunks.clear()
            yield upload
        finally:
            self.held -= held

    def _check(self, size: int) -> None:
        if size > self._limits.body_bytes:
            raise self._too_large()
        if self.held > self._limits.held_megabytes * 1_000_000:
            raise busy("too many bytes of other requests are held already: try again", 2)

    def _too_large(self) -> ServiceError:
        return ServiceError(
            413, "too_large", f"the body is over the limit of {self._limits.megabytes} MB: make it smaller"
        )


async def _drain(request: Request) -> None:
    """Take what is on its way, a bounded part of it, so that the sender gets to read the refusal."""
    taken = 0
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while taken < _DRAIN_BYTES:
                message = await request.receive()
                taken += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


async def _upload(request: Request, body: bytes) -> Upload:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        upload = Upload(body)
    else:
        upload = await _from_form(request, body)
    if not upload.data:
        raise ServiceError(422, "picture", "no picture came: send its bytes as the body, or as the form's field 'file'")
    return upload


async def _from_form(request: Request, body: bytes) -> Upload:
    async def stream() -> AsyncIterator[bytes]:
        yield body

    parser = _InMemory(request.headers, stream(), max_files=1, max_fields=16, max_part_size=_FIELD_BYTES)  # type: ignore[arg-type]
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ServiceError(
            400, "form", f"the form cannot be read ({error.message}): send one file, in the field 'file'"
        ) from None
    except (ValueError, KeyError, LookupError) as error:
        raise ServiceError(
            400, "form", f"the form cannot be read ({type(error).__name__}): send it as multipart"
        ) from None
    fields: dict[str, Any] = dict(form.multi_items())
    picture = fields.pop("file", b"")
    if isinstance(picture, UploadFile):
        data = await picture.read()
        await picture.close()
    else:
        data = b""
    if any(isinstance(value, UploadFile) for value in fields.values()):
        raise ServiceError(
            400, "form", "the picture belongs in the form's field 'file', and no other field holds a file"
        )
    return Upload(data, fields)
