"""Lays labels of the default model out by t-SNE, as the service's map shows them: src/devise/serve/places.tsv.

Run it again after the default model changed, some four minutes.
"""

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from devise.files import atomic_write
from devise.model.labeller import load
from devise.serve.labelmap import EDGE, PLACES
from tools import parser

MORE = 2000  # labels by chance beside the trained ones; a file of all 40,000 would be too large to keep
SEED = 0


def main() -> None:
    """Write the file."""
    parser("label_places", __doc__).parse_args()
    parts = load().parts
    labels, vectors = parts.space.labels, parts.placed.vectors
    known = np.flatnonzero(vectors.any(axis=1))
    chance = np.random.default_rng(SEED).choice(known, MORE, replace=False)
    rows = np.union1d(np.intersect1d(np.flatnonzero(labels.seen), known), chance)
    with threadpool_limits(1):  # sums in one order
        laid = TSNE(perplexity=30, init="pca", metric="cosine", random_state=SEED, n_jobs=1).fit_transform(
            vectors[rows]
        )
    low, high = laid.min(axis=0), laid.max(axis=0)
    places = np.round((laid - (low + high) / 2) / ((high - low) / 2) * EDGE).astype(int)
    with atomic_write(PLACES) as file:
        for row, (x, y) in zip(rows.tolist(), places.tolist(), strict=True):
            file.write(f"{labels.ids[row]}\t{x}\t{y}\n")
    print(f"{len(rows):,} labels in {PLACES}")


if __name__ == "__main__":
    main()
