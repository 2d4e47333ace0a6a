"""Small copies: their size, their colours, and nothing else of the file."""

import os
import re
import resource
import struct
import threading
import warnings
import zlib
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, features

from devise.arrays import Pixels
from devise.errors import PictureError
from devise.vision.decoding import MAX_PIXELS, PictureSource, data_uri, is_one_picture, quiet_pillow, read_picture

Encode = Callable[..., bytes]
KINDS = ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000"]


def gradient(width: int = 48, height: int = 32) -> Image.Image:
    """Another colour in each corner, and smooth."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], 2).astype(np.uint8))


def problem(source: PictureSource, min_side: int | None = None) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(source, min_side=min_side)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# What is read


@pytest.mark.parametrize("kind", KINDS)
def test_formats(kind: str, encode: Encode, tmp_path: Path) -> None:
    data = encode(gradient(), kind)
    pixels = read_picture(data, min_side=None)
    assert pixels.shape == (32, 48, 3)
    # GIF has 256 colours, and JPEG halves the resolution of colour: not exact, but every corner is right.
    assert np.abs(pixels.astype(int) - np.asarray(gradient())).max() < 30
    (tmp_path / "no-extension").write_bytes(data)
    assert (read_picture(tmp_path / "no-extension", min_side=None) == pixels).all()
    assert (read_picture(str(tmp_path / "no-extension"), min_side=None) == pixels).all()


def test_the_same_pixels_as_pillow_for_real_jpegs(shared: Path) -> None:
    for file in sorted((shared / "data" / "photos" / "ilsvrc-one-per-class").glob("*/*"))[::50]:
        expected = np.asarray(Image.open(file).convert("RGB"))
        assert (read_picture(file, min_side=None) == expected).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"])
def test_modes_of_pillow(mode: str) -> None:
    flat = Image.new("RGB", (5, 4), (255, 255, 255))
    image = flat.convert("L").convert(mode) if mode in ("LA", "PA") else flat.convert(mode) if mode != "LAB" else None
    if image is None:
        image = Image.new("LAB", (5, 4), (255, 128, 128))
    assert np.abs(read_picture(image, min_side=None).astype(int) - 255).max() <= 1
    if mode == "LA":
        assert (read_picture(image.convert("La"), min_side=None) == 255).all()


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B"), ("PPM", "I")])
def test_16_bit_grey_is_scaled_and_not_clipped(kind: str, mode: str, encode: Encode) -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    if mode == "I;16B":
        image = Image.frombytes("I;16B", (4, 1), values.astype(">u2").tobytes())
    else:
        image = Image.fromarray(values)
    pixels = read_picture(encode(image, kind), min_side=None)
    assert pixels[0].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


def test_numbers_of_unknown_range_are_refused(encode: Encode) -> None:
    assert "0 to 1048576" in problem(encode(Image.fromarray(np.array([[0, 1 << 20]], np.int32)), "TIFF"))
    assert "[0, 1]" in problem(encode(Image.fromarray(np.array([[0, 5]], np.float32)), "TIFF"))
    half = read_picture(encode(Image.fromarray(np.array([[0, 0.5]], np.float32)), "TIFF"), min_side=None)
    assert half[0].tolist() == [[0] * 3, [128] * 3]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_transparency_is_laid_on_white(kind: str, encode: Encode) -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 128))
    image.putpixel((1, 0), (0, 0, 0, 0))
    pixels = read_picture(encode(image, kind, **({"lossless": True} if kind == "WEBP" else {})), min_side=None)
    # 255 * 128 / 255 + 255 * 127 / 255 = 255, and 0 * 128 / 255 + 255 * 127 / 255 = 127.
    assert np.abs(pixels[0].astype(int) - [[255, 127, 127], [255, 255, 255]]).max() <= 1


def test_transparent_colours_of_palette_and_grey(encode: Encode) -> None:
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    for transparency in (1, bytes([255, 0])):
        pixels = read_picture(encode(palette, "PNG", transparency=transparency), min_side=None)
        assert pixels[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    grey = Image.new("L", (2, 1), 7)
    grey.putpixel((1, 0), 9)
    assert read_picture(encode(grey, "PNG", transparency=9), min_side=None)[0].tolist() == [
        [7] * 3,
        [255] * 3,
    ]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation(kind: str, encode: Encode) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert read_picture(data, min_side=None)[4, 4].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation(kind: str, orientation: int, encode: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(gradient(), kind, exif=exif)
    plain = read_picture(encode(gradient(), kind), min_side=None)
    expected = np.asarray(ImageOps.exif_transpose(with_orientation(Image.fromarray(plain), orientation)))
    assert (read_picture(data, min_side=None) == expected).all()
    assert expected.shape == ((48, 32, 3) if orientation in (5, 6, 7, 8) else (32, 48, 3))


def with_orientation(image: Image.Image, orientation: int) -> Image.Image:
    image.getexif()[0x0112] = orientation
    return image


def test_orientation_holds_at_a_reduced_scale(encode: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter to the right to be seen
    pixels = read_picture(encode(gradient(1200, 800), "JPEG", exif=exif), min_side=200)
    assert pixels.shape == (300, 200, 3)
    assert np.abs(pixels[0, 0].astype(int) - [0, 255, 255]).max() < 10  # was at the bottom left


def test_cmyk_jpeg(encode: Encode) -> None:
    data = encode(gradient(400, 300).convert("CMYK"), "JPEG", quality=95)
    assert simplejpeg.decode_jpeg_header(data)[2] == "CMYK"
    pixels = read_picture(data, min_side=None)
    assert np.abs(pixels.astype(int) - np.asarray(gradient(400, 300))).max() < 20
    assert read_picture(data, min_side=100).shape == (150, 200, 3)


def swapped_profile() -> bytes:
    """A colour profile whose red is sRGB's blue and the other way round."""
    from PIL import ImageCms

    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    offsets = {}
    for i in range(int.from_bytes(data[128:132], "big")):
        entry = 132 + 12 * i
        offsets[bytes(data[entry : entry + 4])] = entry
    red, blue = offsets[b"rXYZ"] + 4, offsets[b"bXYZ"] + 4
    data[red : red + 8], data[blue : blue + 8] = data[blue : blue + 8], data[red : red + 8]
    return bytes(data).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_colour_profiles_are_converted_from(kind: str, encode: Encode) -> None:
    data = encode(Image.new("RGB", (16, 16), (200, 30, 10)), kind, icc_profile=swapped_profile())
    assert np.abs(read_picture(data, min_side=None)[8, 8].astype(int) - [10, 30, 200]).max() <= 6


