"""The job `devise train classifier`: from photos to a bundle that labels with any noun."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devise.arrays import Truth
from devise.bundle.bundle import Bundle
from devise.errors import UsageError, counted
from devise.labels import Label, LabelSet
from devise.space.embedding import random_space
from devise.space.evidence import Classifier
from devise.space.surgery import image_free_surgery
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.training.classes import map_classes
from devise.training.classifier import (
    ClassifierConfig,
    ClassifierTask,
    Pictures,
    Trainable,
    make_network,
    plain_features,
)
from devise.training.config import recorded
from devise.training.distributed import Processes
from devise.training.engine import Outcome, Reporter, train
from devise.training.output import Network, TrainedModel, write_trained
from devise.training.photoarrays import PhotoArrays
from devise.training.startweights import start_weights
from devise.training.surgery import held_out, tell_if_none_is_held
from devise.training.targetspace import TargetSpace, bundle_space
from devise.training.temperatures import best_temperatures, open_base, spread
from devise.vision.export import onnx_bytes
from devise.vision.networkfile import check_file
from devise.vision.samples import Samples, find_samples
from devise.vision.timmnet import TimmNet, traced_onnx

__all__ = ["ClassifierInputs", "ClassifierResult", "find_labelled", "run_classifier"]


@dataclass(frozen=True, slots=True)
class ClassifierInputs:
    """base: the bundle whose labels and words the new one gets. photos: folders and shards. classes: review file."""

    base: Path
    work: Path
    photos: tuple[Path, ...]
    classes: Path | None = None


@dataclass(frozen=True, slots=True)
class ClassifierResult:
    """The results, measured on the held-out photos."""

    bundle: Bundle
    photos: int
    classes: int
    broken: int
    outcome: Outcome


def run_classifier(
    config: ClassifierConfig,
    inputs: ClassifierInputs,
    out: Path,
    *,
    processes: Processes | None = None,
    report: Reporter | None = None,
    on_photos: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = print,
    overwrite: bool = False,
    tensorboard: Path | None = None,
) -> ClassifierResult:
    """Train the network and write the bundle; only the first process writes."""
    together = processes or Processes()
    taxonomy, base = default_taxonomy(), open_base(inputs.base)
    samples, truth, ids = find_labelled(inputs.photos, taxonomy, inputs.classes, say)
    network = make_network(config, len(ids))
    if together.first and isinstance(network, TimmNet):
        check_file(traced_onnx(network))  # a network that no bundle may hold is refused before it is trained
    arrays = PhotoArrays(samples, network.preprocessing, int(config.held_gb * 2**30), say, on_photos)
    pictures = Pictures(arrays, truth, network.preprocessing, config.augmentation)
    good = arrays.good()
    held = held_out(truth[good], config.holdout, config.seed)
    tell_if_none_is_held(held, config.holdout, say)
    split = (good[~held], good[held])
    task = ClassifierTask(pictures, split, network, config, f"{samples.fingerprint()} {' '.join(ids)}")
    outcome = train(
        task, config, inputs.work / "classifier", processes=together, report=report, tensorboard=tensorboard
    )
    if not together.first:
        return ClassifierResult(base, len(good), len(ids), len(arrays.broken), outcome)
    space = bundle_space(base, taxonomy, ids, ids)
    chosen = spread(split[1] if len(split[1]) else split[0])
    made = _model(base, network, config, space, pictures, chosen, outcome, samples)
    bundle = write_trained(base, made, out, overwrite=overwrite)
    return ClassifierResult(bundle, len(good), len(ids), len(arrays.broken) + len(samples.broken), outcome)


def find_labelled(
    photos: tuple[Path, ...], taxonomy: Taxonomy, review: Path | None, say: Callable[[str], None]
) -> tuple[Samples, Truth, tuple[str, ...]]:
    """The photos whose class is not left out, which of the ids each shows, and the ids, ascending."""
    samples = find_samples(photos)
    mapped = map_classes(samples.class_names, taxonomy, review)
    kept = mapped.kept
    ids = tuple(sorted(kept.values()))
    places = np.array([ids.index(kept[name]) if name in kept else -1 for name in samples.class_names], dtype=np.int64)
    truth = places[samples.truth]
    inside = np.flatnonzero(truth >= 0)
    if len(ids) < 2 or not len(inside):
        raise UsageError(f"a classifier needs photos of 2 classes or more, got {len(ids)}: add some")
    if mapped.named:
        say(f"{mapped.named} class names have one sense in WordNet and were taken for it")
    if left := len(truth) - len(inside):
        say(f"left out {counted(left, 'photo')} of {counted(len(mapped.ids) - len(kept), 'class')}")
        broken = samples.broken
        samples = samples.subset(inside)
        for line in broken:
            say(line)
    for line in samples.left_out():
        say(line)
    return samples, truth[inside], ids


def _model(
    base: Bundle,
    network: Trainable,
    config: ClassifierConfig,
    space: TargetSpace,
    pictures: Pictures,
    rows: np.ndarray,
    outcome: Outcome,
    samples: Samples,
) -> TrainedModel:
    """The network as a bundle's parts, and a map made without photos from its classifier."""
    network.eval().cpu().float()
    layer = network.classifier
    classifier = Classifier(layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy())
    features, truth = plain_features(network, pictures, rows)  # trained labels stand first, in the order of the classes
    vectors = space.vectors[: len(space.trained)]
    surgery = image_free_surgery(vectors, classifier.weight, config.ridge)
    labels = LabelSet(Label(i, i) for i in space.trained)
    random = random_space(labels, space.dim, np.random.default_rng(config.seed)).vectors
    onnx = traced_onnx(network) if isinstance(network, TimmNet) else onnx_bytes(network, half=False)
    return TrainedModel(
        space,
        surgery,
        image_free_surgery(random, classifier.weight, config.ridge),
        config.seed,
        {"classifier": recorded(config), "held_out": dict(outcome.measures), "photos": len(samples)},
        hashlib.sha256(samples.fingerprint().encode()).hexdigest(),
        Network(onnx, network.architecture, network.preprocessing, classifier),
        start_weights(config),
        best_temperatures(base, space, surgery, classifier, features, truth),
    )
