import gzip
from pathlib import Path

import pytest

from devise.errors import TextError
from devise.text.dictd import clean_entry, read_dictd
from devise.text.documents import Document
from devise.text.readers import open_corpus

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

LEOPARD = r"""Leopard \Leop"ard\ (l[e^]p"[~e]rd), n. [OE. leopart, leparde,
   lebarde, fr. Gr. le`wn lion + pa`rdos pard. See
   {Lion}, and {Pard}.] (Zool.)
   A large, savage, carnivorous mammal ({Felis leopardus}), of a
   fawn color (see {Color}). --Cuvier.
   [1913 Webster]

   2. (Bot.) A plant, in Ph[oe]nician caf['e]s; -- called also
      {leopard" lil`y} (l[e^]p"). [Obs. or R. [Colloq.]]
      [1913 Webster]

   Syn: panther; pard.
        [WordNet 1.5] leopardess
"""
CLEAN_LEOPARD = (
    "A large, savage, carnivorous mammal ({Felis leopardus}), of a fawn color (see {Color}). "
    "A plant, in Phoenician cafes; -- called also {leopard lily} . panther; pard."
)


def in_base_64(number: int) -> str:
    digits = ""
    while number or not digits:
        number, digit = divmod(number, 64)
        digits = DIGITS[digit] + digits
    return digits


def dictionary(folder: Path, entries: list[tuple[list[str], bytes]], packed: bool = True) -> Path:
    """A dictd dictionary: the entries one after the other, the index in the order of the headwords."""
    lines, offset = [], 0
    for headwords, entry in entries:
        lines += [f"{word}\t{in_base_64(offset)}\t{in_base_64(len(entry))}\n" for word in headwords]
        offset += len(entry)
    data = b"".join(entry for _, entry in entries)
    path = folder / ("small.dict.dz" if packed else "small.dict")
    path.write_bytes(gzip.compress(data) if packed else data)
    (folder / "small.index").write_text("".join(sorted(lines)), encoding="utf-8")
    return path


@pytest.mark.parametrize("packed", [True, False])
def test_entries_in_the_order_of_the_file(tmp_path: Path, packed: bool) -> None:
    entries = [
        (["00-database-info"], b"About this dictionary.\n"),
        (["Leopard", "Felis leopardus", "Leo"], LEOPARD.encode()),
        (["Ant"], b"Ant \\Ant\\, n.\n   A small insect.\n"),
    ]
    path = dictionary(tmp_path, entries, packed)
    assert list(open_corpus(path)) == [
        Document("Leopard", CLEAN_LEOPARD, defines=True),
        Document("Ant", "A small insect.", defines=True),
    ]


@pytest.mark.parametrize(
    ("entry", "cleaned"),
    [
        (
            'Loadstone \\Load"stone`\\, Lodestone \\Lode"stone\\, n. [Load\n   + stone.] (Min.)\n   A rock.',
            "Lodestone A rock.",
        ),
        ('Pearlins \\Pearl"ins\\, or Pearlings \\Pearl"ings\\ n.\n   Lace.', "Pearlings Lace."),
        ("Ay \\Ay\\, Aye\n   \\Aye\\, adv.\n   Yes.", "Aye Yes."),
        ("Auf \\Auf\\, n.\n   A dolt. [Obs.]\n   --Dryden.\n   [1913 Webster]", "A dolt."),
        ("Pard \\Pard\\, n.\n   See {Lion}, above.", "See {Lion}, above."),
        ("abc\n   A first reader; -- said of books.", "abc A first reader; -- said of books."),
        ('Oval \\O"val\\, a.\n   1. (Geom.) Egg-shaped.\n   (a) Broad.', "Egg-shaped. Broad."),
        ("", ""),
    ],
)
def test_cleaning_by_hand(entry: str, cleaned: str) -> None:
    assert clean_entry(entry) == cleaned


def test_bytes_that_are_not_utf8_are_counted(tmp_path: Path) -> None:
    entry = b"Ant \\Ant\\, n.\n   A \x92small\x93 insect \xef\xbf\xbd.\n"
    (document,) = read_dictd(dictionary(tmp_path, [(["Ant"], entry)]))
    assert document.damaged == 2
    assert document.text == "A \ufffdsmall\ufffd insect \ufffd."


def test_index_that_is_missing_or_wrong(tmp_path: Path) -> None:
    path = dictionary(tmp_path, [(["Ant"], b"Ant")])
    index = tmp_path / "small.index"
    index.write_text("Ant\tA\tE\n")
    with pytest.raises(TextError, match=r"small\.dict\.dz ends at byte 3, but its index puts 'Ant' at 0 to 4"):
        list(read_dictd(path))
    for line in ("Ant\tA\n", "Ant\tA\t\n", "Ant\t-\tB\n"):
        index.write_text("Ant\tA\tD\n" + line)
        with pytest.raises(TextError, match=r"small\.index line 2: expected headword, offset and length"):
            list(read_dictd(path))
    index.unlink()
    with pytest.raises(TextError, match=r"has no index small\.index next to it"):
        list(read_dictd(path))


def test_truncated_dictionary(tmp_path: Path) -> None:
    path = dictionary(tmp_path, [(["Leopard"], LEOPARD.encode())])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(TextError, match=r"small\.dict\.dz cannot be read"):
        list(read_dictd(path))
