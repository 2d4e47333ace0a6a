"""Move a model to another label space: new label vectors, and a new surgery.

The classifier stays. Every label is composed again, the centre is that of the trained labels, and
the map to the new space follows in closed form from the classifier's weights (`image_free_surgery`): seconds, and
no picture. ConSE and the fusion need nothing else. The stacking rule and the temperatures stay those of the model; they
were calibrated for its own space. Each part is made when it is first asked for, so that who only looks at the labels
waits for no surgery.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from devise.arrays import LabelVectors, Surgery
from devise.bundle.parts import SurgeryMap
from devise.errors import UsageError, counted
from devise.labels import LabelSet
from devise.model.parts import ModelParts
from devise.space.encoders import ENCODER_POLICIES, ENCODERS, EncodedComposer, load_encoder
from devise.space.kernel import KernelSurgery, refitted
from devise.space.label_vectors import POLICIES, ComposedLabels, Composer, LabelPolicy, composer_for, untagged
from devise.space.labelspace import CENTRE, Centre, LabelSpace, centre_of, placed
from devise.space.scorers import random_space
from devise.space.surgery import DistillationConfig, distilled_surgery, image_free_surgery
from devise.text.documents import SENSE_MARK
from devise.text.vectorfiles import OnBad, read_vectors
from devise.text.vectors import WordTable
from devise.vision.runtime import ON_CPU, Placement

__all__ = [
    "MODEL_WORDS",
    "OtherSpace",
    "SurgerySettings",
    "open_composer",
    "open_composers",
    "open_in_space",
    "with_label_space",
]

MODEL_WORDS = "model"
"""As a name of label vectors: the word vectors in the bundle."""


@dataclass(frozen=True, slots=True)
class SurgerySettings:
    """Settings of the map to another space.

    ridge: None is the one the model was built with. distillation: None is the closed form alone; seed: of it.
    """

    ridge: float | None = None
    distillation: DistillationConfig | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class OtherSpace:
    """A composer and its name for the tables: "sense-aware over glove.txt".

    words, policy: those it composes labels of, and how; None if it needs none.
    """

    composer: Composer
    name: str
    words: WordTable | None = None
    policy: LabelPolicy | None = None


class _OtherParts(ModelParts):
    """A model's parts with another label space and everything that depends on it."""

    def __init__(self, own: ModelParts, other: OtherSpace, settings: SurgerySettings) -> None:
        super().__init__(own.bundle, fast=own.fast, prior=own.with_prior, place=own.place)
        self._own = own
        self._other = other
        self._settings = settings

    @cached_property
    def _composed(self) -> ComposedLabels:
        return self._other.composer.labels(self._own.space.labels.ids)

    @cached_property
    def centre(self) -> Centre:
        """Return the mean of the trained labels' new vectors."""
        return centre_of(self._composed.vectors[self.trained])

    @cached_property
    def space(self) -> LabelSpace:
        """Return all labels of the model in the other space."""
        pairs = zip(self._own.space.labels, self._composed.sources, strict=True)
        labels = LabelSet(replace(label, source=source) for label, source in pairs)
        return LabelSpace(labels, placed(self._composed.vectors, self.centre))

    @cached_property
    def surgery(self) -> SurgeryMap:
        """Return the map to the other space."""
        return SurgeryMap(self._operated(self.space.vectors[self.trained]), {CENTRE: self.centre})

    @cached_property
    def kernel(self) -> KernelSurgery | None:
        """Return kernel surgery by the new label vectors alone, if the model has kernel surgery."""
        own = self._own.kernel
        return None if own is None else refitted(own, self.space.vectors, self.trained, self.classifier.weight)

    @cached_property
    def random_surgery(self) -> Surgery:
        """Return the map for random vectors of the other space's dimension."""
        trained = self.space.labels.subset(self.trained.tolist())
        rng = np.random.default_rng(_seed(self.bundle.manifest.scoring))
        return self._operated(random_space(trained, len(self.centre), rng).vectors)

    @cached_property
    def words(self) -> WordTable:
        """Return the words to compose labels from; the model's own if the composer needs none."""
        return self._own.words if self._other.words is None else self._other.words

    def words_among(self, names: Collection[str]) -> WordTable:
        """Return all words of the other space: they are read already."""
        return self.words

    @property
    def has_words(self) -> bool:
        """Return whether words have vectors in the other space; those of an encoder have none."""
        return self._other.words is not None

    @cached_property
    def composer(self) -> Composer:
        """Return the composer of the other space."""
        return self._other.composer

    @property
    def label_policy(self) -> str:
        """Describe how labels got their vectors, and how many lack a sense tag if the policy needs one."""
        words, policy = self._other.words, self._other.policy
        if words is None or policy is None or not policy.tags:
            return self._other.name
        ids = self._own.space.labels.ids
        return f"{self._other.name}, {untagged(words, policy, ids):,} of {counted(len(ids), 'label')} without a tag"

    def _operated(self, vectors: LabelVectors) -> Surgery:
        settings, weight = self._settings, self.classifier.weight
        ridge = self.setting("devise", "ridge") if settings.ridge is None else settings.ridge
        solved = image_free_surgery(vectors, weight, ridge)
        if settings.distillation is None:
            return solved
        return distilled_surgery(solved, vectors, weight, settings.distillation, np.random.default_rng(settings.seed))


