"""Training on photos: decoded to square byte arrays once if they fit into memory, varied in each step, and measured.

What the classifier and fine-tuning share; each adds its loss.
"""

import hashlib
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from devise.arrays import Bool, Features, Float, Int64, Truth, UInt8
from devise.errors import PictureError, UsageError
from devise.space.evidence import Classifier
from devise.training.batches import Batch
from devise.training.config import RunConfig, at_least, below_one
from devise.training.surgery import held_out, tell_if_none_is_held
from devise.vision.decoding import read_picture
from devise.vision.efficientnet import ConvNet
from devise.vision.pipeline import cores
from devise.vision.preprocessing import Preprocessing
from devise.vision.samples import Samples, check_broken
from devise.vision.timmnet import TimmNet

__all__ = [
    "DRAWS",
    "Augmentation",
    "PhotoArrays",
    "PhotoTask",
    "PhotosConfig",
    "Pictures",
    "Split",
    "augmented",
    "classifier_of",
    "middle",
    "plain_features",
    "split_pictures",
]

Split = tuple[Int64[np.ndarray, "train"], Int64[np.ndarray, "held"]]
"""Numbers of the photos that are trained on, and of those held out."""

_Network: TypeAlias = ConvNet | TimmNet
_Squares = UInt8[np.ndarray, "rows side side 3"]
_SOME = 64  # photos at once where nothing is trained


DRAWS = 8
"""Uniform numbers per photo."""

_GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """least_area: of the crop, as a share of the square. ratio: of its longer to its shorter side at most.

    jitter: brightness, contrast and saturation are each multiplied by 1 - jitter to 1 + jitter. flips: left to right.
    """

    least_area: float = 0.35
    ratio: float = 4 / 3
    jitter: float = 0.3
    flips: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.least_area <= 1:
            raise UsageError(f"least_area must be above 0 and at most 1, got {self.least_area}")
        if not 0 <= self.jitter < 1:
            raise UsageError(f"jitter must be from 0 to below 1, got {self.jitter}")


def augmented(
    photos: UInt8[Tensor, "n side side 3"], draws: Float[Tensor, "n 8"], crop: int, how: Augmentation
) -> Float[Tensor, "n 3 crop crop"]:
    """Photos after augmentation, on the scale of bytes. The same draws give the same photos."""
    planes = photos.permute(0, 3, 1, 2).float()
    area = how.least_area + (1 - how.least_area) * draws[:, 0]
    stretch = torch.exp((2 * draws[:, 1] - 1) * math.log(how.ratio) / 2)
    wide = (area.sqrt() * stretch).clamp(max=1)
    high = (area.sqrt() / stretch).clamp(max=1)
    moved_x, moved_y = (1 - wide) * (2 * draws[:, 2] - 1), (1 - high) * (2 * draws[:, 3] - 1)
    mirrored = torch.where((draws[:, 4] < 0.5) & how.flips, -1.0, 1.0)
    nothing = torch.zeros_like(wide)
    rows = (torch.stack([wide * mirrored, nothing, moved_x], 1), torch.stack([nothing, high, moved_y], 1))
    grid = functional.affine_grid(torch.stack(rows, 1), [len(planes), 3, crop, crop], align_corners=False)
    cut = functional.grid_sample(planes, grid, "bilinear", "reflection", align_corners=False)
    return _jittered(cut, draws[:, 5:8], how.jitter)


def middle(photos: UInt8[Tensor, "n side side 3"], crop: int) -> Float[Tensor, "n 3 crop crop"]:
    """Crop the middle of each square, like the preprocessing."""
    start = (photos.shape[1] - crop) // 2
    return photos[:, start : start + crop, start : start + crop].permute(0, 3, 1, 2).float()


def _jittered(planes: Tensor, draws: Tensor, most: float) -> Tensor:
    if not most:
        return planes
    brightness, contrast, saturation = (1 + most * (2 * draws - 1)).T[:, :, None, None, None]
    planes = planes * brightness
    mean = planes.mean(dim=(1, 2, 3), keepdim=True)
    planes = mean + contrast * (planes - mean)
    weights = torch.tensor(_GREY, device=planes.device)[None, :, None, None]
    grey = (planes * weights).sum(dim=1, keepdim=True)
    jittered: Tensor = (grey + saturation * (planes - grey)).clamp_(0, 255)
    return jittered


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotosConfig(RunConfig):
    """The settings of training on photos.

    least_area, jitter, flips: see `Augmentation`. holdout: share of every class's photos held out to choose the epoch
    by. held_gb: photos are kept decoded in memory if they need no more than this.
    """

    least_area: float = 0.35
    jitter: float = 0.3
    flips: bool = True
    holdout: float = 0.05
    held_gb: float = 4.0

    def __post_init__(self) -> None:
        super(PhotosConfig, self).__post_init__()
        below_one(self, "holdout")
        at_least(self, 0, "held_gb")
        _ = self.augmentation  # refuses what is out of range

    @property
    def augmentation(self) -> Augmentation:
        """How photos are varied."""
        return Augmentation(self.least_area, jitter=self.jitter, flips=self.flips)


