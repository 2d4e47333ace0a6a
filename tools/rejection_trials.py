"""Compares rules for "none of these" on classes left out of the trained ones; prints tables in Markdown.

Lists of class names, half of them with the name of what a photo shows, are asked of photos of trained classes and of
classes left out (a quarter at a time, sister classes together). Shares are those of the fused scorer among all labels.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from devise.bundle.bundle import open_bundle
from devise.bundle.parts import BACKBONE
from devise.errors import DeviseError
from devise.labels import LabelSet
from devise.space.evidence import Classifier, log_sum_exp
from devise.space.kernel import fit_kernel
from devise.space.labelspace import LabelSpace
from devise.space.scorers import ConseScorer, FusedScorer, KernelScorer
from devise.taxonomy.wordnet import default_taxonomy
from devise.training.calibration import left_out_folds
from devise.training.photofeatures import photo_features
from devise.training.targetspace import encoded_labels
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.pipeline import cores
from tools import parser
from tools.default_model import BuildConfig
from tools.prior import COLUMNS, PriorSources, log_odds, noun_facts, term_counts

LENGTHS = (1, 2, 5, 10, 40)
RULES = ("share of all labels", "best label over its share before", "sum over the sum before", "best over its mean")


def main() -> None:
    """Print the tables; DeviseError is one line and exit code 1."""
    given = parser("rejection_trials", __doc__)
    given.add_argument("--model", type=Path, default=Path("src/devise/default_model"))
    given.add_argument("--work", type=Path, required=True, help="of make default-model")
    given.add_argument("--articles", type=Path, nargs="+", required=True)
    given.add_argument("--languages", type=Path, required=True)
    given.add_argument("--photos", type=Path, nargs="+", required=True, help="class folders, trained synsets")
    try:
        run(given.parse_args())
    except DeviseError as error:
        sys.exit(f"devise: {error}")


def run(options: argparse.Namespace) -> None:
    """Score all photos fold by fold, ask the lists, print."""
    rng = np.random.default_rng(0)
    found: dict[tuple[str, int, str, bool], list[float]] = {}
    for shares, before, truth, unseen, left in folds(options):
        mean = np.log(np.exp(shares[:, :1000]).mean(axis=0) + 1e-9)
        for kind, mask, pool in (("trained", ~unseen, np.arange(1000)), ("left out", unseen, left)):
            rows = np.flatnonzero(mask)
            for row in rng.permutation(rows)[: int(unseen.sum())].tolist():
                for length in LENGTHS:
                    for shown in (True, False):
                        asked = rng.choice(pool[pool != truth[row]], length, replace=False)
                        if shown:
                            asked[0] = truth[row]
                        values = judged(shares[row, asked], before[asked], mean[asked])
                        for rule, value in zip(RULES, values, strict=True):
                            found.setdefault((kind, length, rule, shown), []).append(value)
    print_tables(found)


def judged(shares: np.ndarray, before: np.ndarray, mean: np.ndarray) -> tuple[float, ...]:
    """By each of RULES, up is shown; logarithms."""
    best = shares.argmax()
    return (
        float(log_sum_exp(shares)),
        float(shares[best] - before[best]),
        float(log_sum_exp(shares) - log_sum_exp(before)),
        float((shares - mean).max()),
    )


def print_tables(found: dict[tuple[str, int, str, bool], list[float]]) -> None:
    """Area under the ROC curve per rule; what the second rule rejects at the threshold 1."""
    print(f"| asked | {' | '.join(RULES)} | wrongly rejected, % | rightly rejected, % |")
    print("|---|" + "---:|" * (len(RULES) + 2))
    for kind in ("trained", "left out"):
        for length in LENGTHS:
            areas = [area(*(np.array(found[kind, length, rule, shown]) for shown in (True, False))) for rule in RULES]
            rejected = [
                100 * float((np.array(found[kind, length, RULES[1], shown]) <= 0).mean()) for shown in (True, False)
            ]
            cells = [f"{one:.3f}" for one in areas] + [f"{one:.0f}" for one in rejected]
            print(f"| {length}, {kind} | {' | '.join(cells)} |")


def area(shown: np.ndarray, others: np.ndarray) -> float:
    """Under the ROC curve: how often a photo that shows a label stands above one that does not."""
    return float((shown[:, None] > others[None]).mean() + (shown[:, None] == others[None]).mean() / 2)


def folds(options: argparse.Namespace) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield per fold the logarithms of the shares of all labels and of those before, truth, and what was left out."""
    config, taxonomy, bundle = BuildConfig(), default_taxonomy(), open_bundle(options.model)
    ids, classifier, vectors, rule = bundle.labels.ids, bundle.classifier(), bundle.label_vectors(), bundle.stacking()
    trained = np.asarray(bundle.trained)
    text = encoded_labels(ids, taxonomy, config.encoder, options.work, print)
    counts = term_counts(options.articles, taxonomy, options.work)
    facts = noun_facts(ids, taxonomy, counts, PriorSources(options.languages))
    familiar = facts[:, COLUMNS.index("familiarity")]
    familiar = (familiar - familiar.mean()) / familiar.std()
    chosen = bundle.manifest.config["calibration_result"]
    assert isinstance(chosen, dict), "as tools.default_model wrote it"
    share = float(chosen["familiarity"])
    backbone = OpenVinoBackbone(bundle.part_bytes(BACKBONE), bundle.preprocessing(), streams=cores())
    key = f"{config.backbone} {config.resize}"
    trained_ids = [ids[place] for place in trained.tolist()]
    photos = photo_features(options.photos, backbone, key, trained_ids, options.work, config.seen_area)
    parts = left_out_folds(trained_ids, taxonomy, config.calibration.folds)
    temperature = bundle.setting("fused", "temperature")
    for fold in range(config.calibration.folds):
        kept = np.flatnonzero(parts != fold)
        rest = Classifier(classifier.weight[kept], classifier.bias[kept])
        fitted = fit_kernel(config.kernel, vectors, trained[kept], rest.weight, text=text)
        judges, chosen = np.ones(len(ids), bool), np.zeros(len(ids), bool)
        judges[trained] = False
        judges[trained[kept]] = chosen[trained[kept]] = True
        prior = (bundle.prior_weight() * (log_odds(facts, chosen, judges) + share * familiar)).astype(np.float32)
        space = LabelSpace(LabelSet(bundle.labels), fitted.places)
        near = ConseScorer(space, fitted.places[trained[kept]], config.conse_top)
        fused = FusedScorer(
            KernelScorer(space, fitted.axes), near, trained[kept], rule, prior, bundle.setting("fused", "conse")
        )
        logs = fused.scores(rest.evidence(photos.features)) / np.float32(temperature)
        logs -= log_sum_exp(logs)[:, None].astype(np.float32)
        before = prior / temperature - log_sum_exp(prior / temperature)
        yield logs, before, photos.truth, parts[photos.truth] == fold, np.flatnonzero(parts == fold)


if __name__ == "__main__":
    main()