def with_label_space(parts: ModelParts, other: OtherSpace, settings: SurgerySettings | None = None) -> ModelParts:
    """Return the model's parts in another label space, with labels placed and surgery redone.

    A trained label without a vector takes no part in the surgery, which is LabelError if none has one.
    """
    return _OtherParts(parts, other, settings or SurgerySettings())


def open_in_space(
    path: Path | None,
    vectors: str | None = None,
    policy: str | None = None,
    *,
    distil: bool = False,
    fast: bool = False,
    prior: bool = True,
    place: Placement = ON_CPU,
    on_bad: OnBad = "error",
    say: Callable[[str], None] = lambda note: None,
) -> ModelParts:
    """Open the parts of the model at `path` (None: in the package), in another label space if given.

    vectors, policy, on_bad, say: see `open_composer`; a policy alone is for the model's own words, and with neither the
    parts are the model's own. distil: whether the map is distilled too, which takes minutes. fast, prior: see `load`.
    place: where the network runs.
    """
    parts = ModelParts.open(path, fast=fast, prior=prior, place=place)
    if vectors is None and policy is None:
        return parts
    if parts.has_tower:
        raise UsageError(
            "the model's labels are placed by its text tower: leave out --label-vectors and --label-policy"
        )
    settings = SurgerySettings(distillation=DistillationConfig() if distil else None)
    other = open_composer(parts, vectors or MODEL_WORDS, policy, on_bad=on_bad, say=say)
    return with_label_space(parts, other, settings)


def open_composer(
    parts: ModelParts,
    vectors: str,
    policy: str | None = None,
    *,
    on_bad: OnBad = "error",
    say: Callable[[str], None] = lambda note: None,
) -> OtherSpace:
    """Open the composer of label vectors from `vectors` under a policy.

    vectors: "model" (the words in the bundle), a file of word vectors (`read_vectors`), the name of an encoder that pip
        carries (ENCODERS), or the folder of one.
    policy: of words one of POLICIES, by default the model's own; of an encoder one of ENCODER_POLICIES, by default
        terms-gloss. UsageError for any other.
    on_bad: of a file of word vectors, see `OnBad`. say: called with what was odd in it, and with how many labels
        an encoder has read.
    """
    return next(iter(open_composers(parts, vectors, (policy,), on_bad=on_bad, say=say).values()))


def open_composers(
    parts: ModelParts,
    vectors: str,
    policies: Sequence[str | None] | None = None,
    *,
    on_bad: OnBad = "error",
    say: Callable[[str], None] = lambda note: None,
) -> dict[str, OtherSpace]:
    """The same for several policies, by their names; words and encoders are read once.

    policies: None means all that the vectors allow; some policies need words tagged with senses.
    """
    path = Path(vectors)
    if vectors in ENCODERS or path.is_dir():
        texts = _chosen(policies, ENCODER_POLICIES, vectors, "terms-gloss")
        encoder = load_encoder(vectors)
        return {
            policy: OtherSpace(EncodedComposer(encoder, parts.taxonomy, policy, say), f"{policy} by {path.name}")
            for policy in texts
        }
    chosen = _chosen(policies, POLICIES, vectors, None)
    if vectors != MODEL_WORDS and not path.is_file():
        raise UsageError(
            f"label vectors must be {MODEL_WORDS}, a file of word vectors, {', '.join(ENCODERS)} or the folder of an "
            f"encoder, but there is no file {vectors}"
        )
    words = parts.words if vectors == MODEL_WORDS else read_vectors(path, on_bad=on_bad)
    for note in words.notes:
        say(note)
    source = "the model's words" if vectors == MODEL_WORDS else path.name
    fitting = [parts.policy if name is None else POLICIES[name] for name in chosen]
    if policies is None and not any(word.startswith(SENSE_MARK) for word in words.words):
        fitting = [policy for policy in fitting if not policy.tags]
    return {
        policy.name: OtherSpace(
            composer_for(words, parts.taxonomy, policy), f"{policy.name} over {source}", words, policy
        )
        for policy in fitting
    }


_Usual = TypeVar("_Usual", str, None)


def _chosen(
    policies: Sequence[str | None] | None, known: Iterable[str], vectors: str, usual: _Usual
) -> list[str | _Usual]:
    """Return the names of policies, all that are known for None; a None among them is the usual one."""
    for policy in policies or ():
        if policy is not None and policy not in known:
            raise UsageError(f"the label policy for {vectors} must be one of {', '.join(known)}, got {policy!r}")
    return [usual if policy is None else policy for policy in (known if policies is None else policies)]


def _seed(scoring: Mapping[str, Mapping[str, int | float]]) -> int:
    return int(scoring.get("random", {}).get("seed", 0))