class PhotoArrays:
    """The middle square of each photo, its short side resized as the preprocessing says.

    held: bytes of pixels that are kept in memory at most; if all photos need more, none is kept.
    A broken photo is counted, reported once and left out; TrainingError when more than 1 % are.
    """

    def __init__(
        self,
        samples: Samples,
        preprocessing: Preprocessing,
        held: int,
        on_problem: Callable[[str], None],
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        side = preprocessing.resize
        self.samples, self.side = samples, side
        self.broken: dict[int, str] = {}
        self._whole = replace(preprocessing, crop=side, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        self._on_problem = on_problem
        for line in samples.broken:
            on_problem(line)
        self._kept: _Squares | None = None
        if len(samples) * side * side * 3 <= held:
            self._kept = np.zeros((len(samples), side, side, 3), np.uint8)
            self._decode_all(on_progress)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def kept(self) -> bool:
        """Whether the photos are in memory."""
        return self._kept is not None

    def good(self) -> Int64[np.ndarray, "good"]:
        """The photos that are not known to be broken."""
        return np.array([row for row in range(len(self)) if row not in self.broken], dtype=np.int64)

    def take(self, rows: Int64[np.ndarray, "rows"]) -> tuple[_Squares, Bool[np.ndarray, "rows"]]:
        """Return the squares of these photos, and which of them are readable; the others are black."""
        if self._kept is not None:
            return self._kept[rows], np.array([int(row) not in self.broken for row in rows], dtype=bool)
        squares = np.zeros((len(rows), self.side, self.side, 3), np.uint8)
        with ThreadPoolExecutor(cores()) as pool:
            read = list(pool.map(lambda pair: self._decode(int(pair[1]), squares[pair[0]]), enumerate(rows)))
        self._check()
        return squares, np.array(read, dtype=bool)

    def _decode_all(self, on_progress: Callable[[int, int], None] | None) -> None:
        assert self._kept is not None
        kept = self._kept
        with ThreadPoolExecutor(cores()) as pool:
            for row, _ in enumerate(pool.map(lambda row: self._decode(row, kept[row]), range(len(self)))):
                if on_progress is not None:
                    on_progress(row + 1, len(self))
        self._check()

    def _decode(self, row: int, square: UInt8[np.ndarray, "side side 3"]) -> bool:
        try:
            pixels = read_picture(self.samples.source(row), min_side=self._whole.decode_side)
        except PictureError as error:
            if row not in self.broken:
                self.broken[row] = f"{self.samples.names[row]}: {error}"
                self._on_problem(self.broken[row])
            return False
        square[:] = self._whole.apply(pixels)
        return True

    def _check(self) -> None:
        lines = [*self.samples.broken, *self.broken.values()]
        check_broken(len(lines), len(self) + len(self.samples.broken), lines[0] if lines else "")


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


class PhotoTask:
    """A module that is trained on varied photos, for the engine; a subclass has its groups, loss and scores.

    split: see `Split`. data: names the photos.
    """

    def __init__(self, pictures: Pictures, split: Split, module: nn.Module, data: str) -> None:
        self.module, self.pictures = module, pictures
        self.identity = hashlib.sha256(data.encode()).hexdigest()
        self._train, self._held = split

    def __len__(self) -> int:
        return len(self._train)

    def varied(self, batch: Batch, side: int | None = None) -> tuple[Tensor, Tensor]:
        """Augmented planes and classes of the batch, see `Pictures.varied`."""
        return self.pictures.varied(self._train[batch.rows], batch, self._device, side)

    def scores(self, planes: Tensor) -> Tensor:
        """[photos, classes]; the highest is the first choice."""
        raise NotImplementedError

    def measures(self) -> dict[str, float]:
        """hit@1 and hit@5 in per cent on the photos held out; nothing if there are none."""
        found = []
        for start in range(0, len(self._held), _SOME):
            planes, truth = self.pictures.plain(self._held[start : start + _SOME], self._device)
            scores = self.scores(planes)
            found.append(scores.topk(min(5, scores.shape[1]), dim=1).indices == truth[:, None])
        if not found:
            return {}
        right = torch.cat(found)
        return {f"hit@{k}": 100 * float(right[:, :k].any(dim=1).float().mean()) for k in (1, 5)}

    def name(self, row: int) -> str:
        """The photo."""
        return self.pictures.arrays.samples.names[int(self._train[row])]

    @property
    def _device(self) -> torch.device:
        return next(self.module.parameters()).device


def split_pictures(
    samples: Samples,
    truth: Truth,
    preprocessing: Preprocessing,
    config: PhotosConfig,
    say: Callable[[str], None],
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Pictures, Split]:
    """Decode the photos, and set some of the readable ones aside to measure on."""
    arrays = PhotoArrays(samples, preprocessing, int(config.held_gb * 2**30), say, on_progress)
    good = arrays.good()
    held = held_out(truth[good], config.holdout, config.seed)
    tell_if_none_is_held(held, config.holdout, say)
    return Pictures(arrays, truth, preprocessing, config.augmentation), (good[~held], good[held])


def classifier_of(network: _Network) -> Classifier:
    """Return the trained softmax of a network on the CPU."""
    layer = network.classifier
    return Classifier(layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy())


def plain_features(network: _Network, pictures: Pictures, rows: Int64[np.ndarray, "rows"]) -> tuple[Features, Truth]:
    """Compute features of the middle of these photos, and their classes, without broken photos."""
    features, truth = [], []
    with torch.no_grad():
        for start in range(0, len(rows), _SOME):
            planes, classes = pictures.plain(rows[start : start + _SOME], next(network.parameters()).device)
            features.append(network.forward_features(planes).float().cpu().numpy())
            truth.append(classes.cpu().numpy())
    return np.concatenate(features), np.concatenate(truth)
