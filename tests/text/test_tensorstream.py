import io

import numpy as np
import pytest
import safetensors.numpy

from devise.text import tensorstream
from devise.text.tensorstream import write_tensors


def test_the_bytes_are_those_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorstream, "_PIECE", 64)
    wide = np.arange(240, dtype=np.float32).reshape(12, 20)
    tensors = {
        "words": np.arange(7, dtype=np.uint8),
        "rows": wide[:, :13],
        "b": np.arange(3, dtype=np.int64),
        "a": np.arange(5, dtype=np.int64),
        "codes": np.arange(-4, 4, dtype=np.int8).reshape(2, 4),
        "half": np.ones((2, 3), dtype=np.float16),
        "whole": np.arange(4, dtype=np.int32),
        "nothing": np.zeros((0, 4), dtype=np.float32),
    }
    file = io.BytesIO()
    write_tensors(file, tensors, {"devise": '{"täg": "x"}'})
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    assert file.getvalue() == safetensors.numpy.save(contiguous, metadata={"devise": '{"täg": "x"}'})


def test_a_type_that_is_not_known() -> None:
    with pytest.raises(KeyError, match="complex64"):
        write_tensors(io.BytesIO(), {"a": np.zeros(2, dtype=np.complex64)}, {})
