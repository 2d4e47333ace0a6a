"""The process that reads pictures: its answers are those of this process, and whatever it does, the caller goes on."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.errors import PictureError
from devise.vision import decoder_process as decoders
from devise.vision.decoder_process import Decoder
from devise.vision.decoding import read_picture, thumbnail
from devise.vision.limits import PictureLimits
from devise.vision.preprocessing import Preprocessing

Encode = Callable[..., bytes]
SMALL = Preprocessing(20, 16, "bicubic", (127.0,) * 3, (128.0,) * 3)
LIMITS = PictureLimits(100_000, 100_000, 1_000_000)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    made = Decoder(LIMITS, 60)
    yield made
    made.close()


def test_it_reads_as_this_process_does(decoder: Decoder, tmp_path: Path, encode: Encode) -> None:
    for size, kind in (((300, 200), "JPEG"), ((64, 90), "PNG"), ((250, 120), "WEBP")):
        data = encode(noise(*size), kind)
        expected = SMALL.apply(read_picture(data, min_side=SMALL.decode_side))
        assert (decoder.crop(data, SMALL) == expected).all()
        (tmp_path / "a").write_bytes(data)
        assert decoder.thumbnail(tmp_path / "a", 50) == thumbnail(tmp_path / "a", 50)


def test_it_reads_a_whole_picture_with_its_size(decoder: Decoder, encode: Encode) -> None:
    for size, kind in (((300, 200), "JPEG"), ((64, 90), "PNG")):
        data = encode(noise(*size), kind)
        pixels = read_picture(data, min_side=SMALL.decode_side)
        middle, whole, told = decoder.parts(data, SMALL)
        assert told == size
        assert (middle == SMALL.apply(pixels)).all()
        assert (whole == SMALL.whole(pixels)).all()


def test_what_cannot_be_read_is_told_and_the_next_picture_is_read(decoder: Decoder, tmp_path: Path, encode: Encode):
    decoder.start()
    good, process = encode(noise(60, 40), "PNG"), decoder.pid
    for data, why in (
        (b"", "empty"),
        (b"no picture", "not a picture"),
        (good[:-900], "cut off"),
        (encode(Image.new("L", (400, 300)), "PNG"), "400 x 300 pixels, over the limit of 0.1 megapixels"),
    ):
        with pytest.raises(PictureError, match=why):
            decoder.crop(data, SMALL)
        assert decoder.crop(good, SMALL).shape == (16, 16, 3)
    with pytest.raises(PictureError, match="no such file"):
        decoder.thumbnail(tmp_path / "none", 50)
    with (tmp_path / "long").open("wb") as file:
        file.truncate(2_000_000)
    with pytest.raises(PictureError, match="over the limit"):
        decoder.thumbnail(tmp_path / "long", 50)
    assert decoder.pid == process


def test_one_that_was_ended_is_started_again(decoder: Decoder, encode: Encode) -> None:
    good = encode(noise(60, 40), "PNG")
    before = decoder.crop(good, SMALL)
    process = decoder.pid
    assert process is not None
    os.kill(process, signal.SIGTERM)  # sent to all of a group when the service is to finish
    assert (decoder.crop(good, SMALL) == before).all()
    assert decoder.pid == process
    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert (decoder.crop(good, SMALL) == before).all()
    assert decoder.pid != process


@pytest.mark.parametrize(
    ("number", "why"), [(signal.SIGXCPU, "takes over 60 seconds to decode"), (signal.SIGSEGV, "the decoder crashed")]
)
def test_one_that_ends_over_a_picture_says_why(
    decoder: Decoder, number: signal.Signals, why: str, monkeypatch: pytest.MonkeyPatch, encode: Encode
) -> None:
    good = encode(noise(60, 40), "PNG")
    decoder.crop(good, SMALL)
    plain = decoders._exchange

    def broken(process: object, *asked: object) -> object:
        os.kill(process.pid, number)  # type: ignore[attr-defined]
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # type: ignore[attr-defined]
        return plain(process, *asked)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(decoders, "_exchange", broken)
        with pytest.raises(PictureError, match=why):
            decoder.crop(good, SMALL)
    assert decoder.crop(good, SMALL).shape == (16, 16, 3)


def test_one_that_stands_still_is_ended(monkeypatch: pytest.MonkeyPatch, encode: Encode) -> None:
    good, plain = encode(noise(60, 40), "PNG"), decoders._exchange

    def stopped(process: object, *asked: object) -> object:
        os.kill(process.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
        return plain(process, *asked)  # type: ignore[arg-type]

    made = Decoder(LIMITS, 60)
    with monkeypatch.context() as patched:
        patched.setattr(decoders, "_PATIENCE", 0.002)
        patched.setattr(decoders, "_exchange", stopped)
        with pytest.raises(TimeoutError):
            made.crop(good, SMALL)
    assert made.crop(good, SMALL).shape == (16, 16, 3)
    made.close()


def test_its_bounds_are_the_systems(decoder: Decoder, encode: Encode) -> None:
    decoder.crop(encode(noise(60, 40), "PNG"), SMALL)
    limits = Path(f"/proc/{decoder.pid}/limits")
    if not limits.exists():
        pytest.skip("Linux alone tells the limits of another process")
    told = {line[:26].strip(): line[26:].split()[0] for line in limits.read_text().splitlines()}
    assert 60 <= int(told["Max cpu time"]) <= 90
    assert 130_000_000 < int(told["Max data size"]) < 600_000_000


def test_it_ends_with_its_caller(encode: Encode) -> None:
    made = Decoder(LIMITS, 60)
    made.crop(encode(noise(60, 40), "PNG"), SMALL)
    process = made._process
    assert process is not None
    made.close()
    assert process.returncode == 0
    assert made.pid is None


@pytest.mark.slow
def test_time_and_memory_are_bounded(encode: Encode) -> None:
    """A progressive JPEG of as many scans as are allowed, but at 1 second; and one that asks for too much memory."""
    data = encode(Image.new("L", (6000, 6000), 9), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    many = data[:-2] + last * 200 + data[-2:]
    made = Decoder(PictureLimits(600_000_000, 600_000_000, 20_000_000), 1)
    with pytest.raises((PictureError, TimeoutError)):
        made.crop(many, SMALL)
    assert made.crop(encode(noise(60, 40), "PNG"), SMALL).shape == (16, 16, 3)
    made.close()
