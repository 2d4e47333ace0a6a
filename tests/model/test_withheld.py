"""Nouns that are no answer unless they are asked for, in the model: candidates, scorers, hedges, meanings."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from devise.errors import UsageError
from devise.meaning.relations import nearest_labels
from devise.meaning.senses import ask
from devise.model.candidates import choose_candidates
from devise.model.hedges import Hedger
from devise.model.labeller import LabelRequest, Model
from devise.model.methods import METHODS, make_scorer
from devise.model.parts import ModelParts
from devise.model.sense_choice import Meanings, close_spellings
from devise.model.typed import parse_labels
from devise.space.evidence import Evidence
from devise.space.scorers import PlacingScorer
from devise.taxonomy.withheld import withheld_nouns

PERSON, NURSE, SCIENTIST = "n00007846", "n10366966", "n10560637"


@pytest.fixture
def evidence(packaged: Model) -> Evidence:
    features = np.abs(np.random.default_rng(7).standard_normal((3, 1280))).astype(np.float32)
    return packaged.parts.classifier.evidence(features)


@contextmanager
def withholding(parts: ModelParts, *ids: str) -> Iterator[ModelParts]:
    """The same parts, as if these labels were withheld."""
    fresh = ModelParts(parts.bundle)
    fresh.__dict__["withheld"] = dict.fromkeys(ids, "people")
    yield fresh


def test_by_default_no_withheld_label_competes_and_no_trained_one_is_withheld(packaged: Model):
    listed, parts = withheld_nouns(packaged.parts.taxonomy), packaged.parts
    ids = choose_candidates(parts).space.labels.ids
    assert [one for one in ids if one in listed] == []
    assert set(parts.trained_ids) <= set(ids)
    assert {PERSON, "n10787470", "n10287213", "n09917593"} <= set(ids)
    unseen = choose_candidates(parts, "unseen").space.labels
    assert set(unseen.ids) == set(ids) - set(parts.trained_ids)
    assert len(ids) + sum(parts.withheld_counts.values()) == len(packaged.labels)


def test_all_nouns_are_what_all_was(packaged: Model):
    found = choose_candidates(packaged.parts, "all-nouns")
    assert found.space is packaged.parts.space
    assert (found.notes, found.kinds) == ((), None)


def test_vectors_of_the_answerable_are_those_of_the_model(packaged: Model):
    parts = packaged.parts
    for place in (0, 1000, -1):
        label = parts.answerable.labels[place]
        own = parts.space.vectors[parts.space.labels.position(label.id)]
        assert np.array_equal(parts.answerable.vectors[place], own)


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_those_among_all_nouns(packaged: Model, evidence: Evidence, method: str):
    parts = packaged.parts
    every, some = (make_scorer(parts, method, space) for space in (parts.space, parts.answerable))
    assert isinstance(some, PlacingScorer) == isinstance(every, PlacingScorer)
    places = [every.labels.position(one) for one in some.labels.ids]
    assert np.array_equal(some.scores(evidence), every.scores(evidence)[:, places])
    if isinstance(some, PlacingScorer) and isinstance(every, PlacingScorer):
        queries = some.queries(evidence)
        assert np.array_equal(queries, every.queries(evidence))
        assert np.array_equal(some.scores_of(queries, evidence), every.scores_of(queries, evidence)[:, places])


def test_a_word_that_is_asked_for_competes(packaged: Model):
    found = choose_candidates(packaged.parts, typed=parse_labels("nurse, nigger"))
    assert found.typed == (NURSE, "n09638009")
    assert set(found.typed) <= set(found.space.labels.ids)
    assert SCIENTIST not in found.space.labels


def test_under_person_are_those_a_photo_shows(packaged: Model):
    parts = packaged.parts
    people = parts.taxonomy.subtree(PERSON)
    found = choose_candidates(parts, under="person").space.labels.ids
    assert set(found) == {one for one in parts.answerable.labels.ids if one in people}
    assert {PERSON, "n10565667"} <= set(found)
    every = choose_candidates(parts, "all-nouns", under="person").space.labels.ids
    assert set(every) == {one for one in packaged.labels.ids if one in people}


def test_a_branch_that_is_withheld_is_refused_and_says_how_to_have_it(packaged: Model):
    with pytest.raises(
        UsageError, match=r"every label under 'scientist' is withheld, 124 in all .*: ask for all nouns"
    ):
        choose_candidates(packaged.parts, under="scientist")
    assert SCIENTIST in choose_candidates(packaged.parts, "all-nouns", under="scientist").space.labels


def test_no_hedge_has_a_name_that_is_withheld(packaged: Model):
    """All probability on kinds of cook and nurse: the least that is sure of both is a person."""
    parts = packaged.parts
    asked = parts.answerable.labels
    shares = np.zeros((1, len(asked)))
    for one in ("n10763383", "n10763620", "n09841188"):  # waiter, waitress, bartender: employees, workers
        shares[0, asked.position(one)] = 1 / 3
    (hedge,) = Hedger(parts, asked, asked).hedges(shares, 0.9, 5)
    above = parts.taxonomy.ancestors("n10763383")
    assert above & set(parts.withheld)
    told = [*hedge.way, *hedge.narrower, *([hedge.name] if hedge.name else [])]
    assert {one.id for one in told}.isdisjoint(parts.withheld)
    assert PERSON in {one.id for one in hedge.way}


def test_a_hedge_of_all_nouns_may_have_any_name(packaged: Model):
    parts = packaged.parts
    asked = parts.space.labels
    shares = np.zeros((1, len(asked)))
    shares[0, asked.position(NURSE)] = 1
    (hedge,) = Hedger(parts, asked, asked).hedges(shares, 0.9, 5)
    assert hedge.name is not None
    assert hedge.name.id == NURSE


def test_nothing_withheld_is_near_a_word_unless_all_nouns_are_asked(packaged: Model):
    parts = packaged.parts
    asked = ask(parts, "nurse")
    assert (asked.chosen.id, asked.chosen.withheld) == (NURSE, "people")
    near = [one.label.id for one in nearest_labels(parts, asked, 30).labels]
    assert set(near).isdisjoint(parts.withheld)
    every = [one.label.id for one in nearest_labels(parts, asked, 30, all_nouns=True).labels]
    assert not set(every).isdisjoint(parts.withheld)


def test_no_spelling_is_suggested_that_only_insults(packaged: Model):
    taxonomy = packaged.parts.taxonomy
    for word in ("niggr", "faggt", "darkey girl", "wetbak"):
        for noun in close_spellings(taxonomy, word):
            assert any(one.id not in withheld_nouns(taxonomy) for one in taxonomy.find(noun))


def test_other_meanings_leave_out_what_is_withheld(packaged: Model):
    meanings = Meanings(packaged.parts)
    cat = meanings.of("cat")
    assert cat is not None
    others = meanings.others(cat)
    assert {one.id for one in others}.isdisjoint(packaged.parts.withheld)
    assert cat.others == len(others)
    assert len(others) < len(cat.senses) - 1


def test_a_model_without_such_labels_is_as_it_was(small: Model):
    assert dict(small.parts.withheld) == {}
    assert small.parts.answerable is small.parts.space
    assert choose_candidates(small.parts).space is small.parts.space
    assert choose_candidates(small.parts, "all-nouns").space is small.parts.space


def test_a_withheld_label_leaves_the_others_their_scores(small: Model, plain):
    """The slow way: all labels scored, that one taken out, the rest made to sum to 1."""
    picture = plain((20, 30, 240))
    before = small.label(picture, top=9).guesses
    gone = before[1].label.id if not before[1].label.seen else next(g.label.id for g in before if not g.label.seen)
    with withholding(small.parts, gone) as parts:
        after = Model(parts).label(picture, top=9).guesses
    rest = [guess for guess in before if guess.label.id != gone]
    total = sum(guess.score for guess in rest)
    assert [one.label.id for one in after] == [one.label.id for one in rest]
    assert [one.score for one in after] == pytest.approx([one.score / total for one in rest], rel=1e-5)


def test_answers_explain_themselves_as_before(packaged: Model, tmp_path: Path):
    grey = np.full((64, 64, 3), 127, np.uint8)
    for method in METHODS:
        run = packaged.run(LabelRequest(3, method, explain=True))
        assert run.candidates is packaged.parts.answerable.labels
        (answer,) = run.answers([grey])
        for guess in answer.guesses:
            assert guess.explanation is not None
            assert guess.label.id not in packaged.parts.withheld
