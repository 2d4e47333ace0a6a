"""What a person said of names, in sidecars: kept, never overruled, and undone without a trace."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from devise.sidecars import correct_sidecar, corrections_of, keywords_of_person, sidecar_in_use, sidecar_of, tag_sidecar
from devise.xmp import MOST_CORRECTIONS, Correction, Keyword, SidecarError, Verdict, clear, correct, tag
from tests.test_sidecars import A_PERSONS, HERON, LISTS, RDF, values

OWN = "{http://devise-zsl/ns/1.0/}"
BIRD = Correction(("animal", "bird"), "n01503061", Verdict.accepted)
NO_HERON = Correction(("animal", "bird", "heron"), "n02007558", Verdict.rejected)
EGRET = Correction(("animal", "bird", "egret"), "n02009229", Verdict.accepted)


def state(packet: bytes | None) -> dict[str, list[str]]:
    """The keywords, and what devise recorded of them, in any order."""
    if packet is None:
        return {}
    root = etree.fromstring(packet)
    recorded = {OWN + name: root.iterfind(f".//{OWN}{name}/*/{RDF}li") for name in ("subject", "hierarchicalSubject")}
    lists = {tag_name: root.iterfind(f".//{tag_name}/*/{RDF}li") for tag_name in LISTS.values()}
    found = {name: sorted(item.text or "" for item in items) for name, items in {**recorded, **lists}.items()}
    return {name: listed for name, listed in found.items() if listed}


def corrected(packet: bytes | None, *corrections: Correction, undone: tuple[str, ...] = ()) -> bytes | None:
    return correct(packet, corrections, undone)[0]


def test_an_accepted_name_is_the_persons_and_a_rejected_one_stays_away():
    packet = corrected(tag(None, HERON), NO_HERON, EGRET)
    assert values(packet) == {
        "subject": ["animal", "bird", "egret"],
        "hierarchical": ["animal|bird|egret"],
        "tags": ["animal/bird/egret"],
    }
    again = tag(packet, HERON) or packet
    assert values(again)["subject"] == ["animal", "bird", "egret"]
    assert values(again)["hierarchical"] == ["animal|bird|egret", "animal|bird"]
    assert tag(again, HERON) is None
    left, changed = clear(again or b"")
    assert changed
    assert values(left) == {"subject": ["egret"], "hierarchical": ["animal|bird|egret"], "tags": ["animal/bird/egret"]}
    assert values(tag(left, HERON))["subject"] == ["egret", "animal", "bird"]


def test_a_new_sidecar_has_one_description():
    assert (corrected(None, BIRD, NO_HERON) or b"").count(b"<rdf:Description") == 1


def test_a_name_of_devise_that_is_accepted_is_not_taken_back():
    packet = corrected(tag(None, HERON), BIRD)
    left, _ = clear(packet or b"")
    assert values(left)["subject"] == ["bird"]
    assert corrected(left, undone=(BIRD.id,)) != left
    undone = corrected(packet, undone=(BIRD.id,))
    assert undone == tag(None, HERON)
    assert clear(undone or b"") == (None, True)


def test_an_accepted_name_that_the_person_removes_elsewhere_is_not_added_again():
    packet = corrected(None, BIRD)
    assert packet is not None
    removed = packet.replace(b"<rdf:li>bird</rdf:li>", b"")
    assert "bird" not in values(tag(removed, HERON))["subject"]


def test_the_last_verdict_counts_and_the_same_one_changes_nothing():
    no_bird = Correction(BIRD.path, BIRD.id, Verdict.rejected)
    accepted = corrected(A_PERSONS, BIRD)
    assert correct(accepted, [BIRD]) == (accepted, False)
    assert state(corrected(accepted, no_bird)) == state(corrected(A_PERSONS, no_bird))
    assert values(corrected(accepted, no_bird))["subject"] == ["Gran Canaria"]
    assert state(corrected(corrected(accepted, no_bird), undone=(BIRD.id,))) == state(A_PERSONS)


def test_two_things_of_one_name_do_not_take_each_others_keyword():
    animal = Correction(("animal", "mouse"), "n02330245", Verdict.accepted)
    device = Correction(("device", "mouse"), "n03793489", Verdict.rejected)
    assert values(corrected(corrected(None, animal), device))["subject"] == ["mouse"]


def test_a_name_that_xml_cannot_have_is_refused():
    with pytest.raises(SidecarError, match="XML does not allow"):
        correct(None, [Correction(("\x1b",), "n1", Verdict.accepted)])


def test_a_photo_has_so_many_corrections():
    many = [Correction((f"thing {i}",), f"n{i:08}", Verdict.accepted) for i in range(MOST_CORRECTIONS + 1)]
    packet = corrected(None, *many[:-1])
    with pytest.raises(SidecarError, match="100 corrections, which is the limit: undo one first"):
        correct(packet, many[-1:])


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=4).filter(str.strip)
PATHS = st.lists(st.sampled_from(["bird", "animal", "a|b", "a/b", "ibis", "שפן"]) | NAMES, min_size=1, max_size=3)
KEYWORDS = st.lists(PATHS, max_size=3).map(
    lambda paths: tuple(Keyword(tuple(path), f"n{place:08}", 0.9) for place, path in enumerate(paths))
)


@given(st.sampled_from([None, A_PERSONS]), KEYWORDS, st.lists(st.tuples(PATHS, st.sampled_from(Verdict)), max_size=3))
def test_what_is_undone_leaves_no_trace(
    start: bytes | None, keywords: tuple[Keyword, ...], verdicts: list[tuple[list[str], Verdict]]
):
    """Undone in the opposite order, everything is as before; of two verdicts on a name the first leaves no trace."""
    before = tag(start, keywords) or start
    corrections = [Correction(tuple(path), f"n{place:08}", verdict) for place, (path, verdict) in enumerate(verdicts)]
    packet = corrected(before, *corrections)
    for one in corrections:
        other = Correction(one.path, one.id, next(verdict for verdict in Verdict if verdict != one.verdict))
        assert state(corrected(corrected(before, one), other)) == state(corrected(before, other))
    for one in reversed(corrections):
        packet = corrected(packet, undone=(one.id,))
    assert state(packet) == state(before)


def test_a_sidecar_of_corrections_alone_comes_and_goes(tmp_path: Path):
    photo = tmp_path / "heron.jpg"
    photo.write_bytes(b"")
    assert sidecar_in_use(photo) == sidecar_of(photo)
    assert correct_sidecar(sidecar_in_use(photo), [BIRD, NO_HERON])
    assert not correct_sidecar(sidecar_in_use(photo), [BIRD])
    assert corrections_of(photo) == (BIRD, NO_HERON)
    assert keywords_of_person(photo) == (("bird",), ("animal", "bird"))
    assert correct_sidecar(sidecar_in_use(photo), [], [BIRD.id, NO_HERON.id])
    assert os.listdir(tmp_path) == ["heron.jpg"]
    assert not correct_sidecar(sidecar_in_use(photo), [], [BIRD.id])
    (tmp_path / "heron.xmp").write_bytes(A_PERSONS)
    assert sidecar_in_use(photo) == tmp_path / "heron.xmp"
    (tmp_path / "heron.png").write_bytes(b"")
    assert sidecar_in_use(photo) == sidecar_of(photo)


_BUSY = """
import sys
from pathlib import Path
from devise.sidecars import correct_sidecar
from devise.xmp import Correction, Verdict
path, turn = Path(sys.argv[1]), 0
while True:
    one = Correction(("animal", "bird", "heron"), "n02007558", list(Verdict)[turn % 2])
    correct_sidecar(path, [one])
    turn += 1
    print(turn, flush=True)
"""


def test_a_kill_in_the_middle_leaves_a_whole_sidecar(tmp_path: Path):
    photo = tmp_path / "heron.jpg"
    tag_sidecar(sidecar_of(photo), HERON)
    for rounds in (1, 3, 8):
        process = subprocess.Popen(
            [sys.executable, "-c", _BUSY, str(sidecar_of(photo))], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(rounds):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert [one.id for one in corrections_of(photo)] == ["n02007558"]
        assert values(sidecar_of(photo).read_bytes())["subject"][:2] == ["animal", "bird"]
