import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from devise.errors import TextError, UsageError
from devise.text.partialfile import PartialFile

OPENERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".bz2": bz2.decompress,
}


@pytest.mark.parametrize("ending", OPENERS)
def test_checkpoints_are_valid_files_and_the_end_has_the_name(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"my.corpus.txt{ending}"
    file = PartialFile(out, {})
    assert file.open(False) is None
    assert file.path.name == f"my.corpus.partial.txt{ending}"
    for number in range(3):
        file.append(f"line {number} ü\n", {"n": number})
        written = OPENERS[ending](file.path.read_bytes()).decode()
        assert written == "".join(f"line {n} ü\n" for n in range(number + 1))
    assert not out.exists()
    file.finish()
    assert OPENERS[ending](out.read_bytes()).decode().count("\n") == 3
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_what_a_crash_left_behind_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    out = tmp_path / "c.txt"
    first = PartialFile(out, {"a": [1, None]})
    first.open(False)
    first.append("one\n", {"n": 1})
    with first.path.open("a") as file:
        file.write("half a li")
    second = PartialFile(out, {"a": [1, None]})
    assert second.open(True) == {"n": 1}
    second.append("two\n", {"n": 2})
    second.finish()
    assert out.read_text() == "one\ntwo\n"


def test_unfinished_runs_are_not_mixed_up(tmp_path: Path) -> None:
    out = tmp_path / "c.txt"
    file = PartialFile(out, {"a": 1})
    file.open(False)
    file.append("one\n", {})
    with pytest.raises(UsageError, match="is an unfinished run: continue with --resume, or remove"):
        PartialFile(out, {"a": 1}).open(False)
    with pytest.raises(UsageError, match="other sources or settings"):
        PartialFile(out, {"a": 2}).open(True)
    file.path.write_text("o")
    with pytest.raises(TextError, match="shorter than at its last checkpoint"):
        PartialFile(out, {"a": 1}).open(True)


@pytest.mark.parametrize("notes", ["", "{", "[]", "{}", '{"version": 2, "facts": {}, "length": 1, "state": {}}'])
def test_notes_that_say_nothing(tmp_path: Path, notes: str) -> None:
    (tmp_path / "c.partial.txt").write_text("one\n")
    (tmp_path / "c.partial.txt.json").write_text(notes)
    with pytest.raises(TextError, match="does not say how to resume"):
        PartialFile(tmp_path / "c.txt", {}).open(True)


def test_targets_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a file"):
        PartialFile(tmp_path, {}).open(False)
    with pytest.raises(UsageError, match="needs a folder that exists"):
        PartialFile(tmp_path / "no" / "c.txt", {}).open(False)
