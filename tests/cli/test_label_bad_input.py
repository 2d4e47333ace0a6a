"""What `devise label` does with what goes wrong: one line that names it, the rest still labelled, nothing by halves."""

import csv
import errno
import json
import os
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import devise
from devise.files import atomic_write
from devise.model.labeller import LabelRun
from devise.model.parts import DEFAULT_BUNDLE
from devise.vision import pipeline
from devise.vision.backbone import OpenVinoBackbone

POSIX = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX system")
FULL = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(devise.__file__).parents[1])}


def png(width: int, height: int) -> bytes:
    """A PNG that says it has this size, and next to no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9)) + chunk(b"IEND", b"")
    )


def jpeg(scene: Image.Image, folder: Path) -> bytes:
    scene.save(folder / "made.jpg")
    data = (folder / "made.jpg").read_bytes()
    (folder / "made.jpg").unlink()
    return data


def resized_jpeg(data: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its header."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def write_bad(folder: Path, scene: Image.Image) -> dict[str, str]:
    """Writes what is no picture into the folder; the problem each file has, or a part of it."""
    whole = jpeg(scene, folder)
    scene.save(folder / "cut.png")
    heic = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + b"\0" * 100
    contents = {
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"hello\n", "not a picture of a known format"),
        "cut.jpg": (whole[: len(whole) // 2], "cut off or damaged"),
        "cut.png": ((folder / "cut.png").read_bytes()[:5000], "cut off or damaged"),
        "none.png": (png(0, 0), "cut off or damaged (PNG)"),
        "none.gif": (b"GIF89a\0\0\0\0\0\0\0;", ""),
        "bomb.png": (png(30_000, 30_000), "over the limit of 100 megapixels: make it smaller"),
        "bomb.jpg": (resized_jpeg(whole, 30_000, 30_000), "30000 x 30000 pixels, over the limit of 400 megapixels"),
        "photo.heic": (heic, "cut off or damaged"),
    }
    for name, (data, _) in contents.items():
        (folder / name).write_bytes(data)
    return {name: problem for name, (_, problem) in contents.items()}


def command(*arguments: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    """`devise label ARGUMENTS` in a process of its own."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": ENVIRONMENT} | options
    return subprocess.run(
        [sys.executable, "-m", "devise", "label", *map(str, arguments)], check=False, timeout=120, **options
    )


# Pictures


def test_each_bad_file_is_named_with_its_reason_and_the_good_are_labelled(
    label: Any, photo: Path, scene: Image.Image, tmp_path: Path
) -> None:
    bad = write_bad(tmp_path, scene)
    if os.name != "nt":
        (tmp_path / "nowhere.jpg").symlink_to("gone")
        (tmp_path / "loop.jpg").symlink_to("loop.jpg")
        (tmp_path / "around").symlink_to(tmp_path)
        os.mkfifo(tmp_path / "pipe.jpg")
        bad |= dict.fromkeys(("nowhere.jpg", "loop.jpg"), "a broken link")
        bad["pipe.jpg"] = "a pipe or a device, not a regular file"
    (tmp_path / "folder.jpg").mkdir()
    scene.save(tmp_path / "folder.jpg" / "z.png")
    done = label(tmp_path, "--format", "json", "-k", 1)
    told = done.err.splitlines()
    assert done.code == 1
    assert "Traceback" not in done.err
    for name, problem in bad.items():
        (line,) = [line for line in told if line.startswith(f"devise: {tmp_path / name}: ")]
        assert problem in line
    assert told[-1] == f"devise: {len(bad)} of {len(bad) + 2} photos could not be read"
    assert len(told) == len(bad) + 1
    records = json.loads(done.out)
    labelled = [record["path"] for record in records if record["guesses"]]
    assert labelled == [str(tmp_path / "folder.jpg" / "z.png"), str(photo)]
    assert {record["path"] for record in records if record["problem"]} == {str(tmp_path / name) for name in bad}


def test_a_missing_photo_is_one_line(label: Any, tmp_path: Path) -> None:
    assert label(tmp_path / "gone.jpg") == (1, "", f"devise: {tmp_path / 'gone.jpg'}: no such file\n")


