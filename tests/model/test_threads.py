"""One thread for the products inside, as many as before outside."""

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from devise.vision.pipeline import one_thread


def _threads() -> list[int]:
    np.eye(2) @ np.eye(2)
    return [lib["num_threads"] for lib in ThreadpoolController().info() if "numpy" in lib["filepath"]]


def test_inside_one_outside_as_before() -> None:
    before = _threads()
    with one_thread():
        assert set(_threads()) == {1}
    assert _threads() == before


def test_an_error_restores_the_threads() -> None:
    before = _threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        raise ZeroDivisionError
    assert _threads() == before
