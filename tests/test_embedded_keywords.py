"""Keywords inside photos: rights, times, links, other programs, a full disk and a kill in the middle."""

import errno
import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image
from test_sidecars import A_PERSONS, CAT, HERON, meaning, values

from devise import sidecars
from devise.containers import packet_in, with_packet
from devise.files import remove_unfinished
from devise.sidecars import clear_photo, tag_photo, takes_keywords
from devise.xmp import SidecarError

HERON_LISTS = {
    "subject": ["animal", "bird", "heron"],
    "hierarchical": ["animal|bird|heron"],
    "tags": ["animal/bird/heron"],
}


@pytest.fixture(params=["JPEG", "PNG", "WEBP", "TIFF"])
def photo(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / ("photo.tif" if request.param == "TIFF" else f"photo.{request.param.lower()}")
    Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(path, request.param)
    return path


@pytest.fixture
def jpeg(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    Image.linear_gradient("L").save(path)
    return path


def test_keywords_are_written_once_changed_and_taken_back_to_the_byte(photo: Path):
    before = photo.read_bytes()
    assert takes_keywords(photo)
    assert tag_photo(photo, HERON)
    tagged = photo.read_bytes()
    assert values(packet_in(tagged)) == HERON_LISTS
    assert (packet_in(tagged) or b"").startswith(b"<?xpacket begin=")
    os.utime(photo, (1, 1))
    assert not tag_photo(photo, HERON)
    assert (photo.read_bytes(), photo.stat().st_mtime) == (tagged, 1)
    assert tag_photo(photo, CAT)
    assert values(packet_in(photo.read_bytes()))["subject"] == ["animal", "cat"]
    assert clear_photo(photo)
    assert photo.read_bytes() == before
    assert not clear_photo(photo)
    assert [one.name for one in photo.parent.iterdir()] == [photo.name]


def test_keywords_that_another_program_has_packed_are_taken_back(tmp_path: Path):
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8), "teal").save(path)
    before = path.read_bytes()
    assert tag_photo(path, HERON)
    tagged = path.read_bytes()
    body = b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet_in(tagged) or b"")
    bare = with_packet(tagged, None)
    at = bare.index(b"IDAT") - 4
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    path.write_bytes(bare[:at] + chunk + bare[at:])
    assert clear_photo(path)
    assert path.read_bytes() == before


def test_what_a_person_wrote_into_the_photo_stays(photo: Path):
    photo.write_bytes(with_packet(photo.read_bytes(), A_PERSONS))
    assert tag_photo(photo, HERON)
    assert values(packet_in(photo.read_bytes()))["subject"] == ["bird", "Gran Canaria", "animal", "heron"]
    assert clear_photo(photo)
    assert meaning(packet_in(photo.read_bytes()) or b"") == meaning(A_PERSONS)


def test_a_photo_without_a_sure_name_is_not_touched(jpeg: Path):
    assert not tag_photo(jpeg, ())


@pytest.mark.parametrize("keep_time", [True, False])
def test_rights_stay_and_the_time_on_request(jpeg: Path, keep_time: bool):
    jpeg.chmod(0o640)
    os.utime(jpeg, (1, 1))
    assert tag_photo(jpeg, HERON, keep_time=keep_time)
    assert jpeg.stat().st_mode & 0o7777 == 0o640
    assert (jpeg.stat().st_mtime == 1) is keep_time
    os.utime(jpeg, (1, 1))
    assert clear_photo(jpeg, keep_time=keep_time)
    assert (jpeg.stat().st_mtime == 1) is keep_time


def test_a_link_is_followed_and_another_name_of_the_file_keeps_the_old_photo(jpeg: Path, tmp_path: Path):
    before = jpeg.read_bytes()
    link, backup = tmp_path / "link.jpg", tmp_path / "backup.jpg"
    link.symlink_to(jpeg.name)
    os.link(jpeg, backup)
    assert tag_photo(link, HERON)
    assert link.is_symlink()
    assert values(packet_in(jpeg.read_bytes())) == HERON_LISTS
    assert backup.read_bytes() == before
    assert not tag_photo(jpeg, HERON)


def test_a_read_only_photo_is_left(jpeg: Path):
    before = jpeg.read_bytes()
    jpeg.chmod(0o444)
    with pytest.raises(SidecarError, match=r"photo\.jpg: read-only, left as it is: make it writable, or leave out --e"):
        tag_photo(jpeg, HERON)
    assert jpeg.read_bytes() == before
    assert not tag_photo(jpeg, ())
    assert not clear_photo(jpeg)


