"""The packed file: what goes in comes out, and nothing else passes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import TaxonomyError
from devise.taxonomy.packing import unpack
from devise.taxonomy.synsets import Synset, tables_of
from devise.taxonomy.wordnet import Taxonomy
from tools.pack_wordnet import pack

SYNSETS = [
    Synset("n00000500", ("thing",), "what is", 'what is; "the thing"'),
    Synset("n00000020", ("dog", "Hund"), "barks", "barks", hypernyms=("n00000500",)),
    Synset("n99999999", ("Fido",), instance_hypernyms=("n00000020",)),
]
TABLES = tables_of(SYNSETS, {"geese": ["goose"]}, licence="Free to copy.\n")
PACKED = pack(TABLES)


def test_what_goes_in_comes_out(tmp_path: Path):
    file = tmp_path / "own.bin"
    file.write_bytes(PACKED)
    taxonomy = Taxonomy.load(file)
    assert [taxonomy.synset(synset.id) for synset in SYNSETS] == SYNSETS
    assert taxonomy.licence == "Free to copy.\n"
    assert taxonomy.graph_hash == Taxonomy.from_synsets(SYNSETS).graph_hash
    assert unpack(PACKED).exceptions == "geese\tgoose"
    assert pack(unpack(PACKED)) == PACKED


def test_the_head_can_be_read_without_this_package():
    first, header, rest = PACKED.split(b"\n", 2)
    assert first.split()[:2] == [b"devise-taxonomy", b"1"]
    blocks = json.loads(header)["blocks"]
    assert len(rest) == sum(stored for _, stored, _ in blocks)
    assert rest.startswith(b"Free to copy.\n")


@given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
def test_any_altered_byte_is_an_error(place, change):
    altered = bytearray(PACKED)
    altered[place] ^= change
    with pytest.raises(TaxonomyError):
        unpack(bytes(altered))


@given(st.integers(0, len(PACKED) - 1))
def test_any_truncated_file_is_an_error(length):
    with pytest.raises(TaxonomyError):
        unpack(PACKED[:length])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "another kind of file"),
        (b"PK\x03\x04" + bytes(5000), "another kind of file"),
        (PACKED.replace(b"taxonomy 1 ", b"taxonomy 2 ", 1), "expected taxonomy format 1, got format 2"),
        (PACKED[:-1], "truncated or changed"),
        (PACKED + b"x", "truncated or changed"),
    ],
)
def test_the_message_is_one_line_and_names_the_file(tmp_path: Path, data, message):
    file = tmp_path / "broken.bin"
    file.write_bytes(data)
    with pytest.raises(TaxonomyError, match=message) as caught:
        Taxonomy.load(file)
    assert "\n" not in str(caught.value)
    assert "broken.bin" in str(caught.value)


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(TaxonomyError, match=r"cannot read the taxonomy .*none\.bin: No such file"):
        Taxonomy.load(tmp_path / "none.bin")


def test_what_does_not_fit_is_refused():
    parents = [Synset(f"n{number:08d}", (f"p{number}",)) for number in range(256)]
    child = Synset("n00001000", ("child",), hypernyms=tuple(synset.id for synset in parents))
    with pytest.raises(TaxonomyError, match="256 does not fit"):
        pack(tables_of([*parents, child]))