@pytest.mark.parametrize("profile", [b"no profile at all", b"\0" * 200])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_useless_colour_profile_is_left_out(profile: bytes, mode: str, encode: Encode) -> None:
    image = Image.new("RGB", (16, 16), (90, 90, 90)).convert(mode)
    data = encode(image, "JPEG", icc_profile=profile)
    assert np.abs(read_picture(data, min_side=None).astype(int) - 90).max() <= 2


@pytest.mark.parametrize("kind", [*KINDS, "AVIF"])
def test_one_pixel(kind: str, encode: Encode) -> None:
    pytest.importorskip("PIL.AvifImagePlugin") if kind == "AVIF" else None
    data = encode(Image.new("RGB", (1, 1), (254, 0, 0)), kind)
    pixels = read_picture(data, min_side=594)
    assert pixels.shape == (1, 1, 3)
    assert np.abs(pixels[0, 0].astype(int) - [254, 0, 0]).max() < 12


# Arrays and Pillow images


def test_arrays() -> None:
    grey = np.array([[0, 128]], np.uint8)
    for array in (
        grey,
        grey[:, :, None],
        np.repeat(grey[:, :, None], 3, 2),
        grey / 255,
        (grey / 255).astype(np.float32),
    ):
        assert read_picture(array, min_side=None)[0].tolist() == [[0] * 3, [128] * 3]
    seen_through = np.array([[[255, 0, 0, 128]]], np.uint8)
    assert np.abs(read_picture(seen_through, min_side=None)[0, 0].astype(int) - [255, 127, 127]).max() <= 1
    flipped = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)[::-1, ::-1]
    assert (read_picture(flipped, min_side=None) == flipped).all()


