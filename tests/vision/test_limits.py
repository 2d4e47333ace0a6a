"""What a picture may cost, judged before it is decoded, and that a refused one leaves nothing behind."""

import gc
import re
import struct
import subprocess
import sys
import traceback
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from devise.errors import PictureError, UsageError
from devise.vision import colours, decoding
from devise.vision.decoding import read_picture
from devise.vision.limits import MAX_PIXELS, PictureLimits, read_jpeg_header

Encode = Callable[..., bytes]


def noise(width: int = 64, height: int = 48) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8))


def problem(data: bytes, limits: PictureLimits | None = None, min_side: int | None = None) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(data, min_side=min_side, limits=limits)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def with_scans(data: bytes, more: int) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * more + data[-2:]


def behind_start(data: bytes, more: bytes) -> bytes:
    return data[:2] + more + data[2:]


# Headers of JPEGs


@pytest.mark.parametrize(
    ("options", "scans", "whole"),
    [({}, 1, False), ({"progressive": True}, 10, True), ({"restart_marker_rows": 1}, 1, False)],
)
def test_scans_are_counted(options: dict[str, object], scans: int, whole: bool, encode: Encode) -> None:
    data = encode(noise(), "JPEG", **options)
    found = read_jpeg_header(data)
    assert found is not None
    assert (found.width, found.height, found.components) == (64, 48, 3)
    assert (found.scans, found.whole) == (scans, whole)
    exif = Image.Exif()
    exif[0x010E] = "\xff\xda in a comment is no scan" * 50
    assert read_jpeg_header(encode(noise(), "JPEG", exif=exif, comment=b"\xff\xda" * 99, **options)) == found


def test_a_jpeg_whose_planes_come_one_after_the_other_is_held_whole(encode: Encode) -> None:
    data = bytearray(encode(noise(), "JPEG"))
    scan = data.index(b"\xff\xda")
    data[scan + 4 : scan + 11] = data[scan + 4 : scan + 11].replace(b"\x03", b"\x01", 1)
    found = read_jpeg_header(bytes(data))
    assert found is not None
    assert found.whole


def test_scans_are_limited(encode: Encode) -> None:
    data = encode(noise(), "JPEG", progressive=True)
    assert read_picture(with_scans(data, 200), min_side=None).shape == (48, 64, 3)
    assert problem(with_scans(data, 300)) == "310 scans, over the limit of 256: save it again"
    tight = PictureLimits.of(64 * 48)  # as large as is allowed: 16 scans, of which libjpeg writes 10
    assert read_picture(data, min_side=None, limits=tight).shape == (48, 64, 3)
    assert problem(with_scans(data, 10), tight) == "20 scans, over the limit of 16: save it again"


@pytest.mark.parametrize(
    "filling", [b"\xff" * 70_000, b"\xff\xf0" + bytes(70_000), b"\xff\x00" * 40_000, b"\xff\xfe\x00\x02" * 20_001]
)
def test_what_decoders_take_byte_by_byte_is_limited(filling: bytes, encode: Encode) -> None:
    assert problem(behind_start(encode(noise(), "JPEG"), filling)).startswith("not a photo: over 65,536 bytes")
    assert problem(b"\xff\xd8\xff" + filling).startswith("not a photo: over 65,536 bytes")  # and no marker behind it


def test_segments_of_exif_data_are_limited(encode: Encode) -> None:
    data, exif = encode(noise(), "JPEG"), b"\xff\xe1\x00\x0aExif\0\0II"
    assert read_picture(behind_start(data, exif * 256), min_side=None).shape == (48, 64, 3)
    assert problem(behind_start(data, exif * 257)) == "not a photo: over 256 segments of EXIF data"


def test_a_little_filling_is_harmless(encode: Encode) -> None:
    data = encode(noise(), "JPEG")
    expected = read_picture(data, min_side=None)
    for filling in (b"\xff" * 500, b"\xff\xfe\x00\x02" * 500):
        assert (read_picture(behind_start(data, filling), min_side=None) == expected).all()


