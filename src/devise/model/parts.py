"""The parts of a model as the labeller uses them, each read from the bundle when it is first needed."""

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from devise.arrays import LabelVectors, Surgery
from devise.bundle.bundle import Bundle, open_bundle
from devise.bundle.parts import BACKBONE, RANDOM_SURGERY, SurgeryMap, decode_surgery
from devise.errors import BundleError
from devise.space.composition import LabelPolicy
from devise.space.encoders import Composer
from devise.space.evidence import Classifier
from devise.space.kernel import KernelSurgery
from devise.space.labelspace import CENTRE, Centre, DeferredSpace, LabelSpace
from devise.space.policies import composer_for
from devise.space.prior import Familiarity, Prior, Standing
from devise.taxonomy.withheld import REASONS, Reason, withheld_nouns
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.text.vectors import WordTable
from devise.vision.backbone import OpenVinoBackbone

__all__ = ["DEFAULT_BUNDLE", "ModelParts"]

DEFAULT_BUNDLE = Path(__file__).parents[1] / "default_model"
"""The model that ships in the package."""


class ModelParts:
    """A bundle's parts, decoded; safe to share between threads once a part was read.

    fast: the network runs in 8-bit integers; BundleError if the bundle keeps nothing for that.
    prior: whether `fused` expects more of nouns that people photograph; without, it ranks by likeness alone.
    """

    def __init__(self, bundle: Bundle, *, fast: bool = False, prior: bool = True) -> None:
        self.bundle = bundle
        self.fast = fast
        self.with_prior = prior
        self._bounds = bundle.fast() if fast else None

    @classmethod
    def open(cls, path: Path | None = None, *, fast: bool = False, prior: bool = True) -> "ModelParts":
        """The model at `path`; None is the one that ships in the package. BundleError if it is none."""
        return cls(open_bundle(DEFAULT_BUNDLE if path is None else path), fast=fast, prior=prior)

    @property
    def name(self) -> str:
        """The model's name, and how it is run: what differs in that makes other scores of the same photos."""
        return f"{self.bundle.manifest.name}{' --fast' * self.fast}{' --no-prior' * (not self.with_prior)}"

    @property
    def taxonomy(self) -> Taxonomy:
        """WordNet 3.0's nouns."""
        return default_taxonomy()

    @cached_property
    def space(self) -> LabelSpace:
        """All labels of the model and their vectors; glosses are empty."""
        return DeferredSpace(self.bundle.labels, self.bundle.label_vectors)

    @cached_property
    def withheld(self) -> Mapping[str, Reason]:
        """Labels that are no answer unless they are asked for, and why; what the model was trained on is never one."""
        found, trained = withheld_nouns(self.taxonomy), frozenset(self.trained_ids)
        return {one: found[one] for one in self.space.labels.ids if one in found and one not in trained}

    @property
    def withheld_counts(self) -> dict[Reason, int]:
        """How many labels are withheld for each reason."""
        counts = Counter(self.withheld.values())
        return {reason: counts[reason] for reason in REASONS}

    @cached_property
    def answerable(self) -> LabelSpace:
        """The labels that are not withheld, in the model's order; `space` itself where none is."""
        own = self.space
        if not self.withheld:
            return own
        return DeferredSpace(own.labels.subset(self.answerable_places.tolist()), self._answerable_vectors)

    @cached_property
    def answerable_places(self) -> Int64[np.ndarray, "answerable"]:
        """Where the answerable labels stand among all labels."""
        ids = self.space.labels.ids
        return np.array([place for place, one in enumerate(ids) if one not in self.withheld], dtype=np.int64)

    def _answerable_vectors(self) -> LabelVectors:
        vectors: LabelVectors = self.space.vectors[self.answerable_places]
        return vectors

    @cached_property
    def classifier(self) -> Classifier:
        """The softmax that was trained."""
        return self.bundle.classifier()

    @property
    def trained(self) -> Int64[np.ndarray, "trained"]:
        """Where each row of the classifier stands among the labels."""
        return self.bundle.trained

    @cached_property
    def trained_ids(self) -> tuple[str, ...]:
        """The id of each row of the classifier."""
        return tuple(self.space.labels.ids[position] for position in self.trained.tolist())

    @cached_property
    def surgery(self) -> SurgeryMap:
        """The map M."""
        return self.bundle.surgery()

    @cached_property
    def random_surgery(self) -> Surgery | None:
        """The map made in the same way for random label vectors; None if the bundle keeps none."""
        if not self.bundle.has(RANDOM_SURGERY):
            return None
        return decode_surgery(self.bundle.part_bytes(RANDOM_SURGERY), self.bundle.manifest).map

    @cached_property
    def placed(self) -> LabelSpace:
        """All labels of the model where photos are named: at their places of kernel surgery, if the model has it."""
        return self.space if self.kernel is None else LabelSpace(self.space.labels, self.kernel.places)

    @cached_property
    def _prior(self) -> Prior:
        return self.bundle.prior()

    @property
    def standing(self) -> Standing | None:
        """What is expected of each label before the picture is looked at; None if the bundle keeps nothing of it."""
        return self._prior.standing

    @property
    def familiarity(self) -> Familiarity | None:
        """How familiar each label's name is; None if the bundle does not say."""
        return self._prior.familiarity

    @cached_property
    def kernel(self) -> KernelSurgery | None:
        """Kernel surgery; None if the bundle keeps none."""
        return self.bundle.kernel()

    @property
    def centre(self) -> Centre:
        """What is taken off a composed vector to place it in the label space."""
        try:
            return self.surgery.centring[CENTRE]
        except KeyError:
            raise BundleError(f"the model keeps no {CENTRE}, so no label can be added to it: build it again") from None

    @property
    def label_policy(self) -> str:
        """How labels got their vectors, by its name."""
        return self.bundle.manifest.label_policy.name

    @cached_property
    def words(self) -> WordTable:
        """The words that labels are made of."""
        return self.bundle.words()

    @cached_property
    def policy(self) -> LabelPolicy:
        """How a label is made of words."""
        return LabelPolicy.from_dict(self.bundle.manifest.label_policy.parameters)

    @cached_property
    def composer(self) -> Composer:
        """Makes vectors for labels the model has none for."""
        return composer_for(self.words, self.taxonomy, self.policy)

    def backbone(self, *, streams: int = 1) -> OpenVinoBackbone:
        """The network, compiled now; `streams`: see `OpenVinoBackbone`."""
        found = OpenVinoBackbone(
            self.bundle.part_bytes(BACKBONE), self.bundle.preprocessing(), streams=streams, bounds=self._bounds
        )
        features = self.bundle.manifest.backbone.features
        if found.dim != features:
            raise BundleError(
                f"{self.bundle.path / BACKBONE}: makes {found.dim} features, the manifest says {features}: get or "
                "build the bundle again"
            )
        return found

    def setting(self, scorer: str, name: str) -> float:
        """A number the model keeps for a scorer; BundleError if it keeps none."""
        return self.bundle.setting(scorer, name)
