"""Named array types. The axes are checked while the tests run, and only then."""

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

__all__ = [
    "Features",
    "LabelMask",
    "LabelVectors",
    "Logits",
    "Pixels",
    "Queries",
    "Ranking",
    "Scores",
    "Surgery",
    "Truth",
    "WordVectors",
]

Pixels = UInt8[np.ndarray, "height width 3"]
"""One decoded picture, sRGB."""
Features = Float32[np.ndarray, "images features"]
"""What the backbone makes of pictures, before its classifier."""
Logits = Float32[np.ndarray, "images trained"]
"""The classifier's outputs before the softmax, one column a trained label."""
LabelVectors = Float32[np.ndarray, "labels dim"]
"""One row a label, unit length unless said otherwise; a row of zeros is a label without a vector."""
WordVectors = Float32[np.ndarray, "words dim"]
Queries = Float32[np.ndarray, "images dim"]
"""Pictures as points of the label space, unit length."""
Surgery = Float32[np.ndarray, "dim features"]
"""The linear map M of the paper, from image features to the label space."""
Scores = Float32[np.ndarray, "images labels"]
"""Up is better."""
Ranking = Int64[np.ndarray, "images k"]
"""Positions in a label set, best first."""
Truth = Int64[np.ndarray, "images"]
LabelMask = Bool[np.ndarray, "labels"]