def test_an_error_does_not_repeat_a_label_of_100_000_letters(label: Any, photo: Path) -> None:
    done = label(photo, "--labels", "qwxzk" * 20_000)
    assert done.code == 1
    assert len(done.err) < 1100
    assert "unknown label 'qwxzk" in done.err
    assert done.err.endswith("a kind of ...'\n")
    for options in (("--under", "q" * 100_000), ("--candidates", "q" * 3000), ("--model", "q" * 100_000)):
        assert len(label(photo, *options).err) < 5100
    assert len(label("q" * 100_000).err) < 5100


def test_urls_and_archives_say_what_to_do(label: Any, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"x" * 1024)
    done = label("https://example.org/a.jpg", tmp_path / "a.tar", photo, "--format", "jsonl")
    assert (done.code, done.out.count('"problem": null')) == (1, 1)
    assert done.err.splitlines()[:2] == [
        "devise: https://example.org/a.jpg: a URL, not a file: download it, or let label --format parquet read it",
        f"devise: {tmp_path}/a.tar: an archive, not a picture: unpack it, or let label --format parquet read a .tar",
    ]
    assert (
        label(f"file://{photo}").err == f"devise: file://{photo}: a file's address, not its path: leave file:// out\n"
    )


def test_hostile_names_of_bad_files_stay_on_their_line(label: Any, tmp_path: Path) -> None:
    err = label(tmp_path / "new\nline \x1b[31m\udcff.jpg").err
    assert err == f"devise: {tmp_path}/new\\nline \\x1b[31m\\udcff.jpg: no such file\n"


