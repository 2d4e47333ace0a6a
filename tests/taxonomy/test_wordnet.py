"""The packaged WordNet 3.0 against figures counted elsewhere and against WordNet's own files."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from devise.taxonomy.wordnet import Taxonomy, default_taxonomy

EVERY = 41


def test_counts(wordnet: Taxonomy):
    assert len(wordnet) == len(wordnet.ids) == 82_115
    assert wordnet.summary() == "82,115 synsets, 84,427 edges (8,577 of instances), 146,347 terms"
    assert wordnet.graph_hash.startswith("4a291c82528e")


def test_one_root_above_all(wordnet: Taxonomy):
    assert wordnet.find("entity") == (wordnet.synset("n00001740"),)
    assert wordnet.parents("n00001740") == ()
    assert wordnet.subtree("n00001740") == set(wordnet.ids)
    assert wordnet.height("n00001740") == 19


def test_a_dog(wordnet: Taxonomy):
    dog = wordnet.synset("n02084071")
    assert dog.lemmas == ("dog", "domestic dog", "Canis familiaris")
    assert dog.definition.startswith("a member of the genus Canis")
    assert dog.gloss == dog.definition + '; "the dog barked all night"'
    assert [wordnet.synset(parent).name for parent in dog.hypernyms] == ["canine", "domestic animal"]
    assert len(wordnet.hypernym_paths("n02084071")) == 2
    assert wordnet.lowest_common_ancestor("n02084071", "n02121808") == "n01317541"  # domestic animals both
    assert not wordnet.is_instance("n02084071")
    assert wordnet.is_instance(wordnet.find("Paris")[0].id)


def test_the_licence_goes_with_the_data(wordnet: Taxonomy):
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in wordnet.licence
    assert wordnet.licence.startswith("This software and database is being provided to you, the LICENSEE, by")
    assert wordnet.licence.endswith("Princeton University agree to preserve same.\n") or wordnet.licence.endswith(
        "Princeton University and LICENSEE agrees to preserve same.\n"
    )


def test_the_default_is_loaded_once():
    assert default_taxonomy() is default_taxonomy()
    assert len(default_taxonomy()) == 82_115


@pytest.mark.parametrize(("k", "mean"), [(1, 1.0), (2, 4.5), (5, 9.5), (10, 18.0), (20, 33.8)])
def test_mean_size_of_the_correct_sets_of_the_1000(wordnet: Taxonomy, shared: Path, k, mean):
    """Figures of reference/devise.md, counted by other code; they are rounded to one place."""
    labels = (shared / "data" / "splits" / "ilsvrc2012-wnids.txt").read_text().split()
    sets = wordnet.correct_sets(labels, [k], labels)
    assert len(labels) == 1000
    assert sets.sizes(k).mean() == pytest.approx(mean, abs=0.05)


def test_physical_nouns_and_imagenet_make_39990_labels(wordnet: Taxonomy, shared: Path):
    splits = json.loads((shared / "data" / "splits" / "imagenet-testsets.json").read_text())
    imagenet = set(splits["train"]) | set(splits["all"])
    assert len(imagenet) == 21_842
    assert all(label in wordnet for label in imagenet)
    physical = wordnet.physical_nouns()
    assert len(physical) == 39_558
    assert len(imagenet | set(physical)) == 39_990


def test_terms_and_edges_counted_in_data_noun(wordnet: Taxonomy, wordnet_folder: Path):
    """Counted with regular expressions, which the package does not use for it."""
    text = (wordnet_folder / "data.noun").read_text()
    edges = re.findall(r" (@i?) (\d{8}) n 0000(?=.* \| )|^(\d{8}) ", text, re.MULTILINE)
    child, lines = "", []
    for mark, parent, synset in edges:
        child = synset or child
        if mark:
            lines.append(f"n{child} {mark} n{parent}")
    ids = sorted("n" + synset for _, _, synset in edges if synset)
    assert hashlib.sha256("\n".join([*ids, *sorted(lines)]).encode()).hexdigest() == wordnet.graph_hash
    words = re.findall(r"^\d{8} \d\d n [0-9a-f]{2} ((?:\S+ [0-9a-f] )+)\d{3} ", text, re.MULTILINE)
    terms = [term.replace("_", " ") for line in words for term in line.split()[0::2]]
    assert len(terms) == 146_347
    assert wordnet.lemma_names() == tuple(sorted(set(terms)))


def test_every_so_many_lines_of_data_noun(wordnet: Taxonomy, wordnet_folder: Path):
    """Read with regular expressions, which the package does not do."""
    lines = re.findall(r"^\d{8} .*$", (wordnet_folder / "data.noun").read_text(), re.MULTILINE)
    assert len(lines) == len(wordnet)
    for line in lines[::EVERY]:
        synset = wordnet.synset("n" + line[:8])
        words = re.match(r"\d{8} \d\d n [0-9a-f]{2} ((?:\S+ [0-9a-f] )+)\d{3} ", line)
        assert words is not None
        assert [lemma.replace(" ", "_") for lemma in synset.lemmas] == words[1].split()[0::2]
        edges, _, gloss = line.partition(" | ")
        assert synset.gloss == gloss.strip()
        assert list(synset.hypernyms) == ["n" + offset for offset in re.findall(r" @ (\d{8}) n", edges)]
        assert list(synset.instance_hypernyms) == ["n" + at for at in re.findall(r" @i (\d{8}) n", edges)]


def test_every_so_many_words_of_index_noun(wordnet: Taxonomy, wordnet_folder: Path):
    lines = re.findall(r"^[^ ].*$", (wordnet_folder / "index.noun").read_text(), re.MULTILINE)
    assert len(lines) == 117_798
    for line in lines[::EVERY]:
        offsets = re.findall(r"\d{8}(?= |$)", line)
        assert [synset.id[1:] for synset in wordnet.find(line.split()[0])] == offsets
