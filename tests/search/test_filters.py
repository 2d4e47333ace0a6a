"""Filters of a search, the metadata in an index, and indexes made before it was there."""

import os
from pathlib import Path

import pytest
from PIL import Image

from devise.errors import PhotoIndexError, UsageError
from devise.model.labeller import Model
from devise.search import photoindex
from devise.search.photoindex import index_photos
from devise.search.query import open_search
from devise.search.results import Filters, Wanted
from devise.search.store import PhotoStore
from devise.vision.folders import folder_filter
from devise.vision.metadata import seconds_of

pytest.importorskip("pyarrow")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name, taken, rating in (
        ("2023/a.jpg", "2023:12:31 23:59:59", 0),
        ("2024/rome/b.jpg", "2024:01:01 00:00:00", 3),
        ("2024/rome/c.jpg", "2024:05:31 12:00:00", 5),
        ("2024/d.jpg", "", 4),
    ):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = taken
        exif[0x4746] = rating
        Image.new("RGB", (8, 8), (30 * len(name), 90, 10 * rating)).save(path, exif=exif)
    return tmp_path / "photos"


@pytest.fixture
def index(small: Model, photos: Path, tmp_path: Path) -> Path:
    assert index_photos(small, [photos], tmp_path / "index").new == 4
    return tmp_path / "index"


def found(small: Model, index: Path, **filters: object) -> tuple[str, tuple[str, ...]]:
    asked = Wanted(under="animal", filters=Filters(**filters))
    hits = open_search(small, index).find(asked)
    return "".join(sorted(Path(hit.path).stem for hit in hits.hits)), hits.notes


def test_dates(small: Model, index: Path):
    left_out = ("left out 1 photo without a date",)
    assert found(small, index, since=seconds_of("2024")) == ("bc", left_out)
    assert found(small, index, until=seconds_of("2023", end=True)) == ("a", left_out)
    between = {"since": seconds_of("2024-01-01"), "until": seconds_of("2024-01", end=True)}
    assert found(small, index, **between) == ("b", left_out)


def test_ratings_and_folders(small: Model, index: Path, photos: Path):
    assert found(small, index, rating=4) == ("cd", ("left out 1 photo without a rating",))
    assert found(small, index, folders=("rome",)) == ("bc", ())
    assert found(small, index, folders=("rome", "2023"))[0] == "abc"
    assert found(small, index, folders=(str(photos / "2024"),), rating=4)[0] == "cd"
    assert found(small, index, folders=("paris",)) == ("", ())


def test_filters_that_cannot_be():
    with pytest.raises(UsageError, match="from 1 to 5"):
        Filters(rating=6)
    with pytest.raises(UsageError, match="exchange them"):
        Filters(since=2, until=1)


@pytest.mark.parametrize(
    ("pattern", "path", "inside"),
    [
        ("2024", "/p/2024/a.jpg", True),
        ("2024/", "/p/2024/a.jpg", True),
        ("2024/rome", "/p/2024/rome/x/a.jpg", True),
        ("2024/rome", "/p/2023/rome/a.jpg", False),
        ("/p/2024", "/p/2024/a.jpg", True),
        ("/2024", "/p/2024/a.jpg", False),
        ("*.png", "/p/a.png", True),
        ("trip*", "/p/trip to rome/a.png", True),
    ],
)
def test_patterns_of_folders(pattern: str, path: str, inside: bool):
    assert folder_filter([pattern])(path) is inside


def test_a_folder_with_signs_of_patterns_is_meant_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    odd = tmp_path / "[a] *!#b"
    odd.mkdir()
    assert folder_filter([str(odd)])(str(odd / "x.jpg"))
    assert not folder_filter([str(odd)])(str(tmp_path / "a" / "x.jpg"))
    monkeypatch.chdir(odd)
    assert folder_filter(["."])(str(odd / "x.jpg"))
    assert not folder_filter(["."])(str(tmp_path / "x.jpg"))


def test_a_changed_sidecar_is_read_without_the_network(small: Model, index: Path, photos: Path, monkeypatch):
    (photos / "2023" / "a.jpg.xmp").write_text('<rdf:Description xmp:Rating="5"/>')
    monkeypatch.setattr(photoindex, "picture_bytes", lambda path: pytest.fail(f"read {path}"))
    done = index_photos(small, [photos], index)
    assert (done.described, done.unchanged, done.touched) == (1, 3, 0)
    assert found(small, index, rating=5)[0] == "ac"
    assert index_photos(small, [photos], index).unchanged == 4


def older(index: Path) -> None:
    """Make the index what it was before it had metadata."""
    from pyarrow import parquet

    for part in (index / "parts").glob("*.parquet"):
        table = parquet.read_table(part).drop_columns(["taken", "rating", "sidecar_ns"])
        parquet.write_table(table, part, write_page_checksum=True, use_dictionary=False)


def test_an_index_without_metadata_still_opens(small: Model, index: Path, photos: Path):
    newer = PhotoStore.opened(index).rows()
    older(index)
    assert found(small, index)[0] == "abcd"
    assert found(small, index, folders=("rome",))[0] == "bc"
    for filters in ({"since": 0}, {"rating": 1}):
        with pytest.raises(PhotoIndexError, match="no dates and ratings: run devise index again"):
            found(small, index, **filters)
    done = index_photos(small, [photos / "2024"], index)
    assert (done.described, done.new) == (3, 0)
    names, notes = found(small, index, since=seconds_of("2024"))
    assert names == "bc"
    assert "left out 1 photo of unknown date and rating: run devise index again" in notes
    assert index_photos(small, [photos], index).described == 1
    assert PhotoStore.opened(index).rows().facts == newer.facts


def test_a_date_out_of_range_is_damage(index: Path):
    import pyarrow as pa
    from pyarrow import parquet

    (part,) = (index / "parts").glob("*.parquet")
    table = parquet.read_table(part)
    place = table.schema.get_field_index("taken")
    parquet.write_table(table.set_column(place, "taken", pa.array([1 << 62] * 4, pa.int64())), part)
    with pytest.raises(PhotoIndexError, match="out of range"):
        PhotoStore.opened(index).rows()


def test_old_paths_of_a_renamed_folder_are_named(small: Model, index: Path, photos: Path):
    os.rename(photos / "2023", photos / "before")
    done = index_photos(small, [photos / "before"], index)
    assert (done.copied, done.stale) == (1, [str(photos / "2023" / "a.jpg")])
    done = index_photos(small, [photos / "2023"], index, emptied=True)
    assert (done.gone, done.stale) == (1, [])
    assert found(small, index)[0] == "abcd"
