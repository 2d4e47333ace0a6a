"""Surgery on photos: the map M from stored features to the label space, trained with one of the losses."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from devise.arrays import Bool, Float32, Int64, LabelVectors, Surgery, Truth
from devise.errors import TrainingError, UsageError
from devise.training.batches import Batch, Sampler
from devise.training.config import OptimizerName, RunConfig, at_least, below_one
from devise.training.engine import ParameterGroup
from devise.training.losses import (
    LossName,
    all_negatives_loss,
    first_violator_loss,
    hardest_loss,
    l2_loss,
    softmax_cosine_loss,
    softmax_dot_loss,
)
from devise.vision.featurestore import FeatureStore

__all__ = [
    "FeatureRows",
    "RankingLoss",
    "SurgeryConfig",
    "SurgeryHead",
    "SurgeryTask",
    "block_and_group",
    "held_out",
    "tell_if_none_is_held",
]

_HELD = 1 << 29
"""Bytes of features that are read into memory at once; a larger store is streamed."""
_BLOCK = 64  # neighbours that are read together
_GROUP = 256  # blocks whose samples are shuffled together

_Rows = Int64[np.ndarray, "rows"]
_Features = Float32[np.ndarray, "rows features"]


class FeatureRows:
    """Features of the samples that have them, by their number among those.

    A small store is read into memory. Of a large one, blocks of neighbours are read as they are asked for, and the
    last two groups of blocks are kept: with `block_and_group`'s order every block is read once an epoch. It is
    read, not mapped, since pages of a map that were touched count as this process's memory.
    """

    def __init__(self, store: FeatureStore, held: int = _HELD) -> None:
        self.rows = store.rows
        self.dim = store.dim
        self.streamed = len(store.rows) * store.dim * 4 > held
        self._path: Path = store.path / "features.f32"
        self._all = None if self.streamed else np.ascontiguousarray(store.features[store.rows])
        self._blocks: OrderedDict[int, _Features] = OrderedDict()

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, numbers: _Rows) -> _Features:
        """Return the features of these samples, in the given order; the caller owns the array."""
        if self._all is not None:
            taken: _Features = self._all[numbers]
            return taken
        found = np.empty((len(numbers), self.dim), np.float32)
        blocks = numbers // _BLOCK
        for block in np.unique(blocks).tolist():
            mine = blocks == block
            first, rows = self._block(block)
            found[mine] = rows[self.rows[numbers[mine]] - first]
        return found

    def _block(self, block: int) -> tuple[int, _Features]:
        """The stored rows between the first and the last sample of a block, and the number of the first."""
        members = self.rows[block * _BLOCK : (block + 1) * _BLOCK]
        first, count = int(members[0]), int(members[-1] - members[0]) + 1
        if block not in self._blocks:
            offset = first * self.dim * 4
            read = np.fromfile(self._path, np.float32, count * self.dim, offset=offset).reshape(count, self.dim)
            self._blocks[block] = read
            while len(self._blocks) > 2 * _GROUP:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(block)
        return first, self._blocks[block]


def block_and_group(rows: FeatureRows) -> tuple[int, int]:
    """Return how a `Sampler` should shuffle these rows: one by one if they are in memory."""
    return (_BLOCK, _GROUP) if rows.streamed else (1, 1)


_MEASURED = 4096  # samples that are measured at once


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingLoss:
    """Which loss, and its numbers. margin: of the hinges. k: hardest labels. temperature: of the softmax."""

    name: LossName = "softmax-cosine"
    margin: float = 0.1
    k: int = 10
    temperature: float = 0.05

    def __call__(self, projected: Tensor, vectors: Tensor, truth: Tensor, batch: Batch) -> Tensor:
        """The mean over the pictures, in 32 bits whatever the products before it were in."""
        with torch.autocast(projected.device.type, enabled=False):
            return self._mean(projected.float(), vectors.float(), truth, batch)

    def _mean(self, projected: Tensor, vectors: Tensor, truth: Tensor, batch: Batch) -> Tensor:
        match self.name:
            case "first-violator":
                order = torch.from_numpy(1 - batch.uniform(len(vectors))).to(projected.device)
                return first_violator_loss(projected, vectors, truth, self.margin, order)
            case "all-negatives":
                return all_negatives_loss(projected, vectors, truth, self.margin)
            case "hardest":
                return hardest_loss(projected, vectors, truth, self.margin, self.k)
            case "softmax-cosine":
                return softmax_cosine_loss(projected, vectors, truth, self.temperature)
            case "softmax-dot":
                return softmax_dot_loss(projected, vectors, truth)
            case "l2":
                return l2_loss(projected, vectors, truth)


@dataclass(frozen=True, slots=True, kw_only=True)
class SurgeryConfig(RunConfig):
    """Surgery: how M is made.

    loss, margin, k, temperature: see `RankingLoss`. start: M at the beginning, random or the image-free solution with
    its ridge. labels: whether label vectors are tuned; pull: weight of their squared distance to where they were.
    label_share: their learning rate, as a share of the map's. holdout: share of every class's photos that is held out
    to choose the epoch by. random_embeddings: random unit label vectors of this length instead of the words'; 0 is
    none. random_row: also make the map for random vectors of the words' length, the control row of a table.
    """

    epochs: int = 20
    batch: int = 1024
    rate: float = 1e-3
    optimizer: OptimizerName = "adamw"
    patience: int = 5
    loss: LossName = "softmax-cosine"
    margin: float = 0.1
    k: int = 10
    temperature: float = 0.05
    start: Literal["random", "image-free"] = "image-free"
    ridge: float = 0.1
    labels: Literal["frozen", "tuned"] = "frozen"
    pull: float = 1.0
    label_share: float = 0.1
    holdout: float = 0.05
    random_embeddings: int = 0
    random_row: bool = True

    def __post_init__(self) -> None:
        super(SurgeryConfig, self).__post_init__()
        below_one(self, "holdout")
        at_least(self, 0, "margin", "pull", "label_share", "random_embeddings", "ridge")
        if self.temperature <= 0:
            raise UsageError(f"temperature must be above 0, got {self.temperature}")

    @property
    def ranking(self) -> RankingLoss:
        """The loss with its numbers."""
        return RankingLoss(name=self.loss, margin=self.margin, k=self.k, temperature=self.temperature)


class SurgeryHead(nn.Module):
    """M, and the label vectors, which may be tuned. Features in; pictures and labels in the label space out.

    Inside, the space is turned to the principal axes of the label vectors. No score changes by it, but optimisers with
    a step size a weight then have one for each axis: what separates alike labels is on the short ones. Where the
    labels are fewer than dimensions they span a part of the space; M is trained in that part and stays as it is in the
    rest, which no score of theirs depends on. Labels that are tuned may leave it, so M is then trained everywhere.
    biased: a picture's place is M v plus an offset that is trained too.
    """

    def __init__(self, start: Surgery, vectors: LabelVectors, *, tuned: bool, biased: bool = False) -> None:
        super().__init__()
        axes = np.linalg.svd(vectors.astype(np.float64), full_matrices=tuned)[2].astype(np.float32)
        self.register_buffer("axes", torch.from_numpy(axes))
        self.axes: Tensor
        self.map = nn.Parameter(torch.from_numpy(axes @ start))
        self.offset = nn.Parameter(torch.zeros(len(axes))) if biased else None
        self.tuned = tuned
        self._rest = start - axes.T @ (axes @ start)
        turned = torch.from_numpy(vectors @ axes.T)
        if tuned:
            self.vectors: Tensor = nn.Parameter(turned)
        else:
            self.register_buffer("vectors", turned)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """[images, axes] and unit [labels, axes], along the principal axes."""
        unit = functional.normalize(self.vectors, dim=1) if self.tuned else self.vectors
        return functional.linear(features, self.map, self.offset), unit

    def surgery(self) -> Surgery:
        """M, [dim, features], along the axes that the label vectors came in."""
        turned_back: Surgery = self._rest + (self.axes.T @ self.map).detach().cpu().numpy()
        return turned_back

    def label_vectors(self) -> LabelVectors:
        """The label vectors, unit length if they were tuned, along the axes that they came in."""
        unit = functional.normalize(self.vectors, dim=1) if self.tuned else self.vectors
        turned_back: LabelVectors = (unit @ self.axes).detach().cpu().numpy()
        return turned_back


class SurgeryTask:
    """Surgery on the photos of a feature store, for the engine.

    rows, truth: of all photos, and which of `vectors` each shows. held: which of them are held out. data: names photos
    and start.
    """

    def __init__(
        self,
        rows: FeatureRows,
        truth: Truth,
        held: Bool[np.ndarray, "photos"],
        module: SurgeryHead,
        config: SurgeryConfig,
        data: str,
    ) -> None:
        if not module.vectors.any(dim=1).all():
            raise TrainingError("a class with photos has no label vector: leave out its photos")
        self.module: SurgeryHead = module
        self.identity = hashlib.sha256(f"{data} {tuple(module.vectors.shape)}".encode()).hexdigest()
        self._rows, self._truth, self._config = rows, truth, config
        self._train, self._held = np.flatnonzero(~held), np.flatnonzero(held)
        self._anchor = module.vectors.detach().clone()

    def __len__(self) -> int:
        return len(self._train)

    def sampler(self, rank: int = 0, world: int = 1) -> Sampler:
        """Return the order in which the engine takes the photos: blocks of neighbours where the store is streamed."""
        block, group = block_and_group(self._rows)
        return Sampler(len(self), self._config.batch, self._config.seed, rank, world, block, group)

    def groups(self) -> Sequence[ParameterGroup]:
        """The map, the offset if there is one, and the label vectors if they are tuned; only the map decays."""
        module, found = self.module, [ParameterGroup([self.module.map])]
        if module.offset is not None:
            found.append(ParameterGroup([module.offset], decays=False))
        if isinstance(module.vectors, nn.Parameter):
            found.append(ParameterGroup([module.vectors], self._config.label_share, decays=False))
        return found

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """The ranking loss; with tuned labels, their pull too."""
        features, truth = self.samples(batch)
        projected, vectors = network(features)
        loss = self._config.ranking(projected, vectors, truth, batch)
        if self.module.tuned:
            loss = loss + self._config.pull * (vectors - self._anchor.to(vectors.device)).square().sum(dim=1).mean()
        return loss

    def samples(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features of the batch's photos, and the rows of their labels."""
        numbers, device = self._train[batch.rows], self.module.map.device
        features = torch.from_numpy(self._rows.take(numbers)).to(device)
        return features, torch.from_numpy(self._truth[numbers]).to(device)

    def measures(self) -> dict[str, float]:
        """hit@1 and hit@5 in per cent, by cosine among the classes with photos, on the photos held out."""
        if not len(self._held):
            return {}
        hits = np.zeros(2)
        for start in range(0, len(self._held), _MEASURED):
            numbers = self._held[start : start + _MEASURED]
            projected, vectors = self.module(torch.from_numpy(self._rows.take(numbers)).to(self.module.map.device))
            best = (projected @ vectors.T).topk(min(5, len(vectors)), dim=1).indices.cpu().numpy()
            right = best == self._truth[numbers][:, None]
            hits += right[:, 0].sum(), right.any(axis=1).sum()
        return {f"hit@{k}": 100 * float(right) / len(self._held) for k, right in zip((1, 5), hits, strict=True)}

    def name(self, row: int) -> str:
        """The photo's number in the store."""
        return f"photo {self._rows.rows[self._train[row]]}"


def tell_if_none_is_held(held: Bool[np.ndarray, "photos"], share: float, say: Callable[[str], None]) -> None:
    """Warn if a share was requested and every class has too few photos for it."""
    if share and not held.any():
        say(
            f"no photo is held out: {share:g} of each class's photos is less than half a photo; nothing is measured "
            "and the last epoch is kept; use a larger holdout"
        )


def held_out(truth: Truth, share: float, seed: int) -> Bool[np.ndarray, "photos"]:
    """Choose the held-out photos: a random share of every class, rounded.

    The same seed, the same ones; a smaller share is a part of a larger one, so that steps on the same photos can hold
    out the same.
    """
    rng = np.random.default_rng((seed, 2))
    held = np.zeros(len(truth), dtype=bool)
    draws: Float32[np.ndarray, "photos"] = rng.random(len(truth), dtype=np.float32)
    for label in np.unique(truth):
        members = np.flatnonzero(truth == label)
        count = round(share * len(members))
        held[members[np.argsort(draws[members])[:count]]] = True
    return held
