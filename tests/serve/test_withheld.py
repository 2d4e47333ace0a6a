"""The service names nobody by a noun that is withheld, unless it is asked for."""

import pytest

from devise.model.labeller import Model

SCIENTIST = "n10560637"


def asked(served, photo: bytes, **options: object) -> dict:
    with served.http() as http:
        answer = http.post("/v1/label", params=options, files={"file": photo})
    assert answer.status_code == 200, answer.text
    return answer.json()["answers"][0]


def test_default_answers_and_all_nouns(served, photo: bytes, model: Model):
    ranked = [asked(served, photo, top=100, own=False, sure=0.5)]
    ranked.append(asked(served, photo, top=100, own=False, candidates="all-nouns"))
    assert [one["candidates"] for one in ranked] == [len(model.parts.answerable.labels), len(model.labels)]
    assert {guess["id"] for guess in ranked[0]["guesses"]}.isdisjoint(model.parts.withheld)
    assert {one["id"] for one in ranked[0]["sure"]["way"]}.isdisjoint(model.parts.withheld)


def test_a_typed_noun_competes_though_it_is_withheld(served, photo: bytes):
    found = asked(served, photo, labels="scientist; teapot", candidates="typed", own=False)
    assert SCIENTIST in {guess["id"] for guess in found["guesses"]}


@pytest.mark.parametrize("query", ["scien", "nig", "cock", "wom"])
def test_look_ups_suggest_nothing_that_is_withheld(served, model: Model, query: str):
    with served.http() as http:
        found = http.get("/v1/labels", params={"q": query, "top": 100, "near": 20}).json()
    exact = {sense.id for sense in model.parts.taxonomy.find(query)}
    assert {one["id"] for one in found["found"]} - exact <= set(model.parts.answerable.labels.ids)
    assert {one["id"] for one in found["nearest"]}.isdisjoint(model.parts.withheld)


def test_a_withheld_noun_is_found_by_its_own_name(served):
    with served.http() as http:
        found = http.get("/v1/labels", params={"q": "scientist", "top": 5}).json()["found"]
    assert [one["id"] for one in found] == [SCIENTIST]


def test_the_map_shows_no_withheld_noun(served, model: Model):
    with served.http() as http:
        found = http.get("/v1/map").json()
    ids = found["ids"].split("\n")
    assert tuple(ids) == model.parts.answerable.labels.ids
    assert {len(found[column]) for column in ("x", "y", "branch", "seen")} == {len(ids)}
