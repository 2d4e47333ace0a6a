import errno
import os
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.files import (
    atomic_write,
    cache_folder,
    check_encoding,
    exact_name,
    read_file,
    real_path,
    sole_writer,
    text_name,
    text_of,
)

POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")


@pytest.fixture
def umask() -> Iterator[None]:
    """Puts the process's umask back."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_text_is_utf8_and_line_ends_stay(tmp_path: Path):
    with atomic_write(tmp_path / "a.txt") as file:
        file.write("naïve\r\nentité\n")
    assert (tmp_path / "a.txt").read_bytes() == "naïve\r\nentité\n".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_bytes(tmp_path: Path):
    with atomic_write(tmp_path / "a", "wb") as file:
        file.write(b"\x00\xff")
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"


def test_the_file_is_not_there_before_it_is_whole(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
        assert len(os.listdir(tmp_path)) == 2
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_longer_old_file_leaves_no_tail(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 10_000)
    with atomic_write(path, "wb") as file:
        file.write(b"short")
    assert path.read_bytes() == b"short"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("old", ["old", None])
def test_an_error_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, error: type[BaseException], old: str | None):
    path = tmp_path / "a.txt"
    if old is not None:
        path.write_text(old)

    def write() -> None:
        with atomic_write(path) as file:
            file.write("half")
            raise error("stopped")

    with pytest.raises(error):
        write()
    assert os.listdir(tmp_path) == ([] if old is None else ["a.txt"])
    assert old is None or path.read_text() == old


@pytest.mark.parametrize("call", ["fsync", "write"])
def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write() -> None:
        with atomic_write(path, "wb") as file:
            if call == "write":
                full()
            file.write(b"new")

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write()
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)  # which of several disks is full
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has a file-size limit of this kind")
def test_a_real_limit_on_file_size_keeps_the_old_file(tmp_path: Path):
    import resource
    import signal

    path = tmp_path / "a"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def write() -> None:
        with atomic_write(path, "wb") as file:
            file.write(b"x" * 1_000_000)

    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@POSIX
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0o000, 0o666)])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: None, mask: int, mode: int):
    os.umask(mask)
    with atomic_write(tmp_path / "a") as file:
        file.write("x")
    (tmp_path / "plain").write_text("x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == mode
    assert os.umask(mask) == mask


def test_the_umask_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It belongs to the whole process: to change it for a moment changes the files of other threads."""
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the umask was changed"))
    with atomic_write(tmp_path / "a") as file:
        file.write("x")


def test_no_folder_to_write_in(tmp_path: Path):
    def write() -> None:
        with atomic_write(tmp_path / "absent" / "a") as file:
            file.write("x")

    with pytest.raises(FileNotFoundError):
        write()
    assert os.listdir(tmp_path) == []


def test_a_folder_is_not_replaced(tmp_path: Path):
    (tmp_path / "a").mkdir()

    def write() -> None:
        with atomic_write(tmp_path / "a") as file:
            file.write("x")

    with pytest.raises(OSError, match="directory"):
        write()
    assert os.listdir(tmp_path) == ["a"]


