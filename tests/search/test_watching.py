"""What changed paths mean for an index, and when a photo has stopped growing."""

from pathlib import Path

import pytest
from PIL import Image
from smallmodel import write_small_bundle

from devise.errors import PhotoIndexError, UsageError
from devise.model.labeller import Model, load
from devise.search.photoindex import index_photos
from devise.search.watching import Pending, Unwritten, changed_photos, path_changes, photo_of
from devise.vision.folders import Found, find_pictures, is_found

pytest.importorskip("pyarrow")


def test_a_file_is_ready_when_it_has_stopped_growing(tmp_path: Path):
    path = tmp_path / "a.jpg"
    pending = Pending(2.0)
    path.write_bytes(b"1")
    pending.add([str(path)], 0.0)
    assert pending.ready(1.9) == []
    path.write_bytes(b"12")
    assert pending.ready(2.5) == []  # it has grown: from now on again
    assert pending.ready(4.4) == []
    assert len(pending) == 1
    assert pending.ready(4.5) == [str(path)]
    assert (len(pending), pending.ready(99)) == (0, [])


def test_an_event_begins_the_wait_again_and_a_missing_file_waits_too(tmp_path: Path):
    pending = Pending(2.0)
    pending.add([str(tmp_path / "gone.jpg")], 0.0)
    pending.add([str(tmp_path / "gone.jpg")], 1.0)
    assert pending.ready(2.5) == []
    assert pending.ready(3.0) == [str(tmp_path / "gone.jpg")]


def test_what_could_not_be_written_is_due_one_by_one_and_outlives_the_process(tmp_path: Path):
    file = tmp_path / "waiting.json"
    waiting, other = (Unwritten.opened(file, 60.0) for _ in range(2))
    assert waiting.due(99.0) is None
    waiting.tried(["a", "b", "c"], ["a", "c"], 100.0)
    other.tried(["/\udcff"], ["/\udcff"], 100.0)  # of another process, of a name that is not UTF-8
    assert (waiting.due(159.0), waiting.due(160.0)) == (None, "a")
    waiting.tried(["a"], ["a"], 160.0)
    assert (waiting.due(219.0), waiting.due(220.0)) == (None, "c")  # the other one first
    waiting.tried(["c"], [], 220.0)
    assert list(waiting.paths) == ["a"]
    assert set(Unwritten.opened(file, 60.0).paths) == {"a", "/\udcff"}
    for text in ("[1]", "{}", "["):
        file.write_text(text)
        with pytest.raises(PhotoIndexError, match=r"is damaged .*: remove it"):
            Unwritten.opened(file, 60.0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.jpg", "sub/b.jpg", "sub/b.png", "Trash/c.jpg", ".hidden/d.jpg", "drafts/e.jpg", "own/f.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "own" / ".deviseignore").write_text("f.jpg\n")
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    return tmp_path / "photos"


def test_a_photo_alone_is_found_where_the_walk_finds_it(photos: Path):
    for exclude in ((), ("drafts/",), ("*.png", "!sub/b.png"), ("/sub",)):
        walked = {one.path for one in find_pictures([photos], exclude=exclude)}
        every = [one for one in photos.rglob("*") if one.is_file()]
        assert {one for one in every if is_found(one, photos, exclude)} == walked
    assert not is_found(photos.parent / "x.jpg", photos)
    (photos / "own" / ".deviseignore").write_bytes(b"\xff\xfe")
    assert not is_found(photos / "own" / "f.jpg", photos)
    with pytest.raises(UsageError, match="malformed"):
        is_found(photos / "a.jpg", photos, ("!",))


def changes(photos: Path, *names: str, exclude: tuple[str, ...] = ()) -> set[str]:
    paths = [str(photos / name) for name in names]
    return {str(Path(one).relative_to(photos)) for one in path_changes(paths, [photos], exclude)}


def test_what_changed_paths_mean(photos: Path):
    assert changes(photos, "a.jpg", "notes.txt", "Trash/c.jpg", ".hidden/d.jpg", "drafts/e.jpg") == {
        "a.jpg",
        "drafts/e.jpg",
    }
    assert changes(photos, "drafts/e.jpg", exclude=("drafts",)) == set()
    assert changes(photos, "sub") == {"sub/b.jpg", "sub/b.png"}
    assert changes(photos, "gone.jpg", "gone") == {"gone.jpg", "gone"}
    assert changes(photos, "sub/b.jpg.xmp") == {"sub/b.jpg.xmp", "sub/b.jpg"}  # the sidecar is gone
    (photos / "sub" / "b.xmp").write_text("")
    assert changes(photos, "sub/b.xmp") == {"sub/b.jpg", "sub/b.png"}
    (photos / "own" / ".deviseignore").write_text("")
    assert changes(photos, "own/.deviseignore") == {"own/f.jpg"}
    assert list(path_changes([str(photos / "a.jpg")], [photos / "none"], ())) == []
    assert list(path_changes([str(photos.parent / "none")], [photos.parent / "none"], ())) == []


def test_sidecars_of_photos(tmp_path: Path):
    assert photo_of(str(tmp_path / "none" / "a.xmp")) == []


def test_photos_that_the_index_lacks(tmp_path: Path, photos: Path):
    write_small_bundle(tmp_path / "small")
    small: Model = load(tmp_path / "small")
    found = [Found(photos / "a.jpg"), Found(photos / "sub" / "b.jpg"), Found(photos / "x.jpg", "broken")]
    assert [one.name for one in changed_photos(small.parts, tmp_path / "index", found)] == ["a.jpg", "b.jpg"]
    index_photos(small, [photos], tmp_path / "index")
    assert list(changed_photos(small.parts, tmp_path / "index", found)) == []
    Image.new("RGB", (5, 5)).save(photos / "a.jpg")
    assert [one.name for one in changed_photos(small.parts, tmp_path / "index", found)] == ["a.jpg"]
