"""The tree kernel: labels are similar if they share ancestors, each weighted by the information that it adds.

A synset is the vector over all that is at or above it whose entry for a node is the square root of the node's
information content (Resnik 1995) minus that of its best informed parent; the kernel is the cosine of two such vectors.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from devise.arrays import Float32, Int64
from devise.errors import TaxonomyError
from devise.taxonomy.wordnet import Taxonomy
from tools import parser

__all__ = ["Increments", "information_increments", "tree_kernel"]

Increments = Float32[np.ndarray, "synsets"]
"""Per synset of the taxonomy, the nats that it adds to what its parents tell; 0 for one above no label."""
_Rows = Int64[np.ndarray, "rows"]
_Pairs = tuple[Int64[np.ndarray, "pairs"], Int64[np.ndarray, "pairs"]]
"""A number and a place of the taxonomy, many times."""

_BLOCK = 1024  # labels whose ancestors are laid out at once: 20 MB


def information_increments(taxonomy: Taxonomy, labels: Sequence[str]) -> Increments:
    """Compute what each synset adds, in nats: -log(share of labels at or below it) minus the highest of a parent.

    labels: ids, those that are no synset left out. TaxonomyError if no label is a synset.
    """
    places = _places(taxonomy, [label for label in labels if label in taxonomy])
    if not len(places):
        raise TaxonomyError("a tree kernel needs labels that are synsets, got none")
    _, nodes = _at_or_above(taxonomy, np.arange(len(places)), places)
    counts = np.bincount(nodes, minlength=len(taxonomy))
    content = np.zeros(len(taxonomy))
    above = counts > 0
    content[above] = np.log(len(places) / counts[above])
    up = taxonomy.upward
    most = np.zeros(len(taxonomy))
    np.maximum.at(most, np.repeat(np.arange(len(taxonomy)), np.diff(up.starts)), content[up.targets])
    added = np.where(above, np.maximum(content - most, 0), 0)
    return added.astype(np.float32)


def tree_kernel(
    taxonomy: Taxonomy,
    increments: Increments,
    labels: Sequence[str],
    trained: Sequence[str],
    parents: Mapping[str, str] | None = None,
) -> Float32[np.ndarray, "labels trained"]:
    """The cosine of each label with each trained label.

    labels, trained: ids. A label that is no synset stands where its synset in `parents` does; one that is not in it,
        like a trained label that is no synset, shares nothing with any label: 0.
    """
    parents = parents or {}
    rows, nodes = _pairs(taxonomy, trained, {})
    columns, inverse = np.unique(nodes, return_inverse=True)
    weights = np.sqrt(increments[columns])
    laid = np.zeros((len(columns), len(trained)), np.float32)
    laid[inverse, rows] = weights[inverse]
    laid /= _lengths(increments, rows, nodes, len(trained))
    kernel = np.zeros((len(labels), len(trained)), np.float32)
    for start in range(0, len(labels), _BLOCK):
        block = labels[start : start + _BLOCK]
        rows, nodes = _pairs(taxonomy, block, parents)
        lengths = _lengths(increments, rows, nodes, len(block))
        where = np.searchsorted(columns, nodes)
        shared = (where < len(columns)) & (columns[np.minimum(where, len(columns) - 1)] == nodes)
        vectors = np.zeros((len(block), len(columns)), np.float32)
        vectors[rows[shared], where[shared]] = weights[where[shared]]
        kernel[start : start + len(block)] = (vectors @ laid) / lengths[:, None]
    return kernel


def _pairs(taxonomy: Taxonomy, labels: Sequence[str], parents: Mapping[str, str]) -> _Pairs:
    """Each label's number with each synset at or above it, or at or above its parent."""
    known = [(row, parents.get(label, label)) for row, label in enumerate(labels)]
    known = [(row, synset) for row, synset in known if synset in taxonomy]
    rows = np.array([row for row, _ in known], dtype=np.int64)
    return _at_or_above(taxonomy, rows, _places(taxonomy, [synset for _, synset in known]))


def _at_or_above(taxonomy: Taxonomy, rows: _Rows, places: _Rows) -> _Pairs:
    """Pair each row with each place at or above its own, without duplicates, ascending."""
    up, size = taxonomy.upward, len(taxonomy)
    found = wave = np.unique(rows * size + places)
    while len(wave):
        rows, places = np.divmod(wave, size)
        above = up.after(places)
        counts = up.starts[places + 1] - up.starts[places]
        wave = np.setdiff1d(np.repeat(rows, counts) * size + above, found)
        found = np.union1d(found, wave)
    rows, places = np.divmod(found, size)
    return rows, places


def _lengths(
    increments: Increments, rows: Int64[np.ndarray, "pairs"], nodes: Int64[np.ndarray, "pairs"], count: int
) -> Float32[np.ndarray, "count"]:
    lengths = np.sqrt(np.bincount(rows, increments[nodes].astype(np.float64), minlength=count))
    return np.where(lengths > 0, lengths, 1).astype(np.float32)


def _places(taxonomy: Taxonomy, ids: Sequence[str]) -> _Rows:
    return np.array([taxonomy.place(synset_id) for synset_id in ids], dtype=np.int64)


if __name__ == "__main__":  # no command: other tools use it
    parser("tree_kernel", __doc__).print_help()
