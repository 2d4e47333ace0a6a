"""Labels typed by a user: "kick scooter, zedonk: offspring of a zebra and a donkey"."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from devise.errors import UsageError
from devise.model.classlist import unnumbered
from devise.text.phrases import term_key

__all__ = [
    "TypedLabel",
    "asked_name",
    "is_id",
    "is_synset_like",
    "looks_like_id",
    "parse_labels",
    "parse_lines",
    "user_id",
]

_ID = r"n\d{8}|[^\s,;:]+\.n\.\d{1,3}"
_IS_ID = re.compile(_ID, re.IGNORECASE)
_ID_FIRST = re.compile(
    rf"(?:\d+[\s,;:]+)?[(\[]?(?P<id>{_ID})[)\]]?[\s,;:=|_–—-]+(?:\d+[\s,;]+)?(?P<name>\S.*)", re.IGNORECASE
)
_PREFIX = r"(?:oewn|ewn|p?wn|omw|bn|wordnet|imagenet)[-.\d]*"
_ID_LAST = re.compile(
    rf"(?!{_PREFIX}:)(?P<name>.*?\S)[\s,;:=|]+[(\[]?(?P<id>{_ID})[)\]]?(?:[\s,;]+\d+)?", re.IGNORECASE
)
_ID_PREFIXED = re.compile(rf"(?:p?wn|wordnet|imagenet)(?:-?3\.?0)?:(?P<id>{_ID})", re.IGNORECASE)
_OWN_ID = re.compile(r"user:(?P<name>[^\s:]+)")  # as answers show the id of a label that is not a synset
_PRINTED = re.compile(rf"(?:\w+\.)?Synset\(\s*['\"]?(?P<id>{_ID})['\"]?\s*\)", re.IGNORECASE)  # as NLTK has a synset
_SYNSET_LIKE = re.compile(
    r"[nvars]\d{5,}(\s.*)?|[01]\d{7}\s.*|\d{8}-?[nvars]?|(\S+-)?\d{8}-[nvars]|\S*(?<![^\W_])n\d{8}(?!\d)\S*"
    r"|\S+\.([nvars]|noun|verb|adj|adv)\.\d+(\.\S+)?|\S+#([nvars]|\d)(#\d+)?|\S+%\d(:\S*)?"
    rf"|\S+[-_][nv][-_]\d{{1,2}}|{_PREFIX}[-:]\S*\d\S*|(Synset|Lemma)\(\S*\)",
    re.IGNORECASE,
)
_FOREIGN_ID = re.compile(r"[a-z]?\d{3,}[a-z]?|([a-z]+:)?[qp]\d+|(ili:)?i\d{4,}|(/\w+){2,}", re.IGNORECASE)
_FOREIGN_FIRST = re.compile(r"(?:(?:/[mg]/\w+|wd:Q\d+)[\s,;|]+|Q\d{2,}\s*[\t,;|]\s*)(?P<name>\S.*)")
_FOREIGN_LAST = re.compile(r"(?P<name>\S.*?)(?:\s*\((?:/[mg]/\w+|Q\d{2,})\)|\s*[\t,;|]\s*(?:/[mg]/\w+|Q\d{2,}))")
_FIELD = re.compile(r"(?:class|label|category|cls|tag|name|object|en|dbr|dbpedia):(?P<name>[^\W\d]\S*)", re.IGNORECASE)
_FILE = re.compile(r"\S+\.(jpe?g|png|gif|webp|tiff?|bmp|heic|avif|tar|zip|txt|csv|tsv|json)|[a-z]:\\.*", re.IGNORECASE)
_SHARE = r"(?:0?\.\d+|1\.0+|\d\.?\d*e-\d+)"
_SCORE = rf"(?:{_SHARE}|\d{{1,3}}(?:\.\d+)?\s?%)"  # 0.98, .98, 98 %
_NUMBER = re.compile(rf"\s*(?:{_SCORE}|\d[\d.,]*)\s*")
_BREAK = r"(?:\s*[,;:=|\t]\s*|\s+)"
_SCORED = re.compile(rf"(?:{_SHARE}{_BREAK})?(?P<name>(?=.*[^\W\d_])\S.*?)(?:{_BREAK}[(\[]?{_SCORE}[)\]]?)?")
_SPACED_ID = re.compile(r"(?P<name>[^,;:=|\t]+) (?P<term>[^\s,;:=|(\[]+)\.n\.\d{1,3}", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"(?:class|label|category|cls)(?:_\w+|[ -]?\d+)", re.IGNORECASE)  # LABEL_0
_PLACE = re.compile(r"/(?P<letter>[a-z])/(?P<name>(?P=letter)\w*(?:/\w+)*)")  # of Places365: /l/library/indoor
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S*|www\.\S+", re.IGNORECASE)

_CLOSING = {
    **{
        '"': '"”“',
        "＂": "＂",
        "“": '"”',
        "”": '"”',
        "„": "“”",
        "«": "»",
        "»": "«",
        "‹": "›",
        "›": "‹",
        "「": "」",
        "『": "』",
    },
    **{"‘": "’'", "’": "’", "‚": "‘’", "'": "'’", "`": "`'"},
}
_QUOTED = re.compile(
    r"(?P<before>^|[,;:\n])[^\S\n]*(?:"
    + "|".join(f"{re.escape(mark)}(?P<q{i}>[^\n]+?)[{ends}]" for i, (mark, ends) in enumerate(_CLOSING.items()))
    + r")(?=\s*(?:$|[,;:\n]))"
)
_LEFT_OVER = '"＂“”„«»‹›「」『』`|'
_CELLS = re.compile(r"[^\s:;]\t\S")  # a tab for a blank has blanks next to it
_BULLET = re.compile(r"[-*+•·–—]\s+")
_LIST = re.compile(r"\s*[\[({]\s*(?P<entries>[\"'].*[\"'])\s*,?\s*[\])}]\s*", re.DOTALL)  # of Python or JSON
_UNSEEN = dict.fromkeys((0xAD, 0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF))
"""Characters without width: soft hyphens, joiners, marks of direction, a byte order mark in the middle."""
_WIDE = {ord(mark): plain for mark, plain in zip("，、،；؛：", ",,,;;:", strict=True)}
"""Separators as Chinese, Japanese and Arabic write them."""
_KEPT = {ord(","): "\ue000", ord(";"): "\ue001", ord(":"): "\ue002"}
"""Separators of labels, and their placeholders inside quotes until the labels are split."""


@dataclass(frozen=True, slots=True)
class TypedLabel:
    """A name and its definition, if given.

    definition: in words, or the id of the intended WordNet sense ("mouse: n03793489").
    """

    name: str
    definition: str = ""


def parse_labels(*texts: str) -> tuple[TypedLabel, ...]:
    """Parse labels separated by semicolons and line ends or, without these, by commas.

    A colon starts a definition. If a definition contains a comma, separate labels with semicolons: with commas, text
    after a comma that follows a colon belongs to the definition unless it has its own colon. Quotes around a name or a
    definition are removed, and their content is not split. An id and a name, in either order, are a name with that
    sense, as in class lists of other tools. Blank entries are skipped; a duplicate name with the same definition is
    kept once. UsageError for an entry without a name, a name without a word, two definitions of one name, or no label.

    >>> [label.name for label in parse_labels("kick scooter, zedonk: offspring of a zebra and a donkey")]
    ['kick scooter', 'zedonk']
    >>> parse_labels("n02129165 lion")
    (TypedLabel(name='lion', definition='n02129165'),)
    """
    entries = (unnumbered(_entries(_unquoted(_unlisted(text.translate(_WIDE))))) for text in texts)
    return _unique(_parsed(one) for listed in entries for entry in listed for one in _ids_apart(entry))


def parse_lines(lines: Iterable[str]) -> tuple[TypedLabel, ...]:
    """Parse one label per line, which may contain commas and semicolons; else like `parse_labels`.

    Lines that are all numbered ("0 lion", "1 tiger") lose their numbers, see `unnumbered`. UsageError for a line of
    several columns, none of which is an id.

    >>> [label.name for label in parse_lines(["zedonk: part zebra, part donkey; sterile", "", "kick scooter"])]
    ['zedonk', 'kick scooter']
    """
    entries = (entry for line in unnumbered(list(lines)) for entry in _ids_apart(_stripped(line)))
    return _unique(_parsed(_unquoted(_one_column(entry))) for entry in entries)


def asked_name(text: str) -> str:
    """Return the name or id in a text, read as a line of a list; else the text itself.

    >>> asked_name("“big cats”"), asked_name("n02129165 lion"), asked_name("cat: a pet")
    ('big cats', 'n02129165', 'cat: a pet')
    """
    if not term_key(text):
        return text
    label = parse_lines([text])[0]
    if is_id(label.definition):
        return label.definition
    return text if label.definition else label.name


def is_id(text: str) -> bool:
    """Return whether a text has the form of a synset id: n02129165, or NLTK's lion.n.01."""
    return _IS_ID.fullmatch(text.strip()) is not None


