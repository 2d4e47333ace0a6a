"""Which name of a synset the package shows: by hand, on three synsets."""

from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy
from tools.language_packs import packed

ROOT = Synset("n00001930", ("physical entity",))
CAT = Synset("n00000002", ("feline", "Felidae"), hypernyms=("n00001930",))
LION = Synset("n00000003", ("lion", "Panthera leo"), hypernyms=("n00000002",))
IDEA = Synset("n00000004", ("idea",))


def test_the_best_name_comes_first() -> None:
    lines = (
        *("# Test\txyz\thttps://example.org\tCC0", "n00000003\tpanthera_leo", "n00000003\tkatse"),
        *("n00000003\tLejon", "n00000003\tdjurens konung", "n00000003\tlejon", "n00000003\tlejon"),
        *("n00000002\tkatse", "n00000004\tide"),
    )
    uses = {"panthera leo": 2.0, "katse": 5.0, "Lejon": 4.0, "djurens konung": 4.5, "lejon": 4.0}
    taxonomy = Taxonomy.from_synsets([ROOT, CAT, LION, IDEA])
    header, *found = packed("\n".join(lines), taxonomy, lambda name: uses[name]).splitlines()
    assert header == lines[0]
    # lejon 4 + 4 x 2/3 (like lion: l, i or e.., n), katse 5 - 1 (of two synsets) - 2 (of one above it), Latin 2 - 6 - 3
    assert [line.split("\t")[1] for line in found if line.startswith("n00000003")] == [
        *("lejon", "Lejon", "katse", "djurens konung", "panthera leo"),
    ]
    assert [line for line in found if not line.startswith("n00000003")] == ["n00000002\tkatse"], "an idea is no photo"
