"""A typed client of the service."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar

import httpx
from pydantic import BaseModel

from devise.errors import DeviseError, PictureError, UsageError
from devise.model.methods import Method
from devise.model.rejection import Reject
from devise.serve.schema import (
    Corrected,
    CorrectionAsked,
    Embedding,
    Health,
    Hits,
    LabelAnswer,
    LabelList,
    Options,
    OwnLabel,
    OwnLabelKept,
    PhotoList,
)

__all__ = ["Client", "RefusedError"]

_Answer = TypeVar("_Answer", bound=BaseModel)


class RefusedError(DeviseError):
    """The service refused a request, or could not be reached.

    status: of HTTP, 0 if the service was not reached. code: the service's error code. retry_after: seconds after which
    the same request may succeed; None if it never will.
    """

    def __init__(self, message: str, status: int = 0, code: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


class Client:
    """A client of a running `devise serve`; a context manager. Thread-safe.

    url: of the service. token: if the service needs one. transport: of httpx, for tests.
    Errors: PictureError for a picture that cannot be read, UsageError for an invalid parameter or label,
    `RefusedError` for everything else.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        token: str | None = None,
        timeout: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def label(
        self,
        picture: bytes,
        *,
        top: int = 5,
        methods: Sequence[Method] = ("fused",),
        candidates: Literal["all", "seen", "unseen", "typed", "all-nouns"] = "all",
        under: str | None = None,
        labels: str = "",
        own: bool = True,
        reject: Reject | None = None,
        explain: bool = False,
        standings: bool = False,
        sure: float | None = None,
        regions: bool = False,
    ) -> LabelAnswer:
        """Name what is in a picture; picture: the bytes of a file. See `LabelOptions` for the rest."""
        options = _given(
            top=top,
            method=list(methods),
            candidates=candidates,
            under=under,
            own=own,
            reject=reject,
            explain=explain,
            standings=standings,
            sure=sure,
            regions=regions or None,
        )
        form = {"labels": labels} if labels else {}  # not in the address, which must stay short
        return self._asked(LabelAnswer, "POST", "/v1/label", params=options, data=form, files={"file": picture})

    def embed(self, picture: bytes) -> Embedding:
        """Return a picture as a unit vector of the label space."""
        return self._asked(Embedding, "POST", "/v1/embed", files={"file": picture})

    def search(
        self,
        words: str = "",
        *,
        sense: str | None = None,
        like: int | None = None,
        top: int = 24,
        reject: Reject = "auto",
        since: str | None = None,
        until: str | None = None,
        folders: Sequence[str] = (),
        rating: int | None = None,
        index: str | None = None,
        lang: str | None = None,
    ) -> Hits:
        """Find photos of an index of the service nearest to words, or to one of its photos.

        sense: id of the noun's intended sense. like: number of the photo, instead of words.
        reject: see `Wanted`. since, until, folders, rating: see `filters_of`. index, lang: of `options`.
        """
        asked = _given(q=words or None, sense=sense, like=like, top=top, reject=reject, since=since, until=until)
        params = asked | _given(**{"in": list(folders) or None}, rating=rating, index=index, lang=lang)
        return self._asked(Hits, "GET", "/v1/search", params=params)

    def photos(self, *, top: int = 8, first: int | None = None, index: str | None = None) -> PhotoList:
        """Return photos spread over an index of the service, or those from number `first` on."""
        return self._asked(PhotoList, "GET", "/v1/photos", params=_given(top=top, first=first, index=index))

    def correct(
        self,
        photo: int,
        verdict: Literal["accept", "reject", "undo"],
        name: str,
        *,
        instead_of: str | None = None,
        index: str | None = None,
        lang: str | None = None,
    ) -> Corrected:
        """Accept or reject a name of a photo; it is in the photo's sidecar when this returns. See `CorrectionAsked`."""
        body = CorrectionAsked(photo=photo, name=name, verdict=verdict, instead_of=instead_of, index=index)
        return self._asked(Corrected, "PUT", "/v1/corrections", json=body.model_dump(), params=_given(lang=lang))

    def options(self) -> Options:
        """Return the indexes and languages of the service, and whether it keeps corrections."""
        return self._asked(Options, "GET", "/v1/options")

    def find_labels(self, query: str = "", *, top: int = 20) -> LabelList:
        """Look up labels by name, and list the users' own labels."""
        return self._asked(LabelList, "GET", "/v1/labels", params={"q": query, "top": top})

    def put_label(self, name: str, definition: str = "") -> OwnLabelKept:
        """Store your own label; it is on the service's disk when this returns."""
        body = OwnLabel(name=name, definition=definition).model_dump()
        return self._asked(OwnLabelKept, "PUT", "/v1/labels", json=body)

    def delete_label(self, name: str) -> None:
        """Delete your own label."""
        self._answer("DELETE", "/v1/labels", params={"name": name})

    def health(self) -> Health:
        """Return the state of the service."""
        return self._asked(Health, "GET", "/healthz")

    def _asked(self, kind: type[_Answer], method: str, path: str, **call: Any) -> _Answer:
        return kind.model_validate_json(self._answer(method, path, **call).content)

    def _answer(self, method: str, path: str, **call: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **call)
        except httpx.HTTPError as error:
            raise RefusedError(
                f"{self._http.base_url}: no answer ({type(error).__name__}: {error}): is it running?"
            ) from None
        if answer.is_success:
            return answer
        raise _failure(answer)


def _given(**params: Any) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _failure(answer: httpx.Response) -> DeviseError:
    try:
        error = answer.json()["error"]
        code, message = str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "", f"{answer.request.url}: status {answer.status_code}: is this a devise service?"
    if answer.status_code == 422:
        return PictureError(message) if code == "picture" else UsageError(message)
    after = answer.headers.get("retry-after", "")
    return RefusedError(message, answer.status_code, code, float(after) if after.isdecimal() else None)
