"""Dictionaries of the dictd server (`.dict` or `.dict.dz` with an `.index`), such as GCIDE."""

import re
from collections.abc import Iterator
from pathlib import Path

from devise.errors import TextError
from devise.text.documents import Document
from devise.text.streams import COMPRESSIONS, decoded, numbered_lines, open_bytes

__all__ = ["clean_entry", "read_dictd"]

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_ABOUT_THE_FILE = "00-database-", "00database"

# What is not definition in an entry of GCIDE, in the order it is taken out.
_LETTER = re.compile(r"(?<=[A-Za-z])\[([^\[\] ]{1,5})\]|\[([^\[\] ]{1,5})\](?=[a-z])")
_SAID = re.compile(r"\([^()]*\[[^()]*\)")
_NEXT_HEAD = re.compile(r"(\[(?:1913 Webster|Webster|WordNet|Century|PJC)[^\[\]]*\])[^\[\].]*\Z")
_BRACKET = re.compile(r"\[[^\[\]]*\]")
_PRONOUNCED = re.compile(r"([^\\,\n]*?)\s*\\[^\\]*\\")
_STRESS = re.compile(r"(?<=\w)[\"`*]+(?=[\w} ])(?=[^{}]*\})")
_FIELD = re.compile(r"\([A-Z][A-Za-z&,. ]*\.\)|\([a-z]\)")
_NUMBER = re.compile(r"^ *\d+\. ", re.MULTILINE)
_AUTHOR = re.compile(r"--[A-Z][^\n]*$", re.MULTILINE)
_SYNONYMS = re.compile(r"^ *Syn:", re.MULTILINE)
_SOUND = re.compile(r"\\[^\\\n]*\\")
_OR = re.compile(r"^(?:or|and|also) ")


def read_dictd(path: Path) -> Iterator[Document]:
    """Yield one document per entry: the headword as title, the definitions, cleaned by `clean_entry`, as text.

    Headwords that the index sends to the same entry (inflections, phrases defined inside it) give no
    documents of their own; of them the title is the one the entry begins with. Entries about the
    dictionary itself are left out. Bytes that are not UTF-8 are replaced and counted in the document.
    The whole dictionary (40 MB for GCIDE) is held in memory.
    TextError if the index is missing, points past the end, or a line of it is not of dictd's form.
    """
    entries = _read_index(_index_path(path))
    with open_bytes(path, TextError) as file:
        data = file.read()
    for (offset, length), headwords in sorted(entries.items()):
        raw = data[offset : offset + length]
        if len(raw) < length:
            raise TextError(
                f"{path} ends at byte {len(data)}, but its index puts {headwords[0]!r} at {offset} to "
                f"{offset + length}: the file is truncated, get it again"
            )
        entry = raw.decode("utf-8", errors="replace")
        damaged = entry.count("\ufffd") - raw.count("\ufffd".encode())
        beginning = [word for word in headwords if entry.startswith(word)]
        title = max(beginning, key=len, default=headwords[0])
        yield Document(title, clean_entry(entry), defines=True, damaged=damaged)


def clean_entry(entry: str) -> str:
    r"""The definitions of an entry in GCIDE's layout.

    Out go the line of the headword with pronunciation, part of speech and inflections (other spellings
    of the headword stay), all that stands in square brackets (origins, sources, usage), the names of fields
    and of quoted authors, and the numbers of senses. Letters written as codes become plain ("caf['e]").

    >>> clean_entry('Lodestone \\Lode"stone`\\, n. [Load + stone.] (Min.)\n   Magnetite. [Obs.] --Gray.')
    'Magnetite.'
    """
    text = _SAID.sub("", _NEXT_HEAD.sub(r"\1", entry))
    text = _LETTER.sub(_plain_letter, text)
    shorter = _BRACKET.sub("", text)
    while shorter != text:
        text, shorter = shorter, _BRACKET.sub("", shorter)
    head, body = _split_head(text)
    for pattern in (_SOUND, _STRESS, _FIELD, _NUMBER, _AUTHOR, _SYNONYMS):
        body = pattern.sub("", body)
    spellings = [_OR.sub("", spelling.strip()) for spelling in _PRONOUNCED.findall(head)[1:]]
    return " ".join(" ".join([*filter(None, spellings), body]).split())


def _split_head(text: str) -> tuple[str, str]:
    """Split an entry into the headword's lines, up to the last with a pronunciation, and the rest."""
    lines = text.split("\n")
    if "\\" not in lines[0]:
        return "", text
    end = 1
    while end < len(lines) and "\\" in lines[end]:
        end += 1
    return "\n".join(lines[:end]), "\n".join(lines[end:])


def _plain_letter(code: re.Match[str]) -> str:
    letters = re.sub("[^A-Za-z]", "", code[1] or code[2])
    return letters if letters.lower() in ("ae", "oe") else letters[:1]


def _index_path(path: Path) -> Path:
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    index = plain.with_suffix(".index")
    if path.is_file() and not index.is_file():
        raise TextError(f"{path} has no index {index.name} next to it: put it there")
    return index


def _read_index(path: Path) -> dict[tuple[int, int], list[str]]:
    """Headwords by the offset and length of their entry."""
    entries: dict[tuple[int, int], list[str]] = {}
    for number, raw in numbered_lines(path, TextError):
        fields = decoded(raw, path, number, TextError).rstrip("\r\n").split("\t")
        if len(fields) < 3 or not all(field and set(field) <= _VALUES.keys() for field in fields[1:3]):
            raise TextError(f"{path} line {number}: expected headword, offset and length in base 64, got {raw[:40]!r}")
        if not fields[0].startswith(_ABOUT_THE_FILE):
            entries.setdefault((_number(fields[1]), _number(fields[2])), []).append(fields[0])
    return entries


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * len(_DIGITS) + _VALUES[digit]
    return value
