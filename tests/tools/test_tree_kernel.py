"""The tree kernel by hand on a tree of seven synsets, one with two parents."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from devise.errors import TaxonomyError
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy

_SPEC = spec_from_file_location("tree_kernel", Path(__file__).parents[2] / "tools" / "tree_kernel.py")
assert _SPEC is not None
assert _SPEC.loader is not None
_TOOL = module_from_spec(_SPEC)
_SPEC.loader.exec_module(_TOOL)
information_increments, tree_kernel = _TOOL.information_increments, _TOOL.tree_kernel

ROOT, PET, CAT, TABBY, PERSIAN, WILD, LYNX = (f"n0000000{number}" for number in range(1, 8))


@pytest.fixture(scope="module")
def animals() -> Taxonomy:
    return Taxonomy.from_synsets(
        [
            Synset(ROOT, ("animal",)),
            Synset(PET, ("pet",), hypernyms=(ROOT,)),
            Synset(CAT, ("cat",), hypernyms=(ROOT,)),
            Synset(TABBY, ("tabby",), hypernyms=(CAT, PET)),
            Synset(PERSIAN, ("Persian",), hypernyms=(CAT,)),
            Synset(WILD, ("wild animal",), hypernyms=(ROOT,)),
            Synset(LYNX, ("lynx",), hypernyms=(CAT, WILD)),
        ]
    )


LEAVES = [TABBY, PERSIAN, LYNX]
LOG3 = float(np.log(3))


def test_increments_by_hand(animals: Taxonomy) -> None:
    """Of three labels: animal and cat are above all (0 nats), pet and wild animal above one (log 3), leaves log 3."""
    added = information_increments(animals, LEAVES)
    found = {synset_id: float(added[animals.place(synset_id)]) for synset_id in animals.ids}
    assert found == pytest.approx(
        {ROOT: 0, PET: LOG3, CAT: 0, TABBY: 0, PERSIAN: LOG3, WILD: LOG3, LYNX: 0}, abs=1e-6
    )  # tabby tells no more than its parent pet, which has no other label


def test_cosines_by_hand(animals: Taxonomy) -> None:
    """Of tabby, Persian, lynx and pet, three are cats, two pets and one is wild.

    In nats: cat log 4/3, pet log 2, tabby log 4 - log 2 over its parent pet, Persian log 4 - log 4/3 over cat, wild
    animal log 4, lynx 0 over wild animal.
    """
    labels = [TABBY, PERSIAN, LYNX, PET]
    kernel = tree_kernel(animals, information_increments(animals, labels), labels, labels)
    cat, pet, four = np.log(4 / 3), np.log(2), np.log(4)
    tabby, persian, lynx = np.sqrt(cat + 2 * pet), np.sqrt(four), np.sqrt(cat + four)
    expected = np.eye(4)
    expected[0, 1] = expected[1, 0] = cat / (tabby * persian)
    expected[0, 2] = expected[2, 0] = cat / (tabby * lynx)
    expected[1, 2] = expected[2, 1] = cat / (persian * lynx)
    expected[0, 3] = expected[3, 0] = pet / (tabby * np.sqrt(pet))
    np.testing.assert_allclose(kernel, expected, atol=1e-6)


def test_a_label_that_is_no_synset_stands_where_its_parent_does(animals: Taxonomy) -> None:
    added = information_increments(animals, LEAVES)
    kernel = tree_kernel(animals, added, ["user:mouser", "user:thing"], LEAVES, {"user:mouser": TABBY})
    np.testing.assert_allclose(kernel[0], tree_kernel(animals, added, [TABBY], LEAVES)[0])
    assert not kernel[1].any()


def test_no_synset_at_all(animals: Taxonomy) -> None:
    with pytest.raises(TaxonomyError, match="needs labels that are synsets"):
        information_increments(animals, ["user:thing"])
