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
from devise.training.batches import Batch
from devise.training.classifier import ClassifierInputs, find_labelled
from devise.training.config import OptimizerName, at_least, recorded
from devise.training.distributed import Processes
from devise.training.engine import Outcome, ParameterGroup, Session, TrainingResult, train
from devise.training.losses import LossName
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
from devise.training.surgery import RankingLoss
from devise.training.targetspace import bundle_space
from devise.training.temperatures import best_temperatures, open_base, spread
from devise.vision.efficientnet import EfficientNetLite
from devise.vision.export import freeze_norms, onnx_bytes, restored_network
from devise.vision.smallnet import SmallNet

__all__ = [
    "FinetuneConfig",
    "FinetuneTask",
    "Tuned",
    "run_finetune",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig(PhotosConfig):
    """Fine-tuning.

    rate: of the map. backbone_share: the network's learning rate, as a share of it. softmax_share: the same of the
    classifier, which follows the network by cross-entropy over the classes with photos; its gradient does not
    reach the network. loss, margin, k, temperature: see `RankingLoss`.
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

    def __post_init__(self) -> None:
        super(FinetuneConfig, self).__post_init__()
        at_least(self, 0, "margin", "softmax_share")
        if self.backbone_share < 0 or self.temperature <= 0:
            raise UsageError("backbone_share must be 0 or more and temperature above 0")

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


class FinetuneTask(PhotoTask):
    """Fine-tuning on augmented photos. columns: of each class, its row of the classifier."""

    module: Tuned

    def __init__(
        self,
        pictures: Pictures,
        split: Split,
        module: Tuned,
        columns: Int64[np.ndarray, "classes"],
        config: FinetuneConfig,
        data: str,
    ) -> None:
        super().__init__(pictures, split, module, data)
        self._config, self._columns = config, torch.from_numpy(columns)

    def groups(self) -> Sequence[ParameterGroup]:
        """The map, the network, the classifier."""
        classifier = list(self.module.network.classifier.parameters())
        own = {id(parameter) for parameter in classifier}
        network = [parameter for parameter in self.module.network.parameters() if id(parameter) not in own]
        config = self._config
        return [
            ParameterGroup([self.module.map]),
            ParameterGroup(network, config.backbone_share, decays=False),
            ParameterGroup(classifier, config.softmax_share),
        ]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """The ranking loss, and the classifier's own."""
        planes, truth = self.varied(batch)
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

    def scores(self, planes: Tensor) -> Tensor:
        """Cosines with the classes with photos."""
        projected, _ = self.module(planes)
        cosines: Tensor = projected @ self.module.vectors.T
        return cosines


def run_finetune(
    config: FinetuneConfig,
    inputs: ClassifierInputs,
    out: Path,
    session: Session,
) -> TrainingResult:
    """Fine-tune network, map and classifier of `inputs.base`, and write the bundle.

    The map for random label vectors stays as it was: the control row of a table is then of a frozen network.
    """
    together, say = session.together, session.say
    taxonomy, base = default_taxonomy(), open_base(inputs.base)
    samples, truth, ids = find_labelled(inputs.photos, taxonomy, inputs.classes, say)
    trained = tuple(base.labels.ids[place] for place in base.trained.tolist())
    space = bundle_space(base, taxonomy, ids, trained)
    facts = base.manifest.backbone
    network = restored_network(base.part_bytes(BACKBONE), facts.architecture, len(trained), facts.features)
    pictures, split = split_pictures(samples, truth, base.preprocessing(), config, say, session.on_photos)
    photos = sum(map(len, split))
    module = Tuned(network, base.surgery().map, space.rows(ids), base.classifier())
    row_of = {label_id: row for row, label_id in enumerate(trained)}
    columns = np.array([row_of.get(label_id, -1) for label_id in ids], dtype=np.int64)
    data = f"{samples.fingerprint()} {' '.join(ids)} {base.manifest.to_json()}"
    task = FinetuneTask(pictures, split, module, columns, config, data)
    before = _before(task, together)
    outcome = train(
        task,
        config,
        inputs.work / "finetune",
        processes=together,
        report=session.report,
        tensorboard=session.tensorboard,
    )
    if together.first:
        tuned, surgery = _network(module, base), module.map.detach().cpu().numpy()
        chosen = spread(split[1] if len(split[1]) else split[0])
        features, classes = plain_features(module.network, pictures, chosen)
        shown = space.positions(ids)[classes]
        made = TrainedModel(
            space,
            surgery,
            _control(base),
            _seed(base),
            {"finetune": recorded(config), "held_out": dict(outcome.measures), "before": before, "photos": photos},
            hashlib.sha256(samples.fingerprint().encode()).hexdigest(),
            tuned,
            temperatures=best_temperatures(base, space, surgery, tuned.classifier, features, shown),
        )
        base = write_trained(base, made, out, overwrite=session.overwrite)
        _tell_if_worse(before, outcome, say)
    return TrainingResult(base, photos, len(ids), outcome, before)


def _network(module: Tuned, base: Bundle) -> Network:
    network = module.network.eval().cpu().float()
    return Network(onnx_bytes(network, half=False), network.architecture, base.preprocessing(), classifier_of(network))


def _tell_if_worse(before: dict[str, float], outcome: Outcome, say: Callable[[str], None]) -> None:
    name = next(iter(before), None)
    if name is not None and outcome.measures[name] < before[name]:
        say(
            f"no epoch has the {name} of the model before, {before[name]:.1f}: that one is better on these photos; a "
            "smaller --rate, or photos that its network was not trained on, may change it"
        )


def _control(base: Bundle) -> Surgery | None:
    return decode_surgery(base.part_bytes(RANDOM_SURGERY), base.manifest).map if base.has(RANDOM_SURGERY) else None


def _before(task: FinetuneTask, together: Processes) -> dict[str, float]:
    module = task.module.to(together.device).eval()
    with torch.no_grad():
        found = task.measures()
    module.train()
    return found


def _seed(base: Bundle) -> int:
    return int(base.manifest.scoring.get("random", {}).get("seed", 0))
