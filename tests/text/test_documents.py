from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.errors import TextError
from devise.space.label_vectors import POLICIES, LabelComposer, LabelPolicy, composer_for, untagged
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy
from devise.text.corpus import CorpusSource, CorpusTally, TextFiles, sentences
from devise.text.documents import SENSE_MARK, Document, sense_tag, tagged
from devise.text.phrases import PhraseJoiner
from devise.text.tokens import tokenize
from devise.text.vectors import WordTable

NOUN = (
    b"02128757 05 n 02 snow_leopard 0 ounce 0 003 @ 02127808 n 0000 #m 02127460 n 0000 @i 02120997 n 0000 | big cat\n"
)
VERB = b"00001740 29 v 01 breathe 0 001 @ 00005041 v 0000 | draw air\n"
CAT, DOG = "n00000001", "n00000002"


@given(st.text())
def test_no_word_of_a_text_is_a_tag(text: str) -> None:
    assert not any(token.startswith(SENSE_MARK) for token in tokenize(text + " @n00000001"))


def test_glosses_of_nouns_carry_the_tags_of_their_synset_and_its_hypernyms(tmp_path: Path) -> None:
    (tmp_path / "data.noun").write_bytes(NOUN)
    (tmp_path / "data.verb").write_bytes(VERB)
    tally = CorpusTally()
    found = list(sentences([CorpusSource(tmp_path)], PhraseJoiner([]), tally, sense_tags=True))
    own, above = "@n02128757", ["@n02127808", "@n02120997"]
    assert found == [
        [own, *above, "snow_leopard", "big", "cat", own],
        [own, *above, "ounce", "big", "cat", own],
        ["breathe", "draw", "air"],
    ]
    assert tally.tokens == sum(map(len, found))
    plain = list(sentences([CorpusSource(tmp_path)], PhraseJoiner([])))
    assert plain == [[token for token in one if not token.startswith(SENSE_MARK)] for one in found]


def test_other_documents_are_left_as_they_are() -> None:
    assert tagged(Document("Cat", "an animal"), ["an", "animal"]) == ["an", "animal"]


def test_pointers_that_are_cut_off_are_no_synset(tmp_path: Path) -> None:
    (tmp_path / "data.noun").write_bytes(NOUN.replace(b" 003 ", b" 00x "))
    with pytest.raises(TextError, match=r"data\.noun line 1: expected a synset"):
        list(sentences([CorpusSource(tmp_path)], PhraseJoiner([])))


def test_tags_need_glosses(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a cat\n")
    for tokenised in (False, True):
        with pytest.raises(TextError, match="sense tags need WordNet's glosses"):
            TextFiles((tmp_path / "a.txt",), tokenised, sense_tags=True).check()
    (tmp_path / "data.noun").write_bytes(NOUN)
    files = TextFiles((tmp_path / "a.txt", tmp_path), sense_tags=True)
    files.check()
    assert files.hashes() != TextFiles(files.paths).hashes()
    assert [s[0] for s in files.sentences(CorpusTally()) if "ounce" in s] == ["@n02128757"]


@pytest.fixture
def taxonomy() -> Taxonomy:
    return Taxonomy.from_synsets([Synset(CAT, ("cat",), "striped"), Synset(DOG, ("dog",), "striped")])


@pytest.fixture
def words() -> WordTable:
    """One direction a word; the dog has no tag."""
    names = ("cat", "dog", "striped", sense_tag(CAT))
    return WordTable(names, np.diag(np.array([1, 2, 3, 4], dtype=np.float32)), np.array([9, 9, 9, 9]))


def test_the_tag_stands_for_the_definition_where_there_is_one(words: WordTable, taxonomy: Taxonomy) -> None:
    policy = LabelPolicy("half", term_weight=0.5, gloss_weight=1.0, tags=True)
    found = LabelComposer(words, taxonomy, policy).labels([CAT, DOG]).vectors
    length = np.sqrt(1.25)
    np.testing.assert_allclose(found, np.array([[0.5, 0, 0, 1], [0, 0.5, 1, 0]]) / length, atol=1e-6)
    assert untagged(words, policy, [CAT, DOG]) == 1
    assert untagged(words, POLICIES["sense-aware"], [CAT, DOG]) is None


def test_words_without_tags_are_refused(taxonomy: Taxonomy) -> None:
    plain = WordTable(("cat",), np.ones((1, 2), np.float32))
    with pytest.raises(TextError, match="--sense-tags"):
        composer_for(plain, taxonomy, POLICIES["sense-tagged"])


def test_policies_of_older_bundles_are_read_and_new_ones_written_as_they_were() -> None:
    stored = POLICIES["sense-aware"].to_dict()
    assert not {"tags", "retrofit"} & set(stored)
    assert LabelPolicy.from_dict(stored) == POLICIES["sense-aware"]
    assert LabelPolicy.from_dict(POLICIES["sense-tagged"].to_dict()).tags
    assert LabelPolicy.from_dict(POLICIES["retrofitted"].to_dict()).retrofit > 0