@POSIX
def test_a_photo_without_permission(label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = photo.with_name("secret.png")
    secret.write_bytes(photo.read_bytes())
    opened = os.open

    def guarded(path: Any, *rest: Any, **named: Any) -> int:
        if os.fspath(path) == str(secret):
            raise PermissionError(errno.EACCES, "Permission denied", str(secret))
        return opened(path, *rest, **named)

    monkeypatch.setattr(os, "open", guarded)
    done = label(photo.parent, "-k", 1)
    assert done.code == 1
    assert f"devise: {secret}: no permission to read it\n" in done.err
    assert done.out.startswith(f"{photo}\n")


@POSIX
def test_photos_and_folders_another_user_may_not_read(label: Any, photo: Path, scene: Image.Image) -> None:
    label(photo)  # so that all the modules are read
    me = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for inside in ("open.png", "shut.png", "closed/x.png"):
            (folder / inside).parent.mkdir(exist_ok=True)
            scene.save(folder / inside)
        (folder / "shut.png").chmod(0)
        (folder / "closed").chmod(0)
        os.seteuid(me or 65534)  # root may read all
        try:
            if not os.access(pipeline.__file__, os.R_OK, effective_ids=True):
                pytest.skip("the package is in a folder that another user may not enter")
            done = label(folder, "--format", "json")
        finally:
            os.seteuid(me)
            (folder / "closed").chmod(0o755)
    assert done.code == 1
    assert {Path(one["path"]).name: one["problem"] for one in json.loads(done.out)} == {
        "closed": "the folder cannot be read (Permission denied)",
        "open.png": None,
        "shut.png": "no permission to read it",
    }


def test_too_little_memory_for_one_photo_stops_no_other(
    label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_picture = pipeline.read_picture
    large = photo.with_name("large.png")
    large.write_bytes(photo.read_bytes())

    def short(source: Any, **options: Any) -> Any:
        if source == large:
            raise MemoryError
        return read_picture(source, **options)

    monkeypatch.setattr(pipeline, "read_picture", short)
    done = label(photo.parent, photo, "--format", "json")
    assert done.code == 1
    assert f"devise: {large}: too large for the memory: make it smaller\n" in done.err
    assert [bool(record["guesses"]) for record in json.loads(done.out)] == [False, True, True]


def test_too_little_memory_for_the_work_itself_is_one_line(
    label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object, **__: object) -> Any:
        raise MemoryError

    monkeypatch.setattr(LabelRun, "answers_of", short)
    output = photo.with_name("out.csv")
    done = label(photo, "-o", output)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "out of memory" in done.err
    assert [path.name for path in photo.parent.iterdir()] == [photo.name]


def test_a_fault_of_the_network_ends_the_work_at_once(label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def fault(*_: object) -> Any:
        asked.append(1)
        raise RuntimeError("no such operation")

    monkeypatch.setattr(OpenVinoBackbone, "features", fault)
    output = photo.with_name("out.csv")
    workers = pipeline.cores() + 1
    with pytest.raises(RuntimeError, match="no such operation"):
        label(*[photo] * 10 * workers, "-o", output)
    assert 1 <= len(asked) <= 4 * workers  # those that were taken before the first result was looked at
    assert not output.exists()


# Folders and lists of paths


def test_folders_without_pictures_are_named(label: Any, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "papers").mkdir()
    for name in ("a.txt", "b.pdf", ".hidden.png"):
        (tmp_path / "papers" / name).touch()
    told = [f"devise: {tmp_path / name}: no picture in this folder" for name in ("empty", "papers")]
    left_out = "devise: left out 2 files: not pictures by their names"
    done = label(tmp_path / "empty", tmp_path / "papers")
    assert (done.code, done.out, done.err.splitlines()) == (1, "", [*told, left_out])
    done = label(tmp_path / "empty", tmp_path / "papers", photo)
    assert (done.code, done.err.splitlines()) == (0, [*told, left_out])
    assert done.out.startswith(f"{photo}\n")


def test_an_empty_answer_is_still_of_its_form(label: Any, tmp_path: Path) -> None:
    assert json.loads(label(tmp_path, "--format", "json").out) == []
    assert label(tmp_path, "--format", "jsonl").out == ""
    assert len(list(csv.reader(label(tmp_path, "--format", "csv").out.splitlines()))) == 1


def test_a_folder_given_twice_is_read_once_and_a_photo_given_twice_twice(label: Any, photo: Path) -> None:
    done = label(photo.parent, photo.parent, photo, photo, "--format", "jsonl")
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 3)


class Stdin:
    def __init__(self, data: bytes) -> None:
        self.buffer = self
        self.read = lambda: data


@pytest.mark.parametrize("pattern", ["{}\n{}\n", "{}\r\n\r\n{}", "{}\0{}\0", "{}\0\0{}"])
def test_paths_come_from_standard_input(label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(pattern.format(photo, photo).encode()))
    done = label("-", "--format", "json")
    assert (done.code, [record["path"] for record in json.loads(done.out)]) == (0, [str(photo)] * 2)


@POSIX
def test_paths_parted_by_zero_bytes_may_hold_any_other(
    label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = photo.with_name(" two\nlines \udcff\r")
    photo.rename(odd)
    monkeypatch.setattr(sys, "stdin", Stdin(os.fsencode(odd) + b"\0-\0"))
    done = label("-", "--format", "json")
    assert [record["path"] for record in json.loads(done.out)] == [str(odd), "-"]
    assert (done.code, done.err.splitlines()[0]) == (1, "devise: -: no such file")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32-le"])
@pytest.mark.parametrize("end", ["\r\n", ""])
def test_a_list_in_utf_16_is_refused_and_nothing_is_labelled(
    label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, end: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin((str(photo) + end).encode(encoding)))
    done = label("-")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("devise: standard input is text in UTF-16, not in UTF-8: save it as UTF-8 (PowerShell: ")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "pattern", ["\ufeff{}\r\n{}\r\n", "{}\r{}\r", '"{}"\r\n"{}"', "\ufeff{}\0{}\0", "\ufeff{}\n{}"]
)
def test_lists_that_windows_and_old_systems_write(
    label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(pattern.format(photo, photo).encode()))
    done = label("-", "--format", "json")
    assert (done.code, done.err) == (0, "")
    assert [record["path"] for record in json.loads(done.out)] == [str(photo)] * 2


@POSIX
def test_a_quoted_name_is_itself_if_there_is_such_a_file(
    label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quoted = photo.with_name('"photo.png"')
    quoted.write_bytes(photo.read_bytes())
    monkeypatch.chdir(photo.parent)
    monkeypatch.setattr(sys, "stdin", Stdin(b'"photo.png"\n'))
    assert json.loads(label("-", "--format", "json").out)[0]["path"] == '"photo.png"'


@POSIX
def test_the_paths_of_our_csv_are_a_list_again(label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = photo.with_name("caf\udce9.png")
    photo.rename(odd)
    listed = next(csv.DictReader(label(odd, "--format", "csv").out.splitlines()))["path"]
    assert listed.endswith(r"caf\udce9.png")
    monkeypatch.setattr(sys, "stdin", Stdin(listed.encode()))
    assert json.loads(label("-", "--format", "json").out)[0]["path"] == str(odd)


@pytest.mark.parametrize("data", [b"", b"\n\r\n \n", b"\0\0"])
def test_no_path_on_standard_input(label: Any, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(data))
    assert label("-") == (1, "", "devise: standard input contains no path\n")


def test_a_picture_on_standard_input_is_not_a_list(label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(photo.read_bytes()))
    done = label("-")
    assert done.code == 2
    assert "give the picture's path instead" in done.err


def test_closed_streams_are_told(label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        assert label("-") == (1, "", "devise: standard input is closed: - reads a list of paths from it\n")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        done = label(photo)
        assert (done.code, done.err) == (1, "devise: standard output is closed: open it, or redirect it to a file\n")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        assert label(photo, photo.with_name("gone.png"), "--format", "jsonl").out.count("\n") == 2


# Options


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--labels", "qqxzzq"], 1, "unknown label 'qqxzzq'"),
        (["--labels", ""], 2, "no label was given"),
        (["--labels", " , ,"], 2, "no label was given"),
        (["--under", "qqxzzq"], 2, "under needs a noun of WordNet or its id, got 'qqxzzq'"),
        (["--under", ""], 2, "under needs a noun of WordNet or its id, got ''"),
        (["--under", "zebra", "--candidates", "typed"], 2, "no candidate label is under 'zebra'"),
        (["--candidates", "typed"], 2, "no candidate labels in 'typed'"),
        (["--top", "0"], 2, "top must be at least 1, got 0"),
        (["--top", "-3"], 2, "top must be at least 1, got -3"),
        (["--top", "x"], 2, "Invalid value for '--top' / '-k'"),
        (["--labels", "n99999999"], 1, "looks like the id of a synset, but WordNet 3.0 has no such noun"),
        (
            ["--labels", "mouse", "--sense", "n02129165"],
            2,
            "n02129165 is not a sense of any given word: `devise labels WORD` lists their ids",
        ),
        (["--reject", "-0.1"], 2, "--reject takes auto or a score from 0 to 1, got '-0.1'"),
        (["--reject", "1.01"], 2, "--reject takes auto or a score from 0 to 1, got '1.01'"),
        (["--reject", "nan"], 2, "--reject takes auto or a score from 0 to 1, got 'nan'"),
        (["--format", "xml"], 2, "'xml' is not one of"),
        (["--method", "magic"], 2, "'magic' is not one of"),
        (["--nonsense"], 2, "No such option"),
        (["--candidates", "gone.txt"], 2, "there is no file gone.txt"),
        (["--candidates", ""], 2, "candidates must be one of all, seen, unseen, typed, all-nouns or a file"),
        (["--model", "gone"], 1, "gone: does not exist"),
        ([""], 2, "a path is empty"),
    ],
)
def test_options_that_cannot_be(label: Any, photo: Path, options: list[str], code: int, said: str) -> None:
    output = photo.with_name("out.csv")
    done = label(photo, *options, "--output", output)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert done.err.startswith("devise: ") == ("Usage: " not in done.err)
    assert "Usage: " in done.err or done.err.count("\n") == 1
    assert not output.exists()


def test_no_arguments_show_the_help(label: Any) -> None:
    done = label()
    assert done.code == 2
    help_text = done.out + done.err
    assert "Usage: devise label [OPTIONS] {PATHS...}" in help_text
    for hidden_by_markup in ("[default: 5]", "[default: by the ending of --output, else table]"):
        assert hidden_by_markup in " ".join(help_text.split())


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("empty.txt", b"", 2, "no label was given"),
        ("blank.txt", b"\n# none\n", 2, "no label was given"),
        ("binary.txt", b"\x89PNG\r\n\x1a\n\xff\xfe", 2, "line 1 is not UTF-8"),
        ("wide.txt", "tiger\n".encode("utf-16"), 2, "is text in UTF-16"),
        ("unknown.txt", b"n99999999\n", 1, "'n99999999' looks like the id of a synset"),
        ("unknown.json", b'["n99999999"]', 1, "the first n99999999"),
        ("broken.json", b'["n02084071"', 1, "is not JSON"),
        ("keys.json", b'{"a": ["n02084071"]}', 2, "give keys.json#KEY, with KEY one of a"),
        ("number.json", b"[3]", 1, "item 1: expected a synset id"),
    ],
)
def test_candidate_files_that_cannot_be(
    label: Any, photo: Path, name: str, content: bytes, code: int, said: str
) -> None:
    listed = photo.with_name(name)
    listed.write_bytes(content)
    done = label(photo, "--candidates", listed)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert name in done.err
    assert done.err.count("\n") == 1


def test_a_damaged_model_is_named_with_its_part(label: Any, photo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    for part in DEFAULT_BUNDLE.iterdir():
        (copy / part.name).symlink_to(part)
    for name, mend in (("classifier.safetensors", "is truncated"), ("manifest.json", "is not JSON")):
        whole = (copy / name).read_bytes()
        (copy / name).unlink()
        (copy / name).write_bytes(whole[: len(whole) // 2])
        done = label(photo, "--model", copy)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith(f"devise: {copy / name}: {mend}")
        (copy / name).unlink()
        done = label(photo, "--model", copy)
        assert (done.code, done.err.count("\n"), name in done.err) == (1, 1, True)
        (copy / name).write_bytes(whole)


# Where answers go


def test_outputs_that_cannot_be_are_told_before_the_model_is_read(
    label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devise.model.labeller.load", lambda path=None, **more: pytest.fail("the model was read"))
    pixels = photo.read_bytes()
    for output, said in (
        (photo.parent, "is a folder"),
        (photo.parent / "gone" / "out.csv", "needs an existing folder"),
        (photo, "has the name of a picture"),
        ("-", "needs a file, got -: give a name, such as labels.csv, or leave --output out"),
    ):
        done = label(photo, "--output", output)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert str(output) in done.err
        assert said in done.err
    assert photo.read_bytes() == pixels


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    output = photo.with_name("out.csv")
    output.write_text("old")

    def full(*_: object) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextmanager
    def short(path: Path) -> Iterator[Any]:
        with atomic_write(path) as file:
            file.write = full  # type: ignore[method-assign]
            yield file

    if call == "write":
        monkeypatch.setattr("devise.cli.output.atomic_write", short)
    elif call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    done = label(photo, "--output", output)
    assert (done.code, done.out) == (1, "")
    assert done.err == f"devise: {output} cannot be written: No space left on device\n"
    assert output.read_text() == "old"
    assert sorted(path.name for path in photo.parent.iterdir()) == ["out.csv", "photo.png"]


@FULL
def test_a_full_device_is_told_and_not_replaced(label: Any, photo: Path) -> None:
    link = photo.with_name("full.csv")
    link.symlink_to("/dev/full")
    assert label(photo, "--output", link) == (1, "", f"devise: {link} cannot be written: No space left on device\n")
    assert link.is_symlink()
    assert link.is_char_device()


@FULL
@pytest.mark.parametrize("form", ["table", "json"])
def test_full_standard_output(photo: Path, form: str) -> None:
    with open("/dev/full", "w") as full:
        done = command(photo, "--format", form, stdout=full)
    assert (done.returncode, done.stderr) == (1, "devise: standard output cannot be written: No space left on device\n")


@FULL
def test_full_standard_output_is_named_by_every_command(photo: Path, small_bundle: Path, tmp_path: Path) -> None:
    """Whether the error comes while a command prints, at its end, or with its exit code for an unreadable photo."""
    photos, index, model = tmp_path / "photos", tmp_path / "index", ("--model", small_bundle)
    (photos / "n02123045").mkdir(parents=True)
    (photos / "n02123045" / "a.png").write_bytes(photo.read_bytes())
    (photos / "n02123045" / "bad.png").write_bytes(b"no picture")
    for arguments in (
        ("--help",),
        ("--version",),
        ("labels", "--help"),
        ("labels", "zebra", "--json", *model),
        ("index", photos, "--out", index, *model),
        ("search", index, "zebra", *model),
        ("evaluate", photos, "--json", *model),
    ):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "devise", *map(str, arguments)],
                env=ENVIRONMENT,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
        lines = [line for line in done.stderr.splitlines() if "bad.png" not in line]
        assert done.returncode == 1, arguments
        assert lines[-1] == "devise: standard output cannot be written: No space left on device", arguments
        assert all(line.startswith("devise: ") for line in lines), arguments


@POSIX
def test_a_pipe_as_output_is_written_to_and_stays_one(label: Any, photo: Path) -> None:
    pipe = photo.with_name("pipe.csv")
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()), daemon=True)
    reader.start()
    assert label(photo, "--output", pipe).code == 0
    reader.join(60)
    assert got[0].startswith("path,rank,")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@POSIX
def test_what_a_killed_run_left_beside_the_output_goes(label: Any, photo: Path, tmp_path: Path) -> None:
    left = [tmp_path / name for name in (".labels.csv.0123456789abcdef.part", ".page.html.0123456789abcdef.part")]
    yours = tmp_path / ".notes.part"
    for path in (*left, yours):
        path.write_text("half")
    assert label(photo, "-o", tmp_path / "labels.csv").code == 0
    assert [path.exists() for path in (*left, yours)] == [False, False, True]


def test_a_link_as_output_is_followed(label: Any, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept.csv").write_text("old")
    (tmp_path / "out.csv").symlink_to("elsewhere/kept.csv")
    assert label(photo, "--output", tmp_path / "out.csv").code == 0
    assert (tmp_path / "out.csv").is_symlink()
    assert (tmp_path / "elsewhere" / "kept.csv").read_text().startswith("path,rank,")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts a small disk, which needs root")
def test_a_disk_that_really_fills(scene: Image.Image, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    scene.save(tmp_path / "photo.png")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        done = command(*[tmp_path / "photo.png"] * 8, "-k", 200, "--output", disk / "out.csv")
        left = list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)
    assert done.returncode == 1
    assert done.stderr == f"devise: {disk / 'out.csv'} cannot be written: No space left on device\n"
    assert left == []


# Work that is cut off


@pytest.fixture
def many(scene: Image.Image, tmp_path: Path) -> Path:
    """A folder with more pictures than are labelled in any test here."""
    folder = tmp_path / "many"
    folder.mkdir()
    scene.resize((1200, 900)).save(folder / "0000.jpg")
    for number in range(1, 2000):
        os.link(folder / "0000.jpg", folder / f"{number:04}.jpg")
    return folder


def started(*arguments: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "devise", "label", *map(str, arguments)],
        bufsize=0,  # a reader with a buffer would keep from `communicate` what it took too much
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )


def stopped(process: "subprocess.Popen[bytes]", by: int = signal.SIGINT) -> tuple[bytes, str]:
    """What the process still wrote after Ctrl-C or another signal, and what it told."""
    process.send_signal(by)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + by
    assert b"Traceback" not in err
    return out, err.decode()


@POSIX
@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
def test_ctrl_c_keeps_what_standard_output_got(many: Path, form: str) -> None:
    with started(many, "--format", form, "-k", 2) as process:
        assert process.stdout is not None
        first = b"".join(process.stdout.readline() for _ in range(3))
        rest, err = stopped(process)
    text = (first + rest).decode()
    assert err == "devise: stopped\n"
    if form == "csv":
        rows = list(csv.reader(text.splitlines()))
        assert {len(row) for row in rows} == {10}
        paths = [row[0] for row in rows[1::2]]
        assert paths == [row[0] for row in rows[2::2]]
    else:
        records = json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]
        assert {len(record["guesses"]) for record in records} == {2}
        paths = [record["path"] for record in records]
    assert text.endswith("\n")
    assert paths == [str(many / f"{number:04}.jpg") for number in range(len(paths))]
    assert 1 <= len(paths) < 2000


def wait_until_nobody_reads(process: "subprocess.Popen[bytes]") -> None:
    """Until the pipe is as good as full, and fills no more."""
    import fcntl
    import termios

    assert process.stdout is not None
    waiting, deadline = -1, time.monotonic() + 120
    while True:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.5)
        (now,) = struct.unpack("i", fcntl.ioctl(process.stdout, termios.FIONREAD, b"\0" * 4))
        if now == waiting and now > 40_000:
            return
        waiting = now


