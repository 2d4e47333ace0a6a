"""Kernel surgery for building models: encoder vectors of all labels, and the kernel of a trained model."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from safetensors.numpy import load_file, save

from devise.bundle.bundle import Bundle
from devise.files import atomic_write
from devise.space.encoders import ENCODER_POLICIES, load_encoder
from devise.space.evidence import Classifier
from devise.space.kernel import KernelConfig, KernelSurgery, fit_kernel
from devise.space.labelspace import unit_rows
from devise.taxonomy.wordnet import Taxonomy
from devise.training.targetspace import RANDOM_POLICY, TargetSpace

__all__ = ["encoded_labels", "trained_kernel"]

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
    alone = KernelConfig(1.0, 0.0, 0.0, kernel.config.width, kernel.config.ridge, kernel.config.rank)
    return fit_kernel(alone, space.vectors, space.positions(space.trained), classifier.weight)