def is_synset_like(text: str) -> bool:
    """Return whether a text has the form of a WordNet id as any tool writes it.

    >>> [is_synset_like(text) for text in ("n99999999", "lion.v.01", "02129165-n", "lion%1:05:00::", "lion")]
    [True, True, True, True, False]
    """
    return _SYNSET_LIKE.fullmatch(text.strip()) is not None


def looks_like_id(text: str) -> bool:
    """Return whether a text is an id of some tool, a URL, a file name or a number, not a name.

    >>> [looks_like_id(text) for text in ("lion.v.01", "Q140", "/m/096mb", "https://example.org/lion", "42", "lion")]
    [True, True, True, True, True, False]
    """
    text = text.strip()
    return any(map(bool, (_is_whole(text), _FILE.fullmatch(text), _PLACEHOLDER.fullmatch(text)))) or not _has_letter(
        text
    )


def user_id(name: str) -> str:
    """Return the id of a label that is not a synset.

    >>> user_id("Kick Scooter")
    'user:kick_scooter'
    """
    return f"user:{term_key(name)}"


def _unquoted(text: str) -> str:
    """Remove quotes around names and definitions, and mask separators inside them."""

    def bare(found: re.Match[str]) -> str:
        inside = next(part for part in found.groups()[1:] if part is not None)
        return found["before"] + inside.translate(_KEPT)

    return _QUOTED.sub(bare, text)


