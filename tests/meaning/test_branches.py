from hypothesis import given, settings
from hypothesis import strategies as st

from devise.meaning.branches import branches
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy

NAMES = {
    "entity": "", "animal": "entity", "tool": "entity", "dog": "animal", "cat": "animal",
    "puppy": "dog", "hound": "dog", "spaniel": "dog", "kitten": "cat", "tabby": "cat", "saw": "tool", "axe": "tool",
}  # fmt: skip
IDS = {name: f"n{number:08d}" for number, name in enumerate(NAMES, 1)}
TREE = Taxonomy.from_synsets(
    Synset(IDS[name], (name,), hypernyms=(IDS[parent],) if parent else ()) for name, parent in NAMES.items()
)


def parted(*names: str, most: int) -> dict[str, set[str]]:
    found = branches(TREE, [IDS[name] for name in names], most)
    return {branch.name: {names[place] for place in branch.members} for branch in found}


def test_by_hand():
    leaves = ("puppy", "hound", "spaniel", "kitten", "tabby", "saw", "axe")
    dogs, cats, tools = set(leaves[:3]), set(leaves[3:5]), set(leaves[5:])
    # all are entities: that subtree is the whole, then the animals are cut off it, then the dogs off the animals
    assert parted(*leaves, most=3) == {"animal": dogs | cats, "entity, other": tools}
    assert parted(*leaves, most=4) == {"dog": dogs, "animal, other": cats, "entity, other": tools}
    assert parted(*leaves, most=9) == {"dog": dogs, "cat": cats, "tool": tools}


def test_a_label_that_is_in_no_subtree_large_enough_is_among_the_others():
    assert parted("puppy", "hound", "kitten", "tabby", "saw", most=9) == {
        "cat": {"kitten", "tabby"},
        "dog": {"puppy", "hound"},
        "other": {"saw"},
    }


@given(st.sets(st.integers(0, 82114), min_size=2, max_size=40), st.integers(2, 11))
@settings(max_examples=25)
def test_each_label_is_in_one_branch_below_it(places: set[int], most: int):
    taxonomy = default_taxonomy()
    ids = [taxonomy.ids[place] for place in sorted(places)]
    found = branches(taxonomy, ids, most)
    assert 1 <= len(found) <= most
    assert sorted(place for branch in found for place in branch.members) == list(range(len(ids)))
    for branch in found:
        assert branch.members
        if branch.id:
            assert all(ids[place] in taxonomy.subtree(branch.id) for place in branch.members)
    assert [branch.name for branch in found[:-1]].count("other") == 0
