"""The job `devise build`: a classifier that was trained elsewhere becomes a bundle, in minutes and without training.

Labels, label vectors, words and prior come from a base bundle. The map to the label space and the kernel surgery follow
in closed form from the classifier's rows.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from devise.arrays import Float32, Int64
from devise.bundle.bundle import Bundle
from devise.bundle.manifest import Provenance
from devise.errors import LabelError, PictureError, TrainingError, UsageError, counted
from devise.evaluation.photos import class_photos
from devise.labels import Label, LabelSet
from devise.space.evidence import Classifier
from devise.space.kernel import KernelConfig, KernelSurgery, fit_kernel, placed_by_label
from devise.space.scorers import random_space
from devise.space.surgery import image_free_surgery
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.training.calibration import (
    CalibrationConfig,
    Choice,
    KernelPlan,
    calibrate,
    left_out_folds,
    scattered_folds,
)
from devise.training.classes import IMAGENET, imagenet_ids, read_class_list, row_ids
from devise.training.output import Network, TrainedModel, write_trained
from devise.training.photofeatures import PhotoFeatures, photo_features
from devise.training.sources import Source
from devise.training.targetspace import TargetSpace, bundle_space, encoded_labels
from devise.training.temperatures import open_base, spread
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.decoding import read_picture
from devise.vision.pipeline import cores

__all__ = ["BuildInputs", "Built", "Checked", "build", "checked"]

Say = Callable[[str], None]
LabelText: TypeAlias = Float32[np.ndarray, "labels text"] | None
"""Unit vectors of all labels in the second view of the kernel; None without one."""
Views: TypeAlias = tuple[KernelConfig, LabelText] | None

_NOISE = 2  # pictures
_FEWEST_CLASSES = 40  # with photos; fewer cannot be left out by fourths and say something
_SEEN_AREA = 0.6  # of each photo, as in the default model's calibration
_BASES = "the rule and temperatures of the base model, which were chosen for its own network"
_CALIBRATION = CalibrationConfig(most_seen_loss=1.0)


@dataclass(frozen=True, slots=True)
class BuildInputs:
    """What a build reads in addition to the network.

    base: the bundle whose labels the new one gets. work: keeps features and texts, so that a killed build resumes.
    classes: a file of the classifier's classes, "imagenet", or None for those that the source names. review: see
    `map_classes`. photos: class folders for the calibration. check: class folders to measure on. encoder: let the
    base's sentence encoder read the definitions again for the kernel.
    """

    base: Path
    work: Path
    classes: str | None = None
    review: Path | None = None
    photos: tuple[Path, ...] = ()
    check: tuple[Path, ...] = ()
    encoder: bool = False
    ridge: float = 0.1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """What was measured. difference: of logits from the source's own, as a share of the largest; hits in per cent."""

    pictures: int
    difference: float
    hit1: float | None = None
    photos: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Built:
    """The bundle and what was found on the way."""

    bundle: Bundle
    checked: Checked
    choice: Choice | None


@dataclass(frozen=True, eq=False, slots=True)
class _Rows:
    """The classes of the network: ids of the rows that are kept, and the network with these rows."""

    ids: tuple[str, ...]
    network: Network
    kept: Int64[np.ndarray, "kept"]


def build(source: Source, inputs: BuildInputs, out: Path, *, say: Say = print, overwrite: bool = False) -> Built:
    """Check the network against its source, place its labels, and write the bundle.

    Nothing is written unless every check passes. UsageError for a class list that does not fit, TrainingError if the
    logits are not the source's.
    """
    taxonomy, base = default_taxonomy(), open_base(inputs.base)
    rows = _rows(source, inputs, taxonomy, say)
    backbone = OpenVinoBackbone(rows.network.onnx, rows.network.preprocessing, streams=cores())
    found = checked(source, backbone, rows, inputs.check, say)
    space = bundle_space(base, taxonomy, rows.ids, rows.ids)
    views = _views(base, space, inputs, taxonomy, say)
    choice = _calibrated(base, space, rows, views, backbone, inputs, taxonomy, say)
    model = _model(base, source, rows, space, views, choice, found, inputs)
    return Built(write_trained(base, model, out, overwrite=overwrite), found, choice)


