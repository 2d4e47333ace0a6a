import itertools
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devise.text.engine.huffman import huffman_paths

COUNTS = st.lists(st.integers(1, 50), min_size=1, max_size=40).map(lambda counts: sorted(counts, reverse=True))


def cost(counts: list[int]) -> int:
    """Bits of the whole text."""
    paths = huffman_paths(counts)
    return sum(count * len(paths.code(word)) for word, count in enumerate(counts))


@cache
def least_cost(counts: tuple[int, ...]) -> int:
    """Of all binary trees there are: every way to part the words in two, again and again."""
    if len(counts) == 1:
        return 0
    found = []
    for mask in range(1, 2 ** (len(counts) - 1)):  # the last word stays on the right: sides are alike
        left = tuple(count for place, count in enumerate(counts) if mask >> place & 1)
        right = tuple(count for place, count in enumerate(counts) if not mask >> place & 1)
        found.append(least_cost(left) + least_cost(right))
    return sum(counts) + min(found)


@pytest.mark.parametrize("counts", list(itertools.combinations_with_replacement((13, 8, 5, 2, 1), 4)))
def test_no_tree_is_shorter(counts: tuple[int, ...]) -> None:
    assert cost(list(counts)) == least_cost(counts)


@given(st.lists(st.integers(1, 30), min_size=2, max_size=7).map(lambda counts: sorted(counts, reverse=True)))
def test_no_tree_is_shorter_for_any_counts(counts: list[int]) -> None:
    assert cost(counts) == least_cost(tuple(counts))


def test_by_hand() -> None:
    paths = huffman_paths([10, 4, 3, 3])
    assert sorted(len(paths.code(word)) for word in range(4)) == [1, 2, 3, 3]
    assert paths.nodes[paths.starts[0] : paths.starts[1]].tolist() == [0]
    assert paths.nodes[paths.starts[3] : paths.starts[4]].tolist() == [0, 1, 2]


@given(COUNTS)
def test_codes_are_a_full_tree(counts: list[int]) -> None:
    paths = huffman_paths(counts)
    codes = [paths.code(word) for word in range(len(counts))]
    assert all(one[: len(other)] != other for one, other in itertools.permutations(codes, 2))
    assert sum(2.0 ** -len(code) for code in codes) == 1.0
    assert all(len(one) <= len(other) for one, other in itertools.pairwise(codes))


@given(COUNTS)
def test_the_node_says_how_the_code_goes_on(counts: list[int]) -> None:
    paths = huffman_paths(counts)
    prefixes: dict[int, tuple[int, ...]] = {}
    for word in range(len(counts)):
        code = paths.code(word)
        nodes = paths.nodes[paths.starts[word] : paths.starts[word + 1]].tolist()
        assert len(nodes) == len(code)
        for depth, node in enumerate(nodes):
            assert prefixes.setdefault(node, code[:depth]) == code[:depth]
    assert sorted(prefixes) == list(range(len(counts) - 1))
    assert len(set(prefixes.values())) == len(prefixes)


@pytest.mark.parametrize("counts", [[1, 2], [3, 0], [2, -1]])
def test_counts_that_are_none(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="counts must be at least 1, the greatest first"):
        huffman_paths(counts)