def _shown(text: str) -> str:
    """Collapse spaces between words, and restore masked separators."""
    return " ".join(text.translate({ord(kept): mark for mark, kept in _KEPT.items()}).split())


def _entries(text: str) -> list[str]:
    """Split at semicolons, or at commas that are not inside a definition.

    A comma is inside a definition if it follows a colon and the text up to the next comma or the end
    contains no colon: "a: b, c" is one label, "a: b, c: d" is two, "a, b: c" is two. An id is not such a definition.
    """
    if ";" in text or "\n" in text:
        return re.split(r"[;\n]", text)
    if "|" in text and "," not in text and not (_ID_FIRST.fullmatch(text) or _ID_LAST.fullmatch(text)):
        return text.split("|")
    entries: list[str] = []
    for piece in text.split(","):
        last = entries[-1].strip() if entries else ""
        definition = "" if _ID_FIRST.fullmatch(last) or _is_whole(last) else last.partition(":")[2]
        if definition.strip() and not _NUMBER.fullmatch(definition) and not is_id(definition) and ":" not in piece:
            entries[-1] += "," + piece
        else:
            entries.append(piece)
    return entries


def _parsed(entry: str) -> TypedLabel:
    if written := _PRINTED.fullmatch(entry.strip()) or _ID_PREFIXED.fullmatch(entry.strip()):
        return TypedLabel(written["id"].lower())
    entry = _stripped(entry)
    spaced = _SPACED_ID.fullmatch(entry)
    if spaced and not is_id(spaced["name"]) and term_key(spaced["name"]) != term_key(spaced["term"]):
        return TypedLabel("_".join(entry.lower().split()))  # "snow leopard.n.01"
    if listed := _ID_FIRST.fullmatch(entry) or _ID_LAST.fullmatch(entry):
        if not _has_letter(listed["name"]):  # a count, or how sure
            return TypedLabel(listed["id"].lower())
        return TypedLabel(_named(listed["name"].partition(":")[0].replace("_", " "), entry), listed["id"].lower())
    if own := _OWN_ID.fullmatch(entry):
        entry = own["name"].replace("_", " ")
    whole = _ADDRESS.match(entry) or _is_whole(entry)
    name, _, definition = (entry, "", "") if whole else entry.partition(":")
    if _has_letter(name) and _NUMBER.fullmatch(definition):
        definition = ""
    return TypedLabel(_named(name, entry), _shown(definition))


