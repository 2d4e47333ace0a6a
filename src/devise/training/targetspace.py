"""The target label space of a training job: a bundle's own, one of other words, or random vectors."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise.arrays import Float32, Int64, LabelVectors
from devise.bundle.bundle import Bundle
from devise.bundle.manifest import LabelPolicyFacts
from devise.bundle.parts import WORDS
from devise.errors import LabelError, TrainingError
from devise.labels import Label, LabelSet
from devise.resumable import kept_tensors
from devise.space.encoders import ENCODER_POLICIES, encoded, load_encoder
from devise.space.evidence import Classifier
from devise.space.kernel import KernelSurgery, refitted
from devise.space.label_vectors import LabelPolicy, composer_for
from devise.space.labelspace import CENTRE, Centre, centre_of, placed, unit_rows
from devise.space.scorers import random_space
from devise.taxonomy.wordnet import Taxonomy
from devise.text.phrases import term_key
from devise.text.skipgram import VECTORS
from devise.text.tokens import tokenize
from devise.text.vectorfiles import read_vectors
from devise.text.vectors import WordTable
from devise.text.vectorstore import write_vector_store

__all__ = [
    "RANDOM_POLICY",
    "TargetSpace",
    "bundle_space",
    "encoded_labels",
    "kept_words",
    "random_target",
    "read_words",
    "trained_kernel",
    "words_space",
]

RANDOM_POLICY = "random-embeddings"
"""The name of the label policy of a bundle whose label vectors are random."""

_WORDS_KEPT = 80_000


@dataclass(frozen=True, eq=False, slots=True)
class TargetSpace:
    """Labels with their vectors, and what a bundle needs to place further labels among them.

    trained: ids of the classifier's rows. centre: what was taken off the composed vectors; None for random ones.
    words: writes the part of word vectors; None for random ones.
    """

    labels: LabelSet
    vectors: LabelVectors
    trained: tuple[str, ...]
    policy: LabelPolicyFacts
    centre: Centre | None
    words: Callable[[Path], object] | Path | None

    @property
    def dim(self) -> int:
        """Length of a label vector."""
        return int(self.vectors.shape[1])

    def positions(self, ids: Sequence[str]) -> Int64[np.ndarray, "ids"]:
        """Return the positions of these labels; LabelError if one is missing."""
        return np.array([self.labels.position(label_id) for label_id in ids], dtype=np.int64)

    def rows(self, ids: Sequence[str]) -> LabelVectors:
        """The vectors of these labels; LabelError naming one that has none."""
        found: LabelVectors = self.vectors[self.positions(ids)]
        if not found.any(axis=1).all():
            missing = ids[int(np.flatnonzero(~found.any(axis=1))[0])]
            raise LabelError(f"{missing} has no label vector: leave out its class, or give word vectors that name it")
        return found


def read_words(path: Path) -> WordTable:
    """Word vectors from a file, or from the folder that `devise text train` made; VectorsError says what is wrong."""
    return read_vectors(path / VECTORS if path.is_dir() else path)


def kept_words(words: WordTable, taxonomy: Taxonomy, most: int) -> WordTable:
    """The words for labels typed later: those that noun terms and their definitions use, then the most frequent.

    most: how many at most; of too many, the rarest are left out.
    """
    wanted: set[str] = set()
    for synset_id in taxonomy.ids:
        synset = taxonomy.synset(synset_id)
        for term in synset.lemmas:
            wanted.add(term_key(term))
            wanted.update(tokenize(term.replace("-", " ")))
        wanted.update(tokenize(synset.definition))
    ordered = sorted(range(len(words)), key=lambda place: (words.words[place] not in wanted, place))
    return words.subset(sorted(ordered[:most]))


def bundle_space(bundle: Bundle, taxonomy: Taxonomy, wanted: Sequence[str], trained: Sequence[str]) -> TargetSpace:
    """The bundle's labels and vectors; ids it lacks are added with vectors made of its words.

    wanted: ids that must be there. trained: ids to be marked as trained on, which come first, in this order.
    """
    own = bundle.labels
    missing = [label_id for label_id in dict.fromkeys((*trained, *wanted)) if label_id not in own]
    centre = bundle.surgery().centring.get(CENTRE)
    vectors = bundle.label_vectors()
    labels = own
    policy = bundle.manifest.label_policy
    if missing:
        if centre is None:
            raise LabelError(f"{missing[0]} is not a label of the model, and the model has no centre to place it")
        composer = composer_for(bundle.words(), taxonomy, LabelPolicy.from_dict(dict(policy.parameters)))
        made = composer.labels(missing)
        added = (Label(i, taxonomy.synset(i).name, "", False, s) for i, s in zip(missing, made.sources, strict=True))
        labels = own.joined(LabelSet(added))
        vectors = np.concatenate([vectors, placed(made.vectors, centre)])
    words = bundle.part_path(WORDS) if any(part.name == WORDS for part in bundle.manifest.parts) else None
    return _ordered(labels, vectors, trained, policy, centre, words)


def words_space(space: TargetSpace, words: WordTable, taxonomy: Taxonomy, policy: LabelPolicy) -> TargetSpace:
    """The same labels with vectors made of other words, centred on the trained ones."""
    made = composer_for(words, taxonomy, policy).labels(space.labels.ids)
    centre = centre_of(made.vectors[space.positions(space.trained)])
    labels = LabelSet(
        Label(label.id, label.name, "", label.seen, source)
        for label, source in zip(space.labels, made.sources, strict=True)
    )
    kept = kept_words(words, taxonomy, _WORDS_KEPT)

    def write(path: Path) -> None:
        write_vector_store(path, kept, precision="int8")

    stored = LabelPolicyFacts(policy.name, policy.to_dict())
    return TargetSpace(labels, placed(made.vectors, centre), space.trained, stored, centre, write)


def random_target(space: TargetSpace, dim: int, seed: int) -> TargetSpace:
    """The same labels with random unit vectors: the paper's control. No word places a further label there."""
    made = random_space(space.labels, dim, np.random.default_rng(seed))
    policy = LabelPolicyFacts(RANDOM_POLICY, {"seed": seed, "dim": dim})
    return TargetSpace(space.labels, made.vectors, space.trained, policy, None, None)