@POSIX
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_ctrl_c_leaves_no_half_record_where_the_reader_is_slow(
    many: Path, monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    monkeypatch.setitem(ENVIRONMENT, "PYTHONUNBUFFERED", unbuffered)
    with started(many, "--format", "json", "-k", 100) as process:
        wait_until_nobody_reads(process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        out, err = process.communicate(timeout=120)
    records = json.loads(out)
    assert (process.returncode, err) == (130, b"devise: stopped\n")
    assert {len(record["guesses"]) for record in records} == {100}


@POSIX
def test_ctrl_c_ends_also_where_the_reader_has_stopped(many: Path) -> None:
    with started(many, "--format", "jsonl", "-k", 100) as process:
        wait_until_nobody_reads(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b"devise: stopped\n"


@POSIX
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.slow)])
def test_a_stop_keeps_what_is_finished_in_the_output(many: Path, tmp_path: Path, name: str) -> None:
    if signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
        pytest.skip(f"what started these tests ignores {name}, as nohup does, and so do their processes")
    output = tmp_path / "out.csv"
    with started(many, "-k", 5, "--output", output) as process:
        deadline = time.monotonic() + 120
        while not any(path.stat().st_size for path in tmp_path.glob(".out.csv.*.part")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        out, err = stopped(process, getattr(signal, name))
    rows = list(csv.reader(output.read_text(encoding="utf-8").splitlines()))
    finished, left = divmod(len(rows) - 1, 5)
    assert (out, left) == (b"", 0)
    assert err == f"devise: {finished} finished photos kept in {output}\ndevise: stopped\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many", "out.csv"]