def test_filling_between_scans_is_limited(encode: Encode) -> None:
    data = encode(noise(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    assert "fill bytes" in problem(data[:last] + b"\xff" * 70_000 + data[last:])


def test_chunks_of_a_png_are_limited(encode: Encode) -> None:
    data = encode(noise(), "PNG")
    empty = struct.pack(">I4sI", 0, b"teSt", zlib.crc32(b"teSt"))
    assert read_picture(data[:33] + empty * 1000 + data[33:], min_side=None).shape == (48, 64, 3)
    assert problem(data[:33] + empty * 50_000 + data[33:]) == "not a photo: over 50,000 chunks"


def test_blocks_of_a_gif_are_limited(encode: Encode) -> None:
    data = encode(noise(), "GIF")
    head = 13 + 3 * 256
    comment = b"\x21\xfe" + b"\x01a" * 1000 + b"\0"
    assert read_picture(data[:head] + comment + data[head:], min_side=None).shape == (48, 64, 3)
    for many in (comment * 60, b"\x21\xfe\0" * 40_000, bytes(60_000), b"\x21\xfe" + b"\x01a" * 60_000):
        for end in (data[head:], b""):
            assert problem(data[:head] + many + end) == "not a photo: over 50,000 blocks"


@pytest.mark.parametrize("filling", [b"#" + b"c" * 70_000 + b"\n", b" " * 70_000, b"#\n" * 40_000])
def test_text_before_the_pixels_of_a_ppm_is_limited(filling: bytes, encode: Encode) -> None:
    data = encode(noise(300, 200), "PPM")
    assert read_picture(b"P6 " + filling[:500] + b"\n" + data[2:], min_side=None).shape == (200, 300, 3)
    assert problem(b"P6 " + filling + data[2:]) == "not a photo: over 65,536 bytes before its size"
    assert read_picture(b"P4 800 700\n" + b" " * 70_000, min_side=None).shape[:2] == (700, 800)


# Memory by format


@pytest.mark.parametrize(
    ("kind", "mode", "options", "cost"),
    [
        ("PNG", "RGB", {}, 4),
        ("JPEG", "RGB", {"progressive": True}, 10),
        ("JPEG", "L", {"progressive": True}, 6),
        ("JPEG", "CMYK", {"progressive": True}, 12),
        ("WEBP", "RGB", {}, 17),
        ("JPEG2000", "L", {}, 7),
        ("JPEG2000", "RGB", {}, 20),
        ("TIFF", "RGB", {}, 7),
        ("AVIF", "RGB", {}, 14),
    ],
)
def test_each_format_has_its_bytes_per_pixel(
    kind: str, mode: str, options: dict[str, bool], cost: int, encode: Encode
) -> None:
    pytest.importorskip("PIL.AvifImagePlugin") if kind == "AVIF" else None
    data = encode(noise(100, 80).convert(mode), kind, **options)
    enough = -(-100 * 80 * max(cost, 10) // 10)  # a limit of so many pixels allows ten times as many bytes
    assert read_picture(data, min_side=None, limits=PictureLimits.of(enough)).shape == (80, 100, 3)
    if cost > 10:
        said = problem(data, PictureLimits.of(enough - 100))
        assert re.search(r"100 x 80 pixels of [\w ]+ need \d+ MB, over the limit of \d+ MB: make it smaller", said)
    assert "over the limit" in problem(data, PictureLimits.of(100 * 80 - 1))


@pytest.mark.parametrize("tags", [{322: 60_000, 323: 60_000}, {278: 1 << 31, 258: (64,) * 3, 257: 9_000, 256: 9_000}])
def test_a_tiff_cannot_ask_for_tiles_or_strips_of_any_size(tags: dict[int, object]) -> None:
    class Opened:
        format, size, tag_v2 = "TIFF", (9_000, 9_000), {258: (8, 8, 8), **tags}

        def getbands(self) -> tuple[str, ...]:
            return ("R", "G", "B")

    with pytest.raises(PictureError, match="TIFF need"):
        PictureLimits().check_image(Opened())  # type: ignore[arg-type]


# Reduced decoding


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "I;16", "CMYK"])
def test_bands_are_the_whole(mode: str, monkeypatch: pytest.MonkeyPatch, encode: Encode) -> None:
    grey = np.asarray(noise().convert("L")).astype(np.uint16) * 257
    image = Image.fromarray(grey) if mode == "I;16" else noise().convert(mode)
    whole = colours.to_srgb(image)
    monkeypatch.setattr(colours, "_BAND", 64 * 5)
    assert (colours.to_srgb(image) == whole).all()
    reduced = colours.to_srgb(image, 3)
    assert reduced.shape == (16, 22, 3)
    blocks = whole[:48, :63].reshape(16, 3, 21, 3, 3).mean(axis=(1, 3))  # the slow oracle
    assert np.abs(reduced[:, :21] - blocks).max() <= 1  # rounded


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "BMP"])
def test_a_large_picture_is_reduced_as_far_as_its_short_side_allows(
    kind: str, monkeypatch: pytest.MonkeyPatch, encode: Encode
) -> None:
    monkeypatch.setattr(decoding, "_LARGE", 1000)
    data = encode(noise(640, 480), kind)
    assert read_picture(data, min_side=100).shape == (120, 160, 3)
    assert read_picture(data, min_side=241).shape == (480, 640, 3)
    assert read_picture(data, min_side=None).shape == (480, 640, 3)


