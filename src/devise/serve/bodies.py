"""Read request bodies: bounded in bytes and time, kept in memory, never written to disk."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from devise.serve.guard import refuse
from devise.serve.limits import Limits
from devise.serve.problems import ServiceError, busy

__all__ = ["PICTURE_ROUTES", "Bodies", "TextBodies", "Upload"]

PICTURE_ROUTES = frozenset({"/v1/label", "/v1/embed"})
"""Routes whose POST takes a picture, and refuses it unread if the queue is full."""

_DRAIN_BYTES = 4_000_000
_DRAIN_SECONDS = 0.5
_TEXT_BYTES = 64_000  # of a form's field, and of a body that is not a picture; the longest label takes 26,000


@dataclass(slots=True)
class Upload:
    """A picture file, and the other fields of its form."""

    data: bytes
    fields: dict[str, str] = field(default_factory=dict)

    def taken(self) -> bytes:
        """Hand the bytes to the caller, so that an error does not keep them in memory."""
        data, self.data = self.data, b""
        return data


class _InMemory(MultiPartParser):
    """A form parser that keeps files in memory; Starlette's own writes them to disk."""

    spool_max_size = 1 << 40


class Bodies:
    """Reads bodies, and counts the bytes of all bodies in memory."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.held = 0

    @asynccontextmanager
    async def upload(self, request: Request) -> AsyncIterator[Upload]:
        """Read the picture of a request: the form field `file`, or the whole body.

        Its bytes count while it is in memory.
        ServiceError 413 over the limit of bytes, 408 if it does not arrive in time, 429 if too much is in memory,
        400 for a broken form, 422 without a picture. ClientDisconnect when the sender went away.
        """
        async with self.read(request.headers, request.receive, self._limits.body_bytes) as chunks:
            upload = await _upload(request, b"".join(chunks))
            chunks.clear()
            yield upload

    @asynccontextmanager
    async def text(self, headers: Headers, receive: Receive) -> AsyncIterator[bytes]:
        """Read a body that is not a picture, of at most 64 kB; the errors of `upload`."""
        async with self.read(headers, receive, _TEXT_BYTES) as chunks:
            yield b"".join(chunks)

    @asynccontextmanager
    async def read(self, headers: Headers, receive: Receive, most: int) -> AsyncIterator[list[bytes]]:
        """Yield the chunks of a body of at most `most` bytes, counted until the block ends."""
        length = headers.get("content-length", "")
        held, chunks = 0, []
        try:
            try:
                self._check(int(length) if length.isdecimal() else 0, most)
                async with asyncio.timeout(self._limits.seconds):
                    more = True
                    while more:
                        message = await receive()
                        if message["type"] == "http.disconnect":
                            raise ClientDisconnect
                        chunk, more = message.get("body", b""), message.get("more_body", False)
                        held += len(chunk)
                        self.held += len(chunk)
                        self._check(held, most)
                        chunks.append(chunk)
            except TimeoutError:
                raise ServiceError(
                    408, "slow", f"the body did not arrive within {self._limits.seconds:g} seconds: send it again"
                ) from None
            except ServiceError:
                await _drain(receive)
                raise
            yield chunks
        finally:
            self.held -= held

    def _check(self, size: int, most: int) -> None:
        if size > most:
            named = f"{most // 1_000_000} MB" if most >= 1_000_000 else f"{most // 1000} kB"
            raise ServiceError(413, "too_large", f"the body is over the limit of {named}: make it smaller")
        if self.held > self._limits.held_megabytes * 1_000_000:
            raise busy("too many bytes of other requests are in memory: try again", 2)


@dataclass(frozen=True, slots=True)
class TextBodies:
    """ASGI middleware: reads the body of every request except uploads of pictures.

    The route then gets the complete body. 413 and 408 are answered here.
    """

    app: ASGIApp
    bodies: Bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body, or answer it."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        picture = scope.get("method") == "POST" and scope.get("path") in PICTURE_ROUTES
        if picture or not ("content-length" in headers or "transfer-encoding" in headers):
            await self.app(scope, receive, send)
            return
        try:
            async with self.bodies.text(headers, receive) as body:
                await self.app(scope, _first(body, receive), send)
        except ServiceError as problem:
            await refuse(problem, send)
        except ClientDisconnect:
            return


def _first(body: bytes, receive: Receive) -> Receive:
    """Return a receiver that gives the body first, then further messages."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _drain(receive: Receive) -> None:
    """Drain a bounded amount of the body, so that the sender can read the refusal."""
    taken = 0
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while taken < _DRAIN_BYTES:
                message = await receive()
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
        raise ServiceError(
            422, "picture", "no picture in the request: send its bytes as the body, or in the form field 'file'"
        )
    return upload


async def _from_form(request: Request, body: bytes) -> Upload:
    async def stream() -> AsyncIterator[bytes]:
        yield body

    parser = _InMemory(request.headers, stream(), max_files=1, max_fields=16, max_part_size=_TEXT_BYTES)  # type: ignore[arg-type]
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
    if len(fields) < len(form.multi_items()):
        raise ServiceError(400, "form", "the form has a field twice: send each once")
    picture = fields.pop("file", b"")
    if isinstance(picture, UploadFile):
        data = await picture.read()
        await picture.close()
    else:
        data = b""
    if any(isinstance(value, UploadFile) for value in fields.values()):
        raise ServiceError(400, "form", "send the picture in the form field 'file', and no file in any other field")
    return Upload(data, fields)
