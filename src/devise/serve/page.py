"""Serve the page: a few files of the package, read once; no path of a request is ever opened."""

from importlib.resources import files

from fastapi import APIRouter, Request, Response

__all__ = ["page_routes"]

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/page/calls.js": ("calls.js", "text/javascript; charset=utf-8"),
    "/page/answer.js": ("answer.js", "text/javascript; charset=utf-8"),
    "/page/batch.js": ("batch.js", "text/javascript; charset=utf-8"),
    "/page/label.js": ("label.js", "text/javascript; charset=utf-8"),
    "/page/own.js": ("own.js", "text/javascript; charset=utf-8"),
    "/page/table.js": ("table.js", "text/javascript; charset=utf-8"),
    "/page/photos.js": ("photos.js", "text/javascript; charset=utf-8"),
    "/page/search.js": ("search.js", "text/javascript; charset=utf-8"),
    "/page/map.js": ("map.js", "text/javascript; charset=utf-8"),
    "/page/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}


def page_routes() -> APIRouter:
    """Return the routes for the files of the page."""
    routes = APIRouter()
    folder = files("devise.serve") / "page"
    for path, (name, kind) in _FILES.items():
        _add(routes, path, (folder / name).read_bytes(), kind)
    return routes


def _add(routes: APIRouter, path: str, body: bytes, kind: str) -> None:
    def answer(request: Request) -> Response:
        return Response(body, media_type=kind, headers={"cache-control": "no-cache"})

    routes.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)
