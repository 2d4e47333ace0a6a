"""What is expected of a label before the picture is looked at.

A cosine alone gives every label the same chance, a sea squirt as much as a helicopter. How familiar a label's name is
tells without a photo how likely it is to be right. Its weight is chosen on classes left out of the trained ones.
"""

import numpy as np
from jaxtyping import Float32

__all__ = ["Familiarity", "LabelPrior"]

Familiarity = Float32[np.ndarray, "labels"]
"""log(1 + count) / sqrt(rank): how often the label's best known term stands in plain text, and which of the term's
senses, from 1, the label is. 0 for a term that no text holds."""
LabelPrior = Float32[np.ndarray, "labels"]
"""Added to each label's cosine: its familiarity times the weight that the model keeps."""