@pytest.mark.parametrize(
    ("size", "options", "shape"),
    [
        ((640, 480), {}, (120, 160)),
        ((640, 480), {"num_resolutions": 2}, (120, 160)),
        ((641, 483), {}, (121, 161)),  # where Pillow expects another size than a quarter
        ((640, 480), {"offset": (3, 5), "tile_offset": (0, 0), "tile_size": (643, 485)}, (120, 160)),
        ((640, 480), {"tile_size": (101, 77)}, (120, 160)),
        ((640, 480), {"no_jp2": True}, (120, 160)),
    ],
)
def test_jpeg_2000_is_decoded_at_a_smaller_scale(
    size: tuple[int, int],
    options: dict[str, object],
    shape: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    encode: Encode,
) -> None:
    monkeypatch.setattr(decoding, "_LARGE", 1000)
    image = noise(16, 12).resize(size, Image.Resampling.BICUBIC)
    data = encode(image, "JPEG2000", **options)
    pixels = read_picture(data, min_side=100)
    assert pixels.shape == (*shape, 3)
    small = np.asarray(image.resize(pixels.shape[1::-1], Image.Resampling.BOX), float)
    assert np.abs(pixels - small).mean() < 6


def test_jpeg_2000_at_a_smaller_scale_costs_less(monkeypatch: pytest.MonkeyPatch, encode: Encode) -> None:
    monkeypatch.setattr(decoding, "_LARGE", 1000)
    limits = PictureLimits.of(640 * 480 // 8)
    data = encode(noise(640, 480), "JPEG2000")
    assert read_picture(data, min_side=100, limits=limits).shape == (120, 160, 3)
    assert "over the limit" in problem(data, limits)


def test_the_limit_is_the_environments(monkeypatch: pytest.MonkeyPatch, encode: Encode) -> None:
    data = encode(noise(), "PNG")
    assert PictureLimits.usual().pixels == MAX_PIXELS
    monkeypatch.setenv("DEVISE_MAX_PIXELS", "3071")
    assert problem(data) == (
        "64 x 48 pixels, over the limit of 0.003071 megapixels: make it smaller, or raise $DEVISE_MAX_PIXELS "
        "(label, search, index, evaluate: --max-pixels)"
    )
    assert problem(data, PictureLimits.of(3071)).endswith("0.003071 megapixels: make it smaller")
    monkeypatch.setenv("DEVISE_MAX_PIXELS", "3072")
    assert read_picture(data, min_side=None).shape == (48, 64, 3)
    for wrong in ("", "0", "-5", "many", "1e8"):
        monkeypatch.setenv("DEVISE_MAX_PIXELS", wrong)
        with pytest.raises(UsageError, match="whole number above 0"):
            read_picture(data, min_side=None)


# Nothing is kept


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "JPEG2000"])
def test_an_error_keeps_no_picture_alive(kind: str, monkeypatch: pytest.MonkeyPatch, encode: Encode) -> None:
    """Not in its traceback, its cause or its context: what holds the error must not hold the pixels."""
    opened: list[weakref.ref[Image.Image]] = []

    def seen(image: Image.Image, *more: object) -> object:
        opened.append(weakref.ref(image))
        return plain(image, *more)  # type: ignore[arg-type]

    plain = decoding._from_image
    monkeypatch.setattr(decoding, "_from_image", seen)
    data = encode(noise(300, 200), kind)
    gc.disable()
    try:
        with pytest.raises(PictureError) as caught:
            read_picture(data[: len(data) * 2 // 3], min_side=None)
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        assert [image() for image in opened] == [None] * len(opened)
    finally:
        gc.enable()
    assert opened or kind in ("JPEG", "WEBP")  # whose decoders look at all of it when they open it


@pytest.mark.parametrize("source", [b"no picture", np.zeros((5, 5, 5), np.uint8), Image.new("L", (9, 0))])
def test_an_error_does_not_keep_what_was_read(source: decoding.PictureSource) -> None:
    with pytest.raises(PictureError) as caught:
        read_picture(source, min_side=None)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    ours = [frame for frame in frames if frame.f_code.co_filename == decoding.__file__]
    assert [frame.f_code.co_name for frame in ours] == ["read_picture"]
    assert not any(value is source for value in ours[0].f_locals.values())


PEAK = """
import re, sys
from io import BytesIO
from PIL import Image
from devise.vision.decoding import read_picture
data = open(sys.argv[1], "rb").read()
open("/proc/self/clear_refs", "w").write("5")
hwm = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
before = hwm()
print(read_picture(data, min_side=594).shape, (hwm() - before) // 10**6)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux alone tells the peak of a part")
def test_a_png_of_99_megapixels_takes_half_a_gigabyte(tmp_path: Path) -> None:
    Image.new("RGB", (9950, 9950), (200, 30, 60)).save(tmp_path / "99.png", compress_level=1)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path / "99.png")],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    shape, peak = re.fullmatch(r"\((.*)\) (\d+)\n", done.stdout).groups()  # type: ignore[union-attr]
    assert shape == "622, 622, 3"
    assert int(peak) < 500  # it was 2,060
