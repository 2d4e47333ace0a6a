"""Keywords in an XMP packet, which digiKam, darktable, Lightroom and others read: bytes in, bytes out.

Keywords go into three lists: `dc:subject` (single names), `lr:hierarchicalSubject` ("animal|bird|heron") and
`digiKam:TagsList` ("animal/bird/heron"). What devise adds to each is recorded in properties of its own, so that it can
be taken back. A keyword that a person wrote is never recorded, and so never removed. A recorded keyword that is missing
from its list was removed by a person: it is not added again.

`devise:corrections` records what a person said of names: an accepted name is a keyword of that person, although devise
may have recorded it before; a rejected one is taken out, and not added again.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from devise.errors import PHOTOS_EXTRA, DeviseError, UsageError

if TYPE_CHECKING:
    from lxml import etree

__all__ = [
    "EMPTY_INSIDE",
    "MOST_CORRECTIONS",
    "Correction",
    "Keyword",
    "SidecarError",
    "Verdict",
    "clear",
    "correct",
    "corrections_in",
    "has_records",
    "names_in",
    "names_of_person",
    "require_xmp",
    "tag",
]

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
_CORRECTIONS = f"{{{_OWN}}}corrections"
_CONTAINERS = tuple(f"{{{_RDF}}}{name}" for name in ("Bag", "Seq", "Alt"))
_TOOLKIT = f"{{{_X}}}xmptk"
_MADE_BY = "devise"
_ABOUT = f"{{{_RDF}}}about"
_EMPTY = f'<x:xmpmeta xmlns:x="{_X}" x:xmptk="{_MADE_BY}"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'.encode()
EMPTY_INSIDE = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n' + _EMPTY + b'\n<?xpacket end="w"?>'
"""What a packet inside a photo begins with and ends with, so that programs that do not know the format find it."""

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_RECORDED = re.compile(r"(.+?) ([01]\.\d{3}) (.*)", re.DOTALL)  # id, probability, name
_CORRECTED = re.compile(r"(\S+) (accepted|rejected) ([0-7]) (.+)", re.DOTALL)  # id, verdict, changed lists, path
MOST_CORRECTIONS = 100
"""Of one photo."""
_MOST_ELEMENTS = 100_000  # of one sidecar; those of edits with many steps and masks have some 10,000


class SidecarError(DeviseError):
    """A sidecar cannot be read or changed; it is left as it is."""


@dataclass(frozen=True, slots=True)
class Keyword:
    """A name of what a photo shows.

    path: names from the widest to this one. id: of the synset, or of a label typed by the user. probability: in [0, 1].
    """

    path: tuple[str, ...]
    id: str
    probability: float


class Verdict(StrEnum):
    """What a person said of a name: the photo shows it, or not."""

    accepted = "accepted"
    rejected = "rejected"


@dataclass(frozen=True, slots=True)
class Correction:
    """A name of a photo that a person accepted or rejected; path, id: see `Keyword`."""

    path: tuple[str, ...]
    id: str
    verdict: Verdict

    @property
    def name(self) -> str:
        """Return the name itself."""
        return self.path[-1]


def tag(packet: bytes | None, keywords: Sequence[Keyword], new: bytes = _EMPTY) -> bytes | None:
    """Make the keywords those that devise has in this XMP packet; its earlier ones that are not among them go.

    packet: None if there is none yet; new: what it begins as then. keywords: from wide to narrow; the narrowest, that
    of each thing in the photo, go into the hierarchical lists with their paths, and all of them into the flat one.
    Those that a person rejected are left out. None if nothing changes. SidecarError if the packet is not XMP.
    """
    if packet is None and not keywords:
        return None
    root = _parsed(new if packet is None else packet)
    corrected = _corrected(root)
    named = [
        replace(one, path=tuple(_NOT_XML.sub("", name) for name in one.path))
        for one in keywords
        if one.id not in corrected or corrected[one.id].verdict != Verdict.rejected
    ]
    paths = [one.path for one in named]
    narrow = [_entries(path) for path in paths if not any(other[: len(path)] == path != other for other in paths)]
    wanted = ([path[-1] for path in paths], [bars for _, bars, _ in narrow], [slashes for *_, slashes in narrow])
    changed = _describe(root, named)
    for (name, kind, record), values, accepted in zip(_LISTS, wanted, _accepted(corrected.values()), strict=True):
        changed |= _renew(root, name, kind, record, list(dict.fromkeys(values)), accepted)
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
    for (name, _, record), accepted in zip(_LISTS, _accepted(_corrected(root).values()), strict=True):
        ours = set(_values(root, record)) - accepted
        changed |= _remove(root, record, ours) | _remove(root, name, ours)
    if not changed:
        return packet, False
    return (None if not _tidy(root) and root.get(_TOOLKIT) == _MADE_BY else _written(root, packet)), True


def correct(
    packet: bytes | None, corrections: Sequence[Correction], undone: Collection[str] = ()
) -> tuple[bytes | None, bool]:
    """Record corrections in this XMP packet, and bring its keywords up to date.

    An accepted name goes into all lists and is the person's from now on: `clear` and `tag` leave it. A rejected one
    goes out of them, whoever wrote it; `tag` does not add it again. The last verdict on a name counts.
    packet: None if there is none yet. undone: ids of names whose correction is taken back: the lists are as before it.
    Returns the packet and whether it changed; it is None if devise made it and nothing else is in it. SidecarError if
    it is not XMP, or would have over MOST_CORRECTIONS corrections.

    >>> cat = Correction(("animal", "cat"), "n02121620", Verdict.accepted)
    >>> made, _ = correct(None, [cat])
    >>> correct(made, [], ["n02121620"])
    (None, True)
    """
    root = _parsed(_EMPTY if packet is None else packet)
    before = _corrected(root)
    kept = dict(before)
    if _property(root, _CORRECTIONS) is None:  # first, so that all lists get into one description
        etree = _etree()
        etree.SubElement(etree.SubElement(_own_description(root), _CORRECTIONS), f"{{{_RDF}}}Bag")
    for one_id in undone:
        if (earlier := kept.pop(one_id, None)) is not None:
            _undo(root, earlier, kept.values())
    for one in corrections:
        earlier = kept.get(one.id)
        if earlier is not None and earlier.verdict == one.verdict:
            continue
        if earlier is not None:
            _undo(root, kept.pop(one.id), kept.values())
        path = tuple(filter(None, (_NOT_XML.sub("", name).replace("|", "-") for name in one.path)))
        if not path:
            raise SidecarError("a name of characters that XML does not allow: give another")
        kept[one.id] = _carry_out(root, replace(one, path=path), kept.values())
    if kept == before:
        return packet, False
    if len(kept) > MOST_CORRECTIONS:
        raise SidecarError(f"{MOST_CORRECTIONS} corrections, which is the limit: undo one first")
    _drop(*_items(root, _CORRECTIONS))
    _append(root, _CORRECTIONS, "Bag", [one.text for one in kept.values()])
    if not kept:
        _drop(_property(root, _CORRECTIONS))
    return (None if not _tidy(root) and root.get(_TOOLKIT) == _MADE_BY else _written(root, packet)), True


def has_records(packet: bytes) -> bool:
    """Return whether these bytes, a packet or a whole photo, can contain something that devise wrote."""
    return _OWN.encode() in packet


def corrections_in(packet: bytes) -> tuple[Correction, ...]:
    """Return what a person said of names. SidecarError if the packet is not XMP."""
    return tuple(Correction(one.path, one.id, one.verdict) for one in _corrected(_parsed(packet)).values())


def names_in(packet: bytes) -> tuple[str, ...]:
    """Return the names in the flat list, whoever wrote them. SidecarError if the packet is not XMP."""
    return tuple(_values(_parsed(packet), _LISTS[0][0]))


def names_of_person(packet: bytes) -> tuple[tuple[str, ...], ...]:
    """Return the keywords that devise did not write, each a path of names, from wide to narrow.

    A single name for one of the flat list. SidecarError if the packet is not XMP.
    """
    root = _parsed(packet)
    found: dict[tuple[str, ...], None] = {}
    accepted = _accepted(_corrected(root).values())
    for (name, _, record), separator, yours in zip(_LISTS, ("", "|", "/"), accepted, strict=True):
        ours = set(_values(root, record)) - yours
        theirs = (value for value in _values(root, name) if value not in ours)
        paths = (value.split(separator) if separator else [value] for value in theirs)
        named = (tuple(filter(None, map(str.strip, path))) for path in paths)
        found |= dict.fromkeys(path for path in named if path)
    return tuple(found)


def require_xmp() -> None:
    """UsageError if the library that reads and writes XMP is not installed."""
    _etree()


def _etree() -> Any:
    try:
        from lxml import etree
    except ImportError:
        raise UsageError(f"keywords in XMP need {PHOTOS_EXTRA}") from None
    return etree


def _parsed(packet: bytes) -> "etree._Element":
    """Return the root; nothing outside the packet is read, and no entity is expanded."""
    etree = _etree()
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(packet.strip(b"\0 \r\n\t"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise SidecarError(f"not XML ({getattr(error, 'msg', error)}): it is left as it is") from None
    if root.getroottree().docinfo.doctype:
        raise SidecarError("it has a DOCTYPE, which XMP does not allow: it is left as it is")
    if sum(1 for _ in root.iter()) > _MOST_ELEMENTS:
        raise SidecarError(f"over {_MOST_ELEMENTS:,} elements: it is left as it is")
    _rdf(root)
    return root


def _rdf(root: "etree._Element") -> "etree._Element":
    found = root if root.tag == f"{{{_RDF}}}RDF" else root.find(f"{{{_RDF}}}RDF")
    if found is None:
        raise SidecarError("not XMP (it has no rdf:RDF): it is left as it is")
    return found


def _descriptions(root: "etree._Element") -> "list[etree._Element]":
    return list(_rdf(root).iterchildren(f"{{{_RDF}}}Description"))


def _property(root: "etree._Element", name: str) -> "etree._Element | None":
    """Return the element of a property. SidecarError if it is written as a plain value where a list belongs."""
    found = next((one for description in _descriptions(root) for one in description.iterchildren(name)), None)
    plain = found is not None and _container(found) is None and (found.text or "").strip()
    if plain or any(name in description.attrib for description in _descriptions(root)):
        raise SidecarError(f"{_short(name)} is not a list: it is left as it is")
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


def _renew(
    root: "etree._Element", name: str, kind: str, record: str, wanted: Sequence[str], accepted: Collection[str]
) -> bool:
    """Bring a list and the record of what devise added to it up to date; whether either changed.

    accepted: values that are a person's now: neither removed nor added again.
    """
    recorded, present = [one for one in _values(root, record) if one not in accepted], set(_values(root, name))
    removed = [value for value in recorded if value not in present]
    fresh = [value for value in wanted if value not in present and value not in removed and value not in accepted]
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


@dataclass(frozen=True, slots=True)
class _Corrected(Correction):
    """A correction as recorded. lists: bits of the lists, of _LISTS, that had to be changed for it."""

    lists: int = 0

    @property
    def text(self) -> str:
        return f"{self.id} {self.verdict} {self.lists} {'|'.join(self.path)}"


def _corrected(root: "etree._Element") -> dict[str, _Corrected]:
    """Return the recorded corrections by id; other values are passed over."""
    found = filter(None, map(_CORRECTED.fullmatch, _values(root, _CORRECTIONS)))
    return {one[1]: _Corrected(tuple(one[4].split("|")), one[1], Verdict(one[2]), int(one[3])) for one in found}


def _entries(path: Sequence[str]) -> tuple[str, str, str]:
    """Return a name as each of _LISTS has it."""
    return path[-1], "|".join(one.replace("|", "-") for one in path), "/".join(one.replace("/", "-") for one in path)


def _accepted(corrections: Iterable[Correction]) -> tuple[set[str], set[str], set[str]]:
    """Return the accepted names as each of _LISTS has them."""
    flat, bars, slashes = set[str](), set[str](), set[str]()
    for one in corrections:
        if one.verdict == Verdict.accepted:
            for values, value in zip((flat, bars, slashes), _entries(one.path), strict=True):
                values.add(value)
    return flat, bars, slashes


def _carry_out(root: "etree._Element", asked: Correction, others: Iterable[Correction]) -> _Corrected:
    """Add an accepted name to the lists, or remove a rejected one that no other correction accepts."""
    lists, path = 0, asked.path
    if asked.verdict == Verdict.rejected:  # as devise wrote it, which may be below other names
        written = (tuple(one.split("|")) for one in _values(root, _LISTS[1][2]))
        path = next((one for one in written if one[-1] == path[-1]), path)
    for bit, ((name, kind, _), value, kept) in enumerate(zip(_LISTS, _entries(path), _accepted(others), strict=True)):
        present = value in _values(root, name)
        if asked.verdict == Verdict.accepted and not present:
            _append(root, name, kind, [value])
        elif asked.verdict == Verdict.rejected and present and value not in kept:
            _remove(root, name, [value])
        else:
            continue
        lists |= 1 << bit
    return _Corrected(path, asked.id, asked.verdict, lists)


def _undo(root: "etree._Element", done: _Corrected, others: Iterable[Correction]) -> None:
    """Bring the lists back to what they were before a correction."""
    for bit, ((name, kind, _), value, kept) in enumerate(
        zip(_LISTS, _entries(done.path), _accepted(others), strict=True)
    ):
        if not done.lists & 1 << bit:
            continue
        if done.verdict == Verdict.accepted and value not in kept:
            _remove(root, name, [value])
        elif done.verdict == Verdict.rejected and value not in _values(root, name):
            _append(root, name, kind, [value])


def _own_description(root: "etree._Element") -> "etree._Element":
    """Return the description with devise's records, else a new one: those of other programs stay as they are."""
    for description in _descriptions(root):
        if any(isinstance(one.tag, str) and one.tag.startswith(f"{{{_OWN}}}") for one in description):
            return description
    about = next((one.get(_ABOUT, "") for one in _descriptions(root)), "")
    return _etree().SubElement(_rdf(root), f"{{{_RDF}}}Description", {_ABOUT: about}, nsmap=_PREFIXES)


def _describe(root: "etree._Element", keywords: Sequence[Keyword]) -> bool:
    """Record id, probability and name of each keyword as one text, which all programs keep; whether that changed."""
    records = [f"{one.id} {one.probability:.3f} {one.path[-1]}" for one in keywords]
    if _agree(records, before := _values(root, _LABELS)):
        return False
    _remove(root, _LABELS, before)
    _append(root, _LABELS, "Seq", records)
    return True


def _agree(records: Sequence[str], before: Sequence[str]) -> bool:
    """Return whether two records of keywords differ in the last digit of a probability at most.

    Probabilities of two runs differ by 0.000001, as other photos are scored with them; a second run changes no file.
    """
    return len(records) == len(before) and all(map(_is_near, records, before))


def _is_near(record: str, before: str) -> bool:
    one, other = _RECORDED.fullmatch(record), _RECORDED.fullmatch(before)
    if one is None or other is None:
        return record == before
    return one.group(1, 3) == other.group(1, 3) and abs(float(one[2]) - float(other[2])) < 0.0015


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