@POSIX
def test_ctrl_c_before_the_first_answer_leaves_no_output(
    label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    output = photo.with_name("out.csv")
    output.write_text("old")
    monkeypatch.setattr(LabelRun, "answers_of", interrupted)
    assert label(photo, "--output", output) == (130, "", "devise: stopped\n")
    assert output.read_text() == "old"
    assert sorted(path.name for path in photo.parent.iterdir()) == ["out.csv", "photo.png"]


@POSIX
@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_a_large_photo(scene: Image.Image, tmp_path: Path) -> None:
    scene.resize((9800, 9800)).save(tmp_path / "large.png", compress_level=1)
    scene.save(tmp_path / "a.png")
    with started(tmp_path / "a.png", *[tmp_path / "large.png"] * 20, "--format", "jsonl") as process:
        assert process.stdout is not None
        assert b"a.png" in process.stdout.readline()
        out, err = stopped(process)
    assert err == "devise: stopped\n"
    assert out.count(b"\n") < 20  # on a busy machine some are done before the signal comes


@POSIX
def test_a_reader_that_leaves_is_no_error(many: Path) -> None:
    with started(many, "-k", 1) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().decode() == f"{many / '0000.jpg'}\n"
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(120) == 141
    assert err == b""


# Threads


FOUR_AT_ONCE = """
import sys, threading
from pathlib import Path
from devise.model.parts import ModelParts
from devise.vision.pipeline import extract

sys.setswitchinterval(1e-6)
backbone = ModelParts.open().backbone(streams=4)
together = threading.Barrier(4)

class Together:
    preprocessing, dim = backbone.preprocessing, backbone.dim

    def features(self, crops):
        together.wait()
        return backbone.features(crops)

print(sum(one.features is not None for one in extract(sorted(Path(sys.argv[1]).iterdir()), Together(), workers=4)))
"""


@pytest.mark.slow
def test_the_first_pictures_of_several_threads_never_wait_for_each_other(tmp_path: Path) -> None:
    """Where the first inferences are not kept apart, about half of such processes hang for ever."""
    for number in range(4):
        Image.new("RGB", (8, 8), (60 * number, 0, 0)).save(tmp_path / f"{number}.png")
    for _ in range(30):
        done = subprocess.run(
            [sys.executable, "-c", FOUR_AT_ONCE, str(tmp_path)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env=ENVIRONMENT,
        )
        assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr


def test_max_pixels_moves_the_limit(tmp_path: Path, label: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    monkeypatch.setenv("DEVISE_MAX_PIXELS", "1000000")  # restored after the test, which the option changes
    done = label("--max-pixels", 199, tmp_path / "a.png")
    assert done.code == 1
    assert (
        "20 x 10 pixels, over the limit of 0.000199 megapixels: make it smaller, or raise $DEVISE_MAX_PIXELS"
        in done.err
    )
    assert "--max-pixels" in done.err
    assert label("--max-pixels", 200, tmp_path / "a.png").code == 0
    assert label("--max-pixels", 0, tmp_path / "a.png").code == 2
