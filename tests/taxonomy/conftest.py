"""A WordNet small enough for arithmetic by hand, and the whole one."""

import pytest

from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy


def numbered(number: int) -> str:
    return f"n{number:08d}"


@pytest.fixture(scope="session")
def farm() -> Taxonomy:
    """Thirteen synsets by name:

    entity: animal: dog: puppy, hound, Lassie (an instance)
                    cat: kitten
            pet: dog, cat           so dog and cat have two parents
            tool
    idea: plan: plot                another root, not joined to the rest
    """
    return Taxonomy.from_synsets(farm_synsets(), exceptions={"mice": ["mouse"]})


def farm_synsets() -> list[Synset]:
    parents = {
        "entity": (),
        "animal": ("entity",),
        "dog": ("animal", "pet"),
        "cat": ("animal", "pet"),
        "tool": ("entity",),
        "puppy": ("dog",),
        "hound": ("dog",),
        "kitten": ("cat",),
        "pet": ("entity",),
        "Lassie": ("dog",),
        "idea": (),
        "plan": ("idea",),
        "plot": ("plan",),
    }
    ids = {name: numbered(number) for number, name in enumerate(parents, 1)}
    edges = {name: tuple(ids[parent] for parent in parents[name]) for name in parents}
    return [
        Synset(
            ids[name],
            (name,),
            hypernyms=() if name == "Lassie" else edges[name],
            instance_hypernyms=edges[name] if name == "Lassie" else (),
        )
        for name in parents
    ]


@pytest.fixture(scope="session")
def wordnet() -> Taxonomy:
    return Taxonomy.load()