def test_a_photo_of_another_user_is_left(jpeg: Path, monkeypatch: pytest.MonkeyPatch):
    before = jpeg.read_bytes()
    real = sidecars.Path.stat
    owner = jpeg.stat().st_uid + 1

    def stat(path: Path, **how: bool) -> object:
        found = real(path, **how)
        return os.stat_result((*found[:4], owner, *found[5:])) if path.name == "photo.jpg" else found

    def chown(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(sidecars.Path, "stat", stat)
    monkeypatch.setattr(os, "chown", chown)
    with pytest.raises(SidecarError, match="belongs to another user or group: left as it is"):
        tag_photo(jpeg, HERON)
    monkeypatch.undo()
    assert jpeg.read_bytes() == before
    assert [one.name for one in jpeg.parent.iterdir()] == ["photo.jpg"]


def test_a_full_disk_leaves_the_photo(jpeg: Path, monkeypatch: pytest.MonkeyPatch):
    before = jpeg.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SidecarError, match=r"photo\.jpg: No space left on device"):
        tag_photo(jpeg, HERON)
    assert jpeg.read_bytes() == before
    assert [one.name for one in jpeg.parent.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("step", ["os.fsync", "os.utime", "shutil.copystat", "pathlib.Path.replace"])
def test_a_kill_leaves_the_photo_and_the_next_run_cleans_up(jpeg: Path, step: str):
    before = jpeg.read_bytes()
    owner, name = step.rsplit(".", 1)
    code = f"""
import os, pathlib, shutil, signal
from devise.sidecars import tag_photo
from devise.xmp import Keyword
{owner}.{name} = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
tag_photo(pathlib.Path({str(jpeg)!r}), [Keyword(("animal",), "n00015388", 0.9)])
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    assert jpeg.read_bytes() == before
    assert len(list(jpeg.parent.iterdir())) == 2
    remove_unfinished(jpeg.parent)
    assert [one.name for one in jpeg.parent.iterdir()] == ["photo.jpg"]


def test_what_another_program_writes_meanwhile_is_not_lost(jpeg: Path, monkeypatch: pytest.MonkeyPatch):
    real, calls = sidecars.with_packet, []

    def once(data: bytes, packet: bytes | None) -> bytes:
        calls.append(packet)
        if len(calls) == 1:
            jpeg.write_bytes(with_packet(jpeg.read_bytes(), A_PERSONS))
        return real(data, packet)

    monkeypatch.setattr(sidecars, "with_packet", once)
    assert tag_photo(jpeg, HERON)
    assert values(packet_in(jpeg.read_bytes()))["subject"] == ["bird", "Gran Canaria", "animal", "heron"]


def test_a_photo_that_never_rests_is_reported(jpeg: Path, monkeypatch: pytest.MonkeyPatch):
    real, calls = sidecars.with_packet, []

    def always(data: bytes, packet: bytes | None) -> bytes:
        calls.append(packet)
        os.utime(jpeg, (len(calls), len(calls)))
        return real(data, packet)

    monkeypatch.setattr(sidecars, "with_packet", always)
    with pytest.raises(SidecarError, match="another program keeps changing it"):
        tag_photo(jpeg, HERON)
    assert [one.name for one in jpeg.parent.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JF", "cut off or damaged"),
        (b"GIF89a", "not a JPEG, PNG, WebP or TIFF"),
        (None, "No such file"),
    ],
)
def test_a_photo_that_cannot_be_changed_is_one_line(tmp_path: Path, content: bytes | None, reason: str):
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SidecarError, match=rf"a\.jpg: {reason}"):
        tag_photo(path, HERON)
    if content is not None:
        assert path.read_bytes() == content
        assert not clear_photo(path)


def test_files_in_use_are_not_cleaned_up(tmp_path: Path):
    from devise.files import atomic_write

    with atomic_write(tmp_path / "a.jpg", "wb") as file:
        file.write(b"a")
        remove_unfinished(tmp_path)
    other = tmp_path / ".a.jpg.part"
    other.touch()
    remove_unfinished(tmp_path)
    remove_unfinished(tmp_path / "none")
    assert sorted(one.name for one in tmp_path.iterdir()) == [".a.jpg.part", "a.jpg"]


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool (Debian: libimage-exiftool-perl)")
def test_exiftool_reads_checks_and_writes_beside_them(photo: Path):
    bare = photo.with_name(f"bare{photo.suffix}")
    bare.write_bytes(photo.read_bytes())
    tag_photo(photo, HERON)
    command = [
        "exiftool",
        "-json",
        "-validate",
        "-Subject",
        "-HierarchicalSubject",
        "-TagsList",
        "-Warning",
        photo,
        bare,
    ]
    told, own = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert told["Subject"] == ["animal", "bird", "heron"]
    assert told["HierarchicalSubject"] == "animal|bird|heron"
    assert told["TagsList"] == "animal/bird/heron"
    assert told["Validate"] == own["Validate"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-Subject+=mine", photo], check=True)
    assert not tag_photo(photo, HERON)
    assert clear_photo(photo)
    assert values(packet_in(photo.read_bytes())) == {"subject": ["mine"]}


@pytest.mark.skipif(shutil.which("exiv2") is None, reason="needs exiv2 (Debian: exiv2)")
def test_exiv2_reads_and_writes_beside_them(photo: Path):
    tag_photo(photo, HERON)
    told = subprocess.run(["exiv2", "-px", photo], capture_output=True, text=True, check=True).stdout
    assert "animal, bird, heron" in told
    subprocess.run(["exiv2", "-M", "add Xmp.xmp.Rating 3", photo], check=True)
    assert not tag_photo(photo, HERON)
    assert clear_photo(photo)
    left = packet_in(photo.read_bytes()) or b""
    assert b"heron" not in left
    assert b"Rating" in left
