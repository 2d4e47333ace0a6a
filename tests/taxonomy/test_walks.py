"""Up, down and around on the farm, by hand; then against slow walks on random graphs."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import TaxonomyError
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy

FAR = 10**6


@pytest.fixture
def at(farm: Taxonomy) -> Callable[[str], str]:
    """The id of a name on the farm."""
    ids = {farm.synset(synset_id).name: synset_id for synset_id in farm.ids}
    return ids.__getitem__


@pytest.fixture
def names(farm: Taxonomy) -> Callable[[Iterable[str]], list[str]]:
    """The names of ids on the farm, in their order."""
    return lambda ids: [farm.synset(synset_id).name for synset_id in ids]


def test_parents_and_children(farm, at, names):
    assert names(farm.parents(at("dog"))) == ["animal", "pet"]
    assert names(farm.parents(at("Lassie"))) == ["dog"]
    assert names(farm.parents(at("entity"))) == []
    assert names(farm.children(at("dog"))) == ["puppy", "hound", "Lassie"]
    assert names(farm.children(at("tool"))) == []
    assert [farm.is_instance(at(name)) for name in ("Lassie", "dog", "entity")] == [True, False, False]


def test_ways_up(farm, at, names):
    assert [names(path) for path in farm.hypernym_paths(at("puppy"))] == [
        ["entity", "animal", "dog", "puppy"],
        ["entity", "pet", "dog", "puppy"],
    ]
    assert farm.hypernym_paths(at("entity")) == ((at("entity"),),)
    assert farm.ancestors(at("Lassie")) == {at(name) for name in ("dog", "animal", "pet", "entity")}
    assert farm.ancestors(at("idea")) == frozenset()


def test_ways_down(farm, at):
    below = {at(name) for name in ("pet", "dog", "cat", "puppy", "hound", "kitten", "Lassie")}
    assert farm.subtree(at("pet")) == below
    assert farm.subtree(at("tool")) == {at("tool")}


def test_depth_and_height(farm, at):
    assert [farm.depth(at(name)) for name in ("entity", "animal", "dog", "puppy", "idea", "plot")] == [
        0,
        1,
        2,
        3,
        0,
        2,
    ]
    assert [farm.height(at(name)) for name in ("entity", "animal", "dog", "puppy", "tool")] == [3, 2, 1, 0, 0]


def test_balls(farm, at):
    assert farm.ball(at("dog"), 0) == {at("dog")}
    assert farm.ball(at("dog"), 1) == {at(name) for name in ("dog", "animal", "pet", "puppy", "hound", "Lassie")}
    assert farm.ball(at("plan"), 99) == {at("idea"), at("plan"), at("plot")}
    with pytest.raises(TaxonomyError, match="0 or more, got -1"):
        farm.ball(at("dog"), -1)


def test_distances(farm, at):
    assert farm.distance(at("puppy"), at("puppy")) == 0
    assert farm.distance(at("puppy"), at("kitten")) == 4
    assert farm.distance(at("tool"), at("puppy")) == 4
    assert farm.distance(at("puppy"), at("plot")) is None


def test_common_ancestors(farm, at, names):
    assert names(farm.lowest_common_ancestors(at("puppy"), at("kitten"))) == ["animal", "pet"]
    assert farm.lowest_common_ancestor(at("cat"), at("dog")) == at("animal")
    assert farm.lowest_common_ancestor(at("dog"), at("puppy")) == at("dog")
    assert farm.lowest_common_ancestor(at("dog"), at("tool")) == at("entity")
    assert farm.lowest_common_ancestors(at("dog"), at("plan")) == ()
    assert farm.lowest_common_ancestor(at("dog"), at("plan")) is None


def test_the_closest_ancestor_comes_before_one_with_a_smaller_id():
    far, step, near, a, b = (f"n{number:08d}" for number in range(1, 6))
    ladder = Taxonomy.from_synsets(
        [
            Synset(far, ("far",)),
            Synset(step, ("step",), hypernyms=(far,)),
            Synset(near, ("near",)),
            Synset(a, ("a",), hypernyms=(step, near)),
            Synset(b, ("b",), hypernyms=(far, near)),
        ]
    )
    assert ladder.lowest_common_ancestors(a, b) == (near, far)


def test_physical_nouns_are_below_physical_entity_and_no_instances():
    root, thing, particular = "n00001930", "n00000005", "n00000006"
    small = Taxonomy.from_synsets(
        [
            Synset(root, ("physical entity",)),
            Synset(thing, ("thing",), hypernyms=(root,)),
            Synset(particular, ("Excalibur",), instance_hypernyms=(thing,)),
            Synset("n00000007", ("thought",)),
        ]
    )
    assert small.physical_nouns() == (thing,)


def test_a_circle_is_refused():
    one, two, three = (f"n{number:08d}" for number in (1, 2, 3))
    with pytest.raises(TaxonomyError, match="2 synsets are on or above a cycle"):
        Taxonomy.from_synsets(
            [
                Synset(one, ("one",), hypernyms=(two,)),
                Synset(two, ("two",), hypernyms=(one,)),
                Synset(three, ("three",), hypernyms=(one,)),
            ]
        )


@st.composite
def random_edges(draw: st.DrawFn) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Up to nine synsets, any ids: id, hypernyms, instance hypernyms; parents stand before their children."""
    ids = [f"n{number:08d}" for number in draw(st.lists(st.integers(0, 99), min_size=1, max_size=9, unique=True))]
    rows = []
    for place, synset_id in enumerate(ids):
        parents = draw(st.lists(st.sampled_from(ids[:place]), unique=True, max_size=3)) if place else []
        cut = draw(st.integers(0, len(parents)))
        rows.append((synset_id, tuple(parents[:cut]), tuple(parents[cut:])))
    return rows


