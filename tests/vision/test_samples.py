import gzip
import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from devise.errors import PictureError, TrainingError, UsageError
from devise.vision.samples import check_broken, find_samples


def png(grey: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), (grey, grey, grey)).save(data, "PNG")
    return data.getvalue()


def shard(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def test_class_folders_and_shards_give_the_same_columns(tmp_path: Path):
    members = {"zebra/1.png": png(1), "cat/2.png": png(2), "cat/deep/note.txt": b"no picture"}
    for name, data in members.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(data)
    folder = find_samples([tmp_path / "photos"])
    packed = find_samples([shard(tmp_path / "a.tar", members)])
    assert folder.class_names == packed.class_names == ("cat", "zebra")
    assert folder.truth.tolist() == [0, 1]
    assert packed.truth.tolist() == [1, 0]  # in the order of the shard
    assert packed.names == ("a.tar/zebra/1.png", "a.tar/cat/2.png")
    assert packed.source(1) == png(2)
    assert folder.source(0) == tmp_path / "photos" / "cat" / "2.png"
    assert folder.skipped == packed.skipped == 1
    both = find_samples([tmp_path / "photos", tmp_path / "a.tar"])
    assert both.truth.tolist() == [0, 1, 1, 0]
    some = both.subset([3, 0])
    assert some.source(0) == png(2)
    assert (some.skipped, some.broken) == (both.skipped, both.broken) == (2, ())


def test_a_class_folder_of_a_shard_without_a_photo_is_named(tmp_path: Path):
    path = shard(tmp_path / "a.tar", {"train/cat/1.png": png(1), "train/cat/raw/n.txt": b"", "train/dog/n.txt": b""})
    with tarfile.open(path, "a") as file:
        for name in ("train", "train/cat", "train/lion", "./", ".git"):
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            file.addfile(folder)
    assert find_samples([path]).empty == ("dog", "lion")


def test_without_any_class_the_first_photo_says_why(tmp_path: Path):
    path = shard(tmp_path / "b.tar", {"01.left.png": png(1), "01.right.png": png(2), "01.cls": b"lion"})
    with pytest.raises(UsageError, match=r"2 broken ones, the first: .*01\.left\.png: no class.* nor 01\.left\.cls\)"):
        find_samples([path])


def test_pairs_of_photo_and_class(tmp_path: Path):
    path = shard(tmp_path / "b.tar", {"01.png": png(1), "01.cls": b"snow leopard\n", "02.png": png(2)})
    found = find_samples([path])
    assert found.class_names == ("snow leopard",)
    assert found.source(0) == png(1)
    assert found.broken == ("b.tar/02.png: no class, because it has neither a folder nor 02.cls",)


def test_a_class_that_is_written_down_goes_before_the_folder(tmp_path: Path):
    members = {
        "train/01.png": png(1),
        "train/01.cls": b"zebra",
        "cat/02.png": png(2),
        "._cat/02.png": b"",
        "cat/._3.png": b"",
    }
    found = find_samples([shard(tmp_path / "b.tar", members)])
    assert [found.class_names[row] for row in found.truth] == ["zebra", "cat"]
    assert found.skipped == 2  # a Mac's notes beside its files


def repeated(path: Path, members: list[tuple[str, bytes]]) -> Path:
    """A shard in which names may stand twice."""
    with tarfile.open(path, "w") as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def test_a_shard_with_one_key_twice_is_refused_as_webdataset_does(tmp_path: Path):
    """The second class would be that of both photos."""
    lion, tiger = [("000.png", png(1)), ("000.cls", b"lion")], [("000.png", png(2)), ("000.cls", b"tiger")]
    for wrong in ([*lion, *tiger], [*lion, tiger[0]], [*lion, tiger[1]], [*lion, ("./000.png", png(2))]):
        with pytest.raises(TrainingError, match=r"duplicate member 000\.(png|cls) in .*e\.tar"):
            find_samples([repeated(tmp_path / "e.tar", wrong)])
    for other in (("000.PNG", png(2)), ("000.CLS", b"tiger")):  # one key, whatever the letters of its ending
        with pytest.raises(TrainingError, match=r"duplicate member 000\.(PNG|CLS) in .*e\.tar"):
            find_samples([repeated(tmp_path / "e.tar", [*lion, other])])
    apart = [*lion, *((f"a/{name}", data) for name, data in tiger)]  # other folders, other photos
    found = find_samples([repeated(tmp_path / "e.tar", apart)])
    assert [found.class_names[row] for row in found.truth] == ["lion", "tiger"]


def test_two_photos_of_one_key_and_class_are_refused(tmp_path: Path):
    """One may be a mask, or have lost its class."""
    pair = {"a.jpg": png(1), "a.png": png(2)}
    with pytest.raises(TrainingError, match=r"two photos with the key a in .*f\.tar, a\.jpg and a\.png, so its"):
        find_samples([shard(tmp_path / "f.tar", {**pair, "a.cls": b"lion"})])
    found = find_samples([shard(tmp_path / "g.tar", {f"cat/{name}": data for name, data in pair.items()})])
    assert len(found) == 2  # in a class folder each is a photo of its own


def test_a_compressed_shard_under_the_name_of_another_says_so(tmp_path: Path):
    packed = tmp_path / "a.tar"
    packed.write_bytes(gzip.compress(shard(tmp_path / "b.tar", {"cat/a.png": png(1)}).read_bytes()))
    with pytest.raises(UsageError, match=r"a\.tar is a compressed archive, whatever its name says: unpack it first"):
        find_samples([packed])


def test_classes_in_other_encodings_and_too_long_ones(tmp_path: Path):
    found = find_samples([shard(tmp_path / "a.TAR", {"1.png": png(1), "1.CLS": "\ufeffsnow leopard\r\n".encode()})])
    assert found.class_names == ("snow leopard",)
    for text, why in (("tiger".encode("utf-16"), "UTF-16"), (b"caf\xe9", "not UTF-8"), (b"x" * 201, "201 bytes")):
        with pytest.raises(TrainingError, match=f"1.cls .*{why}"):
            find_samples([shard(tmp_path / "b.tar", {"1.png": png(1), "1.cls": text})])


def test_empty_class_folders_are_counted_and_named(tmp_path: Path):
    for name in ("cat", "dog", "zebra/deep"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "cat" / "1.png").write_bytes(png(1))
    (tmp_path / "dog" / "note.txt").write_text("x")
    found = find_samples([tmp_path]).subset([0])
    assert found.empty == ("dog", "zebra")
    assert list(found.left_out()) == [
        "left out 1 file: not pictures by their names, or in no class folder",
        "class folders without a photo, left out: 2 (dog, zebra)",
    ]


def test_a_source_given_twice_counts_once(tmp_path: Path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(png(1))
    packed = shard(tmp_path / "a.tar", {"cat/2.png": png(2)})
    assert find_samples([tmp_path, packed, tmp_path / "cat" / "..", packed]).names == ("cat/1.png", "a.tar/cat/2.png")


@pytest.mark.parametrize("kept", [512 + 2048 + 512 + 1000, 512 + 2048 + 512, 512 + 2048 + 200, 512 + 2048])
def test_a_shard_that_is_cut_off_stops_wherever_it_was_cut(tmp_path: Path, kept: int):
    """In the second photo, before it, in its header, between the two: what is lost cannot be counted."""
    whole = shard(tmp_path / "c.tar", {f"cat/{i}.png": bytes([i]) * 2000 for i in range(4)})
    whole.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(TrainingError, match=r"c\.tar is cut off or damaged .*: get it again"):
        find_samples([whole])


def test_shards_joined_by_cat_are_refused(tmp_path: Path):
    """What is behind the end mark of the first would be lost without a word."""
    one = shard(tmp_path / "one.tar", {"cat/1.png": png(1)})
    other = shard(tmp_path / "other.tar", {"dog/2.png": png(2)})
    one.write_bytes(one.read_bytes() + other.read_bytes())
    with pytest.raises(TrainingError, match="data follows its end mark"):
        find_samples([one])


def test_links_in_a_shard_are_counted(tmp_path: Path):
    path = shard(tmp_path / "a.tar", {"cat/1.png": png(1)})
    with tarfile.open(path, "a") as file:
        link = tarfile.TarInfo("cat/2.png")
        link.type, link.linkname = tarfile.SYMTYPE, "1.png"
        file.addfile(link)
    found = find_samples([path])
    assert (found.names, found.skipped) == (("a.tar/cat/1.png",), 1)


def test_a_shard_that_shrinks_after_it_was_listed(tmp_path: Path):
    whole = shard(tmp_path / "c.tar", {f"cat/{i}.png": bytes([i]) * 2000 for i in range(4)})
    found = find_samples([whole])
    whole.write_bytes(whole.read_bytes()[: 512 + 2048 + 512 + 1000])
    assert found.source(0) == bytes([0]) * 2000
    with pytest.raises(PictureError, match="ends 1000 bytes too early"):
        found.source(1)


def test_no_shard_at_all(tmp_path: Path):
    (tmp_path / "d.tar").write_bytes(b"this is no archive" * 100)
    with pytest.raises(UsageError, match=r"not a \.tar archive"):
        find_samples([tmp_path / "d.tar"])
    with pytest.raises(UsageError, match="does not exist"):
        find_samples([tmp_path / "e.tar"])
    (tmp_path / "f.txt").write_text("x")
    with pytest.raises(UsageError, match=r"neither a \.tar file nor a folder"):
        find_samples([tmp_path / "f.txt"])
    (tmp_path / "g.tgz").write_text("x")
    with pytest.raises(UsageError, match=r"is a compressed archive: unpack it first"):
        find_samples([tmp_path / "g.tgz"])


def test_the_fingerprint_changes_with_names_sizes_classes_and_photos(tmp_path: Path):
    prints = {
        name: find_samples([shard(tmp_path / f"{name}.tar", members)]).fingerprint()
        for name, members in {
            "one": {"cat/1.png": b"1234"},
            "size": {"cat/1.png": b"12345"},
            "class": {"dog/1.png": b"1234"},
            "more": {"cat/1.png": b"1234", "cat/2.png": b"1"},
            "photo": {"cat/1.png": b"1235"},
        }.items()
    }
    assert len(set(prints.values())) == 5
    again = find_samples([tmp_path / "one.tar"])
    assert again.fingerprint() == prints["one"]
    (tmp_path / "one.tar").unlink()
    assert again.fingerprint() != prints["one"]  # and no error: the photo is broken, which is told elsewhere


def test_one_per_cent_may_be_broken():
    check_broken(1, 100, "x")
    with pytest.raises(TrainingError, match=r"2 of 199 samples are broken.*the first: x"):
        check_broken(2, 199, "x")