def _ordered(
    labels: LabelSet,
    vectors: LabelVectors,
    trained: Sequence[str],
    policy: LabelPolicyFacts,
    centre: Centre | None,
    words: Path | None,
) -> TargetSpace:
    """Put the trained labels first, in their order, and mark them; keep the order of the others."""
    first = [labels.position(label_id) for label_id in trained]
    chosen = set(first)
    order = [*first, *(place for place in range(len(labels)) if place not in chosen)]
    moved = labels.subset(order)
    seen = [place < len(first) for place in range(len(order))]
    marked = LabelSet.of_columns(
        moved.ids,
        [label.name for label in moved],
        [label.gloss for label in moved],
        seen,
        [label.source for label in moved],
    )
    return TargetSpace(marked, vectors[np.array(order)], tuple(trained), policy, centre, words)


def encoded_labels(
    ids: Sequence[str], taxonomy: Taxonomy, encoder: str, work: Path, say: Callable[[str], None]
) -> Float32[np.ndarray, "labels text"]:
    """Encode "terms: definition" of each synset as unit vectors; cached in `work`.

    encoder: see `devise.space.encoders.load_encoder`; 40,000 labels take it about 15 minutes on two cores.
    """
    synsets = [taxonomy.synset(synset_id) for synset_id in ids]
    texts = [ENCODER_POLICIES["terms-gloss"](", ".join(one.lemmas), one.definition) for one in synsets]
    stored = work / f"texts-{hashlib.sha256(chr(10).join([encoder, *texts]).encode()).hexdigest()[:12]}.safetensors"

    def make() -> dict[str, np.ndarray]:
        return {"vectors": encoded(load_encoder(encoder), texts, say)}

    return unit_rows(kept_tensors(stored, ("vectors",), make, TrainingError)[0])


def trained_kernel(base: Bundle, space: TargetSpace, classifier: Classifier) -> KernelSurgery | None:
    """The kernel surgery of a model trained from `base`; None if the base has none, or the label vectors are random.

    The base's own where labels, vectors and classifier are the base's. Else it is fitted again, by label vectors alone:
    a bundle does not keep what an encoder said of its labels.
    """
    kernel = base.kernel()
    if kernel is None or space.policy.name == RANDOM_POLICY:
        return None
    own = base.classifier().weight
    if (
        space.labels.ids == base.labels.ids
        and classifier.weight.shape == own.shape
        and np.array_equal(classifier.weight, own)
        and np.array_equal(space.vectors, base.label_vectors())
    ):
        return kernel
    return refitted(kernel, space.vectors, space.positions(space.trained), classifier.weight)
