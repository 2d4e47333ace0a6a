"""XMP sidecars: what devise adds, takes back and never touches; read again by exiftool and exiv2 where they are."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from devise import sidecars
from devise.sidecars import SidecarName, clear_sidecar, sidecar_of, tag_sidecar
from devise.xmp import Keyword, SidecarError, clear, tag

RDF, DC = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}", "{http://purl.org/dc/elements/1.1/}"
LISTS = {
    "subject": DC + "subject",
    "hierarchical": "{http://ns.adobe.com/lightroom/1.0/}hierarchicalSubject",
    "tags": "{http://www.digikam.org/ns/1.0/}TagsList",
}
HERON = (
    Keyword(("animal",), "n00015388", 0.99),
    Keyword(("animal", "bird"), "n01503061", 0.951),
    Keyword(("animal", "bird", "heron"), "n02007558", 0.8),
)
CAT = (Keyword(("animal",), "n00015388", 0.9), Keyword(("animal", "cat"), "n02121620", 0.9))
A_PERSONS = b"""<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>
<!-- mine -->
<x:xmpmeta xmlns:x='adobe:ns:meta/' x:xmptk='Image::ExifTool 12.57'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
 <rdf:Description rdf:about='uuid:1' xmlns:dc='http://purl.org/dc/elements/1.1/'
   xmlns:lr='http://ns.adobe.com/lightroom/1.0/' xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmp:Rating='4'>
  <dc:subject><rdf:Bag><rdf:li>bird</rdf:li><rdf:li>Gran Canaria</rdf:li></rdf:Bag></dc:subject>
  <lr:hierarchicalSubject><rdf:Bag><rdf:li>place|Gran Canaria</rdf:li></rdf:Bag></lr:hierarchicalSubject>
 </rdf:Description>
