"""The list of nouns that are no answer unless they are asked for."""

import re

import pytest

from devise.taxonomy.synsets import Synset
from devise.taxonomy.withheld import REASONS, WITHHELD_FILE, withheld_nouns
from devise.taxonomy.wordnet import PHYSICAL_ENTITY, Taxonomy, default_taxonomy

PERSON, OPERATOR = "n00007846", "n10378412"
USAGE = re.compile(
    r"ethnic slur|offensive (and \w+ )?(name|slang|term)|obscene (name|term)|vulgar (slang|term)|\(disparaging\)"
    r"|(disparaging|derogatory|contemptuous|uncomplimentary|pejorative)( and \w+)? (name|term)"
)
"""How WordNet's definitions say that a word insults."""


@pytest.fixture(scope="module")
def wordnet() -> Taxonomy:
    return default_taxonomy()


def entries() -> list[tuple[str, str, str, str]]:
    """Reason, mark, id and name of each line of the list."""
    found, reason = [], ""
    for line in WITHHELD_FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            reason = line.strip("[]")
        elif line and not line.startswith("#"):
            mark, noun, name = line.split(maxsplit=2)
            found.append((reason, mark, noun, name.partition(":")[0]))
    return found


def test_each_line_names_a_synset_of_physical_things_once(wordnet: Taxonomy):
    listed = entries()
    assert {reason for reason, *_ in listed} == set(REASONS)
    assert {mark for _, mark, *_ in listed} == {"--", "-", "+"}
    assert [name for *_, noun, name in listed if wordnet.synset(noun).name != name] == []
    physical = wordnet.subtree(PHYSICAL_ENTITY)
    assert [noun for *_, noun, _ in listed if noun not in physical] == []
    twice = [(mark, noun) for _, mark, noun, _ in listed]
    assert len(twice) == len(set(twice))


def test_who_stays_is_a_person_and_few_are(wordnet: Taxonomy):
    people = wordnet.subtree(PERSON) | wordnet.subtree(OPERATOR)
    stay = [noun for reason, mark, noun, _ in entries() if (reason, mark) == ("people", "+")]
    assert set(stay) <= people
    assert len(stay) < 300
    assert people - set(withheld_nouns(wordnet)) == set(stay)


def test_each_line_changes_something(wordnet: Taxonomy):
    roots = [noun for _, mark, noun, _ in entries() if mark == "--"]
    below = wordnet.subtrees(roots)
    assert [noun for _, mark, noun, _ in entries() if mark != "--" and (noun in below) != (mark == "+")] == []
    assert [noun for noun in roots if noun in wordnet.subtrees([one for one in roots if one != noun])] == []


def test_what_wordnet_calls_an_insult_is_withheld(wordnet: Taxonomy):
    physical = wordnet.physical_nouns()
    insults = [noun for noun in physical if USAGE.search(wordnet.synset(noun).definition)]
    assert len(insults) > 45
    withheld = withheld_nouns(wordnet)
    assert [wordnet.synset(noun).name for noun in insults if noun not in withheld] == []


def test_nothing_above_a_noun_that_stays_is_an_insult(wordnet: Taxonomy):
    stay = [noun for _, mark, noun, _ in entries() if mark == "+"]
    above = {one for noun in stay for one in wordnet.ancestors(noun)}
    assert [one for one in above if USAGE.search(wordnet.synset(one).definition)] == []


@pytest.mark.parametrize(
    ("noun", "why"),
    [
        ("n09638009", "people"),  # a slur
        ("n10366966", "people"),  # nurse
        ("n10560637", "people"),  # scientist
        ("n05521514", "names"),
        ("n00029677", "unseen"),  # process
        ("n03916720", "unseen"),  # peripheral
        (PERSON, None),
        ("n10787470", None),  # woman
        ("n10565667", None),  # scuba diver
        ("n10148035", None),  # groom
        ("n09835506", None),  # ballplayer
        ("n01514668", None),  # cock, the bird
        ("n11501381", None),  # rain, which is a process
        ("n02084071", None),  # dog
    ],
)
def test_some_nouns_and_why_they_are_withheld(wordnet: Taxonomy, noun: str, why: str | None):
    assert withheld_nouns(wordnet).get(noun) == why


def test_a_taxonomy_without_these_synsets_withholds_nothing():
    small = Taxonomy.from_synsets(
        [Synset("n00000001", ("animal",)), Synset("n00000002", ("dog",), hypernyms=("n00000001",))]
    )
    assert dict(withheld_nouns(small)) == {}


def test_several_subtrees_are_walked_at_once(wordnet: Taxonomy):
    asked = ["n02084071", "n02121808", "n02084071"]
    assert wordnet.subtrees(asked) == wordnet.subtree("n02084071") | wordnet.subtree("n02121808")
    assert wordnet.subtrees([]) == frozenset()
