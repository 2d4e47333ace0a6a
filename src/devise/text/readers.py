"""Corpus files as streams of documents, identified by their names."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from devise.errors import TextError
from devise.files import parse_json
from devise.text.documents import Document
from devise.text.mediawiki import read_dump
from devise.text.streams import READ_ERRORS, Watch, decoded, inner_suffix, numbered_lines, open_bytes

__all__ = [
    "DATA_FILES",
    "NOUN_FILE",
    "corpus_type",
    "open_corpus",
    "read_json_lines",
    "read_plain_text",
    "read_wordnet",
]

_KNOWN = (
    "a folder of WordNet's data.* files, .xml (MediaWiki dump), .jsonl (title and text) or .txt; unpack .zip, .7z and "
    ".zst first"
)
_LOOKED_AT = 1 << 16  # bytes of a file by which its type is recognised
_ENDINGS = (".xml", ".jsonl", ".ndjson", ".txt")


def open_corpus(path: Path | str, watch: Watch | None = None) -> Iterator[Document]:
    """Yield the documents of a corpus file, read lazily.

    - a folder with WordNet's `data.*` files, or one of these files: `read_wordnet`
    - `.xml`, and whatever begins as a dump (`...articles1.xml-p1p41242`): `read_dump`
    - `.jsonl`, `.ndjson`, and whatever of another ending begins with such a line: `read_json_lines`
    - `.txt`: `read_plain_text`

    All but WordNet's may be compressed (gzip, xz, bzip2), whatever they are called. watch: called with bytes read from
    the last three. TextError at once if the file is missing or of another type; while reading if it is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise TextError(f"{path} does not exist: give the path of {_KNOWN}")
    if path.is_dir() or path.name in DATA_FILES:
        return read_wordnet(path)
    match corpus_type(path):
        case ".xml":
            return read_dump(path, watch)
        case ".jsonl" | ".ndjson":
            return read_json_lines(path, watch)
        case ".txt":
            return read_plain_text(path, watch)
        case _:
            raise TextError(f"{path} is not a known type of corpus: expected {_KNOWN}")


def corpus_type(path: Path) -> str:
    """Return the extension that says how to read a file, by content or name; "" for an unknown type.

    A pipe is not looked into.
    """
    ending = inner_suffix(path)
    if not path.is_file():
        return ending
    try:
        with open_bytes(path, TextError) as file:
            start = file.read(_LOOKED_AT).removeprefix(b"\xef\xbb\xbf").lstrip()
    except (TextError, *READ_ERRORS):  # it is reported where the text is read
        start = b""
    if start.startswith(b"<") and b"<mediawiki" in start[:4096]:
        return ".xml"
    if ending not in _ENDINGS and start.startswith(b"{"):
        with suppress(ValueError, AttributeError):
            if isinstance(parse_json(start.partition(b"\n")[0]).get("text"), str):
                return ".jsonl"
    return ending if ending in _ENDINGS else ""


def read_json_lines(path: Path, watch: Watch | None = None) -> Iterator[Document]:
    """One document per line: an object with `text` and, if it has them, `title` and `defines` (true if the text is a
    dictionary's definition of the title); other keys are not looked at.

    Blank lines are not documents. TextError names a line that is not such an object or not UTF-8.
    """
    for number, raw in numbered_lines(path, TextError, watch):
        line = decoded(raw, path, number, TextError)
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except ValueError as problem:
            raise TextError(f"{path} line {number} is not JSON: {problem}") from None
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise TextError(f'{path} line {number}: expected an object with a string "text", got {line[:40]!r}')
        title = record.get("title")
        if title is not None and not isinstance(title, str):
            raise TextError(f'{path} line {number}: expected a string as "title", got {title!r}')
        yield Document(title or "", record["text"], defines=record.get("defines") is True)


def read_plain_text(path: Path, watch: Watch | None = None) -> Iterator[Document]:
    """Yield one document per line, without a title; blank lines are ignored.

    Text whose paragraphs are wrapped over several lines should be unwrapped first: words of two
    lines never share a window. TextError names a line that is not UTF-8.
    """
    for number, raw in numbered_lines(path, TextError, watch):
        text = decoded(raw, path, number, TextError).strip()
        if text:
            yield Document("", text)


NOUN_FILE = "data.noun"
DATA_FILES = (NOUN_FILE, "data.verb", "data.adj", "data.adv")
"""In the order they are read."""

_HYPERNYMS = ("@", "@i")
_PLACE_OF_ADJECTIVE = re.compile(r"\((?:a|ip|p)\)$")


def read_wordnet(path: Path) -> Iterator[Document]:
    """One document per lemma of each synset: the lemma as title, the gloss with examples as text; ids for nouns.

    path: a `data.*` file, or a folder that contains at least one of them. The licence lines that open a file
    are not synsets. TextError names the line that is not of WordNet's form.
    """
    if not path.is_dir():
        yield from _read_file(path)
        return
    files = [path / name for name in DATA_FILES if (path / name).is_file()]
    if not files:
        raise TextError(f"{path} is a folder without {DATA_FILES[0]}: give WordNet's folder or a file")
    for file in files:
        yield from _read_file(file)


def _read_file(path: Path) -> Iterator[Document]:
    """A line is: offset, file, part of speech, words (hexadecimal), word and id of each, pointers | gloss."""
    for number, raw in numbered_lines(path, TextError):
        if raw.startswith(b"  "):
            continue
        record, bar, gloss = decoded(raw, path, number, TextError).partition(" | ")
        fields = record.split(" ")
        try:
            lemmas = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            synset, above = _noun(fields, 4 + 2 * len(lemmas))
        except (IndexError, ValueError):
            lemmas, synset, above = [], "", ()
        if not bar or not lemmas:
            raise TextError(f'{path} line {number}: expected a synset ("offset ... | gloss"), got {raw[:40]!r}')
        text = gloss.strip()
        for lemma in lemmas:
            title = _PLACE_OF_ADJECTIVE.sub("", lemma).replace("_", " ")
            yield Document(title, text, defines=True, synset=synset, above=above)


def _noun(fields: Sequence[str], count: int) -> tuple[str, tuple[str, ...]]:
    """Ids of a noun synset and of its hypernyms; nothing for other parts of speech. count: where the pointers begin.

    A pointer is: symbol, offset, part of speech, source and target.
    """
    if fields[2] != "n":
        return "", ()
    pointers = fields[count + 1 : count + 1 + 4 * int(fields[count])]
    pairs = zip(pointers[0::4], pointers[1::4], strict=True)
    return f"n{fields[0]}", tuple(f"n{offset}" for symbol, offset in pairs if symbol in _HYPERNYMS)
