"""The job `devise train finetune`: from a bundle and photos to a bundle with a fine-tuned network."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from devise.arrays import Surgery
from devise.bundle.bundle import Bundle
from devise.bundle.parts import BACKBONE, RANDOM_SURGERY, decode_surgery
from devise.space.evidence import Classifier
from devise.taxonomy.wordnet import default_taxonomy
from devise.training.classifier import Pictures, plain_features
from devise.training.classifierjob import ClassifierInputs, find_labelled
from devise.training.config import recorded
from devise.training.distributed import Processes
from devise.training.engine import Outcome, Reporter, train
from devise.training.finetune import FinetuneConfig, FinetuneTask, Tuned
from devise.training.output import Network, TrainedModel, write_trained
from devise.training.photoarrays import PhotoArrays
from devise.training.surgery import held_out, tell_if_none_is_held
from devise.training.targetspace import bundle_space
from devise.training.temperatures import best_temperatures, open_base, spread
from devise.vision.export import onnx_bytes, restored_network

__all__ = ["FinetuneResult", "run_finetune"]


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
