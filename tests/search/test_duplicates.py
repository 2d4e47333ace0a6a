"""Near-duplicates: which photos are one group, and how copies are moved away."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from devise.errors import PhotoIndexError, UsageError
from devise.model.labeller import Model
from devise.search import duplicates
from devise.search.duplicates import Group, correlations, find_duplicates, forget_moved, move_copies, small_views
from devise.search.photofacts import PhotoFact
from devise.search.photoindex import header_of, index_photos
from devise.search.rows import Rows
from devise.search.store import PhotoStore

pytest.importorskip("pyarrow")


def scene(seed: int, side: int = 120) -> Image.Image:
    """Soft shapes: what stays alike when it is made smaller."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )


def saved(folder: Path, name: str, image: Image.Image, quality: int = 95) -> Path:
    folder.mkdir(exist_ok=True)
    image.save(folder / name, quality=quality)
    return folder / name


def index_of(model: Model, folder: Path, facts: dict[str, np.ndarray] | None = None) -> Path:
    """An index of the photos in a folder, with these vectors by name, else the same for all."""
    names = sorted(os.listdir(folder))
    header = header_of(model.parts)
    made = []
    for name in names:
        state = (folder / name).stat()
        digest = hashlib.sha256((folder / name).read_bytes()).digest()
        made.append(PhotoFact(str(folder / name), state.st_size, state.st_mtime_ns, digest))
    blank = Rows.blank(tuple(made), header.dim, header.best)
    plain = np.eye(1, header.dim, dtype=np.float16)[0]
    vectors = np.stack([(facts or {}).get(name, plain) for name in names]).astype(np.float16)
    store = PhotoStore.created(folder.parent / "index", header)
    with store.writing():
        store.append(Rows(blank.facts, vectors, blank.totals, blank.labels, blank.classes, blank.shares))
    return folder.parent / "index"


def names(group: Group) -> tuple[str, list[str]]:
    return Path(group.kept.path).name, [Path(copy.fact.path).name for copy in group.copies]


def test_copies_are_found_and_the_largest_is_kept(small: Model, tmp_path: Path):
    folder, image = tmp_path / "photos", scene(1)
    saved(folder, "original.png", image)
    saved(folder, "small.jpg", image.resize((60, 60)))
    saved(folder, "poor.jpg", image, quality=40)
    saved(folder, "bright.jpg", ImageEnhance.Brightness(image).enhance(1.2))
    saved(folder, "crop.jpg", image.crop((6, 6, 114, 114)))
    shutil.copyfile(folder / "poor.jpg", folder / "twin.jpg")
    saved(folder, "other.png", scene(2))
    found = find_duplicates(index_of(small, folder))
    assert found.photos == 7
    assert not found.problems
    (group,) = found.groups
    sizes = [copy.fact.size for copy in group.copies]
    assert group.kept.size > max(sizes)
    assert sizes == sorted(sizes, reverse=True)
    assert names(group)[0] == "original.png"
    assert set(names(group)[1]) == {"small.jpg", "poor.jpg", "bright.jpg", "crop.jpg", "twin.jpg"}
    assert all(0.95 <= copy.similar <= 1 for copy in group.copies)


