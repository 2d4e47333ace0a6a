"""Keywords of photos in XMP sidecars, which digiKam, darktable, Lightroom and others read.

Keywords go into three lists: `dc:subject` (single names), `lr:hierarchicalSubject` ("animal|bird|heron") and
`digiKam:TagsList` ("animal/bird/heron"). What devise adds to each is recorded in properties of its own, so that it can
be taken back. A keyword that a person wrote is never recorded, and so never removed. A recorded keyword that is missing
from its list was removed by a person: it is not added again.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devise.errors import DeviseError, UsageError
from devise.files import atomic_write, read_file, reason_of

if TYPE_CHECKING:
    from lxml import etree

__all__ = [
    "LARGEST_SIDECAR",
    "Keyword",
    "SidecarError",
    "SidecarName",
    "clear",
    "clear_sidecar",
    "require_xmp",
    "shares_stem",
    "sidecar_of",
    "tag",
    "tag_sidecar",
]

LARGEST_SIDECAR = 10_000_000
"""Bytes. Sidecars of photos have a few thousand; programs for faces and edits write some 100,000."""

_X = "adobe:ns:meta/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_DC = "http://purl.org/dc/elements/1.1/"
_LIGHTROOM = "http://ns.adobe.com/lightroom/1.0/"
_DIGIKAM = "http://www.digikam.org/ns/1.0/"
_OWN = "http://devise-zsl/ns/1.0/"
_PREFIXES = {"x": _X, "rdf": _RDF, "dc": _DC, "lr": _LIGHTROOM, "digiKam": _DIGIKAM, "devise": _OWN}
_LISTS = (
    (f"{{{_DC}}}subject", "Bag", f"{{{_OWN}}}subject"),
    (f"{{{_LIGHTROOM}}}hierarchicalSubject", "Bag", f"{{{_OWN}}}hierarchicalSubject"),
    (f"{{{_DIGIKAM}}}TagsList", "Seq", f"{{{_OWN}}}TagsList"),
)
"""Of each list: its name, the container it is made with, and the property that records what devise added to it."""

_LABELS = f"{{{_OWN}}}labels"
_CONTAINERS = tuple(f"{{{_RDF}}}{name}" for name in ("Bag", "Seq", "Alt"))
_TOOLKIT = f"{{{_X}}}xmptk"
_MADE_BY = "devise"
_ABOUT = f"{{{_RDF}}}about"
_EMPTY = f'<x:xmpmeta xmlns:x="{_X}" x:xmptk="{_MADE_BY}"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'.encode()
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_MOST_ELEMENTS = 100_000  # of one sidecar; those of edits with many steps and masks have some 10,000
_TRIES = 5


class SidecarError(DeviseError):
    """A sidecar cannot be read or changed; it is left as it is."""


class SidecarName(StrEnum):
    """How a sidecar is named: photo.jpg.xmp (digiKam, darktable, Immich) or photo.xmp (Lightroom, Capture One)."""

    full = "full"
    stem = "stem"


@dataclass(frozen=True, slots=True)
class Keyword:
    """A name of what a photo shows.

    path: names from the widest to this one. id: of the synset, or of a label typed by the user. probability: in [0, 1].
    """

    path: tuple[str, ...]
    id: str
    probability: float


def sidecar_of(photo: Path, name: SidecarName = SidecarName.full) -> Path:
    """Return where the sidecar of a photo is.

    >>> sidecar_of(Path("a/cat.jpg")).as_posix(), sidecar_of(Path("a/cat.jpg"), SidecarName.stem).as_posix()
    ('a/cat.jpg.xmp', 'a/cat.xmp')
    """
    return photo.with_name(f"{photo.name if name == SidecarName.full else photo.stem}.xmp")


def shares_stem(photo: Path) -> bool:
    """Return whether another file has the same name with another ending, and so the same photo.xmp."""
    return any(
        one.stem == photo.stem and one.suffix.lower() != ".xmp" and one.name != photo.name
        for one in photo.parent.iterdir()
    )


def tag(packet: bytes | None, keywords: Sequence[Keyword]) -> bytes | None:
    """Make the keywords those that devise has in this XMP packet; its earlier ones that are not among them go.

    packet: None if there is no sidecar yet. keywords: from wide to narrow; the narrowest goes into the hierarchical
    lists with its path, and all of them into the flat one.
    None if nothing changes. SidecarError if the packet is not XMP.
    """
    if packet is None and not keywords:
        return None
    root = _parsed(_EMPTY if packet is None else packet)
    named = [replace(one, path=tuple(_NOT_XML.sub("", name) for name in one.path)) for one in keywords]
    narrow = [named[-1].path] if named else []
    wanted = (
        [one.path[-1] for one in named],
        ["|".join(name.replace("|", "-") for name in path) for path in narrow],
        ["/".join(name.replace("/", "-") for name in path) for path in narrow],
    )
    changed = _describe(root, named)
    for (name, kind, record), values in zip(_LISTS, wanted, strict=True):
        changed |= _renew(root, name, kind, record, list(dict.fromkeys(values)))
    if not changed:
        return None
    _tidy(root)
    return _written(root, packet)


def clear(packet: bytes) -> tuple[bytes | None, bool]:
    """Take back what devise added to this XMP packet, and its records.

    Returns the packet and whether it changed. The packet is None if devise made it and nothing else is in it.
    SidecarError if it is not XMP.
    """
    root = _parsed(packet)
    changed = _describe(root, ())
    for name, _, record in _LISTS:
        ours = _values(root, record)
        changed |= _remove(root, record, ours) | _remove(root, name, ours)
    if not changed:
        return packet, False
    return (None if not _tidy(root) and root.get(_TOOLKIT) == _MADE_BY else _written(root, packet)), True


def tag_sidecar(path: Path, keywords: Sequence[Keyword]) -> bool:
    """Give a sidecar these keywords, whole or not at all; whether its file changed. See `tag`.

    SidecarError, which names it, if it cannot be read, is not XMP or cannot be written.
    """
    return _replaced(path, lambda packet: _Outcome(tag(packet, keywords)))


def clear_sidecar(path: Path) -> bool:
    """Take back what devise added to a sidecar; a sidecar that has nothing else is removed. Whether it changed.

    SidecarError as in `tag_sidecar`.
    """

    def cleared(packet: bytes | None) -> "_Outcome":
        if packet is None:
            return _Outcome(None)
        left, changed = clear(packet)
        return _Outcome(left if changed else None, remove=left is None)

    return _replaced(path, cleared)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What to write, or None to leave the file as it is; remove: take the file away instead."""

    packet: bytes | None
    remove: bool = False


