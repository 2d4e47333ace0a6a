"""A WordNet small enough to do hierarchical precision by hand, and the slow reference implementation."""

from importlib import import_module
from types import ModuleType

import pytest

from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy

ANIMAL, DOG, CAT, PUPPY, HOUND, KITTEN, TABBY, TOOL, ENTITY = (f"n{number:08d}" for number in range(1, 10))


@pytest.fixture(scope="session")
def nine() -> Taxonomy:
    """entity: (animal: (dog: (puppy, hound), cat: (kitten, tabby)), tool)."""
    edges = {
        ENTITY: (),
        ANIMAL: (ENTITY,),
        TOOL: (ENTITY,),
        DOG: (ANIMAL,),
        CAT: (ANIMAL,),
        PUPPY: (DOG,),
        HOUND: (DOG,),
        KITTEN: (CAT,),
        TABBY: (CAT,),
    }
    return Taxonomy.from_synsets(Synset(name, (name,), hypernyms=parents) for name, parents in edges.items())


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """tests/reference/hierarchical_precision.py, whatever the folder that pytest runs in."""
    return import_module("reference.hierarchical_precision")


@pytest.fixture(scope="session")
def slow() -> ModuleType:
    """tests/reference/evaluation.py."""
    return import_module("reference.evaluation")
