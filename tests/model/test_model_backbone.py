"""The network is compiled once, whoever asks for it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from devise.errors import BundleError
from devise.model.labeller import Model
from devise.vision.pipeline import cores


def model_of(parts: Any) -> Model:
    """A model of parts that only compile."""
    model = Model.__new__(Model)
    model.parts = parts
    model._backbone = None
    model._lock = threading.Lock()
    return model


def test_it_is_compiled_once_for_all_who_ask():
    let_go, asked = threading.Event(), []

    def compiled(*, streams: int) -> Any:
        asked.append(streams)
        assert let_go.wait(60)
        return SimpleNamespace(preprocessing=None, dim=3, features=len)

    model = model_of(SimpleNamespace(backbone=compiled))
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(model.backbone) for _ in range(2)]
        let_go.set()
        first, second = (future.result(60) for future in found)
    assert first is second is model.backbone()
    assert asked == [cores()]


def test_what_went_wrong_is_told():
    def broken(*, streams: int) -> Any:
        raise BundleError("altered")

    with pytest.raises(BundleError, match="altered"):
        model_of(SimpleNamespace(backbone=broken)).backbone()
