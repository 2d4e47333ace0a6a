"""Fine-tuning: the ranking loss through the network, the network at its own learning rate."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from devise.arrays import Int64, LabelVectors, Surgery
from devise.bundle.bundle import Bundle
from devise.bundle.parts import BACKBONE, RANDOM_SURGERY, decode_surgery
from devise.errors import UsageError
from devise.space.evidence import Classifier
from devise.taxonomy.wordnet import default_taxonomy
from devise.training.augment import Augmentation
from devise.training.batches import Batch
from devise.training.classifier import ClassifierInputs, Pictures, find_labelled, hits_at, plain_features
from devise.training.config import OptimizerName, RunConfig, at_least, below_one, recorded
from devise.training.distributed import Processes
from devise.training.engine import Group, Outcome, Reporter, train
from devise.training.losses import LossName
from devise.training.output import Network, TrainedModel, write_trained
from devise.training.photoarrays import PhotoArrays
from devise.training.surgery import RankingLoss, held_out, tell_if_none_is_held
from devise.training.targetspace import bundle_space
from devise.training.temperatures import best_temperatures, open_base, spread
from devise.vision.efficientnet import EfficientNetLite
from devise.vision.export import freeze_norms, onnx_bytes, restored_network
from devise.vision.smallnet import SmallNet

__all__ = [
    "FinetuneConfig",
    "FinetuneResult",
    "FinetuneTask",
    "Tuned",
    "run_finetune",
]

_MEASURED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig(RunConfig):
    """Fine-tuning.

    rate: of the map. backbone_share: the network's learning rate, as a share of it. softmax_share: the same of the
    classifier, which follows the network by cross-entropy over the classes with photos; its gradient does not
    reach the network. The rest: see `SurgeryConfig` and `ClassifierConfig`.
    """

    epochs: int = 3
    batch: int = 64
    optimizer: OptimizerName = "adamw"
    rate: float = 1e-4
    warmup: float = 0.5
    backbone_share: float = 0.1
    softmax_share: float = 1.0
    loss: LossName = "softmax-cosine"
    margin: float = 0.1
    k: int = 10
    temperature: float = 0.05
    least_area: float = 0.35
    jitter: float = 0.3
    flips: bool = True
    holdout: float = 0.05
    held_gb: float = 4.0

    def __post_init__(self) -> None:
        super(FinetuneConfig, self).__post_init__()
        below_one(self, "holdout")
        at_least(self, 0, "held_gb", "margin", "softmax_share")
        _ = self.augmentation  # refuses what is out of range
        if self.backbone_share < 0 or self.temperature <= 0:
            raise UsageError("backbone_share must be 0 or more and temperature above 0")

    @property
    def augmentation(self) -> Augmentation:
        """How photos are varied."""
        return Augmentation(self.least_area, jitter=self.jitter, flips=self.flips)

    @property
    def ranking(self) -> RankingLoss:
        """The loss with its numbers."""
        return RankingLoss(name=self.loss, margin=self.margin, k=self.k, temperature=self.temperature)


class Tuned(nn.Module):
    """Network, map and classifier together. vectors: of the classes with photos, fixed. rows: of the classifier."""

    def __init__(
        self, network: EfficientNetLite | SmallNet, surgery: Surgery, vectors: LabelVectors, classifier: Classifier
    ) -> None:
        super().__init__()
        self.network = network
        self.map = nn.Parameter(torch.from_numpy(surgery.copy()))
        self.register_buffer("vectors", torch.from_numpy(np.array(vectors, dtype=np.float32)))
        self.vectors: Tensor
        with torch.no_grad():
            network.classifier.weight.copy_(torch.from_numpy(classifier.weight))
            network.classifier.bias.copy_(torch.from_numpy(classifier.bias))

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Places in the label space, and logits whose gradient does not reach the network."""
        features = self.network.forward_features(planes).float()
        return functional.linear(features, self.map), self.network.classifier(features.detach())

    def train(self, mode: bool = True) -> "Tuned":
        """Normalisations stay as they are in evaluation."""
        super().train(mode)
        freeze_norms(self.network)
        return self


