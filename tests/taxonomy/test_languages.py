"""Names in other languages: what is read, found and shown, and what the package carries."""

import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import UsageError
from devise.taxonomy.languages import CODES, PACKAGED, LanguageNames, language_names, plain_name, read_names
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import ENGLISH, Taxonomy, default_taxonomy, taxonomy_in

LION, CAT, CHAT, LEOPARD = "n02129165", "n02121620", "n01560636", "n02128757"
FILES = sorted(PACKAGED.glob("*.tsv.xz"))


def written(folder: Path, data: str | bytes, name: str = "own.tsv") -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    "text",
    [
        f"{LION}\tLöwe\n{LION}\tGroßer_Löwe\n",
        f"# My names\tdeu\nCC0\n{LION}\tLöwe\n{LION}\tGroßer Löwe\n".replace("\nCC0", ""),
        f"\ufeff{LION}\tLöwe\r\n\r\n{LION}\tGroßer  Löwe\r\n",
        "# x\tdeu\thttps://example.org\tCC0\n02129165-n\tlemma\tLöwe\n02129165-n\tdeu:lemma\tGroßer Löwe\n"
        "02129165-n\tdeu:def\t0\tein Tier\n02084071-v\tlemma\thunden\n".replace("\t0\t", "\t"),
    ],
    ids=["plain", "header", "Windows", "tab file of the Open Multilingual Wordnet"],
)
def test_forms_of_files(tmp_path: Path, text: str) -> None:
    found = read_names(written(tmp_path, text), default_taxonomy())
    assert found.names == {LION: ("Löwe", "Großer Löwe")}
    assert found.find("löwe") == found.find("GROSSER LOWE") == (LION,)
    assert found.find("Hund") == ()


def test_a_packed_file_and_its_cut_off_twin(tmp_path: Path) -> None:
    data = lzma.compress(f"{LION}\tLöwe\n".encode() * 1000)
    assert read_names(written(tmp_path, data, "de.tsv.xz"), default_taxonomy()).names == {LION: ("Löwe",)}
    with pytest.raises(UsageError, match="cut short"):
        read_names(written(tmp_path, data[:-30], "cut.tsv.xz"), default_taxonomy())


def test_a_line_of_an_unknown_noun_is_counted(tmp_path: Path) -> None:
    found = read_names(written(tmp_path, f"n99999999\tEinhorn\n{LION}\tLöwe\n"), default_taxonomy())
    assert (found.skipped, list(found.names)) == (1, [LION])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lion\tLöwe\n", "line 1 of own.tsv is 'lion"),
        (f"{LION}\tLöwe\n{LION} Löwe\n", "line 2"),
        (f"{LION}\t\n", "line 1"),
        ("", "no name of a noun"),
        ("n99999999\tEinhorn\n", "no name of a noun"),
    ],
)
def test_what_is_no_file_of_names_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_names(written(tmp_path, text), default_taxonomy())


def test_an_unknown_language_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no language 'xx': give one of ar, bg, ca, .* or a file"):
        language_names("xx", ())


