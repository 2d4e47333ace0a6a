"""Dates and ratings of photos, from EXIF, XMP and sidecars."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image, TiffImagePlugin, TiffTags

from devise.vision.metadata import PhotoMetadata, read_metadata, seconds_of, sidecar_time

PACKET = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description {}/></rdf:RDF></x:xmpmeta>'


def seconds(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp())


def photo(folder: Path, name: str = "a.jpg", taken: str = "", rating: int | None = None, xmp: str = "") -> Path:
    exif = Image.Exif()
    if taken:
        exif.get_ifd(0x8769)[0x9003] = taken
    if rating is not None:
        exif[0x4746] = rating
    more = {"xmp": PACKET.format(xmp).encode()} if xmp else {}
    Image.new("RGB", (8, 8), "teal").save(folder / name, exif=exif, **more)
    return folder / name


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_the_date_and_the_rating_of_a_photo(tmp_path: Path, name: str):
    path = photo(tmp_path, name, "2024:05:31 23:59:58", 3)
    assert read_metadata(path) == PhotoMetadata(seconds(2024, 5, 31, 23, 59, 58), 3)


def test_a_photo_without_any(tmp_path: Path):
    assert read_metadata(photo(tmp_path)) == PhotoMetadata(None, 0)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    for path in (tmp_path / "broken.jpg", tmp_path / "none.jpg", tmp_path):
        assert read_metadata(path) == PhotoMetadata(None, 0)


@pytest.mark.parametrize("date", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2024:13:01 00:00:00", "2023:02:29 1"])
def test_a_date_that_is_none(tmp_path: Path, date: str):
    assert read_metadata(photo(tmp_path, taken=date)).taken is None


def test_a_rating_that_is_no_number_of_stars(tmp_path: Path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x4746] = float("inf")
    tags.tagtype[0x4746] = TiffTags.DOUBLE
    Image.new("RGB", (8, 8)).save(tmp_path / "a.tif", tiffinfo=tags)
    assert read_metadata(tmp_path / "a.tif") == PhotoMetadata(None, 0)


def test_xmp_in_the_photo(tmp_path: Path):
    path = photo(tmp_path, xmp='xmp:Rating="2" exif:DateTimeOriginal="2021-03-04T05:06:07+02:00"', rating=4)
    assert read_metadata(path) == PhotoMetadata(seconds(2021, 3, 4, 5, 6, 7), 2)
    assert read_metadata(photo(tmp_path, rating=9)).rating == 0  # no number of stars
    assert read_metadata(photo(tmp_path, xmp='xmp:Rating="-1"')).rating == -1


@pytest.mark.parametrize("name", ["a.jpg.xmp", "a.xmp"])
def test_a_sidecar_has_the_rating_and_a_missing_date(tmp_path: Path, name: str):
    packet = PACKET.format('xmp:CreateDate="2020-02-29"').replace("/>", "><xmp:Rating>5</xmp:Rating></rdf:Description>")
    path = photo(tmp_path, rating=1)
    assert sidecar_time(path) == 0
    (tmp_path / name).write_text(packet)
    assert sidecar_time(path) == (tmp_path / name).stat().st_mtime_ns
    assert read_metadata(path) == PhotoMetadata(seconds(2020, 2, 29), 5)
    assert read_metadata(photo(tmp_path, taken="2024:01:01 00:00:00")).taken == seconds(2024, 1, 1)


def test_a_date_covers_its_whole_time():
    assert seconds_of("2024") == seconds(2024, 1, 1)
    assert seconds_of("2024", end=True) == seconds(2025, 1, 1) - 1
    assert seconds_of("2023-12", end=True) == seconds(2024, 1, 1) - 1
    assert seconds_of("2024-02", end=True) == seconds(2024, 3, 1) - 1
    assert seconds_of("2024-02-29", end=True) == seconds(2024, 3, 1) - 1
    assert seconds_of("2024-02-29T10:30", end=True) == seconds(2024, 2, 29, 10, 31) - 1
    for text in ("", "yesterday", "2024-13", "20240", "2023-02-29", "2024-05-31 or so", "0000"):
        assert seconds_of(text) is None
    assert seconds_of("9999", end=True) is None