def _has_letter(text: str) -> bool:
    return re.search(r"[^\W\d_]", text) is not None


def _is_whole(text: str) -> bool:
    """Return whether a text is an id or an address, whose colon does not start a definition."""
    return any(pattern.fullmatch(text.strip()) for pattern in (_SYNSET_LIKE, _FOREIGN_ID, _ADDRESS, _OWN_ID))


def _stripped(entry: str) -> str:
    """Strip an entry of the marks of other tools' lists; never empty if it was not."""
    entry = entry.translate(_UNSEEN).strip()
    if named := _FOREIGN_FIRST.fullmatch(entry) or _FOREIGN_LAST.fullmatch(entry) or _PLACE.fullmatch(entry):
        entry = named["name"].replace("/", " ")
    if scored := _SCORED.fullmatch(entry):
        entry = scored["name"]
    if field := _FIELD.fullmatch(entry):
        entry = field["name"]
    return _BULLET.sub("", entry, count=1).rstrip(",;").strip() if _BULLET.match(entry) else entry.rstrip(",;") or entry


def _one_column(line: str) -> str:
    if _CELLS.search(line) and not (_ID_FIRST.fullmatch(line) or _ID_LAST.fullmatch(line)):
        raise UsageError(f"the line {_shown(line)!r} has several columns: write NAME or NAME: DEFINITION")
    return line


def _unlisted(text: str) -> str:
    """Return the content inside the brackets of a Python or JSON list."""
    listed = _LIST.fullmatch(text)
    return listed["entries"] if listed else text


def _ids_apart(entry: str) -> list[str]:
    """Return the entry, or its ids if it contains only ids; nothing if it is blank."""
    parts = re.split(r"[\s,;|]+", entry.strip(" \t\r,;|"))
    return parts if len(parts) > 1 and all(map(is_id, parts)) else [entry] if entry.strip() else []


def _named(name: str, entry: str) -> str:
    """Return the name as shown; UsageError if it contains no word."""
    shown = _shown(name.strip().strip(_LEFT_OVER))
    if not term_key(shown):
        raise UsageError(f"a label needs a word in its name, got {_shown(entry)!r}: write NAME or NAME: DEFINITION")
    return shown


def _unique(labels: Iterable[TypedLabel]) -> tuple[TypedLabel, ...]:
    """Remove duplicates; two ids of one name are two labels."""
    found: dict[str, TypedLabel] = {}
    for label in labels:
        key = label.definition if is_id(label.definition) else term_key(label.name)
        earlier = found.setdefault(key, label)
        if earlier.definition != label.definition:
            raise UsageError(f"duplicate label {label.name!r} with different definitions: give it once")
    if not found:
        raise UsageError("no label was given: write NAME or NAME: DEFINITION")
    return tuple(found.values())