def test_each_language_has_two_codes(tmp_path: Path) -> None:
    assert language_names("fr", ()) is language_names("FRA", ())
    assert {file.name.removesuffix(".tsv.xz") for file in FILES} <= set(CODES.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_language_of_the_package(path: Path) -> None:
    header, *lines = lzma.decompress(path.read_bytes()).decode().splitlines()
    name, code, address, licence = header.removeprefix("# ").split("\t")
    assert code
    assert address.startswith("http")
    assert licence.strip()
    notice = (Path(__file__).parents[2] / "NOTICE").read_text(encoding="utf-8")
    assert f"{path.name.removesuffix('.tsv.xz')}  {name}" in notice, "the notice names source and licence"
    found = language_names(code, default_taxonomy())
    kept = {*default_taxonomy().physical_nouns()}
    assert found.names.keys() <= kept
    assert sum(map(len, found.names.values())) == len(lines)


@pytest.mark.parametrize(
    ("language", "typed", "synset"),
    [
        ("fr", "chats", CAT),
        ("fr", "LEOPARDS DES NEIGES", LEOPARD),
        ("fr", "léopard-des-neiges", LEOPARD),
        ("pt", "leões", LION),
        ("zh", "狮子", LION),
        ("ar", "أَسَد", LION),
        ("ar", "أسد", LION),
        ("he", "אריה", LION),
    ],
)
def test_a_name_is_found_whatever_its_case_accents_and_number(language: str, typed: str, synset: str) -> None:
    assert synset in language_names(language, ()).find(typed)


@given(st.text())
def test_a_plain_name_is_a_fixed_point(text: str) -> None:
    assert plain_name(plain_name(text)) == plain_name(text)


def test_the_name_to_show_is_the_one_people_use() -> None:
    shown = {(code, synset): taxonomy_in(code).synset(synset).name for code in ("fr", "zh") for synset in (LION, CAT)}
    assert shown == {("fr", LION): "lion", ("fr", CAT): "chat", ("zh", LION): "狮子", ("zh", CAT): "猫"}
    assert taxonomy_in("zh").synset("n00015388").name == "动物", "an animal"


def test_a_taxonomy_shows_and_understands_the_language_first() -> None:
    english, french = default_taxonomy(), taxonomy_in("fr")
    assert CHAT in [one.id for one in english.find("chat")]
    assert CAT in [one.id for one in french.find("chat")]
    assert CHAT not in [one.id for one in french.find("chat")]
    assert [one.id for one in french.find("snow leopard")] == [LEOPARD], "what French lacks is read as English"
    assert french.find("n02129165")[0].name == french.find("lion.n.01")[0].name == "lion"
    assert french.synset(CAT).terms == ("chat", *english.synset(CAT).lemmas)
    assert english.synset(CAT).name == "cat", "the English taxonomy is another"


def test_a_synset_without_a_name_is_english_and_marked() -> None:
    animals = Taxonomy.from_synsets(
        [Synset("n00000001", ("animal",)), Synset("n00000002", ("lion", "king"), hypernyms=("n00000001",))]
    )
    names = LanguageNames("xyz", "mine", {"n00000002": ("leo", "rex")})
    own = animals.in_language(names)
    assert [own.synset(one).name for one in own.ids] == ["animal" + ENGLISH, "leo"]
    assert own.synset("n00000002").terms == ("leo", "rex", "lion", "king")
    assert [one.rank for one in own.readings("Leo")] == [1]


def test_without_a_language_the_taxonomy_is_the_packaged_one() -> None:
    assert taxonomy_in(None) is default_taxonomy()


def test_a_word_is_shown_before_what_is_none() -> None:
    """Here "de" joins the words of 2,000 names, no long name begins with "tv", and nouns with one name are longer."""
    joined = {f"n{number:08d}": (f"tete de rang{number}",) for number in range(2000)}
    names = {
        "n1": ("vtt", "VTT", "velo tout terrain", "velo de montagne"),
        "n2": ("tva", "cuve"),
        "n3": ("de", "lombric"),
        "n4": ("ai", "aigle"),
        "n5": ("cd", "CD", "cadmium"),
        "n6": ("fax", "FAX"),
        "n7": ("nu", "nudite"),
        "n8": ("nu",),
        "n9": ("al",),
        "n10": ("GPS", "Global Positioning System"),
    }
    found = LanguageNames("xyz", "", names | joined, by_program=True)
    english = {"n1": "mountain bike;all-terrain bike", "n5": "compact disk;CD", "n6": "facsimile;fax"}
    english["n10"] = "Global Positioning System;GPS"
    shown = {one: found.shown(one, english.get(one, "thing").split(";")) for one in names}
    assert {one: listed[0] for one, listed in shown.items()} == {
        **{"n1": "velo tout terrain", "n2": "cuve", "n3": "lombric", "n4": "aigle", "n5": "CD"},
        **{"n6": "fax", "n7": "nu", "n8": "nu", "n9": "al", "n10": "GPS"},
    }
    assert all(sorted(listed) == sorted(names[one]) for one, listed in shown.items())
    own = LanguageNames("own.tsv", "", names | joined)
    assert own.shown("n2", ["tub"]) == ("tva", "cuve"), "a person has ordered them"
    assert found.shown("n99", ["thing"]) == ()


def test_short_words_stay_where_a_language_has_many() -> None:
    danish, french = taxonomy_in("da"), taxonomy_in("fr")
    assert danish.synset("n07886849").translations[0] == "øl"
    assert french.synset("n04493381").translations[0] == "cuve"
    assert "n04493381" in [one.id for one in french.find("tva")], "all names are still understood"
