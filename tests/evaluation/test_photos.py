import os
from pathlib import Path

import pytest

from devise.errors import UsageError
from devise.evaluation.photos import Skipped, find_test_photos
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy

DOG, CAT, TOOL = "n00000002", "n00000003", "n00000008"


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_photos_are_sorted_by_class_and_path(tmp_path: Path, nine: Taxonomy) -> None:
    put(tmp_path, f"{CAT}/b.JPEG", f"{CAT}/a.png", f"{DOG}/images/z.jpg", f"{DOG}/k.jpg")
    found = find_test_photos(tmp_path, nine)
    assert [(str(path.relative_to(tmp_path)), name) for path, name in found.pairs] == [
        (f"{DOG}{os.sep}images{os.sep}z.jpg", DOG),
        (f"{DOG}{os.sep}k.jpg", DOG),
        (f"{CAT}{os.sep}a.png", CAT),
        (f"{CAT}{os.sep}b.JPEG", CAT),
    ]
    assert found.truth_ids == (DOG, DOG, CAT, CAT)
    assert found.paths == tuple(path for path, _ in found.pairs)
    assert found.skipped == ()
    assert found.skipped_counts == {}


def test_one_photo(tmp_path: Path, nine: Taxonomy) -> None:
    put(tmp_path, f"{TOOL}/saw.jpg")
    assert find_test_photos(tmp_path, nine).pairs == ((tmp_path / TOOL / "saw.jpg", TOOL),)


def test_everything_skipped_has_a_reason(tmp_path: Path, nine: Taxonomy) -> None:
    put(tmp_path, f"{DOG}/a.jpg", f"{DOG}/notes.txt", f"{DOG}/list.csv", "readme.md", "stray.jpg")
    put(
        tmp_path,
        "dogs/a.jpg",
        "dogs/b.jpg",
        "dogs/c.txt",
        "n99999999/a.jpg",
        ".hidden/a.jpg",
        f"{DOG}/.b.jpg",
    )
    (tmp_path / CAT).mkdir()
    put(tmp_path, f"{TOOL}/only.txt")
    (tmp_path / DOG / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    found = find_test_photos(tmp_path, nine)
    assert found.pairs == ((tmp_path / DOG / "a.jpg", DOG),)
    assert set(found.skipped) == {
        Skipped(tmp_path / "dogs", "the folder's name is not a synset id", 2),
        Skipped(tmp_path / "n99999999", "the synset id is not in the taxonomy", 1),
        Skipped(tmp_path / CAT, "no picture in the class folder"),
        Skipped(tmp_path / TOOL, "no picture in the class folder"),
        Skipped(tmp_path / TOOL / "only.txt", "not a picture by its name"),
        Skipped(tmp_path / DOG / "list.csv", "not a picture by its name"),
        Skipped(tmp_path / DOG / "notes.txt", "not a picture by its name"),
        Skipped(tmp_path / DOG / "gone.jpg", "a broken link"),
        Skipped(tmp_path / "readme.md", "not in a class folder"),
        Skipped(tmp_path / "stray.jpg", "not in a class folder"),
    }
    assert found.skipped_counts == {
        "a broken link": 1,
        f"no picture in the class folder ({CAT}, {TOOL})": 2,
        "not a picture by its name": 3,
        "not in a class folder": 2,
        "the folder's name is not a synset id (dogs)": 1,
        "the synset id is not in the taxonomy (n99999999)": 1,
    }


@pytest.mark.parametrize("name", ["N00000002", "n00000002-dog", "n0000002", "n000000020"])
def test_names_that_are_almost_ids(tmp_path: Path, nine: Taxonomy, name: str) -> None:
    put(tmp_path, f"{name}/a.jpg", f"{CAT}/a.jpg")
    found = find_test_photos(tmp_path, nine)
    assert (found.truth_ids, found.skipped_counts) == ((CAT,), {f"the folder's name is not a synset id ({name})": 1})


def test_no_photos_at_all_says_what_was_there(tmp_path: Path, nine: Taxonomy) -> None:
    put(tmp_path, "a.jpg", "b.jpg", "dogs/c.jpg")
    with pytest.raises(UsageError, match=r"no test photos in .*; 2 skipped: not in a class folder; 1 skipped: the"):
        find_test_photos(tmp_path, nine)


@pytest.mark.parametrize("name", ["absent", "file.txt"])
def test_no_folder(tmp_path: Path, nine: Taxonomy, name: str) -> None:
    put(tmp_path, "file.txt")
    with pytest.raises(UsageError, match=f"no folder of test photos at .*{name}: "):
        find_test_photos(tmp_path / name, nine)


@pytest.mark.parametrize(("name", "classes", "photos"), [("seen", 34, 1420), ("unseen", 23, 904), ("related", 16, 340)])
def test_the_shared_photos_are_all_found(shared: Path, name: str, classes: int, photos: int) -> None:
    found = find_test_photos(shared / "data/photos/caltech101" / name, default_taxonomy())
    assert (len(found.pairs), len(set(found.truth_ids)), found.skipped) == (photos, classes, ())
