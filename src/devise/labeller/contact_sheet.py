"""One HTML page of the photos that a search found: thumbnails inside it, no script, no network."""

from html import escape
from pathlib import Path

from devise.errors import PictureError
from devise.labeller.page import printable
from devise.labeller.search import Hit, Hits
from devise.vision.thumbnails import data_uri

__all__ = ["contact_sheet"]

_SIDE = 240
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """:root { color-scheme: light dark; font: 16px/1.4 system-ui, sans-serif; }
body { margin: 1.5rem; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; padding: 0; }
li { list-style: none; }
img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #8882; }
p { margin: .2rem 0; overflow-wrap: anywhere; font-size: .85rem; }
"""


def contact_sheet(found: Hits, asked: str) -> str:
    """The page as text. asked: what was looked for, for its title. A photo that cannot be read any more says so."""
    title = escape(printable(f"{len(found.hits):,} photos of {found.photos:,}: {asked}"))
    items = "\n".join(_item(hit) for hit in found.hits)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<link rel="icon" href="data:,">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        f"<ol>\n{items}\n</ol>\n</body>\n</html>\n"
    )


def _item(hit: Hit) -> str:
    name = escape(printable(hit.path), quote=True)
    called = escape(printable(hit.label.name), quote=True)
    return f"<li>{_picture(hit, called)}<p>{hit.score:.4f}, {called}</p><p>{name}</p></li>"


def _picture(hit: Hit, called: str) -> str:
    try:
        return f'<img alt="{called}" src="{data_uri(Path(hit.path), _SIDE)}">'
    except PictureError as error:
        return f"<p>{escape(str(error))}</p>"
