"""Pack the nouns of a WordNet folder into one file, whole or not at all; building twice gives the same bytes."""

import hashlib
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from devise.arrays import Int64
from devise.errors import DeviseError, TaxonomyError
from devise.files import atomic_write
from devise.taxonomy.packing import BLOCKS, FORMAT_VERSION, MAGIC
from devise.taxonomy.synsets import NounTables, Synset, tables_of
from devise.taxonomy.wordnet import Taxonomy
from tools import parser

__all__ = [
    "build",
    "main",
    "pack",
    "read_wordnet",
]


def build(folder: Path, out: Path) -> Taxonomy:
    """Pack the nouns of a WordNet folder into `out`, whole or not at all; returns what was packed.

    Building twice gives the same bytes. TaxonomyError if the folder cannot be read, its edges run in a
    circle, or `out` cannot be written.
    """
    tables = read_wordnet(folder)
    taxonomy = Taxonomy(tables)
    taxonomy.check()
    try:
        with atomic_write(out, "wb") as file:
            file.write(pack(tables))
    except OSError as error:
        raise TaxonomyError(f"cannot write {out}: {error.strerror}") from None
    return taxonomy


def pack(tables: NounTables) -> bytes:
    """Pack the tables into the bytes of a file; equal tables give equal bytes."""
    parents = np.bincount(tables.child, minlength=len(tables.offsets))
    plain = {
        "licence": tables.licence.encode(),
        "gaps": _bytes(np.diff(tables.offsets, prepend=0), "<i4"),
        "lemmas": tables.lemmas.encode(),
        "senses": tables.senses.tobytes(),
        "parents": _bytes(parents, "u1"),
        "targets": _bytes(tables.parent, "<i4"),
        "instance": tables.instance.astype("u1").tobytes(),
        "exceptions": tables.exceptions.encode(),
        "glosses": tables.glosses().encode(),
    }
    stored = {name: plain[name] if name == "licence" else zlib.compress(plain[name], 9) for name in BLOCKS}
    header = {"blocks": [[name, len(stored[name]), len(plain[name])] for name in BLOCKS]}
    body = json.dumps(header).encode() + b"\n" + b"".join(stored[name] for name in BLOCKS)
    return f"{MAGIC} {FORMAT_VERSION} {hashlib.sha256(body).hexdigest()}\n".encode() + body


def _bytes(numbers: Int64[np.ndarray, "_numbers"], kind: str) -> bytes:
    narrow = numbers.astype(kind)
    if not np.array_equal(narrow, numbers):
        raise TaxonomyError(f"a number up to {int(numbers.max())} does not fit the file's {kind}: split the taxonomy")
    return narrow.tobytes()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when done, 1 with one line on standard error when not."""
    given = parser("pack_wordnet", __doc__)
    given.add_argument("folder", type=Path, help="folder with data.noun, index.noun and noun.exc")
    given.add_argument("--out", type=Path, required=True, help="file to write")
    options = given.parse_args(arguments)
    try:
        taxonomy = build(options.folder, options.out)
    except DeviseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    size = options.out.stat().st_size
    print(f"{options.out}: {taxonomy.summary()}, {size:,} bytes, graph {taxonomy.graph_hash[:12]}")
    return 0


_HYPERNYM, _INSTANCE = "@", "@i"


def read_wordnet(folder: Path) -> NounTables:
    """The nouns of a WordNet folder, with sense order, irregular plurals and licence.

    TaxonomyError, one line, if a file is missing, malformed, or the files contradict each other.
    """
    synsets = [_synset(path, number, line) for path, number, line in _entries(folder / "data.noun")]
    order = _sense_order(folder / "index.noun")
    senses = {}
    for synset in synsets:
        for lemma in synset.lemmas:
            sense = order.get(lemma.lower(), {}).get(synset.id)
            if sense is None:
                raise TaxonomyError(f"index.noun does not list {lemma!r} for {synset.id}: take both from one WordNet")
            senses[synset.id, lemma] = sense
    return tables_of(synsets, _exceptions(folder / "noun.exc"), senses, _licence(folder / "data.noun"))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise TaxonomyError(f"cannot read {path}: {reason}; give the folder of WordNet's data.noun") from None


def _entries(path: Path) -> Iterator[tuple[Path, int, str]]:
    """Yield the lines after the licence, with their numbers."""
    yield from ((path, number, line) for number, line in enumerate(_lines(path), 1) if not line.startswith("  "))


def _licence(path: Path) -> str:
    """The licence at the head of the file, without its line numbers."""
    lines = [line.split(maxsplit=1)[1:] for line in _lines(path) if line.startswith("  ")]
    if not lines:
        raise TaxonomyError(f"{path} has no licence at its head, and the data may only be copied with it")
    return "\n".join("".join(line).rstrip() for line in lines) + "\n"


def _synset(path: Path, number: int, line: str) -> Synset:
    """One line of data.noun: offset file type count (word id)* count (symbol offset part field)* | gloss."""
    try:
        entry, gloss = line.split(" | ", 1)
        fields = entry.split()
        words = int(fields[3], 16)
        lemmas = tuple(fields[4 + 2 * word].replace("_", " ") for word in range(words))
        pointers = fields[5 + 2 * words :]
        if fields[2] != "n" or len(pointers) != 4 * int(fields[4 + 2 * words]):
            raise ValueError
        edges = list(zip(pointers[0::4], pointers[1::4], strict=True))
        return Synset(
            id=f"n{fields[0]}",
            lemmas=lemmas,
            gloss=gloss.strip(),
            hypernyms=tuple(f"n{target}" for symbol, target in edges if symbol == _HYPERNYM),
            instance_hypernyms=tuple(f"n{target}" for symbol, target in edges if symbol == _INSTANCE),
        )
    except (ValueError, IndexError):
        raise TaxonomyError(f"{path} line {number} is not a noun synset in WordNet's layout") from None


def _sense_order(path: Path) -> dict[str, dict[str, int]]:
    """For each word (small letters, spaces) its synsets and their sense numbers, from 1."""
    order = {}
    for _, number, line in _entries(path):
        fields = line.split()
        try:
            synsets = fields[-int(fields[2]) :]
            order[fields[0].replace("_", " ")] = {f"n{at}": sense for sense, at in enumerate(synsets, 1)}
        except (ValueError, IndexError):
            raise TaxonomyError(f"{path} line {number} is not a word in WordNet's layout") from None
    return order


def _exceptions(path: Path) -> dict[str, tuple[str, ...]]:
    """Irregular plurals and their singulars."""
    exceptions = {}
    for number, line in enumerate(_lines(path), 1):
        plural, *bases = (word.replace("_", " ") for word in line.split()) if line.strip() else ("",)
        if not bases:
            raise TaxonomyError(f"{path} line {number} is not a plural and its singulars")
        exceptions[plural] = tuple(bases)
    return exceptions


if __name__ == "__main__":
    sys.exit(main())
