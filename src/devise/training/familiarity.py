"""Familiarity of each label's name: its frequency in plain text, and WordNet's rank of the sense."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from devise.bundle.bundle import file_sha256
from devise.errors import TrainingError
from devise.files import atomic_write, read_json, reason_of
from devise.space.prior import Familiarity
from devise.taxonomy.wordnet import Taxonomy
from devise.text.phrases import PhraseJoiner, term_key
from devise.text.readers import open_corpus
from devise.text.tokens import tokenize

__all__ = ["familiarity", "term_counts"]


def familiarity(ids: Sequence[str], counts: Mapping[str, int], taxonomy: Taxonomy) -> Familiarity:
    """Compute log(1 + count) / sqrt(rank), the highest over a synset's terms, one value per id.

    counts: of terms as `term_key` writes them. rank: of the synset among all senses of the term, from 1; WordNet
    orders senses from the most common one.
    """
    return np.array([_familiarity(synset_id, counts, taxonomy) for synset_id in ids], dtype=np.float32)


def _familiarity(synset_id: str, counts: Mapping[str, int], taxonomy: Taxonomy) -> float:
    highest = 0.0
    for term in taxonomy.synset(synset_id).lemmas:
        senses = [sense.id for sense in taxonomy.find(term)]
        highest = max(highest, math.log1p(counts.get(term_key(term), 0)) / math.sqrt(senses.index(synset_id) + 1))
    return highest


def term_counts(articles: Sequence[Path], taxonomy: Taxonomy, work: Path) -> Mapping[str, int]:
    """Count each noun term in the whole text of the articles; cached in `work`."""
    names = taxonomy.lemma_names()
    facts = [file_sha256(path) for path in articles]
    key = hashlib.sha256("\n".join([*facts, *names]).encode()).hexdigest()[:12]
    stored = work / f"counts-{key}.json"
    if not stored.exists():
        terms = frozenset(map(term_key, names)) - {""}
        counts = Counter(token for token in _tokens(articles, PhraseJoiner(names)) if token in terms)
        with atomic_write(stored) as file:
            file.write(json.dumps(dict(sorted(counts.items()))))
    try:
        found: dict[str, int] = read_json(stored)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{stored} is damaged ({reason_of(error)}): remove it to count again") from None
    return found


def _tokens(articles: Sequence[Path], joiner: PhraseJoiner) -> Iterator[str]:
    for path in articles:
        for document in open_corpus(path):
            yield from joiner.join(tokenize(document.text))
