"""The engine alone, with a backbone that sees nothing but the first pixel."""

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.errors import PictureError
from devise.serve.engine import Engine as PlainEngine
from devise.serve.limits import Limits
from devise.serve.problems import ServiceError
from devise.vision.decoder_process import Decoder
from devise.vision.decoding import read_picture, thumbnail
from devise.vision.limits import PictureLimits
from devise.vision.pipeline import Extracted
from devise.vision.preprocessing import Crop, Preprocessing

SEVEN = Preprocessing(8, 8, "bicubic", (0.0,) * 3, (1.0,) * 3)


class FirstPixel:
    """A backbone that can be stopped."""

    preprocessing = SEVEN
    dim = 3

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.begun = threading.Semaphore(0)

    def features(self, crops: np.ndarray) -> np.ndarray:
        self.begun.release()
        assert self.open.wait(60)
        return crops[:, 0, 0].astype(np.float32)


class Here(Decoder):
    """A reader in this process."""

    def __init__(self, limits: PictureLimits) -> None:
        self.limits = limits
        self.closed = False

    def start(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def crop(self, data: bytes, preprocessing: Preprocessing) -> Crop:
        return preprocessing.apply(read_picture(data, min_side=None, limits=self.limits))

    def thumbnail(self, path: Path, side: int) -> bytes:
        return thumbnail(path, side, limits=self.limits)


def Engine(backbone: FirstPixel, limits: Limits, **more: object) -> PlainEngine:  # noqa: N802
    return PlainEngine(backbone, limits, reader=lambda: Here(limits.picture), **more)  # type: ignore[arg-type]


class Red:
    """The task: the red of each picture; keeps the sizes of its blocks."""

    def __init__(self) -> None:
        self.blocks: list[int] = []

    def __call__(self, block: Sequence[Extracted]) -> list[float]:
        self.blocks.append(len(block))
        return [float(one.features[0]) for one in block]


class Spoilt(Red):
    """Fails for a block that holds a picture of red 13."""

    def __call__(self, block: Sequence[Extracted]) -> list[float]:
        found = super().__call__(block)
        if 13.0 in found:
            raise ValueError("thirteen")
        return found


def png(red: int, size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size, (red, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_picture_gets_its_own_result_in_blocks():
    backbone, red = FirstPixel(), Red()
    engine = Engine(backbone, Limits(block=4), workers=2)
    found = [engine.submit(png(value), (red, red)) for value in range(30)]
    assert [future.result(60) for future in found] == [(float(value), float(value)) for value in range(30)]
    engine.close()
    assert sum(red.blocks) == 30  # equal tasks of one picture are done once
    assert max(red.blocks) <= 4
    assert len(red.blocks) < 30


def test_a_picture_is_decoded_while_the_network_is_busy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("devise.serve.engine.cores", lambda: 1)
    backbone, made, reading = FirstPixel(), list[Here](), threading.Lock()

    class Single(Here):
        def crop(self, data: bytes, preprocessing: Preprocessing) -> Crop:
            assert reading.acquire(blocking=False), "a reader reads one picture at a time"
            try:
                return super().crop(data, preprocessing)
            finally:
                reading.release()

    def reader() -> Here:
        made.append(Single(PictureLimits()))
        return made[-1]

    backbone.open.clear()
    engine, red = PlainEngine(backbone, Limits(), reader=reader), Red()
    found = [engine.submit(png(value), (red,)) for value in range(6)]
    for _ in range(2):  # the second reaches the network although the first is still in it
        assert backbone.begun.acquire(timeout=60)
    backbone.open.set()
    assert [future.result(60) for future in found] == [(float(value),) for value in range(6)]
    engine.close()
    assert [one.closed for one in made] == [True]


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back():
    backbone, red = FirstPixel(), Red()
    backbone.open.clear()
    engine = Engine(backbone, Limits(queue=3), workers=1)
    taken = [engine.submit(png(1), (red,))]
    assert backbone.begun.acquire(timeout=60)  # the worker holds it
    taken += [engine.submit(png(value), (red,)) for value in (2, 3, 4)]
    with pytest.raises(ServiceError, match="3 pictures") as refused:
        engine.submit(png(5), (red,))
    assert not red.blocks  # the worker is still held: it was refused before any other was done
    assert refused.value.status == 429
    assert refused.value.retry_after >= 1
    backbone.open.set()
    assert [future.result(60) for future in taken] == [(1.0,), (2.0,), (3.0,), (4.0,)]
    engine.refuse_if_full()
    engine.close()


def test_a_picture_with_regions_waits_as_four():
    backbone, red = FirstPixel(), Red()
    backbone.open.clear()
    engine = Engine(backbone, Limits(queue=5), workers=1)
    held = engine.submit(png(1), (red,))
    assert backbone.begun.acquire(timeout=60)
    waiting = [engine.submit(png(2), (red,), regions=True), engine.submit(png(3), (red,))]
    assert engine.waiting == 5
    with pytest.raises(ServiceError, match="the queue is full"):
        engine.submit(png(4), (red,))
    for future in waiting:
        future.cancel()
    backbone.open.set()
    assert held.result(60) == (1.0,)
    engine.close()
    assert engine.waiting == 0


def test_a_bad_picture_fails_alone():
    engine, red = Engine(FirstPixel(), Limits(), workers=2), Red()
    found = [engine.submit(b"no picture" if value == 3 else png(value), (red,)) for value in range(8)]
    for value, future in enumerate(found):
        if value == 3:
            with pytest.raises(PictureError, match="not a picture"):
                future.result(60)
        else:
            assert future.result(60) == (float(value),)
    engine.close()


def test_a_picture_that_spoils_its_block_fails_alone():
    backbone, spoilt = FirstPixel(), Spoilt()
    backbone.open.clear()
    engine = Engine(backbone, Limits(), workers=1)
    found = [engine.submit(png(value), (spoilt,)) for value in (11, 12, 13, 14)]
    backbone.open.set()
    assert [found[place].result(60) for place in (0, 1, 3)] == [(11.0,), (12.0,), (14.0,)]
    with pytest.raises(ValueError, match="thirteen"):
        found[2].result(60)
    engine.close()


def test_closing_finishes_what_was_taken():
    engine, red = Engine(FirstPixel(), Limits(), workers=2), Red()
    found = [engine.submit(png(value), (red,)) for value in range(20)]
    engine.close()
    engine.close()
    assert [future.result(0) for future in found] == [(float(value),) for value in range(20)]


def test_what_was_cancelled_while_it_waited_is_not_done():
    backbone, red = FirstPixel(), Red()
    backbone.open.clear()
    engine = Engine(backbone, Limits(), workers=1)
    first = engine.submit(png(1), (red,))
    assert backbone.begun.acquire(timeout=60)
    second, third = engine.submit(png(2), (red,)), engine.submit(png(3), (red,))
    assert second.cancel()
    backbone.open.set()
    assert (first.result(60), third.result(60)) == ((1.0,), (3.0,))
    with pytest.raises(CancelledError):
        second.result(0)
    engine.close()
    assert sum(red.blocks) == 2


def test_what_waited_too_long_is_refused(monkeypatch: pytest.MonkeyPatch):
    backbone, red = FirstPixel(), Red()
    clock = [0.0]
    monkeypatch.setattr("devise.serve.engine.monotonic", lambda: clock[0])
    backbone.open.clear()
    engine = Engine(backbone, Limits(seconds=5), workers=1)
    engine.submit(png(1), (red,))
    assert backbone.begun.acquire(timeout=60)
    late = engine.submit(png(2), (red,))
    clock[0] += 5.1
    backbone.open.set()
    with pytest.raises(ServiceError, match="too long") as refused:
        late.result(60)
    assert refused.value.status == 429
    engine.close()


def test_pixels_are_counted_before_they_are_decoded():
    engine, red = Engine(FirstPixel(), Limits(megapixels=1), workers=1), Red()
    with pytest.raises(PictureError, match="1200 x 1000 pixels, over the limit of 1 megapixels"):
        engine.submit(png(1, (1200, 1000)), (red,)).result(60)
    assert engine.submit(png(1, (1000, 1000)), (red,)).result(60) == (1.0,)
    engine.close()


def test_a_failed_picture_is_let_go_of():
    """Its future may be kept, and its error: neither leads to the bytes."""
    engine = Engine(FirstPixel(), Limits(), workers=1)
    data = png(1)[:-30]
    before = sys.getrefcount(data)
    future = engine.submit(data, (Red(),))
    error = future.exception(20)
    assert isinstance(error, PictureError)
    assert error.__traceback__ is None
    assert engine.submit(png(1), (Red(),)).result(20) == (1.0,)  # the worker is done with the other
    assert sys.getrefcount(data) == before
    engine.close()


def test_a_decoder_that_is_not_heard_of_is_429():
    class Late(Here):
        def crop(self, data: bytes, preprocessing: Preprocessing) -> Crop:
            raise TimeoutError

    engine = PlainEngine(FirstPixel(), Limits(), workers=1, reader=lambda: Late(PictureLimits()))
    with pytest.raises(ServiceError, match="too busy") as refused:
        engine.submit(png(1), (Red(),)).result(20)
    assert refused.value.status == 429
    engine.close()
