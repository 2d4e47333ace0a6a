"""`--exclude`, `.deviseignore` and folders of file servers: left out of labels and index, and counted."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commandline import Run

from devise.cli.app import main


@pytest.fixture
def folder(photo: Path, tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for place in ("a.png", "drafts/b.png", "@eaDir/c.png", "keep/d.png"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, root / place)
    return root


def labelled(text: str) -> list[str]:
    return [Path(json.loads(line)["path"]).name for line in text.splitlines()]


def test_labels_leave_out_what_is_excluded_and_count_it(label: Any, folder: Path) -> None:
    done = label(folder, "-f", "jsonl", "-k", 1)
    assert (done.code, labelled(done.out)) == (0, ["a.png", "b.png", "d.png"])
    assert "devise: 1 of the files and folders was left out" in done.err
    done = label(folder, "-f", "jsonl", "-k", 1, "--exclude", "drafts/", "--exclude", "d.*")
    assert labelled(done.out) == ["a.png"]
    assert "devise: 3 of the files and folders were left out" in done.err
    (folder / ".deviseignore").write_text("keep\n", encoding="utf-8")
    assert labelled(label(folder, "-f", "jsonl", "-k", 1).out) == ["a.png", "b.png"]
    done = label(folder, "--exclude", "!")
    assert (done.code, done.err.count("\n")) == (2, 1)


def test_the_index_leaves_it_out_too_and_what_is_excluded_later_leaves_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")

    def index(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(["index", str(folder), "--out", str(tmp_path / "index"), *arguments])
        assert not stop.value.code
        return capsys.readouterr().out

    assert "3 photos" in index()
    assert "2 photos" in index("--exclude", "drafts/")
    assert "3 photos" in index()


def test_parts_leave_it_out_too(label: Any, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    done = label(folder, "-f", "parquet", "-o", tmp_path / "parts", "--exclude", "drafts/")
    assert "2 photos, 2 of them labelled" in done.out
    assert "2 of the files and folders were left out" in done.err


def test_a_folder_that_cannot_be_read_is_not_counted_as_a_photo(
    label: Any, folder: Path, tmp_path: Path, run: Run
) -> None:
    pytest.importorskip("pyarrow")
    (folder / "keep" / ".deviseignore").write_text("!", encoding="utf-8")
    done = label(folder, "-k", 1)
    assert (done.code, done.err.splitlines()[1]) == (1, "devise: 1 folder could not be read")
    (folder / "bad.png").write_bytes(b"no picture")
    done = label(folder, "--sheet", tmp_path / "sheet.html")
    assert "devise: 1 of 3 photos could not be read\ndevise: 1 folder could not be read\n" in done.err
    assert ">1 photo and 1 folder could not be read</h2>" in (tmp_path / "sheet.html").read_text("utf-8")
    done = run("index", folder, "-o", tmp_path / "index")
    assert (done.code, done.err.splitlines()[-1]) == (1, "devise: 1 photo and 1 folder could not be read")
    (folder / "bad.png").unlink()
    done = run("index", folder, "-o", tmp_path / "index")
    assert (done.code, done.err.splitlines()[-1]) == (1, "devise: 1 folder could not be read")


def test_parts_keep_no_folder_that_cannot_be_read(label: Any, folder: Path, tmp_path: Path) -> None:
    """A later run reads it again, and its photos, and then all is well."""
    pytest.importorskip("pyarrow")
    parts = ("-f", "parquet", "-o", tmp_path / "parts")
    ignored = folder / "keep" / ".deviseignore"
    ignored.write_text("!", encoding="utf-8")
    for labelled in (2, 0):
        done = label(folder, *parts)
        assert f"2 photos, {labelled} of them labelled in this run" in done.out
        assert "devise: 1 folder could not be read: run the command again once it can be\n" in done.err
        assert f"{folder / 'keep'}: " in done.err
        assert done.code == 1
    ignored.unlink()
    done = label(folder, *parts)
    assert (done.code, "could not be read" in done.err) == (0, False)
    assert "3 photos, 1 of them labelled" in done.out