@pytest.mark.parametrize(
    ("array", "named"),
    [
        (np.zeros((3, 224, 224), np.uint8), "[3, 224, 224]"),
        (np.zeros((4, 4, 2), np.uint8), "[4, 4, 2]"),
        (np.zeros(5, np.uint8), "[5]"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((4, 4), np.uint16), "uint16"),
        (np.zeros((4, 4), bool), "bool"),
        (np.full((4, 4), 1.01), "[0, 1]"),
        (np.full((4, 4, 3), np.nan), "[0, 1]"),
        (np.full((4, 4, 3), -0.1, np.float32), "[0, 1]"),
        (np.full((4, 4, 3), 200.0), "[0, 1]"),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray, named: str) -> None:
    assert named in problem(array)


def test_a_pillow_image_is_left_as_it_was(encode: Encode, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(encode(gradient(1200, 800), "JPEG", exif=exif))
    with Image.open(tmp_path / "a.jpg") as image:
        pixels = read_picture(image, min_side=100)
        assert pixels.shape == (1200, 800, 3)
        assert (image.size, image.mode, image.getexif()[0x0112]) == ((1200, 800), "RGB", 6)
    unread = Image.open(tmp_path / "a.jpg")
    unread.close()
    assert "closed" in problem(unread)


# Reduced scale


@pytest.mark.parametrize(
    ("size", "min_side", "expected"),
    [
        ((4000, 3000), 594, (1000, 750)),
        ((4000, 3000), 750, (1000, 750)),
        ((4000, 3000), 751, (1500, 1125)),
        ((1000, 700), 594, (1000, 700)),
        ((1000, 700), 350, (500, 350)),
        ((1000, 700), 351, (1000, 700)),
        ((300, 200), 594, (300, 200)),
    ],
)
def test_scales(size: tuple[int, int], min_side: int, expected: tuple[int, int], encode: Encode) -> None:
    pixels = read_picture(encode(gradient(*size), "JPEG"), min_side=min_side)
    assert (pixels.shape[1], pixels.shape[0]) == expected


def test_a_reduced_scale_shows_the_same_picture(photos: list[Pixels], encode: Encode) -> None:
    for photo in photos:
        large = Image.fromarray(photo).resize((photo.shape[1] * 4, photo.shape[0] * 4), Image.Resampling.LANCZOS)
        data = encode(large, "JPEG", quality=95)
        reduced = Image.fromarray(read_picture(data, min_side=photo.shape[0] * 2)).resize((128, 128))
        whole = Image.fromarray(read_picture(data, min_side=None)).resize((128, 128))
        # Each way has a filter of its own; 1 level of 255 on average is far below what JPEG loses.
        assert np.abs(np.asarray(reduced, float) - np.asarray(whole, float)).mean() < 1


# What is refused


def test_empty_and_text(tmp_path: Path) -> None:
    assert problem(b"") == "empty"
    (tmp_path / "a.jpg").write_text("This is not a picture.\n")
    assert problem(tmp_path / "a.jpg") == "not a picture of a known format"
    assert problem(b"\xff\xd8\xff but then text") == "cut off or damaged (JPEG)"


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("kind", [*KINDS, "AVIF"])
def test_a_picture_that_is_cut_off_is_never_shown_in_part(kind: str, options: dict[str, bool], encode: Encode) -> None:
    pytest.importorskip("PIL.AvifImagePlugin") if kind == "AVIF" else None
    noise = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), kind, **options)
    whole = read_picture(data, min_side=None)
    refused = 0
    for length in [*range(0, len(data), len(data) // 40), *range(len(data) - 4, len(data))]:
        try:
            pixels = read_picture(data[:length], min_side=None)
        except PictureError:
            refused += 1
        else:  # only what follows the pixels was lost
            assert pixels.shape == whole.shape
            assert (pixels == whole).all()
    assert refused >= 39


def test_a_truncated_photo_says_so(encode: Encode) -> None:
    data = encode(gradient(800, 600), "JPEG")
    for min_side in (None, 100):
        assert problem(data[: len(data) // 2], min_side).startswith("cut off or damaged")


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 4}, {"mode": "CMYK"}, {"mode": "L"}],
)
def test_a_jpeg_without_its_end_marker_is_read_and_told(options: dict[str, Any], encode: Encode) -> None:
    """Without its last byte or two every pixel is there; without three, the last block is not."""
    image = gradient().convert(options.get("mode", "RGB"))
    data = encode(image, "JPEG", **{key: value for key, value in options.items() if key != "mode"})
    for min_side in (None, 16):
        whole = read_picture(data, min_side=min_side)
        for cut in (1, 2):
            notes: list[str] = []
            np.testing.assert_array_equal(read_picture(data[:-cut], min_side=min_side, on_note=notes.append), whole)
            assert notes == ["its end marker is missing, but all its pixels are present"]
        for cut in (3, 4, 20):
            with pytest.raises(PictureError, match="cut off or damaged"):
                read_picture(data[:-cut], min_side=min_side)


def test_a_png_without_its_end_marker_is_read_and_told(encode: Encode) -> None:
    data, notes = encode(gradient(), "PNG"), list[str]()
    cut = data[: data.index(b"IEND") - 4]
    np.testing.assert_array_equal(
        read_picture(cut, min_side=None, on_note=notes.append), read_picture(data, min_side=None)
    )
    assert notes == ["its end marker is missing, but all its pixels are present"]


@pytest.mark.parametrize("cut", [-1, -20, 40])
def test_a_webp_that_is_cut_off_is_called_so(cut: int, encode: Encode) -> None:
    assert problem(encode(gradient(), "WEBP")[:cut]).startswith("cut off or damaged")
    whole = encode(gradient(), "WEBP")
    np.testing.assert_array_equal(read_picture(whole + b"x", min_side=None), read_picture(whole, min_side=None))


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"<!DOCTYPE html><html>404", "a web page, not a picture"),
        (b'\xef\xbb\xbf\n<svg xmlns="x"/>', "a drawing in SVG, not a picture"),
        (b"%PDF-1.7\n", "a PDF, not a picture"),
        (b"\x1f\x8b\x08\x00 packed", "packed by gzip, not a picture"),
        (b"PK\x03\x04 packed", "a ZIP archive, not a picture"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\x1a\x45\xdf\xa3 webm", "a video, not a picture"),
        (b"\0\0\0\x18ftypisom\0\0\2\0", "a video, not a picture"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "a video, not a picture"),
        (b"qoif\0\0\0\1\0\0\0\1\3\0", "QOI, which is not read: convert it to JPEG or PNG"),
        (b"\0\0\1\0\1\0", "an icon, which is not read: convert it to JPEG or PNG"),
        (b"DDS |\0\0\0", "a texture in DDS, which is not read: convert it to JPEG or PNG"),
        (b"\xff\x0a\0\0", "JPEG XL, which is not read: convert it to JPEG or PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL, which is not read: convert it to JPEG or PNG"),
        (b"Rar!\x1a\x07\0", "a RAR archive, not a picture"),
        (b"%!PS-Adobe-3.0", "PostScript, not a picture"),
        (b'{"error": "rate limit"}', "JSON, not a picture"),
    ],
)
def test_what_people_take_for_pictures_is_named(data: bytes, named: str) -> None:
    assert problem(data).startswith(named)


