"""Small copies: their size, their colours, and nothing else of the file."""

from base64 import b64decode
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from devise.errors import PictureError
from devise.vision.thumbnails import data_uri


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