def _replaced(path: Path, change: Callable[[bytes | None], "_Outcome"]) -> bool:
    """Change a file that another program may be writing: begin again if it is another one by the time of the write."""
    try:
        for _ in range(_TRIES):
            before = _read(path)
            outcome = change(before)
            if outcome.packet is None and not outcome.remove:
                return False
            if _read(path) != before:
                continue
            if outcome.packet is None:
                path.unlink()
            else:
                mode = path.stat().st_mode if before is not None else None
                with atomic_write(path, "wb") as file:
                    file.write(outcome.packet)
                if mode is not None:
                    path.chmod(mode & 0o7777)
            return True
    except SidecarError as error:
        raise SidecarError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:
        raise SidecarError(f"{path}: {reason_of(error)}") from None
    raise SidecarError(f"{path}: another program keeps changing it: run again when it has ended")


def _read(path: Path) -> bytes | None:
    try:
        return read_file(path, LARGEST_SIDECAR)
    except FileNotFoundError:
        return None


def require_xmp() -> None:
    """UsageError if the library that reads and writes XMP is not installed."""
    _etree()


def _etree() -> Any:
    try:
        from lxml import etree
    except ImportError:
        raise UsageError("XMP sidecars need the extra photos: pip install 'devise-zsl[photos]'") from None
    return etree