@pytest.mark.parametrize("options", [{"progressive": True}, {"progressive": True, "subsampling": 0}])
def test_a_jpeg_cut_between_two_scans_lacks_detail_and_is_refused(options: dict[str, Any], encode: Encode) -> None:
    data = encode(gradient(), "JPEG", **options)
    starts = [found.start() for found in re.finditer(rb"\xff[\xc4\xda]", data)]
    assert len(starts) > 8
    for start in starts:
        with pytest.raises(PictureError, match=r"cut off or damaged|cannot be decoded"):
            read_picture(data[:start], min_side=None)


def test_a_damaged_header_says_which_format_it_is_of(encode: Encode) -> None:
    data = bytearray(encode(gradient(), "PNG"))
    data[30] ^= 255
    with pytest.raises(PictureError, match=r"cut off or damaged \(broken PNG file \(bad header checksum"):
        read_picture(bytes(data), min_side=None)
    for kind, kept in (("PNG", 16), ("GIF", 8), ("BMP", 8), ("TIFF", 20), ("AVIF", 40)):
        if kind == "AVIF" and not features.check("avif"):
            continue
        with pytest.raises(PictureError, match="cut off or damaged"):
            read_picture(encode(gradient(), kind)[:kept], min_side=None)


def test_open_files_and_what_numpy_takes_for_an_array(encode: Encode, tmp_path: Path) -> None:
    data = encode(gradient(), "PNG")
    (tmp_path / "a.png").write_bytes(data)
    expected = read_picture(data, min_side=None)
    with (tmp_path / "a.png").open("rb") as file:
        for source in (BytesIO(data), file, bytearray(data), memoryview(data)):
            np.testing.assert_array_equal(read_picture(source, min_side=None), expected)
    tensor = Tensor(expected)
    np.testing.assert_array_equal(read_picture(tensor, min_side=None), expected)
    with pytest.raises(PictureError, match=r"must be .*, got \[3, .*: move its channels last"):
        read_picture(Tensor(expected.transpose(2, 0, 1)), min_side=None)
    with pytest.raises(PictureError, match="give each picture of the batch separately"):
        read_picture(expected[None], min_side=None)
    (tmp_path / "a.txt").write_bytes(data)
    with (tmp_path / "a.txt").open(encoding="utf-8") as text:
        for source in (StringIO("x"), text):
            with pytest.raises(PictureError, match="the file is open as text: open it in mode 'rb'"):
                read_picture(source, min_side=None)
    file = BytesIO(data)
    file.read()
    with pytest.raises(PictureError, match=r"the open file is at its end: .* seek\(0\)"):
        read_picture(file, min_side=None)
    np.testing.assert_array_equal(read_picture(PurePath(tmp_path / "a.png"), min_side=None), expected)


