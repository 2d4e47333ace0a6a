"""WordNet's definitions as documents, from its database files `data.noun`, `data.verb` and so on."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from devise.errors import TextError
from devise.text.documents import Document
from devise.text.streams import decoded, numbered_lines

__all__ = ["DATA_FILES", "NOUN_FILE", "read_wordnet"]

NOUN_FILE = "data.noun"
DATA_FILES = (NOUN_FILE, "data.verb", "data.adj", "data.adv")
"""In the order they are read."""

_HYPERNYMS = ("@", "@i")
_PLACE_OF_ADJECTIVE = re.compile(r"\((?:a|ip|p)\)$")


def read_wordnet(path: Path) -> Iterator[Document]:
    """One document per lemma of each synset: the lemma as title, the gloss with examples as text; ids for nouns.

    path: a `data.*` file, or a folder that holds at least one of them. The licence lines that open a file
    are no synsets. TextError names the line that is not of WordNet's form.
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
