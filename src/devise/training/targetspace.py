"""The target label space of a training job: a bundle's own, one of other words, or random vectors."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from safetensors.numpy import load_file, save

from devise.arrays import Features, LabelVectors, Scores, Surgery, Truth
from devise.bundle.bundle import Bundle, open_bundle
from devise.bundle.manifest import LabelPolicyFacts
from devise.bundle.parts import WORDS
from devise.errors import LabelError
from devise.files import atomic_write
from devise.labels import Label, LabelSet
from devise.space.composition import LabelPolicy
from devise.space.embedding import ConseScorer, DeviseScorer, FusedScorer, KernelScorer, random_space
from devise.space.encoders import ENCODER_POLICIES, load_encoder
from devise.space.evidence import Classifier, log_sum_exp
from devise.space.kernel import KernelSurgery, refitted
from devise.space.labelspace import CENTRE, Centre, LabelSpace, centre_of, placed, unit_rows
from devise.space.policies import composer_for
from devise.space.prior import standing_of
from devise.taxonomy.wordnet import Taxonomy
from devise.text.vectors import WordTable
from devise.text.vectorstore import write_vector_store
from devise.training.words import kept_words

__all__ = [
    "RANDOM_POLICY",
    "TEMPERATURES",
    "TargetSpace",
    "best_temperature",
    "best_temperatures",
    "bundle_space",
    "encoded_labels",
    "open_base",
    "random_target",
    "spread",
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


_BLOCK = 4096  # texts between two lines of progress


def encoded_labels(
    ids: Sequence[str], taxonomy: Taxonomy, encoder: str, work: Path, say: Callable[[str], None]
) -> Float32[np.ndarray, "labels text"]:
    """Encode "terms: definition" of each synset as unit vectors; cached in `work`.

    encoder: see `devise.space.encoders.load_encoder`; 40,000 labels take it about 15 minutes on two cores.
    """
    synsets = [taxonomy.synset(synset_id) for synset_id in ids]
    texts = [ENCODER_POLICIES["terms-gloss"](", ".join(one.lemmas), one.definition) for one in synsets]
    stored = work / f"texts-{hashlib.sha256(chr(10).join([encoder, *texts]).encode()).hexdigest()[:12]}.safetensors"
    if not stored.exists():
        model = load_encoder(encoder)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # alike lengths waste no padding
        rows: list[Float32[np.ndarray, "block text"]] = []
        for start in range(0, len(order), _BLOCK):
            rows.append(model.encode([texts[place] for place in order[start : start + _BLOCK]]))
            say(f"texts encoded: {min(start + _BLOCK, len(order)):,} of {len(order):,}")
        vectors = np.concatenate(rows)[np.argsort(order)]
        with atomic_write(stored, "wb") as file:
            file.write(save({"vectors": vectors.astype(np.float32)}))
    return unit_rows(load_file(stored)["vectors"])


def trained_kernel(base: Bundle, space: TargetSpace, classifier: Classifier) -> KernelSurgery | None:
    """The kernel surgery of a model trained from `base`; None if the base has none, or the label vectors are random.

    The base's own where labels, vectors and classifier are the base's. Else it is fitted anew, by label vectors alone:
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


_CALIBRATED = 500  # photos at most that choose the temperatures
TEMPERATURES = tuple(round(float(0.01 * 1.2**step), 4) for step in range(28))
"""From 0.01 to 1.37, each 1.2 times the last."""


def open_base(path: Path) -> Bundle:
    """The bundle to train from; BundleError if it lacks what `best_temperatures` needs: now, not after the training."""
    base = open_bundle(path)
    base.setting("conse", "top")
    base.stacking()
    if base.prior().standing is not None:
        base.prior_weight()
    return base


def best_temperatures(
    base: Bundle, space: TargetSpace, surgery: Surgery, classifier: Classifier, features: Features, truth: Truth
) -> dict[str, float]:
    """By scorer, all labels competing, with the stacking rule and the prior that the model keeps of its base.

    Where the rule says how sure the first choice is, the fused scorer keeps its temperature: it shares out what the
    first choice leaves, of which photos of trained classes say nothing.

    truth: position of each photo's label in `space`.
    """
    labels = LabelSpace(space.labels, space.vectors)
    trained = space.positions(space.trained)
    devise = DeviseScorer(labels, surgery)
    conse = ConseScorer(labels, space.vectors[trained], int(base.setting("conse", "top")))
    rule = base.stacking()
    scorers: dict[str, DeviseScorer | ConseScorer | KernelScorer | FusedScorer] = {"devise": devise, "conse": conse}
    kernel = trained_kernel(base, space, classifier)
    placing: DeviseScorer | KernelScorer = devise
    near, share = conse, 1.0
    if kernel is not None:
        placing = scorers["kernel"] = KernelScorer(LabelSpace(space.labels, kernel.places), kernel.axes)
        near, share = ConseScorer(placing.space, kernel.places[trained], conse.top), base.setting("fused", "conse")
    if rule.first is None:
        prior, known = None, base.prior().standing
        if known is not None:
            prior = np.float32(base.prior_weight()) * standing_of(space.labels, base.labels, known, base.trained)
        scorers["fused"] = FusedScorer(placing, near, trained, rule, prior, share)
    evidence = classifier.evidence(features)
    best = {name: best_temperature(scorer.scores(evidence), truth) for name, scorer in scorers.items()}
    return best if rule.first is None else best | {"fused": rule.first.temperature}


def spread(rows: Int64[np.ndarray, "rows"]) -> Int64[np.ndarray, "some"]:
    """Up to 500 of these photos to choose temperatures by, evenly spread: they may be in the order of their classes.

    >>> spread(np.arange(1500)).tolist()[:3]
    [0, 3, 6]
    """
    count = min(len(rows), _CALIBRATED)
    return rows[np.arange(count) * len(rows) // max(count, 1)]


def best_temperature(scores: Scores, truth: Truth) -> float:
    """The temperature under which the softmax over the scores gives the true labels the highest likelihood."""

    def mean_log_likelihood(temperature: float) -> float:
        scaled = scores / np.float32(temperature)
        return float((scaled[np.arange(len(truth)), truth] - log_sum_exp(scaled)).mean())

    return max(TEMPERATURES, key=mean_log_likelihood)
