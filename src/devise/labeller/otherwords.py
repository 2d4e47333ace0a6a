"""A model's labels with vectors made of other words, or under another policy: to look at a label space on its own."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np

from devise.bundle.bundle import Bundle
from devise.bundle.label_table import TrainedPositions
from devise.errors import UsageError
from devise.labeller.parts import ModelParts
from devise.labels import LabelSet
from devise.model.space import Centre, LabelSpace, centre_of, placed
from devise.text.composition import POLICIES, ComposedLabels, LabelPolicy
from devise.text.formats import read_vectors
from devise.text.vectors import WordTable

__all__ = ["OtherWords", "open_parts"]


class OtherWords(ModelParts):
    """A bundle's trained labels, then others, composed of these words; centred on the trained ones as ever.

    others: ids of the labels beside the trained ones; None takes the bundle's. The classifier is the bundle's; its
    surgery is not used, as it leads to the bundle's own label space.
    """

    def __init__(
        self, bundle: Bundle, words: WordTable, policy: LabelPolicy, others: Iterable[str] | None = None
    ) -> None:
        super().__init__(bundle)
        self._words = words
        self._policy = policy
        table = bundle.label_table
        trained = tuple(table.ids[place] for place in table.trained.tolist())
        self._ids = tuple(dict.fromkeys((*trained, *(table.ids if others is None else others))))

    @property
    def words(self) -> WordTable:
        """The other words."""
        return self._words

    @property
    def policy(self) -> LabelPolicy:
        """The other policy."""
        return self._policy

    @property
    def trained(self) -> TrainedPositions:
        """They come first."""
        return np.arange(len(self.bundle.trained), dtype=np.int64)

    @cached_property
    def _composed(self) -> ComposedLabels:
        return self.composer.labels(self._ids)

    @cached_property
    def centre(self) -> Centre:
        """The mean of the trained labels' vectors."""
        return centre_of(self._composed.vectors[self.trained])

    @cached_property
    def space(self) -> LabelSpace:
        """All labels and their new vectors."""
        count, seen = len(self._ids), len(self.trained)
        names = [self.taxonomy.synset(one).name for one in self._ids]
        marks = [place < seen for place in range(count)]
        labels = LabelSet.of_columns(self._ids, names, ("",) * count, marks, self._composed.sources)
        return LabelSpace(labels, placed(self._composed.vectors, self.centre))


def open_parts(
    model: Path | None = None,
    vectors: Path | None = None,
    policy: str | None = None,
    others: Iterable[str] | None = None,
) -> ModelParts:
    """A model as it is, or its labels with the words of a file (`vectors`) or another policy.

    Without `policy` the model's own is taken. others: see `OtherWords`; a model as it is has all its labels.
    UsageError for a policy that does not exist.
    """
    parts = ModelParts.open(model)
    if policy is not None and policy not in POLICIES:
        raise UsageError(f"--policy must be one of {', '.join(sorted(POLICIES))}, got {policy!r}")
    if vectors is None and policy is None:
        return parts
    words = parts.words if vectors is None else read_vectors(vectors)
    return OtherWords(parts.bundle, words, parts.policy if policy is None else POLICIES[policy], others)
