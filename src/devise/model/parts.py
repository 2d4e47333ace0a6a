"""The parts of a model for the labeller, each read from the bundle at first use."""

import copy
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from devise.arrays import Int64, LabelVectors, Surgery
from devise.bundle.bundle import Bundle, open_bundle
from devise.bundle.parts import BACKBONE, RANDOM_SURGERY, TEXT_TOWER, WORDS, SurgeryMap, decode_surgery
from devise.errors import BundleError, UsageError, counted
from devise.labels import Label, LabelSet
from devise.space.evidence import Classifier
from devise.space.kernel import KernelSurgery
from devise.space.label_vectors import Composer, LabelPolicy, composer_for
from devise.space.labelspace import CENTRE, Centre, DeferredSpace, LabelSpace
from devise.space.prior import Familiarity, Prior, Standing
from devise.space.texttower import TextTower, TowerComposer
from devise.taxonomy.withheld import REASONS, Reason, withheld_nouns
from devise.taxonomy.wordnet import ENGLISH, taxonomy_in
from devise.text.vectors import QuantizedRows, WordTable, decoded
from devise.vision.backbone import Backbone, OnnxRuntimeBackbone, OpenVinoBackbone
from devise.vision.runtime import ON_CPU, Placement, settled

if TYPE_CHECKING:
    from devise.vision.regions import FeatureMaps

__all__ = ["DEFAULT_BUNDLE", "ModelParts"]

DEFAULT_BUNDLE = Path(__file__).parents[1] / "default_model"
"""The model that ships in the package."""


