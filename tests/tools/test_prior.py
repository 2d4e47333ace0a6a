"""The prior: against a slow logistic regression, and its facts by hand on the small WordNet."""

import json
import lzma
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devise.errors import DeviseError, UsageError
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from tools.prior import COLUMNS, FREE_LANGUAGES, PriorSources, familiarity, log_odds, noun_facts, term_counts

TABBY, CAT = "n02123045", "n02121808"


@pytest.fixture
def sources(tmp_path: Path) -> PriorSources:
    norms = tmp_path / "norms.csv"
    norms.write_text("Word,Visual,Auditory,Haptic\ntabby,4.5,1.0,2.0\n", encoding="utf-8")
    for code in FREE_LANGUAGES:
        names = f"# {code}\n" + (f"{TABBY}\tnom\n{TABBY}\tautre\n" if code in ("cat", "ita") else "")
        with lzma.open(tmp_path / f"{code}.tsv.xz", "wt", encoding="utf-8") as file:
            file.write(names)
    return PriorSources(tmp_path, norms, lambda term: {"tabby": 2.5}.get(term, 1.0))


def test_missing_sources_are_refused_before_the_work(sources: PriorSources, tmp_path: Path) -> None:
    sources.check()
    with pytest.raises(UsageError, match="is not a folder of names per language"):
        replace(sources, languages=tmp_path / "absent").check()


def test_facts_by_hand(sources: PriorSources) -> None:
    facts = noun_facts([TABBY, CAT], default_taxonomy(), {"tabby": 9, "tabby_cat": 0}, sources)
    tabby = dict(zip(COLUMNS, facts[0].tolist(), strict=True))
    senses = [sense.id for sense in default_taxonomy().find("tabby")]
    assert tabby == pytest.approx(
        {
            "rated by people for how it is sensed": 1,
            "visual strength, 0 to 5": 4.5,
            "visual strength of 3 or more": 1,
            "haptic strength, 0 to 5": 2.0,
            "auditory strength, 0 to 5": 1.0,
            "Zipf frequency": 2.5,
            "Zipf frequency squared": 6.25,
            "familiarity": math.log1p(9) / math.sqrt(senses.index(TABBY) + 1),
            "its first term is rated": 1,
            "number of terms": 2,
            "its first term has a space": 0,
            "its first term is capitalised": 0,
            "it is the first sense of one of its terms": 1,
            "number of languages with a name for it": 2,
            "number of languages squared": 4,
            "log of the labels at or below it": 0,
        },
        abs=1e-5,
    )
    assert dict(zip(COLUMNS, facts[1].tolist(), strict=True))["log of the labels at or below it"] == pytest.approx(
        math.log(2)  # the cat and the tabby
    )


def test_against_a_slow_logistic_regression() -> None:
    """Gradient descent on the same penalised likelihood, in plain loops over steps."""
    rng = np.random.default_rng(0)
    facts = rng.standard_normal((60, 3)).astype(np.float32)
    chosen = facts @ np.array([1.0, -0.5, 0.0]) + rng.standard_normal(60) > 0.5
    judged = np.arange(60) % 6 != 0
    found = log_odds(facts, chosen, judged)
    rest = facts[judged & ~chosen].astype(np.float64)
    scaled = (facts - rest.mean(axis=0)) / rest.std(axis=0)
    weights, constant = np.zeros(3), 0.0
    for _ in range(20_000):
        wrong = 1 / (1 + np.exp(-(scaled[judged] @ weights + constant))) - chosen[judged]
        weights -= 0.01 * (scaled[judged].T @ wrong + 3.0 * weights)
        constant -= 0.01 * wrong.sum()
    np.testing.assert_allclose(found, scaled @ weights, atol=1e-4)


def test_a_label_that_is_not_judged_does_not_matter() -> None:
    rng = np.random.default_rng(1)
    facts = rng.standard_normal((40, 2)).astype(np.float32)
    chosen = np.arange(40) < 10
    judged = np.arange(40) != 3
    changed = chosen.copy()
    changed[3] = False
    np.testing.assert_array_equal(log_odds(facts, chosen, judged), log_odds(facts, changed, judged))


def test_labels_of_one_kind() -> None:
    with pytest.raises(UsageError, match="both chosen labels and others"):
        log_odds(np.ones((3, 2), np.float32), np.ones(3, bool), np.ones(3, bool))


def test_norms_in_another_form(tmp_path: Path) -> None:
    norms = tmp_path / "norms.csv"
    norms.write_text("Term,Visual\ncat,1\n", encoding="utf-8")
    with pytest.raises(UsageError, match="cannot read the norms"):
        noun_facts([TABBY], default_taxonomy(), {}, PriorSources(tmp_path, norms, lambda term: 0.0))


def test_names_that_are_missing(tmp_path: Path, sources: PriorSources) -> None:
    (tmp_path / "ita.tsv.xz").unlink()
    with pytest.raises(UsageError, match=r"ita\.tsv\.xz"):
        noun_facts([TABBY], default_taxonomy(), {}, sources)


TAXONOMY = Taxonomy.from_synsets(
    [
        Synset("n00000001", ("animal",)),
        Synset("n00000002", ("snow leopard", "ounce"), hypernyms=("n00000001",)),
        Synset("n00000003", ("weight", "ounce"), hypernyms=("n00000001",)),
        Synset("n00000004", ("aardwolf",), hypernyms=("n00000001",)),
    ]
)


def test_by_hand():
    counts = {"animal": 99, "snow_leopard": 3, "ounce": 24}
    first = max(math.log(4), math.log(25))  # "ounce" is first a snow leopard, by the order of the synsets
    second = math.log(25) / math.sqrt(2)
    found = familiarity(["n00000001", "n00000002", "n00000003", "n00000004"], counts, TAXONOMY)
    assert found.tolist() == pytest.approx([math.log(100), first, second, 0.0])


def test_terms_are_counted_in_the_whole_text(tmp_path: Path):
    text = tmp_path / "articles.jsonl"
    articles = ["A snow leopard is an animal. Leopard of snow.", "animal Animal ANIMAL wolf"]
    text.write_text("\n".join(json.dumps({"id": "1", "title": "t", "text": article}) for article in articles))
    counts = term_counts([text], TAXONOMY, tmp_path)
    assert counts == {"animal": 4, "snow_leopard": 1}
    kept = next(tmp_path.glob("counts-*.json"))
    kept.write_text('{"animal": 7}')  # read again, not counted again
    assert term_counts([text], TAXONOMY, tmp_path) == {"animal": 7}


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises((DeviseError, OSError), match="absent"):
        term_counts([tmp_path / "absent.jsonl"], TAXONOMY, tmp_path)