def _parsed(packet: bytes) -> "etree._Element":
    """Return the root; nothing outside the packet is read, and no entity is expanded."""
    etree = _etree()
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(packet.strip(b"\0 \r\n\t"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise SidecarError(f"not XML ({getattr(error, 'msg', error)}): the sidecar is left as it is") from None
    if root.getroottree().docinfo.doctype:
        raise SidecarError("it has a DOCTYPE, which XMP does not allow: the sidecar is left as it is")
    if sum(1 for _ in root.iter()) > _MOST_ELEMENTS:
        raise SidecarError(f"over {_MOST_ELEMENTS:,} elements: the sidecar is left as it is")
    _rdf(root)
    return root


def _rdf(root: "etree._Element") -> "etree._Element":
    found = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f"{{{_RDF}}}RDF")
    if found is None:
        raise SidecarError("not XMP (it has no rdf:RDF): the sidecar is left as it is")
    return found


def _descriptions(root: "etree._Element") -> "list[etree._Element]":
    return list(_rdf(root).iterchildren(f"{{{_RDF}}}Description"))


def _property(root: "etree._Element", name: str) -> "etree._Element | None":
    """Return the element of a property. SidecarError if it is written as a plain value where a list belongs."""
    found = next((one for description in _descriptions(root) for one in description.iterchildren(name)), None)
    plain = found is not None and _container(found) is None and (found.text or "").strip()
    if plain or any(name in description.attrib for description in _descriptions(root)):
        raise SidecarError(f"{_short(name)} is not a list: the sidecar is left as it is")
    return found


def _short(name: str) -> str:
    uri, local = name[1:].split("}")
    return f"{next(prefix for prefix, of in _PREFIXES.items() if of == uri)}:{local}"


def _container(element: "etree._Element") -> "etree._Element | None":
    return next((one for one in element if one.tag in _CONTAINERS), None)


def _items(root: "etree._Element", name: str) -> "list[etree._Element]":
    element = _property(root, name)
    container = None if element is None else _container(element)
    return [] if container is None else list(container.iterchildren(f"{{{_RDF}}}li"))


def _value(item: "etree._Element") -> str:
    """Return the text of an item, or of the value that its qualifiers describe."""
    return item.text or item.findtext(f".//{{{_RDF}}}value") or ""


def _values(root: "etree._Element", name: str) -> list[str]:
    return [_value(item) for item in _items(root, name)]


def _renew(root: "etree._Element", name: str, kind: str, record: str, wanted: Sequence[str]) -> bool:
    """Bring a list and the record of what devise added to it up to date; whether either changed."""
    recorded, present = _values(root, record), set(_values(root, name))
    removed = [value for value in recorded if value not in present]
    fresh = [value for value in wanted if value not in present and value not in removed]
    ours = list(dict.fromkeys([*(value for value in wanted if value in recorded or value in fresh), *removed]))
    if set(ours) == set(recorded) and not fresh:
        return False
    _remove(root, record, recorded)
    _append(root, record, "Bag", ours)
    _remove(root, name, [value for value in recorded if value not in wanted])
    _append(root, name, kind, fresh)
    return True


def _remove(root: "etree._Element", name: str, values: Collection[str]) -> bool:
    """Remove these values of a list, and the list if none is left; whether there were any."""
    values = set(values)
    gone = [item for item in _items(root, name) if _value(item) in values]
    _drop(*gone)
    if gone and not _items(root, name):
        _drop(_property(root, name))
    return bool(gone)


def _append(root: "etree._Element", name: str, kind: str, values: Sequence[str]) -> None:
    """Add values to a list, which is made if it is missing and there is a value."""
    if not values:
        return
    etree = _etree()
    element = _property(root, name)
    if element is None:
        element = etree.SubElement(_own_description(root), name)
    container = _container(element)
    if container is None:
        container = etree.SubElement(element, f"{{{_RDF}}}{kind}")
    for value in values:
        etree.SubElement(container, f"{{{_RDF}}}li").text = value


def _own_description(root: "etree._Element") -> "etree._Element":
    """Return the description with devise's records, else a new one: those of other programs stay as they are."""
    for description in _descriptions(root):
        if any(isinstance(one.tag, str) and one.tag.startswith(f"{{{_OWN}}}") for one in description):
            return description
    about = next((one.get(_ABOUT, "") for one in _descriptions(root)), "")
    return _etree().SubElement(_rdf(root), f"{{{_RDF}}}Description", {_ABOUT: about}, nsmap=_PREFIXES)


def _describe(root: "etree._Element", keywords: Sequence[Keyword]) -> bool:
    """Record id, probability and name of each keyword as one text, which all programs keep; whether that changed."""
    told = [f"{one.id} {one.probability:.3f} {one.path[-1]}" for one in keywords]
    if told == (before := _values(root, _LABELS)):
        return False
    _remove(root, _LABELS, before)
    _append(root, _LABELS, "Seq", told)
    return True


def _tidy(root: "etree._Element") -> "list[etree._Element]":
    """Remove descriptions without a property, except the last one; return those that have one."""
    full: list[etree._Element] = []
    empty: list[etree._Element] = []
    for one in _descriptions(root):
        (full if len(one) or set(one.attrib) - {_ABOUT} else empty).append(one)
    _drop(*(empty if full else empty[:-1]))
    return full


def _drop(*elements: "etree._Element | None") -> None:
    """Remove elements of one parent, but not the text after them; in one pass, for a hostile file has very many."""
    gone = {one for one in elements if one is not None}
    parent = next(iter(gone)).getparent() if gone else None
    if parent is None:
        return
    before: etree._Element | None = None
    texts: list[str] = []
    for child in [*parent, None]:
        if child is not None and child in gone:
            texts.append(child.tail if child.tail and child.tail.strip() else "")
            parent.remove(child)
            continue
        if any(texts) and before is None:
            parent.text = (parent.text or "") + "".join(texts)
        elif any(texts) and before is not None:
            before.tail = (before.tail or "") + "".join(texts)
        before, texts = child, []


def _written(root: "etree._Element", before: bytes | None) -> bytes:
    """Return the packet in UTF-8, with an XML declaration if it had one; one that devise made is indented."""
    etree = _etree()
    if root.get(_TOOLKIT) == _MADE_BY:
        etree.indent(root)
    declared = before is not None and b"<?xml " in before[:64].replace(b"\0", b"")
    whole: bytes = etree.tostring(root.getroottree(), encoding="UTF-8", xml_declaration=declared)
    return whole if whole.endswith(b"\n") else whole + b"\n"
