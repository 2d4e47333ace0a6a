"""From WordNet's own files to the packed one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from devise.errors import TaxonomyError
from devise.taxonomy.packing import unpack
from devise.taxonomy.wordnet import PACKAGED_FILE, Taxonomy
from tools.pack_wordnet import build, main

DATA = """\
  1 Free to copy, with this notice.
  2
  3 No warranty.
00000010 03 n 01 thing 0 001 ~ 00000020 n 0000 | what is
00000020 05 n 02 snow_leopard 0 Ounce 1 002 @ 00000010 n 0000 + 00000099 v 0101 | cat; "it hid"
00000030 05 n 01 ounce 0 001 @i 00000020 n 0000 | a particular one
"""
INDEX = """\
  1 Free to copy, with this notice.
ounce n 2 1 @ 2 0 00000030 00000020
snow_leopard n 1 1 @ 1 0 00000020
thing n 1 1 ~ 1 0 00000010
"""
EXCEPTIONS = "bureaux_de_change bureau_de_change\nounci ounce ounces\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A WordNet of three nouns in WordNet's own layout."""
    made = tmp_path / "wordnet"
    made.mkdir()
    (made / "data.noun").write_text(DATA)
    (made / "index.noun").write_text(INDEX)
    (made / "noun.exc").write_text(EXCEPTIONS)
    return made


def test_three_nouns(folder: Path, tmp_path: Path):
    build(folder, tmp_path / "three.bin")
    three = Taxonomy.load(tmp_path / "three.bin")
    leopard = three.synset("n00000020")
    assert leopard.lemmas == ("snow leopard", "Ounce")
    assert leopard.gloss == 'cat; "it hid"'
    assert leopard.definition == "cat"
    assert leopard.hypernyms == ("n00000010",)
    assert three.synset("n00000030").instance_hypernyms == ("n00000020",)
    assert [synset.id for synset in three.find("ounces")] == ["n00000030", "n00000020"]
    assert [synset.id for synset in three.find("ounci")] == ["n00000030", "n00000020"]
    assert three.licence == "Free to copy, with this notice.\n\nNo warranty.\n"


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "three.bin"
    assert main([str(folder), "--out", str(out)]) == 0
    assert "3 synsets, 2 edges (1 of instances), 4 terms" in capsys.readouterr().out
    assert main([str(tmp_path), "--out", str(tmp_path / "other.bin")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"error: cannot read .*data\.noun: No such file or directory; .*\n", captured.err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["three.bin", "wordnet"]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("data.noun", "00000010 03 n 01", "00000010 03 n zz", "line 4 is not a noun synset"),
        ("data.noun", "00000010 03 n 01", "00000010 03 v 01", "line 4 is not a noun synset"),
        ("data.noun", " 002 @", " 003 @", "line 5 is not a noun synset"),
        ("data.noun", " | a particular one", "", "line 6 is not a noun synset"),
        ("data.noun", "@i 00000020", "@i 00000021", "n00000021 of synset n00000030 is not among"),
        ("data.noun", "001 ~ 00000020", "001 @ 00000020", "cycle"),
        ("data.noun", DATA[: DATA.index("00000010")], "", "has no licence"),
        ("index.noun", "thing n 1 1 ~ 1 0 00000010\n", "", "does not list 'thing' for n00000010"),
        ("index.noun", "thing n 1", "thing n x", "line 4 is not a word"),
        ("noun.exc", "ounci ounce ounces", "ounci", "line 2 is not a plural and its singulars"),
    ],
)
def test_bad_files_are_one_line_and_leave_nothing(folder: Path, file, old, new, message):
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    with pytest.raises(TaxonomyError, match=message) as caught:
        build(folder, folder.parent / "three.bin")
    assert "\n" not in str(caught.value)
    assert [path.name for path in folder.parent.iterdir()] == ["wordnet"]


def test_a_file_that_is_no_text(folder: Path, tmp_path: Path):
    (folder / "index.noun").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TaxonomyError, match=r"index\.noun: not UTF-8 text"):
        build(folder, tmp_path / "three.bin")


def test_a_folder_that_is_not_there_to_write(folder: Path, tmp_path: Path):
    with pytest.raises(TaxonomyError, match="cannot write"):
        build(folder, tmp_path / "none" / "three.bin")


def test_building_twice_gives_the_same_bytes(wordnet_folder: Path, tmp_path: Path):
    """Two processes whose sets and dicts of strings are not in the same order."""
    command = [sys.executable, "-m", "tools.pack_wordnet", str(wordnet_folder), "--out"]
    root = Path(__file__).parents[2]
    processes = [
        subprocess.Popen(
            [*command, str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"},
            stdout=subprocess.DEVNULL,
        )
        for seed in ("1", "2")
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    built, packaged = unpack((tmp_path / "1").read_bytes()), unpack(PACKAGED_FILE.read_bytes())
    assert built.glosses() == packaged.glosses()
    for column in ("lemmas", "exceptions", "licence"):
        assert getattr(built, column) == getattr(packaged, column)
    for column in ("offsets", "senses", "child", "parent", "instance"):
        np.testing.assert_array_equal(getattr(built, column), getattr(packaged, column))


def test_the_packaged_file_is_small():
    assert PACKAGED_FILE.stat().st_size < 3_500_000
