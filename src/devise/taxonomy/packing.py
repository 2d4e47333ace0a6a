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

__all__ = ["BLOCKS", "FORMAT_VERSION", "MAGIC", "unpack"]

FORMAT_VERSION = 1
MAGIC = "devise-taxonomy"
BLOCKS = ("licence", "gaps", "lemmas", "senses", "parents", "targets", "instance", "exceptions", "glosses")
_REMEDY = "build it again with python -m tools.pack_wordnet, or install devise again"


def unpack(data: bytes) -> NounTables:
    """Unpack the tables of a file; the glosses are unpacked on first use.

    TaxonomyError, one line, if the bytes are not a taxonomy, of another format version, truncated or altered.
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
    if len(words) != 3 or words[0] != MAGIC:
        raise TaxonomyError(f"expected a file that starts with {MAGIC!r}, got another kind of file: {_REMEDY}")
    if words[1] != str(FORMAT_VERSION):
        raise TaxonomyError(f"expected taxonomy format {FORMAT_VERSION}, got format {words[1]}: {_REMEDY}")
    if words[2] != hashlib.sha256(body).hexdigest():
        raise TaxonomyError(f"the taxonomy file is truncated or changed (its SHA-256 differs): {_REMEDY}")


def _numbers(data: bytes) -> Int64[np.ndarray, "_numbers"]:
    return np.frombuffer(data, dtype="<i4").astype(np.int64)
