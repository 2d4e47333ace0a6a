"""The network is compiled in the background, once, and whoever needs it waits for it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from devise.errors import BundleError
from devise.labeller.model import Model
from devise.vision.pipeline import cores


class Compiler:
    """Stands in for the parts of a model; compiles when it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.asked: list[int] = []

    def backbone(self, *, streams: int) -> Any:
        self.asked.append(streams)
        assert self.let_go.wait(10)
        return SimpleNamespace(preprocessing=None, dim=3, features=len)


def model_of(parts: Any) -> Model:
    """A model of parts that only compile."""
    model = Model.__new__(Model)
    model.parts = parts
    model._compiling = None
    model._lock = threading.Lock()
    return model


def test_it_comes_back_before_the_network_is_compiled():
    compiler = Compiler()
    model = model_of(compiler)
    model.prepare()
    model.prepare()
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(model.backbone) for _ in range(2)]
        assert not any(future.done() for future in found)
        compiler.let_go.set()
        first, second = (future.result(10) for future in found)
    assert first is second is model.backbone()
    assert compiler.asked == [cores()]


def test_what_went_wrong_is_told_to_who_needs_the_network():
    def broken(*, streams: int) -> Any:
        raise BundleError("altered")

    model = model_of(SimpleNamespace(backbone=broken))
    model.prepare()
    with pytest.raises(BundleError, match="altered"):
        model.backbone()