def checked(source: Source, backbone: OpenVinoBackbone, rows: _Rows, folders: Sequence[Path], say: Say) -> Checked:
    """Compare logits with the source's own on noise, and on photos if there are some; TrainingError if they differ."""
    crop = backbone.preprocessing.crop
    noise = np.random.default_rng(0).integers(0, 256, (_NOISE, crop, crop, 3), np.uint8)
    own = source.logits(backbone.preprocessing.normalised(noise))
    difference = _apart(source.network.classifier.logits(backbone.features(noise)), own)
    if not folders:
        _require_equal(difference, source)
        return Checked(_NOISE, difference)
    places = {one: place for place, one in enumerate(rows.ids)}
    samples, skipped = class_photos(folders, places)
    for reason, count in skipped.items():
        say(f"left out {count}: {reason}")
    right, read = 0, 0
    for row in spread(np.arange(len(samples))).tolist():
        try:
            pixels = read_picture(samples.source(row), min_side=backbone.preprocessing.decode_side)
        except PictureError as error:
            say(f"left out {samples.place(row)}: {error}")
            continue
        photo = backbone.preprocessing.apply(pixels)[None]
        logits = source.network.classifier.logits(backbone.features(photo))
        difference = max(difference, _apart(logits, source.logits(backbone.preprocessing.normalised(photo))))
        truth = samples.class_names[int(samples.truth[row])]
        right += int(logits[0, rows.kept].argmax()) == places[truth]
        read += 1
    if not read:
        raise UsageError("no photo of --check can be read: check the folders")
    _require_equal(difference, source)
    return Checked(read, difference, 100 * right / read, len(samples))


def _apart(ours: np.ndarray, own: np.ndarray) -> float:
    """The largest difference, as a share of the largest logit or of 1."""
    if ours.shape != own.shape:
        raise TrainingError(f"the source makes {own.shape[1]} logits, the cut network {ours.shape[1]}: report this")
    return float(np.abs(ours - own).max()) / max(1.0, float(np.abs(own).max()))


def _require_equal(difference: float, source: Source) -> None:
    if not difference <= source.most:
        raise TrainingError(
            f"the logits differ by {difference:.1e} of the largest from those of {source.by}, more than "
            f"{source.most:g}: nothing was written; name the feature layer with --features, or build without --half"
        )


def _rows(source: Source, inputs: BuildInputs, taxonomy: Taxonomy, say: Say) -> _Rows:
    count, imagenet = len(source.network.classifier.bias), imagenet_ids()
    if inputs.classes is not None:
        names = imagenet if inputs.classes == IMAGENET else read_class_list(Path(inputs.classes))
    elif source.classes is not None:
        names = source.classes
    else:
        raise UsageError(f"the network does not name its {count:,} classes: give --classes FILE or --classes imagenet")
    ids, line = row_ids(names, count, taxonomy, imagenet, inputs.review)
    say(line)
    kept = np.array([row for row, one in enumerate(ids) if one is not None], dtype=np.int64)
    if len(kept) < 2:
        raise UsageError(f"a model needs 2 trained classes or more, got {len(kept)}: leave fewer out")
    old = source.network
    classifier = Classifier(old.classifier.weight[kept], old.classifier.bias[kept])
    return _Rows(tuple(one for one in ids if one is not None), replace(old, classifier=classifier), kept)


def _views(base: Bundle, space: TargetSpace, inputs: BuildInputs, taxonomy: Taxonomy, say: Say) -> Views:
    """The kernel's configuration and a second view of the labels; None without kernel surgery.

    The second view is what the encoder says of the labels, if it is asked. Else it is their places in the base's
    kernel, which was made with an encoder: on Caltech's unseen classes, EfficientNet-Lite0 with them has hit@5 29.3 and
    hit@20 50.8, by label vectors alone 27.4 and 48.8.
    """
    own = base.kernel()
    if inputs.encoder and (own is None or not own.config.text_share):
        raise UsageError(f"{base.path} has no kernel made with an encoder: leave out --encoder")
    if own is None:
        say("kernel surgery: none, as in the base model")
        return None
    if not own.config.text_share:
        say("kernel surgery: by label vectors alone, as the base model's")
        return own.config, None
    if not inputs.encoder:
        say("kernel surgery: by label vectors and the labels' places in the base model (or --encoder)")
        return own.config, _places(base, own, space)
    encoder = next((one.source for one in base.manifest.provenance if one.what == "kernel"), "")
    say(f"kernel surgery: by label vectors and {encoder}")
    inputs.work.mkdir(parents=True, exist_ok=True)
    return own.config, encoded_labels(space.labels.ids, taxonomy, encoder, inputs.work, say)


def _places(base: Bundle, kernel: KernelSurgery, space: TargetSpace) -> Float32[np.ndarray, "labels rank"]:
    """The place of each label in the base's kernel; a label that is not the base's is placed by its vector."""
    known = {label_id: place for place, label_id in enumerate(base.labels.ids)}
    rows = np.array([known.get(label_id, -1) for label_id in space.labels.ids])
    places: Float32[np.ndarray, "labels rank"] = kernel.places[rows]
    if (rows < 0).any():
        trained = base.label_vectors()[base.trained]
        places[rows < 0] = placed_by_label(space.vectors[rows < 0], trained, kernel)
    return places


