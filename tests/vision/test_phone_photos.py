"""HEIC, AVIF, raw files and motion photos: the right pixels, upright, within the limits, and one line for damage."""

import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from phonephotos import MOTION, dng, encoded, heic
from PIL import Image, features

from devise.errors import PictureError
from devise.vision.decoder_process import Decoder
from devise.vision.decoding import read_picture
from devise.vision.limits import PictureLimits
from devise.vision.rawfiles import is_raw

EXTRA = "the extra photos: pip install 'devise-zsl[photos]'"


@pytest.fixture(scope="session")
def scene() -> Image.Image:
    """Soft blobs, wider than high, each corner different."""
    coarse = np.random.default_rng(7).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture
def with_heif() -> None:
    pytest.importorskip("pillow_heif", reason="needs pillow-heif (the extra photos)")


@pytest.fixture
def with_rawpy() -> None:
    pytest.importorskip("rawpy", reason="needs rawpy (the extra photos)")


def pixels(data: bytes) -> np.ndarray:
    return read_picture(data, min_side=None).astype(int)


def problem(data: bytes, limits: PictureLimits | None = None) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(data, min_side=None, limits=limits)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


def upright(scene: Image.Image, orientation: int) -> np.ndarray:
    turned = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}
    return np.asarray(scene.transpose(turned[orientation]) if orientation in turned else scene).astype(int)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_heic_is_upright(with_heif: None, scene: Image.Image, orientation: int) -> None:
    found = pixels(heic(scene, exif=exif(orientation).tobytes()))
    assert np.abs(found - upright(scene, orientation)).mean() < 3


def by_a_camera(jpeg: bytes) -> bytes:
    """The JPEG without the JFIF block of Pillow, which cameras do not write."""
    assert jpeg[2:4] == b"\xff\xe0"
    return jpeg[:2] + jpeg[4 + int.from_bytes(jpeg[4:6], "big") :]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_preview_of_a_raw_file_is_upright(with_rawpy: None, scene: Image.Image, orientation: int) -> None:
    """Whether the preview has no EXIF data, some without an orientation, or says how it lies."""
    silent = Image.Exif()
    silent[0x010E] = "a description"
    wanted = upright(scene, orientation)
    for told in (None, silent, exif(orientation)):
        preview = by_a_camera(encoded(scene, "JPEG", quality=95, **({} if told is None else {"exif": told})))
        assert np.abs(pixels(dng(preview, orientation)) - wanted).mean() < 3
    turned = by_a_camera(encoded(Image.fromarray(wanted.astype(np.uint8)), "JPEG", quality=95, exif=exif(1)))
    assert np.abs(pixels(dng(turned, orientation)) - wanted).mean() < 3


def test_raw_files_are_told_from_pictures(scene: Image.Image) -> None:
    assert is_raw(dng(None))
    assert is_raw(dng(encoded(scene, "JPEG")))
    for head in (b"II*\0\x10\0\0\0CR\2\0", b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"IIU\0\x18\0\0\0"):
        assert is_raw(head + b"\0" * 20)
    assert is_raw(b"\0\0\0\x18ftypcrx \0\0\0\1")
    for data in (encoded(scene, "TIFF"), encoded(scene, "JPEG"), b"II*\0\xff\xff\xff\xff", b"MM\0*", b"II*\0", b""):
        assert not is_raw(data)
    nef = b"MM\0*" + struct.pack(">IH", 8, 2) + struct.pack(">HHIIHHII", 254, 4, 1, 1, 330, 4, 1, 100)
    assert is_raw(nef)
    assert not is_raw(nef.replace(struct.pack(">HHII", 254, 4, 1, 1), struct.pack(">HHII", 254, 4, 1, 0)))


def test_a_raw_file_without_a_preview_or_of_no_camera_says_so(with_rawpy: None) -> None:
    assert problem(dng(None)) == "a raw file without a preview: convert it to JPEG"
    told = problem(b"\0\0\0\x18ftypcrx \0\0\0\1")
    assert told.startswith("a raw file that is cut off, damaged or of an unknown camera (")
    assert "b'" not in told


def test_a_motion_photo_is_read_as_its_picture(scene: Image.Image) -> None:
    plain = encoded(scene, "JPEG", exif=exif(6))
    np.testing.assert_array_equal(pixels(plain + MOTION), pixels(plain))


def test_a_motion_photo_in_heic_is_read_as_its_picture(with_heif: None, scene: Image.Image) -> None:
    plain = heic(scene)
    video = struct.pack(">I4s", 8 + len(MOTION), b"mpvd") + MOTION
    np.testing.assert_array_equal(pixels(plain + video), pixels(plain))


def claiming(data: bytes, width: int, high: int) -> bytes:
    """The HEIC or AVIF with another size in its header."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, high) + data[at + 8 :]


def test_sizes_are_refused_before_decoding(with_heif: None, scene: Image.Image) -> None:
    bomb = claiming(heic(scene), 60_000, 60_000)
    assert problem(bomb).startswith("60000 x 60000 pixels, over the limit of 100 megapixels")
    assert "of HEIF need 1,134 MB, over the limit of 1,000 MB" in problem(claiming(heic(scene), 9_000, 9_000))
    if features.check("avif"):
        assert problem(claiming(encoded(scene, "AVIF"), 16_000, 16_000)).startswith("16000 x 16000 pixels, over")


def test_the_preview_of_a_raw_file_is_under_the_same_limits(with_rawpy: None, scene: Image.Image) -> None:
    raw = dng(encoded(scene, "JPEG"))
    assert "160 x 120 pixels, over the limit" in problem(raw, PictureLimits(1000, 1000))


def test_decoders_read_them_within_their_memory(
    with_heif: None, with_rawpy: None, scene: Image.Image, tmp_path: Path
) -> None:
    decoder = Decoder(PictureLimits.of(20_000_000), 60)
    large = scene.resize((2000, 1500))
    for name, data in (("a.heic", heic(large)), ("a.dng", dng(encoded(large, "JPEG"), 6))):
        (tmp_path / name).write_bytes(data)
        with Image.open(BytesIO(decoder.thumbnail(tmp_path / name, 80))) as small:
            assert sorted(small.size) == [60, 80]
    decoder.close()


def test_every_cut_is_a_picture_or_one_line_and_the_libraries_are_silent(
    with_heif: None, with_rawpy: None, scene: Image.Image, tmp_path: Path
) -> None:
    """In a process of its own, whose standard error shows what libraries print."""
    whole = {"heic": heic(scene), "dng": dng(encoded(scene, "JPEG"), 6), "avif": encoded(scene, "AVIF")}
    for kind, data in whole.items():
        (tmp_path / kind).write_bytes(data)
    code = """
import sys
from pathlib import Path
from devise.errors import PictureError
from devise.vision.decoding import read_picture
for path in sys.argv[1:]:
    data = Path(path).read_bytes()
    for part in range(50):
        try:
            read_picture(data[: len(data) * part // 50], min_side=None)
        except PictureError as error:
            assert 0 < len(str(error).splitlines()) == 1, error
        else:
            print(path, part)
"""
    paths = [str(tmp_path / kind) for kind in whole]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("package", "told"), [("pillow_heif", "HEIC needs"), ("rawpy", "raw files need")])
def test_a_missing_package_is_named(package: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    data = dng(None) if package == "rawpy" else b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100
    assert problem(data) == f"{told} {EXTRA}"
