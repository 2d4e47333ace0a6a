"""The prior of a label, known before the picture is read.

A cosine alone gives every label the same chance, a sea squirt as much as a helicopter. Which nouns people photograph is
known without a photo: the trained labels were chosen for it. The weight of the prior is chosen on classes left out of
the trained ones.
"""

from dataclasses import dataclass

import numpy as np

from devise.arrays import Float32, Int64
from devise.labels import LabelSet

__all__ = ["Familiarity", "LabelPrior", "Prior", "Standing", "standing_of"]

Familiarity = Float32[np.ndarray, "labels"]
"""log(1 + count) / sqrt(rank): how often the label's best known term occurs in plain text, and which of the term's
senses, from 1, the label is. 0 for a term that occurs in no text. Up: a noun that people say."""
Standing = Float32[np.ndarray, "labels"]
"""Up: more often photographed. Log odds of "people photograph it" (`tools.prior`); in bundles made before
there were log odds, the familiarity."""
LabelPrior = Float32[np.ndarray, "labels"]
"""Added to each label's cosine: its standing times the weight that the model keeps."""


@dataclass(frozen=True, eq=False, slots=True)
class Prior:
    """The prior values of a model's labels; None if unknown."""

    log_odds: Standing | None = None
    familiarity: Familiarity | None = None

    @property
    def standing(self) -> Standing | None:
        """The log odds, or in older models the familiarity."""
        return self.familiarity if self.log_odds is None else self.log_odds

    def of(self, asked: LabelSet, own: LabelSet, trained: Int64[np.ndarray, "trained"]) -> "Prior":
        """The same of other labels; see `standing_of`."""
        rows = (self.log_odds, self.familiarity)
        return Prior(*(None if row is None else standing_of(asked, own, row, trained) for row in rows))


def standing_of(
    asked: LabelSet,
    own: LabelSet,
    known: Float32[np.ndarray, "own"],
    trained: Int64[np.ndarray, "trained"],
    typed: float | None = None,
) -> Standing:
    """Return the standing of the requested labels from that of the model's own labels.

    trained: positions of the trained labels among its own. A label that is not its own was asked for by name: it
    is placed where a trained label is on average; or at `typed`, of a model that was trained on no labels.
    """
    if asked is own:
        return known
    new = known[trained].mean() if typed is None else typed
    # `places` is -1 for a foreign label, which picks the last number: the new one.
    standing: Standing = np.append(known, np.float32(new))[own.places(asked.ids)]
    return standing