def test_two_writers_do_not_mix(tmp_path: Path):
    """The last to finish wins, whole."""
    path, barrier = tmp_path / "a", threading.Barrier(4)
    contents = [bytes([65 + i]) * 100_000 for i in range(4)]

    def write(content: bytes) -> None:
        with atomic_write(path, "wb") as file:
            barrier.wait(timeout=60)
            file.write(content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("length", [1, 200, 255])
def test_names_of_any_length_the_system_takes(tmp_path: Path, length: int):
    path = tmp_path / ("n" * length)
    with atomic_write(path) as file:
        file.write("x")
    assert path.read_text() == "x"


def test_no_file_is_opened_before_the_block(tmp_path: Path):
    atomic_write(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_a_device_stays_a_device_and_a_link_a_link(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(tmp_path / "pipe") as file:
        file.write("\u00e9\n")
    assert os.read(reader, 100) == "\u00e9\n".encode()
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with atomic_write(tmp_path / "link") as file:
        file.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_pipe_that_nobody_reads_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe that nobody reads"), atomic_write(tmp_path / "pipe", "wb"):
        pass


def test_a_link_to_itself_is_an_oserror_at_most(tmp_path: Path):
    """`Path.resolve` raises RuntimeError before Python 3.13."""
    (tmp_path / "loop").symlink_to("loop")
    assert real_path(tmp_path / "loop") == real_path(tmp_path) / "loop"
    with pytest.raises(OSError, match="symbolic links"):
        read_file(tmp_path / "loop")


@given(st.one_of(st.binary().map(os.fsdecode), st.text(st.sampled_from("\\ud5cf9\udcff\udc80\ud800a"))))
def test_any_name_has_a_form_of_its_own_that_is_text(name: str):
    text = text_name(name)
    text.encode("utf-8")
    assert exact_name(text) == name


def test_text_comes_back_whatever_its_line_ends(tmp_path: Path):
    assert text_of("\ufeffa\r\nb\rc\n\u2028d".encode(), "x", ValueError) == "a\nb\nc\n\u2028d"
    assert text_of(b"", "x", ValueError) == ""
    with pytest.raises(ValueError, match="x line 2 is not UTF-8 at its byte 4: save it as UTF-8"):
        text_of(b"a\rcaf\xe9", "x", ValueError)


@pytest.mark.parametrize("listed", ["ab\0cd\0ef\0gh\0", "./a\0./b\0", "a\0b\0", "/p/" + "a" * 9 + "\0" * 4])
def test_lists_that_nul_bytes_separate_are_no_utf_16(listed: str):
    assert check_encoding(listed.encode(), "x", ValueError) == 0


@given(st.text(st.characters(exclude_characters="\0", max_codepoint=0x24F), min_size=4))
def test_utf_16_is_seen_without_a_mark(text: str):
    for encoding in ("utf-16-le", "utf-16-be"):
        with pytest.raises(ValueError, match="UTF-16"):
            check_encoding(f"/photos/{text}.jpg\n".encode(encoding), "x", ValueError)


@pytest.mark.skipif(os.name != "posix", reason="the lock is POSIX's")
def test_one_of_many_writes_into_a_folder_and_leaves_no_lock(tmp_path: Path):
    folder = tmp_path / "new" / "folder"
    inside: list[int] = []
    most: list[int] = []
    others: list[BaseException] = []

    def work(number: int) -> None:
        for turn in range(200):
            try:
                with sole_writer(folder, LookupError):
                    inside.append(number)
                    most.append(len(inside))
                    inside.remove(number)
            except LookupError:
                pass
            except BaseException as error:
                others.append(error)
            if turn % 20 == 0:
                os.sched_yield()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not others
    assert max(most) == 1
    assert not [one for one in tmp_path.rglob("*") if not one.is_dir()]


@pytest.mark.skipif(os.name != "posix", reason="the lock is POSIX's")
def test_what_was_written_and_what_was_there_stays_without_the_lock(tmp_path: Path):
    (tmp_path / "old").mkdir()
    for name in ("old", "a/new"):
        folder = tmp_path / name
        with sole_writer(folder, LookupError):
            assert (folder / ".lock").is_file()
        assert list(tmp_path.rglob("*")) == [tmp_path / "old"]
    for name in ("old", "a/new"):
        folder = tmp_path / name
        with sole_writer(folder, LookupError):
            (folder / "half").touch()
            with pytest.raises(LookupError, match="another process is writing"), sole_writer(folder, LookupError):
                pass
            assert (folder / ".lock").is_file()
        assert [one.name for one in folder.iterdir()] == ["half"]


def test_the_writer_of_a_folder_removes_what_was_left_half_written(tmp_path: Path):
    left, yours = tmp_path / ".index.json.0123456789abcdef.part", tmp_path / ".notes.part"
    left.write_bytes(b"half")
    yours.write_bytes(b"")
    with sole_writer(tmp_path, OSError), atomic_write(tmp_path / "new") as file:
        file.write("whole")
        with sole_writer(tmp_path, OSError, ".other-lock"):  # what is being written stays
            assert len(list(tmp_path.glob(".new.*.part"))) == 1
    assert sorted(os.listdir(tmp_path)) == [".notes.part", "new"]


def test_no_lock_in_a_file_or_behind_a_link_that_leads_nowhere(tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / ".lock").symlink_to(tmp_path / "absent" / "lock")
    for name in ("file", "file/below", "folder"):
        with pytest.raises(OSError), sole_writer(tmp_path / name, LookupError):  # noqa: PT011
            pass


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "devise"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the XDG specification
    assert cache_folder() == Path.home() / ".cache" / "devise"
