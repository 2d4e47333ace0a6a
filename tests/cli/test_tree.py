"""devise label --tree: a drawing beside every other output, whole or not at all."""

from pathlib import Path
from xml.etree import ElementTree

import pytest


def test_the_drawing_goes_beside_any_output(label, scenes: Path, tmp_path: Path):
    tree = tmp_path / "names.svg"
    plain = label(scenes, "-f", "csv")
    told = label(scenes, "-f", "csv", "--tree", tree)
    assert told.out == plain.out
    assert told.err.endswith(f"devise: tree of the names of 3 photos: {tree}\n")
    root = ElementTree.parse(tree).getroot()
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "The names of 3 photos"


def test_nothing_is_drawn_where_no_photo_has_a_name(label, scenes: Path, tmp_path: Path):
    tree = tmp_path / "names.svg"
    told = label(scenes, "--reject", 1, "--tree", tree)
    assert told.code == 0
    assert "no photo has a name" in told.err
    assert not tree.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tree", "."], "--tree needs a file"),
        (["--tree", "no/tree.svg"], "--tree no/tree.svg needs an existing folder"),
        (["--tree", "a.svg", "--sheet", "a.svg"], "--sheet and --tree are both a.svg"),
        (["--tree", "a.svg", "-f", "parquet", "-o", "parts"], "leave out --sheet, --tree and --xmp"),
    ],
)
def test_refusals(label, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options, message):
    monkeypatch.chdir(tmp_path)
    told = label(scenes, *options)
    assert told.code == 2
    assert message in told.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