def _calibrated(
    base: Bundle,
    space: TargetSpace,
    rows: _Rows,
    views: Views,
    backbone: OpenVinoBackbone,
    inputs: BuildInputs,
    taxonomy: Taxonomy,
    say: Say,
) -> Choice | None:
    """The stacking rule and temperatures for this network; None keeps the base's. Says which."""
    if not inputs.photos:
        say(f"scoring: {_BASES}; --photos FOLDER chooses them for this network")
        return None
    inputs.work.mkdir(parents=True, exist_ok=True)
    key = f"{hashlib.sha256(rows.network.onnx).hexdigest()} {rows.network.preprocessing}"
    photos = photo_features(inputs.photos, backbone, key, rows.ids, inputs.work, _SEEN_AREA)
    chosen = spread(np.arange(len(photos.truth)))
    truth = photos.truth[chosen]
    classes = len(np.unique(truth))
    if classes < _FEWEST_CLASSES:
        say(f"scoring: {_BASES}, for {classes} classes with photos are too few to leave some out ({_FEWEST_CLASSES})")
        return None
    known = base.prior().of(space.labels, base.labels, base.trained).standing
    try:
        choice = calibrate(
            PhotoFeatures(photos.features[chosen], truth),
            rows.network.classifier,
            space.vectors,
            left_out_folds(rows.ids, taxonomy, _CALIBRATION.folds),
            scattered_folds(rows.ids, taxonomy, _CALIBRATION.folds),
            surgeon=lambda vectors, weight: image_free_surgery(vectors, weight, inputs.ridge),
            conse_top=int(base.setting("conse", "top")),
            config=_CALIBRATION if known is None else replace(_CALIBRATION, priors=(base.prior_weight(),)),
            kernel=None if views is None else KernelPlan(*views, base.setting("fused", "conse")),
            prior=None if known is None else lambda kept: known,
        )
    except (LabelError, UsageError) as error:
        say(f"scoring: {_BASES}: {error}")
        return None
    say(
        f"scoring: chosen on {counted(len(truth), 'photo')} of {counted(classes, 'class')}, each fourth of the classes "
        f"left out in turn: hit@5 {choice.unseen_hit:.1f} % of those left out, {choice.seen_hit:.1f} % of the others"
    )
    return choice


def _model(
    base: Bundle,
    source: Source,
    rows: _Rows,
    space: TargetSpace,
    views: Views,
    choice: Choice | None,
    found: Checked,
    inputs: BuildInputs,
) -> TrainedModel:
    """The bundle's parts in closed form from the classifier's rows."""
    weight, trained = rows.network.classifier.weight, space.positions(space.trained)
    lent = () if inputs.encoder or views is None or views[1] is None else _lent(base)
    labels = LabelSet(Label(i, i) for i in space.trained)
    random = random_space(labels, space.dim, np.random.default_rng(inputs.seed)).vectors
    facts = {
        "layer": source.layer,
        "encoder": inputs.encoder,
        "ridge": inputs.ridge,
        "check": asdict(found) | {"by": source.by},
        "calibration": None if choice is None else asdict(choice),
    }
    return TrainedModel(
        space,
        image_free_surgery(space.vectors[trained], weight, inputs.ridge),
        image_free_surgery(random, weight, inputs.ridge),
        inputs.seed,
        {"build": facts},
        None,
        rows.network,
        (*source.weights, *lent),
        kernel=None if views is None else fit_kernel(views[0], space.vectors, trained, weight, text=views[1]),
        scoring={"devise": {"ridge": inputs.ridge}} if choice is None else _scoring(choice, inputs),
    )


def _lent(base: Bundle) -> tuple[Provenance, ...]:
    """The base's classifier, of which the places of labels in its kernel are made."""
    found = [one for one in base.manifest.provenance if "classifier" in one.what]
    return tuple(replace(one, what="places of labels in the kernel") for one in found)


def _scoring(choice: Choice, inputs: BuildInputs) -> dict[str, dict[str, float]]:
    rule, temperatures = choice.stacking, choice.temperatures
    assert rule.first is not None
    return {
        "fused": {"confidence": rule.confidence, "penalty": rule.penalty, **asdict(rule.first)},
        "devise": {"ridge": inputs.ridge, "temperature": temperatures["devise"]},
        **{name: {"temperature": temperatures[name]} for name in ("conse", "kernel") if name in temperatures},
    }
