"""Caltech-101 laid out from archives that the test makes: right, cut, foreign and hostile ones."""

import io
import os
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from devise.cli.app import main
from devise.errors import DeviseError, UsageError
from devise.evaluation.caltech101 import CaltechClass, caltech_classes, write_caltech101
from devise.files import sole_writer
from devise.model.parts import ModelParts
from devise.taxonomy.wordnet import default_taxonomy

ROOT = "101_ObjectCategories"
TWO = (
    CaltechClass("cup", "n03147509", "cup", "unseen", 2, ""),
    CaltechClass("flamingo", "n02007558", "flamingo", "seen", 2, ""),
    CaltechClass("flamingo_head", "n02007558", "flamingo", "seen", 1, ""),
)
MEMBERS = [
    *(f"{ROOT}/cup/image_{number:04}.jpg" for number in (3, 2, 1)),
    *(f"{ROOT}/flamingo/image_{number:04}.jpg" for number in (1, 2, 3)),
    f"{ROOT}/flamingo_head/image_0001.jpg",
    f"{ROOT}/Faces/image_0001.jpg",
    f"{ROOT}/BACKGROUND_Google/tmp",
]


def packed(members: Iterable[str], content: bytes = b"") -> bytes:
    """A .tar.gz; each photo is told by its name, if there is no content."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name in members:
            member, data = tarfile.TarInfo(name), content or b"\xff\xd8\xff" + name.encode()
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "101_ObjectCategories.tar.gz"
    path.write_bytes(packed(MEMBERS))
    return path


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


WRITTEN = [
    "seen/n02007558/flamingo_head_image_0001.jpg",
    "seen/n02007558/flamingo_image_0001.jpg",
    "seen/n02007558/flamingo_image_0002.jpg",
    "unseen/n03147509/cup_image_0001.jpg",
    "unseen/n03147509/cup_image_0002.jpg",
]


def test_the_first_photos_of_each_class_go_where_their_synset_is(archive: Path, tmp_path: Path):
    assert write_caltech101(archive, tmp_path / "out", TWO) == {"unseen": 2, "seen": 3}
    assert files_of(tmp_path / "out") == WRITTEN
    data = (tmp_path / "out" / WRITTEN[4]).read_bytes()
    assert data == b"\xff\xd8\xff" + f"{ROOT}/cup/image_0002.jpg".encode()


@pytest.mark.parametrize("inside", ["caltech-101/101_ObjectCategories.tar.gz", "101_ObjectCategories.tar.gz"])
def test_the_zip_of_the_makers_holds_the_same(archive: Path, tmp_path: Path, inside: str):
    with zipfile.ZipFile(tmp_path / "caltech-101.zip", "w") as whole:
        whole.writestr("__MACOSX/caltech-101/._101_ObjectCategories.tar.gz", b"no archive")
        whole.writestr("caltech-101/Annotations.tar", b"no archive")
        whole.writestr(inside, archive.read_bytes())
    write_caltech101(tmp_path / "caltech-101.zip", tmp_path / "out", TWO)
    assert files_of(tmp_path / "out") == WRITTEN


def test_what_a_killed_run_left_is_begun_again_and_an_empty_folder_taken(archive: Path, tmp_path: Path):
    (tmp_path / ".out.part" / "seen").mkdir(parents=True)
    (tmp_path / ".out.part" / "seen" / "half.jpg").touch()
    (tmp_path / "out").mkdir()
    write_caltech101(archive, tmp_path / "out", TWO)
    assert files_of(tmp_path / "out") == WRITTEN
    assert not (tmp_path / ".out.part").exists()


@pytest.mark.skipif(os.name != "posix", reason="the lock is POSIX's")
def test_what_another_process_writes_at_this_moment_is_left_alone(archive: Path, tmp_path: Path):
    half = tmp_path / ".out.part" / "seen" / "half.jpg"
    half.parent.mkdir(parents=True)
    half.touch()
    with sole_writer(tmp_path, DeviseError, ".out.lock"):
        with pytest.raises(DeviseError, match="another process is writing"):
            write_caltech101(archive, tmp_path / "out", TWO)
        assert half.is_file()
        write_caltech101(archive, tmp_path / "other", TWO)
    assert files_of(tmp_path / "other") == WRITTEN
    assert not list(tmp_path.glob(".*.lock"))


@pytest.mark.parametrize(
    "hostile",
    [
        f"../{ROOT}/cup/image_0001.jpg",
        f"{ROOT}/../../cup/image_0001.jpg",
        f"/{ROOT}/cup/image_0001.jpg",
        f"{ROOT}/cup/../../image_0001.jpg",
        f"{ROOT}/cup/image_0001.jpg/../../../x.jpg",
        f"{ROOT}/cup/image_0001.jpg\n",
    ],
)
def test_no_name_in_an_archive_leads_out_of_the_folder(tmp_path: Path, hostile: str):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(packed([hostile, *MEMBERS], b"\xff\xd8\xff"))
    (tmp_path / "inner").mkdir()
    write_caltech101(path, tmp_path / "inner" / "out", TWO)
    assert files_of(tmp_path) == ["a.tar.gz", *(f"inner/out/{name}" for name in WRITTEN)]


def test_links_and_devices_are_no_photos(tmp_path: Path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"{ROOT}/cup/image_0001.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    with pytest.raises(DeviseError, match=r"is not Caltech-101: it has no 101_ObjectCategories/CLASS"):
        write_caltech101(path, tmp_path / "out", TWO)
    assert files_of(tmp_path) == ["a.tar"]


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("zipped", [False, True])
def test_an_archive_that_was_cut_off_leaves_nothing(archive: Path, tmp_path: Path, share: float, zipped: bool):
    data = archive.read_bytes()
    if zipped:
        with zipfile.ZipFile(archive, "w") as whole:
            whole.writestr("caltech-101/101_ObjectCategories.tar.gz", data)
        data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DeviseError, match="is cut off or damaged") as told:
        write_caltech101(archive, tmp_path / "out", TWO)
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize(
    ("members", "content", "message"),
    [
        (["other/cup/image_0001.jpg"], b"", "is not Caltech-101"),
        (MEMBERS[1:], b"", None),
        ([name for name in MEMBERS if "image_0001" not in name], b"", "1 of the first 2 photos of cup, and 3 classes"),
        (MEMBERS, b"GIF89a", "cup/image_0002.jpg is not a photo"),
        ([*MEMBERS, MEMBERS[1]], b"", "has two photos called cup_image_0002.jpg"),
    ],
)
def test_another_archive_is_refused_in_one_line(
    archive: Path, tmp_path: Path, members: list[str], content: bytes, message: str | None
):
    archive.write_bytes(packed(members, content))
    if message is None:  # a photo that nobody asks for may be missing
        write_caltech101(archive, tmp_path / "out", TWO)
        return
    with pytest.raises(DeviseError, match=message):
        write_caltech101(archive, tmp_path / "out", TWO)
    assert list(tmp_path.iterdir()) == [archive]


def test_a_photo_of_absurd_size_is_refused_before_it_is_read(archive: Path, tmp_path: Path):
    archive.write_bytes(packed(MEMBERS, b"\xff\xd8\xff" + bytes(5 << 20)))
    with pytest.raises(DeviseError, match="is not a photo"):
        write_caltech101(archive, tmp_path / "out", TWO)


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("gone.zip", "out", "is not a file"),
        (".", "out", "is a folder: give the archive itself"),
        ("101_ObjectCategories.tar.gz", "no/out", "needs a folder that exists: create"),
        ("101_ObjectCategories.tar.gz", "101_ObjectCategories.tar.gz", "exists already"),
        ("101_ObjectCategories.tar.gz", ".", "exists already: give a folder that is new or empty"),
    ],
)
def test_paths_that_cannot_be(archive: Path, tmp_path: Path, source: str, out: str, message: str):
    with pytest.raises(UsageError, match=message):
        write_caltech101(tmp_path / source, tmp_path / out, TWO)
    assert list(tmp_path.iterdir()) == [archive]


def test_the_command_prints_what_each_set_got(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "all.tar.gz"
    rows = [(one.folder, number) for one in caltech_classes() for number in range(1, one.photos + 1)]
    path.write_bytes(packed([f"{ROOT}/{folder}/image_{number:04}.jpg" for folder, number in rows]))
    with pytest.raises(SystemExit) as stop:
        main(["data", "caltech101", "--from", str(path), "--out", str(tmp_path / "c")])
    assert not stop.value.code
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / 'c' / 'seen'}: 1,420 photos of 34 classes",
        f"{tmp_path / 'c' / 'unseen'}: 904 photos of 23 classes",
        f"{tmp_path / 'c' / 'related'}: 340 photos of 16 classes",
    ]
    with pytest.raises(SystemExit) as stop:
        main(["data", "caltech101", "--from", str(path), "--out", str(tmp_path / "c")])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_each_class_is_in_the_set_that_wordnet_says():
    taxonomy, trained = default_taxonomy(), frozenset(ModelParts.open(None).trained_ids)
    for one in caltech_classes():
        above, below = frozenset(taxonomy.ancestors(one.id)), frozenset(taxonomy.subtree(one.id))
        near = (above | below) & trained
        assert one.name == taxonomy.synset(one.id).name
        assert one.set == ("seen" if one.id in trained else "related" if near else "unseen")
        if one.set == "related":
            told = one.why.removeprefix("above the trained ").removeprefix("below the trained ").removesuffix(", ...")
            assert set(told.split("; ")[0].split(", ")) <= {taxonomy.synset(other).name for other in near}


def test_the_shared_photos_are_those_of_the_list(shared: Path):
    folder = shared / "data" / "photos" / "caltech101"
    wanted = {
        f"{one.set}/{one.id}/{one.folder}_image_{number:04}.jpg"
        for one in caltech_classes()
        for number in range(1, one.photos + 1)
    }
    assert set(files_of(folder)) == wanted
