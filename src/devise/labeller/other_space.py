"""A model moved to another label space: its labels get vectors from other words or an encoder, the surgery is redone.

What the classifier knows of pictures stays. Every label is composed anew, the centre is that of the trained labels, and
the map to the new space follows in closed form from the classifier's weights (`image_free_surgery`): seconds, and
no picture. ConSE and the fusion need nothing else. The stacking rule and the temperatures stay those of the model; they
were calibrated for its own space.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from devise.arrays import LabelVectors, Surgery
from devise.bundle.bundle import Bundle
from devise.bundle.parts import SurgeryMap
from devise.errors import UsageError
from devise.labeller.model import Model, load
from devise.labeller.parts import ModelParts
from devise.labels import LabelSet
from devise.model.embedding import random_space
from devise.model.evidence import Classifier
from devise.model.space import CENTRE, LabelSpace, centre_of, placed
from devise.model.surgery import DistillationConfig, distilled_surgery, image_free_surgery
from devise.text.composition import POLICIES, LabelComposer
from devise.text.encoders import ENCODER_POLICIES, ENCODERS, Composer, EncodedComposer, load_encoder
from devise.text.formats import read_vectors

__all__ = ["MODEL_WORDS", "OtherSpace", "SurgerySettings", "load_in_space", "open_composer", "with_label_space"]

MODEL_WORDS = "model"
"""As a name of label vectors: the word vectors in the bundle."""


@dataclass(frozen=True, slots=True)
class SurgerySettings:
    """How the map to another space is made. distillation: None is the closed form alone; seed: of the distillation."""

    ridge: float
    distillation: DistillationConfig | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class OtherSpace:
    """A composer and what it is, in words for the table: "sense-aware over glove.txt"."""

    composer: Composer
    name: str


class _OtherParts(ModelParts):
    """A bundle's parts, with the label space and all that depends on it replaced."""

    def __init__(
        self, bundle: Bundle, other: OtherSpace, space: LabelSpace, maps: tuple[SurgeryMap, Surgery], *, fast: bool
    ) -> None:
        super().__init__(bundle, fast=fast)
        self._other = other
        self._space = space
        self._surgery, self._random = maps

    @cached_property
    def space(self) -> LabelSpace:
        """All labels of the model, placed in the other space."""
        return self._space

    @cached_property
    def surgery(self) -> SurgeryMap:
        """The map to the other space."""
        return self._surgery

    @cached_property
    def random_surgery(self) -> Surgery:
        """The map for random vectors as long as the other space's."""
        return self._random

    @cached_property
    def composer(self) -> Composer:
        """Makes vectors of the other space."""
        return self._other.composer

    @property
    def label_policy(self) -> str:
        """How labels got their vectors."""
        return self._other.name


def with_label_space(parts: ModelParts, other: OtherSpace, settings: SurgerySettings) -> ModelParts:
    """The model's parts in another label space: labels composed, centred and placed, surgery made anew.

    A trained label without a vector takes no part in the surgery. LabelError if none has one.
    """
    ids = parts.space.labels.ids
    composed = other.composer.labels(ids)
    centre = centre_of(composed.vectors[parts.trained])
    labels = LabelSet(
        replace(label, source=source) for label, source in zip(parts.space.labels, composed.sources, strict=True)
    )
    space = LabelSpace(labels, placed(composed.vectors, centre))
    trained = labels.subset(parts.trained.tolist())
    control = random_space(trained, len(centre), np.random.default_rng(_seed(parts.bundle.manifest.scoring)))
    made = SurgeryMap(_operated(space.vectors[parts.trained], parts.classifier, settings), {CENTRE: centre})
    return _OtherParts(
        parts.bundle, other, space, (made, _operated(control.vectors, parts.classifier, settings)), fast=parts.fast
    )


def load_in_space(
    path: Path | None, vectors: str | None, policy: str | None = None, *, distil: bool = False, fast: bool = False
) -> Model:
    """The model at `path` (None: the one in the package), moved to another label space if `vectors` names one.

    vectors, policy: see `open_composer`. distil: whether the map is distilled too, which takes minutes. The ridge stays
    the one the model was built with. fast: see `load`.
    """
    model = load(path, fast=fast)
    if vectors is None:
        return model
    settings = SurgerySettings(model.parts.setting("devise", "ridge"), DistillationConfig() if distil else None)
    return Model(with_label_space(model.parts, open_composer(model.parts, vectors, policy), settings))


def open_composer(parts: ModelParts, vectors: str, policy: str | None = None) -> OtherSpace:
    """What makes label vectors from `vectors` under a policy.

    vectors: "model" (the words in the bundle), a file of word vectors (`read_vectors`), the name of an encoder that pip
        carries (ENCODERS), or the folder of one.
    policy: of words one of POLICIES, by default sense-aware; of an encoder one of ENCODER_POLICIES, by default
        terms-gloss. UsageError for any other.
    """
    path = Path(vectors)
    if vectors in ENCODERS or path.is_dir():
        policy = policy or "terms-gloss"
        _check(policy, ENCODER_POLICIES, vectors)
        return OtherSpace(EncodedComposer(load_encoder(vectors), parts.taxonomy, policy), f"{policy} by {path.name}")
    policy = policy or "sense-aware"
    _check(policy, POLICIES, vectors)
    if vectors != MODEL_WORDS and not path.is_file():
        raise UsageError(
            f"label vectors come from {MODEL_WORDS}, a file of word vectors, {', '.join(ENCODERS)} or a folder of an "
            f"encoder, and there is no file {vectors}"
        )
    words = parts.bundle.words() if vectors == MODEL_WORDS else read_vectors(path)
    source = "the model's words" if vectors == MODEL_WORDS else path.name
    return OtherSpace(LabelComposer(words, parts.taxonomy, POLICIES[policy]), f"{policy} over {source}")


def _check(policy: str, known: Mapping[str, object], vectors: str) -> None:
    if policy not in known:
        raise UsageError(f"the label policy for {vectors} must be one of {', '.join(known)}, got {policy!r}")


def _operated(vectors: LabelVectors, classifier: Classifier, settings: SurgerySettings) -> Surgery:
    solved = image_free_surgery(vectors, classifier.weight, settings.ridge)
    if settings.distillation is None:
        return solved
    rng = np.random.default_rng(settings.seed)
    return distilled_surgery(solved, vectors, classifier.weight, settings.distillation, rng)


def _seed(scoring: Mapping[str, Mapping[str, int | float]]) -> int:
    return int(scoring.get("random", {}).get("seed", 0))
