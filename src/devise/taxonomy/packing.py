"""The file of a taxonomy: small, without pickle, the same bytes for the same content.

Line 1 is `devise-taxonomy`, the format version and the SHA-256 of all that follows that line. Line 2 is JSON:
`blocks`, a list of [name, bytes stored, bytes unpacked]. Then come the blocks, one after the other. The
first, `licence`, is plain UTF-8 text so that it can be read in any viewer. The others are zlib streams:

    gaps         <i4, one per synset: the number in its id minus the one before (the first minus 0)
    lemmas       UTF-8, one line per synset, terms joined by tabs
    senses       u1, one per term: its sense number
    parents      u1, one per synset: the number of is-a edges up from it
    targets      <i4, one per edge, synset after synset: the parent's position
    instance     u1, one per edge: 1 for an instance edge
    exceptions   UTF-8, one line per irregular plural: the plural and its singulars joined by tabs
    glosses      UTF-8, one line per synset
"""

import hashlib
import json
import zlib

import numpy as np

from devise.arrays import Int64
from devise.errors import TaxonomyError
from devise.taxonomy.synsets import NounTables

__all__ = ["FORMAT_VERSION", "pack", "unpack"]

FORMAT_VERSION = 1
_MAGIC = "devise-taxonomy"
_NAMES = ("licence", "gaps", "lemmas", "senses", "parents", "targets", "instance", "exceptions", "glosses")
_REMEDY = "build it again with python -m tools.pack_wordnet, or install devise again"

Numbers = Int64[np.ndarray, "_numbers"]


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
    stored = {name: plain[name] if name == "licence" else zlib.compress(plain[name], 9) for name in _NAMES}
    header = {"blocks": [[name, len(stored[name]), len(plain[name])] for name in _NAMES]}
    body = json.dumps(header).encode() + b"\n" + b"".join(stored[name] for name in _NAMES)
    return f"{_MAGIC} {FORMAT_VERSION} {hashlib.sha256(body).hexdigest()}\n".encode() + body


def unpack(data: bytes) -> NounTables:
    """Unpack the tables of a file; the glosses are unpacked on first use.

    TaxonomyError, one line, if the bytes are no taxonomy, of another format version, truncated or altered.
    """
    first, _, body = data.partition(b"\n")
    _check_first_line(first, body)
    header, _, blocks = body.partition(b"\n")
    stored: dict[str, tuple[bytes, int]] = {}
    start = 0
    for name, length, size in json.loads(header)["blocks"]:
        stored[name] = (blocks[start : start + length], size)
        start += length

    def read(name: str) -> bytes:
        block, size = stored[name]
        return zlib.decompress(block, bufsize=max(size, 1))

    parents = np.frombuffer(read("parents"), dtype="u1")
    return NounTables(
        offsets=np.cumsum(_numbers(read("gaps"))),
        lemmas=read("lemmas").decode(),
        senses=np.frombuffer(read("senses"), dtype=np.uint8),
        glosses=lambda: read("glosses").decode(),
        child=np.repeat(np.arange(len(parents)), parents),
        parent=_numbers(read("targets")),
        instance=np.frombuffer(read("instance"), dtype="u1").astype(bool),
        exceptions=read("exceptions").decode(),
        licence=stored["licence"][0].decode(),
    )


def _check_first_line(first: bytes, body: bytes) -> None:
    """Refuse anything but a complete, unchanged taxonomy file of this format version."""
    words = first.decode("ascii", "replace").split(" ") if len(first) < 200 else []
    if len(words) != 3 or words[0] != _MAGIC:
        raise TaxonomyError(f"expected a file that starts with {_MAGIC!r}, got another kind of file: {_REMEDY}")
    if words[1] != str(FORMAT_VERSION):
        raise TaxonomyError(f"expected taxonomy format {FORMAT_VERSION}, got format {words[1]}: {_REMEDY}")
    if words[2] != hashlib.sha256(body).hexdigest():
        raise TaxonomyError(f"the taxonomy file is truncated or changed (its SHA-256 differs): {_REMEDY}")


def _bytes(numbers: Numbers, kind: str) -> bytes:
    narrow = numbers.astype(kind)
    if not np.array_equal(narrow, numbers):
        raise TaxonomyError(f"a number up to {int(numbers.max())} does not fit the file's {kind}: split the taxonomy")
    return narrow.tobytes()


def _numbers(data: bytes) -> Numbers:
    return np.frombuffer(data, dtype="<i4").astype(np.int64)
