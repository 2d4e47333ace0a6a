"""Named array types. The axes are checked while the tests run, and only then.

`Float32[np.ndarray, "rows dim"]` is jaxtyping's if jaxtyping is imported before this module, as the tests do, and
`np.ndarray` otherwise, also for type checkers: jaxtyping costs a tenth of the start of `devise label`.
"""

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from typing import Annotated as Bool
    from typing import Annotated as Float
    from typing import Annotated as Float16
    from typing import Annotated as Float32
    from typing import Annotated as Float64
    from typing import Annotated as Int8
    from typing import Annotated as Int32
    from typing import Annotated as Int64
    from typing import Annotated as Real
    from typing import Annotated as Shaped
    from typing import Annotated as UInt8
    from typing import Annotated as UInt16
    from typing import Annotated as UInt64
elif "jaxtyping" in sys.modules:
    from jaxtyping import (
        Bool,
        Float,
        Float16,
        Float32,
        Float64,
        Int8,
        Int32,
        Int64,
        Real,
        Shaped,
        UInt8,
        UInt16,
        UInt64,
    )
else:

    class _Unchecked:
        def __class_getitem__(cls, array_and_axes: tuple[Any, str]) -> Any:
            return array_and_axes[0]

    Bool = Float = Float16 = Float32 = Float64 = Int8 = Int32 = Int64 = Real = Shaped = UInt8 = UInt16 = UInt64 = (
        _Unchecked
    )

__all__ = [
    "Bool",
    "Features",
    "Float",
    "Float16",
    "Float32",
    "Float64",
    "Int8",
    "Int32",
    "Int64",
    "LabelMask",
    "LabelVectors",
    "Logits",
    "Pixels",
    "Queries",
    "Ranking",
    "Real",
    "Scores",
    "Shaped",
    "Surgery",
    "Truth",
    "UInt8",
    "UInt16",
    "UInt64",
    "WordVectors",
]

Pixels = UInt8[np.ndarray, "height width 3"]
"""One decoded picture, sRGB."""
Features = Float32[np.ndarray, "images features"]
"""What the backbone makes of pictures, before its classifier."""
Logits = Float32[np.ndarray, "images trained"]
"""The classifier's outputs before the softmax, one column a trained label."""
LabelVectors = Float32[np.ndarray, "labels dim"]
"""One row per label, unit length unless said otherwise; a row of zeros is a label without a vector."""
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
