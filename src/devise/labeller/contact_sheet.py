"""One HTML page of the photos that a search found: thumbnails inside it, no script, no network."""

from html import escape
from pathlib import Path

from devise.errors import PictureError
from devise.labeller.hits import Hit, Hits, shown_score
from devise.labeller.page import printable
from devise.vision.thumbnails import data_uri

__all__ = ["contact_sheet"]

_SIDE = 240
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """:root { color-scheme: light dark; font: 16px/1.4 system-ui, sans-serif; }
body { margin: 1.5rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1.25rem 1rem; padding: 0; }
li { list-style: none; min-width: 0; }
img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; background: #8882; border-radius: 6px; }
p { margin: .2rem 0; overflow-wrap: anywhere; font-size: .85rem; }
.folder { opacity: .75; font-size: .75rem; }
@media (max-width: 34rem) { body { margin: .75rem; } ol { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
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
    path = Path(hit.path)
    name, folder = (escape(printable(part), quote=True) for part in (path.name, str(path.parent)))
    called = escape(printable(hit.label.name), quote=True)
    told = f'<p><b>{name}</b></p><p>{escape(shown_score(hit.score))}, {called}</p><p class="folder">{folder}</p>'
    return f"<li>{_picture(hit, called)}{told}</li>"


def _picture(hit: Hit, called: str) -> str:
    try:
        return f'<img alt="{called}" src="{data_uri(Path(hit.path), _SIDE)}">'
    except PictureError as error:
        return f"<p>{escape(str(error))}</p>"
