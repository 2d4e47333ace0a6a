"""Trials of label policies on left-out trained classes, which chose their settings without test classes."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from devise.arrays import Int64, LabelVectors
from devise.bundle.bundle import open_bundle
from devise.bundle.parts import BACKBONE
from devise.errors import DeviseError, counted
from devise.labels import LabelSet
from devise.space.evidence import Classifier
from devise.space.label_vectors import POLICIES, LabelPolicy, composer_for
from devise.space.labelspace import LabelSpace, centre_of, placed
from devise.space.scorers import ConseScorer, DeviseScorer, FusedScorer
from devise.space.surgery import image_free_surgery
from devise.taxonomy.wordnet import default_taxonomy
from devise.text.documents import SENSE_MARK
from devise.text.vectorfiles import read_vectors
from devise.training.calibration import left_out_folds
from devise.training.photofeatures import PhotoFeatures, photo_features
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.pipeline import cores
from tools import parser

__all__ = ["TrialSettings", "left_out_hits", "main", "trials"]

_PULLS = (0.5, 1.0, 2.0)
_BLOCK = 64  # photos scored at once


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """ridge: of the closed form. conse_top: classes that ConSE joins. folds: parts of the trained classes."""

    ridge: float
    conse_top: int
    folds: int = 4
    ks: tuple[int, ...] = (1, 5, 20)


def left_out_hits(
    photos: PhotoFeatures,
    classifier: Classifier,
    labels: LabelSet,
    raw: LabelVectors,
    folds: Int64[np.ndarray, "trained"],
    settings: TrialSettings,
) -> tuple[float, ...]:
    """Hit@k in per cent, fused, of photos of classes left out, among all labels but the classes kept.

    raw: composed vectors of the labels, the trained ones first, in the classifier's order. Centre, surgery and ConSE
    are made of the classes kept; no prior, no stacking.
    """
    ranks: list[int] = []
    for fold in range(settings.folds):
        kept = np.flatnonzero(folds != fold)
        rows = np.flatnonzero(folds[photos.truth] == fold)
        rest = Classifier(classifier.weight[kept], classifier.bias[kept])
        space = LabelSpace(labels, placed(raw, centre_of(raw[kept])))
        devise = DeviseScorer(space, image_free_surgery(space.vectors[kept], rest.weight, settings.ridge))
        conse = ConseScorer(space, space.vectors[kept], settings.conse_top)
        fused = FusedScorer(devise, conse, kept, None)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            scores = fused.scores(rest.evidence(photos.features[block]))
            own = np.take_along_axis(scores, photos.truth[block, None], axis=1)
            scores[:, kept] = -np.inf
            ranks += (scores > own).sum(axis=1).tolist()
    return tuple(100 * float((np.array(ranks) < k).mean()) for k in settings.ks)


def trials(tags: bool) -> Iterator[tuple[str, LabelPolicy]]:
    """The named trials. tags: whether the words contain sense tags."""
    for name in ("first-term", "mean-of-terms", "sense-aware"):
        yield name, POLICIES[name]
    base = POLICIES["sense-aware"]
    for term, parents in ((0.75, 1.0), (1.0, 1.0), (1.5, 1.0), (0.5, 0.5), (1.0, 0.5)):
        policy = replace(base, term_weight=term, parents_weight=parents)
        yield f"sense-aware, terms {term:g}, hypernyms {parents:g}", policy
    base = POLICIES["retrofitted"]
    for pull in _PULLS:
        yield f"retrofitted, pull {pull:g}", replace(base, retrofit=pull)
    for pull in _PULLS:
        yield f"retrofitted, pull {pull:g}, no hypernyms before", replace(base, retrofit=pull, parents_weight=0.0)
    if not tags:
        return
    base = POLICIES["sense-tagged"]
    for term, parents in ((0.0, 0.0), (0.0, 1.0), (0.5, 1.0)):
        policy = replace(base, term_weight=term, parents_weight=parents)
        yield f"sense-tagged, terms {term:g}, hypernyms {parents:g}", policy


def main(arguments: Sequence[str] | None = None) -> None:
    """From the command line; DeviseError is one line and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        options.work.mkdir(parents=True, exist_ok=True)
        tried = _tried(options.model, options.photos, options.work, options.label_vectors, options.only)
        for name, hits in tried:
            print(f"{name:48}" + "".join(f"{hit:7.1f}" for hit in hits), flush=True)
    except DeviseError as error:
        sys.exit(f"devise: {error}")


def _tried(
    model: Path, photos: Sequence[Path], work: Path, vectors: Path | None, only: str
) -> Iterator[tuple[str, tuple[float, ...]]]:
    bundle, taxonomy = open_bundle(model), default_taxonomy()
    words = bundle.words() if vectors is None else read_vectors(vectors)
    own = bundle.labels
    trained = bundle.trained.tolist()
    chosen = set(trained)
    labels = own.subset([*trained, *(place for place in range(len(own)) if place not in chosen)])
    seen = labels.ids[: len(trained)]
    preprocessing = bundle.preprocessing()
    backbone = OpenVinoBackbone(bundle.part_bytes(BACKBONE), preprocessing, streams=cores())
    key = f"{bundle.manifest.backbone.architecture.removeprefix('efficientnet-')} {preprocessing.resize}"
    found = photo_features(photos, backbone, key, seen, work)
    scoring = bundle.manifest.scoring
    settings = TrialSettings(float(scoring["devise"]["ridge"]), int(scoring["conse"]["top"]))
    folds = left_out_folds(seen, taxonomy, settings.folds)
    print(
        f"{counted(len(found.truth), 'photo')}; hit@{', '.join(map(str, settings.ks))} of classes left out",
        file=sys.stderr,
    )
    for name, policy in trials(any(word.startswith(SENSE_MARK) for word in words.words)):
        if not name.startswith(only):
            continue
        raw = composer_for(words, taxonomy, policy).labels(labels.ids).vectors
        yield name, left_out_hits(found, bundle.classifier(), labels, raw, folds, settings)


def _parser() -> argparse.ArgumentParser:
    given = parser("policy_trials", __doc__)
    given.add_argument("--photos", type=Path, nargs="+", required=True, help="class folders, trained synsets")
    given.add_argument("--work", type=Path, required=True, help="keeps the photos' features, to be used again")
    given.add_argument("--label-vectors", type=Path, help="word vectors (default: the model's)")
    given.add_argument("--model", type=Path, required=True, help="the bundle whose classifier and labels are used")
    given.add_argument("--only", default="", help="try only what begins so, such as sense-aware")
    return given


if __name__ == "__main__":
    main()
