"""The confusion tree by hand, and its sums on random trees."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import TaxonomyError
from devise.evaluation.confusion import NEAR, Flow, Subtree, confusion_tree, first_path, meeting
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy

PATHS = {
    "thing": ("thing",),
    "animal": ("thing", "animal"),
    "cat": ("thing", "animal", "cat"),
    "tabby": ("thing", "animal", "cat", "tabby"),
    "dog": ("thing", "animal", "dog"),
    "harp": ("thing", "instrument", "harp"),
    "guitar": ("thing", "instrument", "guitar"),
    "island": ("island",),
}


def tree(*pairs: tuple[str, str]) -> Subtree:
    return confusion_tree(pairs, PATHS.__getitem__)


def test_by_hand():
    found = tree(
        ("cat", "cat"), ("cat", "dog"), ("cat", "harp"), ("dog", "cat"), ("harp", "guitar"), ("harp", "guitar")
    )
    assert found.path == ("thing",)
    assert (found.photos, found.right, found.kept) == (6, 1, 6)
    assert found.flows == (Flow("animal", "instrument", 1),)
    animal, harp = found.branches
    assert (animal.path, animal.photos, animal.right, animal.kept) == (("animal",), 4, 1, 3)
    assert animal.flows == (Flow("cat", "dog", 1), Flow("dog", "cat", 1))
    assert [(one.path, one.photos, one.kept) for one in animal.branches] == [(("cat",), 3, 1), (("dog",), 1, 0)]
    assert (harp.path, harp.flows) == (("instrument",), (Flow("harp", "guitar", 2),))
    assert [one.path for one in harp.branches] == [("harp",)]


def test_a_way_without_a_fork_is_one_branch():
    assert tree(("tabby", "tabby")).path == ("thing", "animal", "cat", "tabby")


def test_a_guess_above_or_below_the_truth_stays_at_the_fork():
    found = tree(("cat", "tabby"), ("cat", "animal"))
    assert found.path == ("thing", "animal")
    assert found.flows == (Flow("cat", "animal", 1),)
    assert found.branches[0].flows == (Flow("cat", "tabby", 1),)
    assert (found.branches[0].kept, found.branches[0].right) == (1, 0)


def test_two_roots_meet_in_a_branch_without_a_name():
    found = tree(("island", "cat"), ("cat", "cat"))
    assert found.path == ()
    assert found.flows == (Flow("island", "thing", 1),)


def test_no_photo_is_an_empty_tree():
    assert tree() == Subtree((), 0, 0, 0, (), ())


@given(st.lists(st.tuples(st.sampled_from(sorted(PATHS)), st.sampled_from(sorted(PATHS))), min_size=1))
def test_every_photo_is_right_or_in_one_flow_and_branches_add_up(pairs: list[tuple[str, str]]):
    def check(branch: Subtree) -> int:
        own = Counter(truth for truth, _ in pairs)[branch.path[-1]] if branch.path else 0
        assert branch.photos == own + sum(one.photos for one in branch.branches)
        assert branch.right <= branch.kept <= branch.photos
        return sum(flow.photos for flow in branch.flows) + sum(map(check, branch.branches))

    found = confusion_tree(pairs, PATHS.__getitem__)
    assert found.photos == len(pairs)
    assert found.right + check(found) == len(pairs)


def test_the_first_path_goes_over_the_first_hypernym():
    taxonomy = default_taxonomy()
    path = first_path(taxonomy, "n02084071")
    assert path[0] == "n00001740"
    assert path[-2:] == ("n02083346", "n02084071")
    assert path in taxonomy.hypernym_paths("n02084071")


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
