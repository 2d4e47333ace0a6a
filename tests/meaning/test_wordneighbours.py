import numpy as np
import pytest

from devise.errors import LabelError
from devise.meaning.wordneighbours import NearWords, near_words
from devise.taxonomy.wordnet import default_taxonomy
from devise.text.vectors import WordTable

VECTORS = {"tiger": (1, 0), "shark": (0, 2), "tiger_shark": (1, 3), "reef": (0.1, 1), "stripe": (1, 0.1), "mix": (1, 1)}


def near(name: str, top: int) -> NearWords:
    table = WordTable(tuple(VECTORS), np.array(list(VECTORS.values()), dtype=np.float32))
    return near_words(table, default_taxonomy(), name, top)


def test_a_term_of_its_own():
    found = near("Tiger Shark", 2)
    # (1, 3) against (0.1, 1) and (0, 2): 3.1 / sqrt(1.01) and 6 / 2, each over sqrt(10)
    assert found.words == ("reef", "shark")
    assert found.cosines == pytest.approx((3.1 / 1.01**0.5 / 10**0.5, 3 / 10**0.5), abs=1e-6)
    assert found.made_of == ()


def test_a_phrase_is_the_sum_of_its_words_at_unit_length_and_they_are_left_out():
    found = near("shark tiger glub", 9)
    assert found.made_of == ("shark", "tiger")
    assert found.words[0] == "mix"  # (1, 1), though the shark is twice as long
    assert found.cosines[0] == pytest.approx(1.0)
    assert set(found.words) == {"mix", "tiger_shark", "reef", "stripe"}
    assert len(near("shark tiger", 1).words) == 1


def test_an_unknown_name_gets_suggestions():
    with pytest.raises(LabelError, match="no word vector for 'stripes'; close spellings: stripe"):
        near("stripes", 3)
    with pytest.raises(LabelError, match=r"no word vector for 'qqqqzzz': check it"):
        near("qqqqzzz", 3)