class ModelParts:
    """A bundle's decoded parts; thread-safe once a part was read.

    fast: the network runs in 8-bit integers; BundleError if the bundle keeps nothing for that.
    prior: whether `fused` expects more of nouns that people photograph; without, it ranks by likeness alone.
    language: of the names of nouns, which are shown, and understood where labels are typed; see `taxonomy_in`.
    place: where the network runs; UsageError if it cannot run there.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        fast: bool = False,
        prior: bool = True,
        language: str | None = None,
        place: Placement = ON_CPU,
    ) -> None:
        self.bundle = bundle
        self.fast = fast
        self.place, _ = settled(place, fast=fast)
        self.with_prior = prior
        self._bounds = bundle.fast() if fast else None
        self._read_some = False  # whether some words were read without the others
        self._shared: ModelParts | None = None  # whose words this one takes: the same in every language
        self._compiling = threading.Lock()
        self.taxonomy = taxonomy_in(language)
        """The nouns of WordNet 3.0, with names in the model's language."""

    @classmethod
    def open(
        cls,
        path: Path | None = None,
        *,
        fast: bool = False,
        prior: bool = True,
        language: str | None = None,
        place: Placement = ON_CPU,
    ) -> "ModelParts":
        """Open the model at `path`; None is the one in the package. BundleError if it is not a bundle."""
        bundle = open_bundle(DEFAULT_BUNDLE if path is None else path)
        return cls(bundle, fast=fast, prior=prior, language=language, place=place)

    def in_language(self, language: str | None) -> "ModelParts":
        """Return the same parts with names in another language; None is English. All that is large is shared."""
        _ = self.classifier, self.kernel, self.trained_ids, self.withheld, self.answerable_places, self._prior
        other = copy.copy(self)
        other.taxonomy, other._shared = taxonomy_in(language), self
        for name in ("space", "answerable", "placed", "composer"):  # which have names in them
            other.__dict__.pop(name, None)
        labels = other._named(self.bundle.labels)
        other.__dict__["space"] = self.space.named(labels)
        other.__dict__["answerable"] = (
            self.answerable.named(labels.subset(self.answerable_places.tolist())) if self.withheld else other.space
        )
        return other

    @property
    def name(self) -> str:
        """Return the model's name with the options that change scores.

        Another device is not one of them: in float32 only the order of its sums differs from the CPU's.
        """
        precise = " --precision bf16" * (self.place.precision == "bf16")
        return f"{self.bundle.manifest.name}{' --fast' * self.fast}{precise}{' --no-prior' * (not self.with_prior)}"

    @cached_property
    def space(self) -> LabelSpace:
        """Return all labels of the model and their vectors; glosses are empty."""
        return DeferredSpace(self._named(self.bundle.labels), self._label_vectors)

    def _label_vectors(self, positions: Int64[np.ndarray, "some"]) -> LabelVectors:
        return decoded(self._stored[positions])

    @cached_property
    def _stored(self) -> LabelVectors | QuantizedRows:
        return self.bundle.stored_label_vectors()

    def _named(self, labels: LabelSet) -> LabelSet:
        taxonomy = self.taxonomy
        if taxonomy.language is None:
            return labels
        return labels.renamed({one: taxonomy.translations(one)[0] for one in labels.ids if one in taxonomy})

    def labelled(self, label: Label) -> Label:
        """Return the label with its gloss from the taxonomy."""
        if label.gloss or label.id not in self.taxonomy:
            return label
        return replace(label, gloss=self.taxonomy.definition(label.id))

    @property
    def language_note(self) -> str:
        """Return how many of the labels have names in the model's language; empty for English."""
        language = self.taxonomy.language
        if language is None:
            return ""
        named, labels = language.names, self.space.labels
        known = sum(one in named for one in labels.ids)
        trained = sum(one in named for one in self.trained_ids)
        lines = counted(language.skipped, "line")
        skipped = f"; {lines} left out: not a noun of WordNet 3.0" if language.skipped else ""
        return (
            f"{language.source}: names for {known:,} of {len(labels):,} labels, {trained:,} of "
            f"{len(self.trained_ids):,} trained ones; the others are English, marked {ENGLISH.strip()}{skipped}"
        )

    @cached_property
    def withheld(self) -> Mapping[str, Reason]:
        """Return labels withheld unless requested, with reasons; trained labels are never withheld."""
        own, trained = self.space.labels, frozenset(self.trained_ids)
        found = withheld_nouns(self.taxonomy)
        known = own.places(tuple(found)).tolist()
        return {one: why for (one, why), at in zip(found.items(), known, strict=True) if at >= 0 and one not in trained}

    @property
    def withheld_counts(self) -> dict[Reason, int]:
        """Count the withheld labels by reason."""
        counts = Counter(self.withheld.values())
        return {reason: counts[reason] for reason in REASONS}

    @cached_property
    def answerable(self) -> LabelSpace:
        """Return the labels that are not withheld, in the model's order."""
        own = self.space
        if not self.withheld:
            return own
        return own.subset(self.answerable_places)

    @cached_property
    def answerable_places(self) -> Int64[np.ndarray, "answerable"]:
        """Return the positions of labels that are not withheld."""
        own = self.space.labels
        stays = np.ones(len(own), dtype=bool)
        stays[own.places(tuple(self.withheld))] = False
        return np.flatnonzero(stays)

    @property
    def has_tower(self) -> bool:
        """Return whether a text tower places labels; then no label is trained, and features are in their space."""
        return self.bundle.has(TEXT_TOWER)

    @property
    def untrained(self) -> bool | None:
        """Return `Label.seen` of a label without training photos."""
        return None if self.has_tower else False

    @property
    def tower(self) -> TextTower:
        """Return the text tower, compiled once, even for several threads; BundleError if the model has none."""
        if self._shared is not None:
            return self._shared.tower
        with self._compiling:
            return self._tower

    @cached_property
    def _tower(self) -> TextTower:
        return self.bundle.text_tower()

    @cached_property
    def classifier(self) -> Classifier:
        """Return the trained softmax; one of no labels if the model has a text tower."""
        if self.has_tower:
            features = self.bundle.manifest.backbone.features
            return Classifier(np.zeros((0, features), np.float32), np.zeros(0, np.float32))
        return self.bundle.classifier()

    @property
    def trained(self) -> Int64[np.ndarray, "trained"]:
        """Return the position of each classifier row among the labels."""
        return self.bundle.trained

    @cached_property
    def trained_ids(self) -> tuple[str, ...]:
        """Return the id of each classifier row."""
        return tuple(self.space.labels.ids[position] for position in self.trained.tolist())

    @cached_property
    def surgery(self) -> SurgeryMap:
        """Return the map M."""
        return self.bundle.surgery()

    @cached_property
    def random_surgery(self) -> Surgery | None:
        """Return the map for random label vectors, made in the same way; None if absent."""
        if not self.bundle.has(RANDOM_SURGERY):
            return None
        return decode_surgery(self.bundle.part_bytes(RANDOM_SURGERY), self.bundle.manifest).map

    @cached_property
    def placed(self) -> LabelSpace:
        """Return all labels at their positions among photos, by kernel surgery if the model has it."""
        return self.space if self.kernel is None else LabelSpace(self.space.labels, self.kernel.places)

    @cached_property
    def _prior(self) -> Prior:
        return self.bundle.prior()

    @property
    def standing(self) -> Standing | None:
        """Return the prior of each label; None if the bundle has none."""
        return self._prior.standing

    @property
    def familiarity(self) -> Familiarity | None:
        """Return the familiarity of each label's name; None if absent."""
        return self._prior.familiarity

    @cached_property
    def kernel(self) -> KernelSurgery | None:
        """Return kernel surgery; None if absent."""
        return self.bundle.kernel()

    @property
    def centre(self) -> Centre:
        """Return the centre, which is subtracted from a composed vector to place it in the label space."""
        if self.has_tower:
            return np.zeros(self.bundle.manifest.label_space.dim, np.float32)
        try:
            return self.surgery.centring[CENTRE]
        except KeyError:
            raise BundleError(f"the model has no {CENTRE}, so no label can be added to it: build it again") from None

    @property
    def label_policy(self) -> str:
        """Return the name of the label policy."""
        return self.bundle.manifest.label_policy.name

    @cached_property
    def words(self) -> WordTable:
        """Return the words that labels are composed from."""
        return self.bundle.words() if self._shared is None else self._shared.words

    def words_among(self, names: Collection[str]) -> WordTable:
        """Return a table with those of these words that the model has; the first time it has no others.

        A command looks up one word, as a rule: reading all takes 40 ms and 60 MB.
        """
        if self._shared is None and "words" not in self.__dict__ and not self._read_some:
            self._read_some = True
            return self.bundle.words(only=names)
        return self.words

    @property
    def has_words(self) -> bool:
        """Return whether words have vectors in the label space, which show the sense of a word."""
        return self.bundle.has(WORDS)

    @cached_property
    def policy(self) -> LabelPolicy:
        """Return the policy that composes labels from words."""
        return LabelPolicy.from_dict(self.bundle.manifest.label_policy.parameters)

    @cached_property
    def composer(self) -> Composer:
        """Return the composer for labels without vectors."""
        if self.has_tower:
            return TowerComposer(self.tower)
        return composer_for(self.words, self.taxonomy, self.policy)

    def backbone(self, *, streams: int = 1) -> Backbone:
        """Compile the network; `streams`: see `OpenVinoBackbone`."""
        onnx, preprocessing = self.bundle.part_bytes(BACKBONE), self.bundle.preprocessing()
        found: Backbone
        if self.place.device == "cuda":
            found = OnnxRuntimeBackbone(onnx, preprocessing)
        else:
            found = OpenVinoBackbone(onnx, preprocessing, streams=streams, bounds=self._bounds, place=self.place)
        features = self.bundle.manifest.backbone.features
        if found.dim != features:
            raise BundleError(
                f"{self.bundle.path / BACKBONE}: makes {found.dim} features, the manifest says {features}: get or "
                "build the bundle again"
            )
        return found

    def feature_maps(self, *, streams: int = 1) -> "FeatureMaps":
        """Compile the network for parts of pictures; see `FeatureMaps`. UsageError for another device than the CPU."""
        from devise.vision.regions import FeatureMaps

        if self.place != ON_CPU:
            raise UsageError("regions are named on the CPU in float32: leave out --device and --precision")
        preprocessing = self.bundle.preprocessing()
        return FeatureMaps(self.bundle.part_bytes(BACKBONE), preprocessing, streams=streams, bounds=self._bounds)

    def setting(self, scorer: str, name: str) -> float:
        """Return a stored number of a scorer; BundleError if absent."""
        return self.bundle.setting(scorer, name)