</rdf:RDF></x:xmpmeta>
<?xpacket end='w'?>"""


def values(packet: bytes | None) -> dict[str, list[str]]:
    """By list, what is in it."""
    assert packet is not None
    root = etree.fromstring(packet)
    return {
        name: [item.text or "" for item in root.iterfind(f".//{tag_name}/*/{RDF}li")]
        for name, tag_name in LISTS.items()
        if root.find(f".//{tag_name}") is not None
    }


def meaning(packet: bytes) -> bytes:
    """The packet without what white space says."""
    root = etree.fromstring(packet, etree.XMLParser(remove_blank_text=True))
    for one in root.iter():
        one.tail = None
    return etree.tostring(root, method="c14n")


def test_a_new_sidecar_by_hand():
    packet = tag(None, HERON)
    assert values(packet) == {
        "subject": ["animal", "bird", "heron"],
        "hierarchical": ["animal|bird|heron"],
        "tags": ["animal/bird/heron"],
    }
    assert tag(packet, HERON) is None
    assert clear(packet or b"") == (None, True)


def test_no_sure_name_makes_no_sidecar():
    assert tag(None, ()) is None


def test_what_a_person_wrote_stays_and_is_not_taken_back():
    packet = tag(A_PERSONS, HERON)
    assert packet is not None
    assert b"<!-- mine -->" in packet
    assert b"<?xpacket begin=" in packet
    assert values(packet) == {
        "subject": ["bird", "Gran Canaria", "animal", "heron"],
        "hierarchical": ["place|Gran Canaria", "animal|bird|heron"],
        "tags": ["animal/bird/heron"],
    }
    left, changed = clear(packet)
    assert changed
    assert meaning(left or b"") == meaning(A_PERSONS)
    assert clear(A_PERSONS) == (A_PERSONS, False)


def test_other_names_replace_those_of_the_last_run():
    packet = tag(tag(A_PERSONS, HERON), CAT)
    assert values(packet)["subject"] == ["bird", "Gran Canaria", "animal", "cat"]
    assert values(packet)["tags"] == ["animal/cat"]
    cleared = tag(packet, ())
    assert meaning(cleared or b"") == meaning(A_PERSONS)


def test_a_probability_that_differs_in_its_last_digit_changes_nothing():
    packet = tag(None, HERON)
    near, far = ([replace(one, probability=one.probability - by) for one in HERON] for by in (0.001, 0.002))
    assert tag(packet, near) is None
    assert b"n02007558 0.798 heron" in (tag(packet, far) or b"")


def test_a_keyword_that_a_person_removed_stays_away():
    packet = (tag(None, HERON) or b"").replace(b"<rdf:li>bird</rdf:li>", b"", 2)
    packet = packet.replace(b"<devise:subject>\n        <rdf:Bag>", b"<devise:subject><rdf:Bag><rdf:li>bird</rdf:li>")
    assert values(packet)["subject"] == ["animal", "heron"]
    assert tag(packet, HERON) is None
    again = tag(packet, (*HERON, Keyword(("animal", "bird", "heron", "egret"), "n02009229", 0.75)))
    assert values(again)["subject"] == ["animal", "heron", "egret"]


def test_a_sidecar_of_another_program_is_kept_when_it_is_empty_again():
    bare = etree.tostring(etree.fromstring(A_PERSONS)[0]).replace(b"Gran Canaria", b"X")
    left, _ = clear(tag(bare, HERON) or b"")
    assert meaning(left or b"") == meaning(bare)


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@given(st.lists(NAMES, min_size=1, max_size=4), st.lists(NAMES, min_size=1, max_size=4), st.floats(0, 1))
def test_any_names_are_written_once_and_taken_back(first: list[str], second: list[str], share: float):
    """Names with all that XML and the separators dislike."""
    one, other = (
        tuple(Keyword(tuple(names[: end + 1]), f"n{end}", share) for end in range(len(names)))
        for names in (first, second)
    )
    for start in (None, A_PERSONS):
        packet = tag(start, one)
        assert packet is not None
        assert tag(packet, one) is None
        changed = tag(packet, other) or packet
        left, _ = clear(changed)
        assert left is None if start is None else meaning(left or b"") == meaning(start)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "not XML"),
        (b"not xml", "not XML"),
        (b"<a/>", "not XMP"),
        (A_PERSONS[:-400], "not XML"),
        (b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>" + A_PERSONS, "DOCTYPE|not XML"),
        (A_PERSONS.replace(b"<rdf:Bag><rdf:li>bird</rdf:li><rdf:li>Gran Canaria</rdf:li></rdf:Bag>", b"bird"), "list"),
        (A_PERSONS.replace(b"xmp:Rating", b"dc:subject='bird' xmp:Rating"), "dc:subject is not a list"),
    ],
)
def test_a_sidecar_that_is_not_understood_is_left_alone(tmp_path: Path, packet: bytes, reason: str):
    path = tmp_path / "a.xmp"
    path.write_bytes(packet)
    for change in (lambda: tag_sidecar(path, HERON), lambda: clear_sidecar(path)):
        with pytest.raises(SidecarError, match=rf"a\.xmp: .*({reason}).*left as it is") as refused:
            change()
        assert "\n" not in str(refused.value)
    assert path.read_bytes() == packet
    assert [one.name for one in tmp_path.iterdir()] == ["a.xmp"]


def test_entities_are_never_expanded(tmp_path: Path):
    bomb = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
    inside = A_PERSONS[A_PERSONS.index(b"<x:") :].replace(b"Gran Canaria", b"&b;", 1)
    with pytest.raises(SidecarError, match="DOCTYPE"):
        tag(bomb + inside, HERON)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_large_files_pipes_and_folders_are_refused(tmp_path: Path):
    large, pipe, folder = tmp_path / "large.xmp", tmp_path / "pipe.xmp", tmp_path / "folder.xmp"
    with large.open("wb") as file:
        file.truncate(sidecars.LARGEST_SIDECAR + 1)
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (large, pipe, folder):
        with pytest.raises(SidecarError, match=path.name):
            tag_sidecar(path, HERON)


def test_files_keep_their_rights_and_unchanged_ones_their_time(tmp_path: Path):
    path = tmp_path / "a.xmp"
    path.write_bytes(A_PERSONS)
    path.chmod(0o640)
    assert tag_sidecar(path, HERON)
    os.utime(path, (1, 1))
    assert not tag_sidecar(path, HERON)
    assert (path.stat().st_mode & 0o777, path.stat().st_mtime) == (0o640, 1)
    assert clear_sidecar(path)
    assert not clear_sidecar(path)
    assert not clear_sidecar(tmp_path / "none.xmp")
    new = tmp_path / "new.xmp"
    assert tag_sidecar(new, HERON)
    assert clear_sidecar(new)
    assert not new.exists()


def test_what_another_program_writes_meanwhile_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.xmp"
    reads: list[Path] = []
    real = sidecars._read

    def read(asked: Path) -> bytes | None:
        reads.append(asked)
        if len(reads) == 2:
            path.write_bytes(A_PERSONS)
        return real(asked)

    monkeypatch.setattr(sidecars, "_read", read)
    assert tag_sidecar(path, HERON)
    assert values(path.read_bytes())["subject"] == ["bird", "Gran Canaria", "animal", "heron"]


def test_a_file_that_never_rests_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    contents = iter(A_PERSONS.replace(b"bird", str(number).encode()) for number in range(100))
    monkeypatch.setattr(sidecars, "_read", lambda _: next(contents))
    with pytest.raises(SidecarError, match="another program keeps changing it"):
        tag_sidecar(tmp_path / "a.xmp", HERON)


def test_names_of_sidecars():
    assert sidecar_of(Path("a/b.c.jpg")) == Path("a/b.c.jpg.xmp")
    assert sidecar_of(Path("a/b.c.jpg"), SidecarName.stem) == Path("a/b.c.xmp")


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool (Debian: libimage-exiftool-perl)")
@pytest.mark.parametrize("start", [None, A_PERSONS])
def test_exiftool_reads_the_keywords(tmp_path: Path, start: bytes | None):
    path = tmp_path / "a.xmp"
    path.write_bytes(tag(start, HERON) or b"")
    command = ["exiftool", "-json", "-Subject", "-HierarchicalSubject", "-TagsList", "-Rating", "-Warning", path]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
    hand = ["bird", "Gran Canaria", "animal", "heron"] if start else ["animal", "bird", "heron"]
    assert told["Subject"] == hand
    assert told["HierarchicalSubject"] == (
        ["place|Gran Canaria", "animal|bird|heron"] if start else "animal|bird|heron"
    )
    assert told["TagsList"] == "animal/bird/heron"
    assert "Warning" not in told
    assert told.get("Rating") == (4 if start else None)


@pytest.mark.skipif(shutil.which("exiv2") is None, reason="needs exiv2 (Debian: exiv2)")
def test_exiv2_reads_and_writes_beside_it(tmp_path: Path):
    """Another program adds a keyword and writes the sidecar in its own way; ours go, its own stays."""
    path = tmp_path / "a.xmp"
    path.write_bytes(tag(None, HERON) or b"")
    told = subprocess.run(["exiv2", "-px", path], capture_output=True, text=True, check=True).stdout
    assert "animal, bird, heron" in told
    subprocess.run(["exiv2", "-M", "add Xmp.xmp.Rating 3", path], check=True)
    assert tag(path.read_bytes(), HERON) is None
    left, changed = clear(path.read_bytes())
    assert changed
    assert b"heron" not in (left or b"")
    assert b"Rating" in (left or b"")


def test_elements_of_a_sidecar_are_limited():
    description = f"<rdf:Description xmlns:rdf='{RDF[1:-1]}'/>"
    packet = f'<rdf:RDF xmlns:rdf="{RDF[1:-1]}">{description * 100_000}</rdf:RDF>'
    with pytest.raises(SidecarError, match="over 100,000 elements: it is left as it is"):
        clear(packet.encode())


def test_text_between_very_many_empty_descriptions_is_kept():
    description = f"<rdf:Description xmlns:rdf='{RDF[1:-1]}'/>"
    packet = f'<rdf:RDF xmlns:rdf="{RDF[1:-1]}">{f"{description}a" * 20_000}</rdf:RDF>'
    tagged = tag(packet.encode(), [Keyword(("animal", "heron"), "n02008643", 0.9)])
    assert tagged is not None
    assert tagged.count(b"Description") == 2
    assert b"a" * 20_000 in tagged