def test_same_bytes_need_no_picture(small: Model, tmp_path: Path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, content in (("a.jpg", b"one"), ("b.jpg", b"one"), ("c.jpg", b"two"), ("d.jpg", b"three")):
        (folder / name).write_bytes(content)
    os.link(folder / "a.jpg", folder / "z.jpg")  # the same file takes no more room
    found = find_duplicates(index_of(small, folder), same_bytes=True)
    assert [names(group) for group in found.groups] == [("a.jpg", ["b.jpg"])]
    assert found.groups[0].copies[0].same_bytes
    assert not found.problems


def test_photos_with_far_vectors_are_not_compared(small: Model, tmp_path: Path):
    folder, image = tmp_path / "photos", scene(1)
    saved(folder, "a.png", image)
    saved(folder, "b.jpg", image)
    far = np.eye(2, header_of(small.parts).dim)[1]
    assert find_duplicates(index_of(small, folder, {"b.jpg": far})).groups == ()


def test_a_chain_is_not_one_group(small: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of five photos, each like the next one only, a photo joins what is kept or is kept itself."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        image = Image.fromarray(np.full((10, 10, 3), 40 * number, np.uint8))
        image.save(folder / f"{number}.png")
        with (folder / f"{number}.png").open("ab") as file:
            file.write(b"\0" * (100 - 10 * number))  # 0 is the largest
    index = index_of(small, folder)
    monkeypatch.setattr(duplicates, "small_views", lambda path: np.full((3, 1024), int(path.stem), np.uint8))
    monkeypatch.setattr(
        duplicates,
        "correlations",
        lambda one, others: (np.abs(int(one[0, 0]) - others[:, 0, 0].astype(int)) <= 1).astype(np.float32),
    )
    found = find_duplicates(index)
    assert [names(group) for group in found.groups] == [("0.png", ["1.png"]), ("2.png", ["3.png"])]


def test_blocks_do_not_matter(small: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "photos"
    for number in range(6):
        saved(folder, f"{number}.png", scene(number % 3))
        saved(folder, f"{number}.jpg", scene(number % 3), quality=80 + number)
    index = index_of(small, folder)
    whole = find_duplicates(index)
    assert [len(group.copies) for group in whole.groups] == [3, 3, 3]
    for block in ("_ROWS", "_COLUMNS", "_COMPARED"):
        monkeypatch.setattr(duplicates, block, 2)
    assert list(map(names, find_duplicates(index).groups)) == list(map(names, whole.groups))


def test_correlation_by_hand():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 256, (3, 1024), dtype=np.uint8)
    others = rng.integers(0, 256, (4, 3, 1024), dtype=np.uint8)
    others[1, 2] = 255 - one[0]
    others[2, 2] = one[0] // 2 + 10
    others[3] = 90  # of one colour
    pairs = [[(one[0], view) for view in other] + [(view, other[0]) for view in one] for other in others[:3]]
    expected = [max(np.corrcoef(a, b)[0, 1] for a, b in some) for some in pairs]
    assert correlations(one, others)[:3] == pytest.approx(expected, abs=1e-5)
    assert correlations(one, others)[3] == 0


def test_a_crop_is_seen_in_the_views(tmp_path: Path):
    image = scene(5, 200)
    whole, crop = saved(tmp_path, "a.png", image), saved(tmp_path, "b.png", image.crop((20, 20, 180, 180)))
    views = [small_views(path) for path in (whole, crop)]
    assert views[0].shape == (3, 1024)
    assert correlations(views[0], views[1][None])[0] > 0.99 > np.corrcoef(views[0][0], views[1][0])[0, 1]


def test_missing_changed_and_broken_photos_are_problems(small: Model, tmp_path: Path):
    folder, image = tmp_path / "photos", scene(1)
    for name in ("a.png", "changed.png", "gone.png", "left.png"):
        saved(folder, name, image)
    (folder / "broken.jpg").write_bytes(b"no picture")
    index = index_of(small, folder)
    os.utime(folder / "changed.png", (1, 1))
    (folder / "gone.png").unlink()
    found = find_duplicates(index)
    assert [names(group) for group in found.groups] == [("a.png", ["left.png"])]
    reasons = {Path(one.path).name: one.reason for one in found.problems}
    assert set(reasons) == {"changed.png", "gone.png", "broken.jpg"}
    assert reasons["changed.png"] == "not compared (changed since it was indexed): run devise index again"
    assert reasons["gone.png"] == "not compared (No such file or directory): run devise index again"
    assert "not a picture" in reasons["broken.jpg"]


def test_no_index_and_wrong_thresholds(small: Model, tmp_path: Path):
    with pytest.raises(PhotoIndexError, match="no index of photos here"):
        find_duplicates(tmp_path)
    for similar in (0.0, 1.1, float("nan")):
        with pytest.raises(UsageError, match="above 0 and at most 1"):
            find_duplicates(tmp_path, similar=similar)


@pytest.fixture
def doubled(small: Model, tmp_path: Path) -> tuple[Path, Path]:
    """Folders with originals and copies with sidecars, and their index."""
    photos, image = tmp_path / "photos", scene(1)
    for place in ("a", "b"):
        (photos / place).mkdir(parents=True)
    saved(photos / "a", "one.png", image)
    saved(photos / "b", "one.jpg", image)
    saved(photos / "b", "two.jpg", image, quality=50)
    (photos / "b" / "one.jpg.xmp").write_bytes(b"of one")
    (photos / "b" / "two.xmp").write_bytes(b"of two")
    saved(photos / "a", "other.png", scene(2))
    index_photos(small, [photos], tmp_path / "index")
    return photos, tmp_path / "index"


def files(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


def test_copies_are_moved_with_their_sidecars(small: Model, doubled: tuple[Path, Path], tmp_path: Path):
    photos, index = doubled
    before, stamp = files(photos), (photos / "b" / "one.jpg").stat().st_mtime_ns
    aside = tmp_path / "aside"
    (aside / "b").mkdir(parents=True)
    (aside / "b" / "two.jpg").write_bytes(b"another photo")
    (aside / "b" / ".one.jpg.0123456789abcdef.part").write_bytes(b"of a copy that was killed")
    done = move_copies(index, find_duplicates(index), aside)
    assert (done.photos, done.sidecars, done.problems) == (2, 2, [])
    after = files(aside)
    assert set(after) == {"b/one.jpg", "b/one.jpg.xmp", "b/two.jpg", "b/two (2).jpg", "b/two (2).xmp"}
    assert after["b/two.jpg"] == b"another photo"
    assert after["b/two (2).jpg"] == before["b/two.jpg"]
    assert set(files(photos)) == {"a/one.png", "a/other.png"}
    assert (aside / "b" / "one.jpg").stat().st_mtime_ns == stamp
    assert len(PhotoStore.opened(index).known()) == 2
    assert find_duplicates(index).groups == ()


@pytest.mark.parametrize("links", [True, False])
def test_a_killed_move_is_finished(
    small: Model, doubled: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
):
    """Stopped before each step in turn, as a kill does: nothing is lost, and the next run does the rest."""
    photos, index = doubled
    before = files(photos)
    if not links:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(1, "no hard links here")

        monkeypatch.setattr(os, "link", refuse)
    unlink, left = Path.unlink, [0]

    def dies(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == "b" and photos in path.parents:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", dies)
    for _ in range(4):
        left[0] = 0 if _ == 0 else 1
        try:
            move_copies(index, find_duplicates(index, outside=tmp_path / "aside"), tmp_path / "aside")
        except KeyboardInterrupt:
            kept = {**files(photos), **files(tmp_path / "aside")}
            assert set(kept.values()) == set(before.values())
        index_photos(small, [photos], index)
    left[0] = 99
    move_copies(index, find_duplicates(index, outside=tmp_path / "aside"), tmp_path / "aside")
    assert set(files(tmp_path / "aside")) == {"b/one.jpg", "b/one.jpg.xmp", "b/two.jpg", "b/two.xmp"}
    assert {**files(photos), **files(tmp_path / "aside")} == before


def test_what_a_killed_move_has_moved_leaves_the_index(
    small: Model, doubled: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Killed after the files were moved and before the index knew. A photo that is gone for another reason stays."""
    photos, index = doubled
    aside, written = tmp_path / "aside", PhotoStore.append
    assert forget_moved(index, aside) == 0
    monkeypatch.setattr(PhotoStore, "append", lambda *_: None)
    move_copies(index, find_duplicates(index, outside=aside), aside)
    monkeypatch.setattr(PhotoStore, "append", written)
    (photos / "a" / "other.png").unlink()
    assert len(PhotoStore.opened(index).known()) == 4
    assert forget_moved(index, aside) == 2
    assert {Path(path).name for path in PhotoStore.opened(index).known()} == {"one.png", "other.png"}
    assert forget_moved(index, aside) == 0


def test_what_has_changed_since_stays(small: Model, doubled: tuple[Path, Path], tmp_path: Path):
    photos, index = doubled
    found = find_duplicates(index)
    os.utime(photos / "b" / "one.jpg", (1, 1))
    done = move_copies(index, found, tmp_path / "aside")
    assert [(Path(one.path).name, one.reason) for one in done.problems] == [
        ("one.jpg", "stays where it is: not compared (changed since it was indexed): run devise index again")
    ]
    assert (photos / "b" / "one.jpg").exists()
    os.utime(photos / "a" / "one.png", (1, 1))  # the kept one
    assert len(move_copies(index, found, tmp_path / "aside").problems) == 2


def test_a_link_stays(small: Model, tmp_path: Path):
    folder = tmp_path / "photos"
    saved(folder, "a.png", scene(1))
    saved(tmp_path / "else", "b.jpg", scene(1))
    (folder / "b.jpg").symlink_to(tmp_path / "else" / "b.jpg")
    index_photos(small, [folder], tmp_path / "index")
    done = move_copies(tmp_path / "index", find_duplicates(tmp_path / "index"), tmp_path / "aside")
    assert [one.reason for one in done.problems] == ["stays where it is: a link"]
    assert (folder / "b.jpg").is_symlink()


def test_a_photo_is_not_moved_onto_itself(small: Model, doubled: tuple[Path, Path], tmp_path: Path):
    photos, index = doubled
    before = files(photos)
    (tmp_path / "alias").symlink_to(photos)
    done = move_copies(index, find_duplicates(index, outside=tmp_path / "alias"), tmp_path / "alias")
    assert [one.reason for one in done.problems] == ["stays where it is: it is in this folder already"] * 2
    assert files(photos) == before
    assert (done.photos, done.sidecars, len(PhotoStore.opened(index).known())) == (0, 0, 4)


def test_a_sidecar_of_two_photos_stays(small: Model, tmp_path: Path):
    folder = tmp_path / "photos"
    saved(folder, "a.png", scene(1))
    saved(folder, "a.jpg", scene(1))
    (folder / "a.xmp").write_bytes(b"of both")
    index_photos(small, [folder], tmp_path / "index")
    done = move_copies(tmp_path / "index", find_duplicates(tmp_path / "index"), tmp_path / "aside")
    assert (done.photos, done.sidecars) == (1, 0)
    assert (folder / "a.xmp").exists()