def synsets_of(rows: list[tuple[str, tuple[str, ...], tuple[str, ...]]]) -> list[Synset]:
    return [
        Synset(synset_id, (synset_id,), hypernyms=kinds, instance_hypernyms=instances)
        for synset_id, kinds, instances in rows
    ]


def all_distances(synsets: list[Synset]) -> dict[tuple[str, str], int]:
    """Floyd and Warshall's shortest ways over undirected edges, FAR where there is none."""
    ids = [synset.id for synset in synsets]
    way = {(a, b): 0 if a == b else FAR for a in ids for b in ids}
    for synset in synsets:
        for parent in (*synset.hypernyms, *synset.instance_hypernyms):
            way[synset.id, parent] = way[parent, synset.id] = 1
    for middle in ids:
        for a in ids:
            for b in ids:
                way[a, b] = min(way[a, b], way[a, middle] + way[middle, b])
    return way


@settings(deadline=None, max_examples=60)
@given(random_edges(), st.integers(0, 5))
def test_balls_and_distances_are_those_of_all_shortest_ways(rows, radius):
    synsets = synsets_of(rows)
    taxonomy = Taxonomy.from_synsets(synsets)
    way = all_distances(synsets)
    for a in taxonomy.ids:
        assert taxonomy.ball(a, radius) == {b for b in taxonomy.ids if way[a, b] <= radius}
        for b in taxonomy.ids:
            assert taxonomy.distance(a, b) == (way[a, b] if way[a, b] < FAR else None)


@settings(deadline=None, max_examples=60)
@given(random_edges(), st.data())
def test_correct_sets_are_those_of_all_shortest_ways(rows, data):
    synsets = synsets_of(rows)
    taxonomy = Taxonomy.from_synsets(synsets)
    way = all_distances(synsets)
    valid = data.draw(st.lists(st.sampled_from(taxonomy.ids), unique=True))
    ks = data.draw(st.lists(st.integers(1, 13), min_size=1, max_size=4))
    sets = taxonomy.correct_sets(taxonomy.ids, ks, valid)
    for a in taxonomy.ids:
        joined = sorted(way[a, b] for b in valid if way[a, b] < FAR)
        for k in ks:
            radius = joined[k - 1] if k <= len(joined) else FAR - 1
            expected = {b for b in valid if way[a, b] <= radius}
            assert taxonomy.correct_set(a, k, valid) == expected
            assert {valid[place] for place in sets.members(a, k).tolist()} == expected


@settings(deadline=None, max_examples=60)
@given(random_edges())
def test_up_and_down_agree_with_the_paths(rows):
    synsets = synsets_of(rows)
    taxonomy = Taxonomy.from_synsets(synsets)
    ways = {a: taxonomy.hypernym_paths(a) for a in taxonomy.ids}
    for a, paths in ways.items():
        assert len(set(paths)) == len(paths)
        assert all(path[-1] == a and taxonomy.parents(path[0]) == () for path in paths)
        assert {path[-2] for path in paths if len(path) > 1} == set(taxonomy.parents(a))
        assert taxonomy.ancestors(a) == {above for path in paths for above in path} - {a}
        assert taxonomy.depth(a) == min(map(len, paths)) - 1
        below = {b: [len(path) - 1 - path.index(a) for path in ways[b] if a in path] for b in ways}
        assert taxonomy.subtree(a) == {b for b, steps in below.items() if steps}
        assert taxonomy.height(a) == max(step for steps in below.values() for step in steps)


@settings(deadline=None, max_examples=60)
@given(random_edges(), st.data())
def test_lowest_common_ancestors_have_nothing_common_below(rows, data):
    synsets = synsets_of(rows)
    taxonomy = Taxonomy.from_synsets(synsets)
    a, b = (data.draw(st.sampled_from(taxonomy.ids)) for _ in range(2))
    above = {node: {node} | taxonomy.ancestors(node) for node in taxonomy.ids}
    common = above[a] & above[b]
    lowest = {node for node in common if not any(node in taxonomy.ancestors(other) for other in common)}
    steps = {
        (low, node): min(len(path) - 1 - path.index(node) for path in taxonomy.hypernym_paths(low) if node in path)
        for low in (a, b)
        for node in lowest
    }
    expected = sorted(lowest, key=lambda node: (steps[a, node] + steps[b, node], node))
    assert taxonomy.lowest_common_ancestors(a, b) == tuple(expected)
    assert taxonomy.lowest_common_ancestor(a, b) == (expected[0] if expected else None)
