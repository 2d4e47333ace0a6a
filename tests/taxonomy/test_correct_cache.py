from pathlib import Path

import numpy as np
import pytest

from devise.taxonomy.correct_cache import cache_folder, cached_correct_sets
from devise.taxonomy.correct_sets import CorrectSets
from devise.taxonomy.wordnet import Taxonomy

ANIMAL, TOOL, PUPPY, HOUND, KITTEN, PLOT = (f"n{n:08d}" for n in (2, 5, 6, 7, 8, 13))
VALID = (KITTEN, TOOL, PUPPY, HOUND)
ASKED = ([PUPPY, ANIMAL, PLOT], (1, 2, 20), VALID)


def same(one: CorrectSets, other: CorrectSets) -> bool:
    return (one.ids, one.ks) == (other.ids, other.ks) and all(
        one.members(name, k).tolist() == other.members(name, k).tolist() for name in one.ids for k in one.ks
    )


def test_what_is_read_is_what_was_grown(farm: Taxonomy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    grown = farm.correct_sets(*ASKED)
    assert same(cached_correct_sets(farm, *ASKED, tmp_path / "new"), grown)
    (file,) = (tmp_path / "new").iterdir()
    monkeypatch.setattr(Taxonomy, "correct_sets", lambda *_: pytest.fail("grown again"))
    read = cached_correct_sets(farm, *ASKED, tmp_path / "new")
    assert same(read, grown)
    assert read.counts.tolist() == grown.counts.tolist()
    np.testing.assert_equal(list(read.nearest), list(grown.nearest))
    assert file.suffix == ".bin"


@pytest.mark.parametrize("other", [([PUPPY], (1, 2, 20), VALID), (ASKED[0], (1, 2), VALID), (*ASKED[:2], VALID[::-1])])
def test_every_part_of_the_question_counts(farm: Taxonomy, tmp_path: Path, other):
    cached_correct_sets(farm, *ASKED, tmp_path)
    assert same(cached_correct_sets(farm, *other, tmp_path), farm.correct_sets(*other))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("change", [lambda data: b"", lambda data: data[:-4], lambda data: data[:-1] + b"\x07"])
def test_a_broken_file_is_grown_and_written_again(farm: Taxonomy, tmp_path: Path, change):
    grown = cached_correct_sets(farm, *ASKED, tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(change(whole))
    assert same(cached_correct_sets(farm, *ASKED, tmp_path), grown)
    assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_made_is_no_error(farm: Taxonomy, tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert same(cached_correct_sets(farm, *ASKED, tmp_path / "file" / "sub"), farm.correct_sets(*ASKED))


def test_no_folder_writes_nothing(farm: Taxonomy):
    assert same(cached_correct_sets(farm, *ASKED, None), farm.correct_sets(*ASKED))


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "devise" / "correct-sets"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the XDG specification
    assert cache_folder() == Path.home() / ".cache" / "devise" / "correct-sets"