class FinetuneTask:
    """Fine-tuning on augmented photos, for the engine. columns: of each class, its row of the classifier."""

    def __init__(
        self,
        pictures: Pictures,
        split: tuple[Int64[np.ndarray, "train"], Int64[np.ndarray, "held"]],
        module: Tuned,
        columns: Int64[np.ndarray, "classes"],
        config: FinetuneConfig,
        data: str,
    ) -> None:
        self.module: Tuned = module
        self.identity = hashlib.sha256(data.encode()).hexdigest()
        self._pictures, self._config = pictures, config
        self._train, self._held = split
        self._columns = torch.from_numpy(columns)

    def __len__(self) -> int:
        return len(self._train)

    def groups(self) -> Sequence[Group]:
        """The map, the network, the classifier."""
        classifier = list(self.module.network.classifier.parameters())
        own = {id(parameter) for parameter in classifier}
        network = [parameter for parameter in self.module.network.parameters() if id(parameter) not in own]
        config = self._config
        return [
            Group([self.module.map]),
            Group(network, config.backbone_share, decays=False),
            Group(classifier, config.softmax_share),
        ]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """The ranking loss, and the classifier's own."""
        planes, truth = self._pictures.varied(self._train[batch.rows], batch, self.module.map.device)
        projected, logits = network(planes)
        known = self._columns[truth.cpu()].to(logits.device)
        seen = self._columns[self._columns >= 0].sort().values.to(logits.device)
        ranking = self._config.ranking(projected, self.module.vectors, truth, batch)
        inside = known >= 0
        if not inside.any():
            kept: Tensor = ranking + 0 * logits.sum()  # every parameter needs its gradient
            return kept
        own = torch.searchsorted(seen, known[inside])
        loss: Tensor = ranking + functional.cross_entropy(logits[inside][:, seen].float(), own)
        return loss

    def measures(self) -> dict[str, float]:
        """hit@1 and hit@5 in per cent, by cosine among the classes with photos, on the photos held out."""
        found = []
        for start in range(0, len(self._held), _MEASURED):
            planes, truth = self._pictures.plain(self._held[start : start + _MEASURED], self.module.map.device)
            projected, _ = self.module(planes)
            found.append(hits_at(projected @ self.module.vectors.T, truth))
        if not found:
            return {}
        return {f"hit@{k}": 100 * float(torch.cat([hits[k] for hits in found]).float().mean()) for k in (1, 5)}

    def name(self, row: int) -> str:
        """The photo."""
        return self._pictures.arrays.samples.names[int(self._train[row])]


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """Measures on the photos held out. before: with the network as it was, and the map that was trained on it."""

    bundle: Bundle
    photos: int
    classes: int
    before: dict[str, float]
    outcome: Outcome


def run_finetune(
    config: FinetuneConfig,
    inputs: ClassifierInputs,
    out: Path,
    *,
    processes: Processes | None = None,
    report: Reporter | None = None,
    on_photos: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = print,
    overwrite: bool = False,
    tensorboard: Path | None = None,
) -> FinetuneResult:
    """Fine-tune network, map and classifier of `inputs.base`, and write the bundle.

    The map for random label vectors stays as it was: the control row of a table is then of a frozen network.
    """
    together = processes or Processes()
    taxonomy, base = default_taxonomy(), open_base(inputs.base)
    samples, truth, ids = find_labelled(inputs.photos, taxonomy, inputs.classes, say)
    trained = tuple(base.labels.ids[place] for place in base.trained.tolist())
    space = bundle_space(base, taxonomy, ids, trained)
    facts = base.manifest.backbone
    network = restored_network(base.part_bytes(BACKBONE), facts.architecture, len(trained), facts.features)
    arrays = PhotoArrays(samples, base.preprocessing(), int(config.held_gb * 2**30), say, on_photos)
    pictures = Pictures(arrays, truth, base.preprocessing(), config.augmentation)
    good = arrays.good()
    held = held_out(truth[good], config.holdout, config.seed)
    tell_if_none_is_held(held, config.holdout, say)
    module = Tuned(network, base.surgery_map(), space.rows(ids), base.classifier())
    row_of = {label_id: row for row, label_id in enumerate(trained)}
    columns = np.array([row_of.get(label_id, -1) for label_id in ids], dtype=np.int64)
    data = f"{samples.fingerprint()} {' '.join(ids)} {base.manifest.to_json()}"
    task = FinetuneTask(pictures, (good[~held], good[held]), module, columns, config, data)
    before = _before(task, together)
    outcome = train(task, config, inputs.work / "finetune", processes=together, report=report, tensorboard=tensorboard)
    if together.first:
        tuned, surgery = _network(module, base), module.map.detach().cpu().numpy()
        chosen = spread(good[held] if held.any() else good)
        features, classes = plain_features(module.network, pictures, chosen)
        shown = space.positions(ids)[classes]
        made = TrainedModel(
            space,
            surgery,
            _control(base),
            _seed(base),
            {"finetune": recorded(config), "held_out": dict(outcome.measures), "before": before, "photos": len(good)},
            hashlib.sha256(samples.fingerprint().encode()).hexdigest(),
            tuned,
            temperatures=best_temperatures(base, space, surgery, tuned.classifier, features, shown),
        )
        base = write_trained(base, made, out, overwrite=overwrite)
        _tell_if_worse(before, outcome, say)
    return FinetuneResult(base, len(good), len(ids), before, outcome)


def _network(module: Tuned, base: Bundle) -> Network:
    network = module.network.eval().cpu().float()
    layer = network.classifier
    classifier = Classifier(layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy())
    return Network(onnx_bytes(network, half=False), network.architecture, base.preprocessing(), classifier)


def _tell_if_worse(before: dict[str, float], outcome: Outcome, say: Callable[[str], None]) -> None:
    name = next(iter(before), None)
    if name is not None and outcome.measures[name] < before[name]:
        say(
            f"no epoch has the {name} of the model before, {before[name]:.1f}: that one is better on these photos; a "
            "smaller --rate, or photos that its network was not trained on, may change it"
        )


def _control(base: Bundle) -> Surgery | None:
    if RANDOM_SURGERY not in {part.name for part in base.manifest.parts}:
        return None
    return decode_surgery(base.part_bytes(RANDOM_SURGERY), base.manifest).map


def _before(task: FinetuneTask, together: Processes) -> dict[str, float]:
    module = task.module.to(together.device).eval()
    with torch.no_grad():
        found = task.measures()
    module.train()
    return found


def _seed(base: Bundle) -> int:
    return int(base.manifest.scoring.get("random", {}).get("seed", 0))
