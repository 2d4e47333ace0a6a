"""`python -m devise.taxonomy.build WORDNET_DIR --out FILE` packs WordNet's nouns into one file."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from devise.errors import DeviseError, TaxonomyError
from devise.files import atomic_write
from devise.taxonomy.packing import pack
from devise.taxonomy.wndb import read_wordnet
from devise.taxonomy.wordnet import Taxonomy

__all__ = ["build", "main"]


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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when done, 1 with one line on standard error when not."""
    parser = argparse.ArgumentParser(prog="python -m devise.taxonomy.build", description=build.__doc__)
    parser.add_argument("folder", type=Path, help="folder with data.noun, index.noun and noun.exc")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    options = parser.parse_args(arguments)
    try:
        taxonomy = build(options.folder, options.out)
    except DeviseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    size = options.out.stat().st_size
    print(f"{options.out}: {taxonomy.summary()}, {size:,} bytes, graph {taxonomy.graph_hash[:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
