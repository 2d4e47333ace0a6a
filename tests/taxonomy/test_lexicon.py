"""A name is found the same way by a search of the text as in the table of all names."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.taxonomy import lexicon
from devise.taxonomy.lexicon import NameIndex, Reading

NAMES = st.text("ab é猫", min_size=1, max_size=2)
LINES = st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=5)


def both_ways(lemmas: str, senses: list[int], name: str) -> list[tuple[Reading, ...]]:
    made = []
    for searched in (0, 1):
        with patch.object(lexicon, "_SEARCHED", searched):
            made.append(NameIndex(lemmas, np.array(senses, dtype=np.uint8)).readings([name]))
    return made


@given(LINES, st.data(), NAMES)
def test_search_and_table_agree_with_a_walk_over_all_terms(lines: list[list[str]], data: st.DataObject, name: str):
    terms = [(line, place, one) for line, row in enumerate(lines) for place, one in enumerate(row, start=1)]
    senses = [data.draw(st.integers(0, 3)) for _ in terms]
    order = sorted((sense, at) for at, (sense, term) in enumerate(zip(senses, terms, strict=True)) if term[2] == name)
    slow: dict[int, Reading] = {}
    for rank, (_, at) in enumerate(order, start=1):
        slow.setdefault(terms[at][0], Reading(terms[at][0], rank, terms[at][1]))
    lemmas = "\n".join("\t".join(row) for row in lines)
    assert both_ways(lemmas, senses, name) == [tuple(slow.values())] * 2


@pytest.mark.parametrize("name", ["", "\t", "a\tb", "\n", "\ud800"])
def test_what_is_no_term_is_not_found(name: str):
    assert both_ways("a\tb\nc", [1, 1, 1], name) == [(), ()]
