import json
import math
from pathlib import Path

import pytest

from devise.errors import DeviseError
from devise.taxonomy.synsets import Synset
from devise.taxonomy.wordnet import Taxonomy
from devise.training.familiarity import familiarity, term_counts

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