def test_a_tensor_that_numpy_cannot_take_says_what_to_do() -> None:
    class Elsewhere(Tensor):
        def __array__(self) -> np.ndarray:
            raise TypeError("can't convert cuda:0 device type tensor to numpy.\nUse cpu()")

    with pytest.raises(
        PictureError, match=r"this Elsewhere cannot be converted to an array \(can't .*numpy\): for torch, use .*cpu"
    ):
        read_picture(Elsewhere(np.zeros((2, 2, 3))), min_side=None)


def test_one_picture_is_told_from_many(tmp_path: Path) -> None:
    one = [np.zeros((2, 2, 3)), np.zeros((2, 2)), Image.new("L", (2, 2)), BytesIO(b""), b"", bytearray(), "a", tmp_path]
    assert all(map(is_one_picture, one))
    assert not any(map(is_one_picture, ([np.zeros((2, 2))], np.zeros((2, 2, 2, 3)), (), iter("a"), None)))


class Tensor:
    """As numpy sees a tensor of another library."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __array__(self) -> np.ndarray:
        return self._values


def test_libraries_write_nothing_to_standard_error(encode: Encode, capfd: pytest.CaptureFixture[str]) -> None:
    """libtiff writes a line for an unknown tag, and several for strips that are damaged."""
    data = bytearray(encode(gradient(), "TIFF", compression="tiff_lzw", tiffinfo={65000: "x", 270: "y"}))
    with Image.open(BytesIO(data)) as image:
        strip = image.tag_v2[273][0]
    read_picture(bytes(data), min_side=None)
    data[strip : strip + 40] = bytes(range(40))
    with pytest.raises(PictureError, match="cannot be decoded"):
        read_picture(bytes(data), min_side=None)
    assert capfd.readouterr() == ("", "")


def test_harmless_faults_of_a_jpeg_are_forgiven(encode: Encode) -> None:
    data = encode(gradient(), "JPEG")
    version = data.index(b"JFIF") + 5
    odd = data[:version] + b"\xcd" + data[version + 1 :]
    with pytest.raises(ValueError, match="unknown JFIF revision"):
        simplejpeg.decode_jpeg(odd)
    assert (read_picture(odd, min_side=None) == read_picture(data, min_side=None)).all()
    assert (read_picture(data + b"trailing", min_side=None) == read_picture(data, min_side=None)).all()


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_that_lost_its_middle_is_refused(options: dict[str, bool], encode: Encode) -> None:
    data = encode(gradient(400, 300), "JPEG", **options)
    half = data[: len(data) // 2] + data[-2:]  # ends as a whole picture does; Pillow shows the rest as grey
    Image.open(BytesIO(half)).load()
    assert problem(half).startswith("cut off or damaged")


def test_bombs_are_refused_before_they_take_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "100 megapixels" in problem(png(30_000, 30_000))
    assert "12000 x 12000 pixels" in problem(png(12_000, 12_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB; 12,000 squared takes 422,000
    assert problem(png(0, 5)) == "cut off or damaged (PNG)"
    assert problem(png(50, 50)).startswith("cut off")


def jpeg_header(width: int, height: int, encode: Encode, **options: bool) -> bytes:
    """A small JPEG whose frame header claims another size."""
    data = bytearray(encode(Image.new("RGB", (16, 16)), "JPEG", **options))
    frame = data.index(b"\xff\xc2" if options else b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def test_bombs_of_jpeg(encode: Encode) -> None:
    assert "400 megapixels" in problem(jpeg_header(65_000, 65_000, encode), 594)
    assert "100 megapixels" in problem(jpeg_header(15_000, 15_000, encode))  # every pixel is asked for
    small_enough = jpeg_header(15_000, 15_000, encode)
    assert "damaged" in problem(small_enough, 594)  # fits at a smaller scale, but has no data
    assert "100 megapixels" in problem(jpeg_header(15_000, 15_000, encode, progressive=True), 594)


def test_a_photo_over_the_limit_is_read_at_a_smaller_scale(encode: Encode) -> None:
    data = encode(Image.new("L", (12_800, 8_000), 77), "JPEG")
    assert MAX_PIXELS < 12_800 * 8_000
    pixels = read_picture(data, min_side=594)
    assert pixels.shape == (1000, 1600, 3)
    assert np.abs(pixels.astype(int) - 77).max() <= 1


def test_heic_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    for brand, others in ((b"heic", b"mif1"), (b"mif1", b"miafheic")):
        data = struct.pack(">I", 16 + len(others)) + b"ftyp" + brand + b"\0\0\0\0" + others
        assert problem(data + b"rest") == "HEIC needs the extra photos: pip install 'devise-zsl[photos]'"
    avif = b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf"
    assert "HEIC" not in problem(avif)


def test_heic() -> None:
    heif = pytest.importorskip("pillow_heif")
    buffer = BytesIO()
    heif.from_pillow(gradient(64, 48)).save(buffer, quality=95)
    pixels = read_picture(buffer.getvalue(), min_side=None)
    assert np.abs(pixels.astype(int) - np.asarray(gradient(64, 48))).mean() < 5


def test_files_that_are_none(tmp_path: Path) -> None:
    assert problem(tmp_path / "none.jpg") == "no such file"
    assert problem(tmp_path) == "a folder, not a picture"
    (tmp_path / "dead.jpg").symlink_to(tmp_path / "none.jpg")
    assert problem(tmp_path / "dead.jpg") == "a broken link"
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert problem(tmp_path / "loop.jpg").startswith("cannot be read")
    assert problem("/dev/zero") == "a pipe or a device, not a regular file"
    assert problem(tmp_path / ("x" * 300)).startswith("cannot be read")
    problem("a\0b")


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    said: list[str] = []
    thread = threading.Thread(target=lambda: said.append(problem(tmp_path / "pipe.jpg")), daemon=True)
    thread.start()
    thread.join(60)
    assert said == ["a pipe or a device, not a regular file"]


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root, who may run the tests, reads anything
    assert problem(tmp_path / "a.jpg") == "no permission to read it"


def test_a_file_too_large_to_read(tmp_path: Path) -> None:
    with (tmp_path / "a.tif").open("wb") as file:
        file.truncate((1 << 30) + 1)  # sparse: takes no room on the disk
    assert problem(tmp_path / "a.tif") == "1024 MiB, over the limit of 1024 MiB"


def test_no_file_stays_open(tmp_path: Path, encode: Encode) -> None:
    (tmp_path / "a.png").write_bytes(encode(gradient(), "PNG"))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        read_picture(tmp_path / "a.png", min_side=None)
        problem(tmp_path)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


# Nothing leaks


def noisy(encode: Encode) -> list[bytes]:
    """Pictures that Pillow warns of."""
    palette = gradient().quantize(8)
    exif = Image.Exif()
    exif[0x010E] = "x" * 50
    broken = encode(gradient(), "JPEG", exif=exif).replace(b"MM\0\x2a", b"MM\0\x2a\xff\xff", 1)
    tiff = bytearray(encode(gradient(), "TIFF"))
    return [encode(palette, "PNG", transparency=bytes(8)), broken, bytes(tiff[:-6]), png(9500, 9500)]


def test_no_warning_gets_out_and_the_filters_are_put_back(encode: Encode, capfd: pytest.CaptureFixture[str]) -> None:
    sources = noisy(encode)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)

        def read() -> None:
            for source in sources * 3:
                try:
                    read_picture(source, min_side=None)
                except PictureError:
                    continue

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
        assert not caught
        warnings.warn("others still get out", stacklevel=1)
        assert len(caught) == 1
    assert capfd.readouterr().err == ""


def test_pillows_limits_are_left_alone(encode: Encode) -> None:
    before = Image.MAX_IMAGE_PIXELS
    read_picture(encode(gradient(), "PNG"), min_side=None)
    assert before == Image.MAX_IMAGE_PIXELS


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS),
    where=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
    min_side=st.sampled_from([None, 4]),
)
def test_spoilt_bytes_end_in_a_picture_or_a_picture_error(
    kind: str, where: list[tuple[float, int]], min_side: int | None, encode: Encode
) -> None:
    data = bytearray(encode(gradient(20, 16), kind))
    for place, value in where:
        data[int(place * len(data))] = value
    try:
        pixels = read_picture(bytes(data), min_side=min_side)
    except PictureError as error:
        said = str(error).splitlines()
        assert len(said) == 1
    else:
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3


def test_the_limit_of_pillow_stays_a_number() -> None:
    """Pillow compares with it in other threads, between its own look for None and the comparison."""
    with quiet_pillow():
        assert Image.MAX_IMAGE_PIXELS is not None
        Image.new("L", (20_000, 1)).crop((0, 0, 20_000, 1))
    assert Image.MAX_IMAGE_PIXELS is not None


@pytest.mark.parametrize("content", [b"x", b"vm\n"])
def test_a_few_letters_are_no_damaged_bitmap(content: bytes) -> None:
    with pytest.raises(PictureError, match="not a picture of a known format"):
        read_picture(content, min_side=None)


def read(uri: str) -> Image.Image:
    kind, _, content = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(BytesIO(b64decode(content)))


@pytest.mark.parametrize(("size", "small"), [((800, 400), (200, 100)), ((90, 300), (60, 200)), ((50, 40), (50, 40))])
def test_the_longer_side_is_at_most_what_is_asked(tmp_path: Path, size: tuple[int, int], small: tuple[int, int]):
    Image.new("RGB", size, (200, 30, 60)).save(tmp_path / "a.jpg", comment=b"secret")
    found = read(data_uri(tmp_path / "a.jpg", 200))
    assert found.size == small
    assert all(abs(value - told) < 8 for value, told in zip(found.getpixel((10, 10)), (200, 30, 60), strict=True))
    assert "comment" not in found.info


def test_a_file_that_is_no_picture(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(PictureError):
        data_uri(tmp_path / "a.jpg", 200)
