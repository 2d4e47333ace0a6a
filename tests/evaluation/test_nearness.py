"""Where truth and guess meet, on WordNet and against the taxonomy's own distance."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import TaxonomyError
from devise.evaluation.nearness import NEAR, meeting
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy

ZEBRA, KIANG, EQUINE, HARP = "n02391049", "n02390738", "n02374149", "n03495258"


def test_two_equines_meet_at_the_equine():
    found = meeting(default_taxonomy(), ZEBRA, KIANG)
    assert found is not None
    assert (found.ancestor, found.up, found.down[0], found.down[-1]) == (EQUINE, (ZEBRA, EQUINE), EQUINE, KIANG)
    assert (found.edges, found.verdict) == (4, "near")


def test_the_truth_is_right_its_ancestor_near_and_a_harp_far():
    taxonomy = default_taxonomy()
    found = [meeting(taxonomy, ZEBRA, guess) for guess in (ZEBRA, EQUINE, HARP)]
    assert [one and one.verdict for one in found] == ["right", "near", "far"]
    assert [one and one.edges for one in found][:2] == [0, 1]


def test_nothing_above_both_is_none_and_an_unknown_id_an_error():
    two = Taxonomy.from_synsets([Synset("n00000001", ("a",)), Synset("n00000002", ("b",))])
    assert meeting(two, "n00000001", "n00000002") is None
    with pytest.raises(TaxonomyError, match="no synset"):
        meeting(two, "n00000001", "n99999999")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 82_114), st.integers(0, 82_114))
def test_the_ways_are_edges_of_the_taxonomy_and_never_shorter_than_its_distance(first: int, second: int):
    taxonomy = default_taxonomy()
    truth, guess = taxonomy.ids[first], taxonomy.ids[second]
    found = meeting(taxonomy, truth, guess)
    assert found is not None
    assert (found.up[0], found.down[-1]) == (truth, guess)
    assert found.ancestor == taxonomy.lowest_common_ancestor(truth, guess)
    for way in (found.up, tuple(reversed(found.down))):
        assert all(above in taxonomy.parents(below) for below, above in itertools.pairwise(way))
    distance = taxonomy.distance(truth, guess)
    assert distance is not None
    assert found.edges >= distance
    assert (found.verdict == "far") == (found.edges > NEAR)
