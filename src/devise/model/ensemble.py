"""Ensembles: several models with the same labels name a photo together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from devise.arrays import Features, Float32, Queries
from devise.bundle.bundle import file_sha256
from devise.bundle.manifest import MANIFEST_FILE
from devise.errors import UsageError
from devise.files import read_json, reason_of, write_json
from devise.model.candidates import Candidates, choose_candidates
from devise.model.labeller import LabelRequest, LabelRun, Model, Picture, load
from devise.model.methods import temperature_of
from devise.model.rejection import JoinedRejection, Rejection
from devise.space.evidence import JoinedEvidence
from devise.space.scorers import JoinedScorer
from devise.vision.backbone import JoinedBackbones
from devise.vision.pipeline import Extracted, extract
from devise.vision.runtime import Device, Precision

__all__ = ["Ensemble", "JoinedRun", "load_ensemble", "read_weights", "write_weights"]

_FORMAT, _VERSION = "devise ensemble", 1


class Ensemble(Model):
    """Models of the same labels whose log probabilities are added with weights, by the method `fused`. Thread-safe.

    What concerns no score, such as names, definitions, withheld nouns and explanations, is the first model's.
    models: two or more, with the same labels in the same order, trained on the same ones; UsageError otherwise.
    weights: one per model, 0 or more; None is the mean of log probabilities. chosen: whether they were fitted.
    """

    def __init__(self, models: Sequence[Model], weights: Sequence[float] | None = None) -> None:
        super().__init__(models[0].parts)
        self.models = tuple(models)
        self.chosen = weights is not None
        self.weights = tuple(weights) if weights is not None else (1 / len(models),) * len(models)
        _check(self.models, self.weights)

    @property
    def name(self) -> str:
        """Return the names of the models, with the weights."""
        named = (f"{weight:.3g} x {one.parts.name}" for one, weight in zip(self.models, self.weights, strict=True))
        return " + ".join(named)

    def run(self, request: LabelRequest) -> "JoinedRun":
        """Prepare a request; UsageError for another method than `fused`, and for context."""
        if request.method != "fused":
            raise UsageError(f"several models are joined by the method fused alone, got {request.method}: give one")
        if request.context:
            raise UsageError("context needs one place per picture, and each model has its own: give one model")
        chosen = [
            choose_candidates(one.parts, request.candidates, under=request.under, typed=request.typed)
            for one in self.models
        ]
        return JoinedRun(self, request, chosen)

    def embed(self, picture: Picture) -> Float32[np.ndarray, " dim"]:
        """Raise UsageError: each model has a place of its own for a picture."""
        raise UsageError("an ensemble has no one place for a picture: take one of its models")

    def features(self, pictures: Iterable[Picture], *, regions: bool = False) -> Iterator[Extracted]:
        """Yield the features of each picture, those of all models one after the other; it is decoded once."""
        if regions:
            raise UsageError("parts of pictures are named by one model: give one")
        sources = (Path(one) if isinstance(one, str | Path) else one for one in pictures)
        return extract(sources, JoinedBackbones([one.backbone() for one in self.models]))

    def prepare(self) -> None:
        """Compile the networks in the background, one after the other."""

        def compiled() -> None:
            for one in self.models:
                one.compile_quietly()

        Thread(target=compiled, name="devise-compile", daemon=True).start()

    @property
    def dim(self) -> int:
        """Return the number of features per picture, of all models."""
        return sum(one.dim for one in self.models)

    def split(self, features: Features) -> list[Float32[np.ndarray, "images _own"]]:
        """Return the features of each model."""
        return np.split(features, np.cumsum([one.dim for one in self.models])[:-1], axis=1)

    def evidence(self, features: Features) -> JoinedEvidence:
        """Return the evidence of each model."""
        members = [one.evidence(part) for one, part in zip(self.models, self.split(features), strict=True)]
        return JoinedEvidence(members[0].features, members[0].logits, tuple(members))

    def joined(self, scorers: Sequence[Any]) -> JoinedScorer:
        """Join the fused scorers of the models, which must rank the same labels; its temperature is 1."""
        if any(one.labels.ids != scorers[0].labels.ids for one in scorers):
            raise UsageError("the models of an ensemble rank different labels for this request: give one model")
        temperatures = [temperature_of(one.parts, "fused") for one in self.models]
        shares = tuple(weight / each for weight, each in zip(self.weights, temperatures, strict=True))
        return JoinedScorer(tuple(scorers), shares)


class JoinedRun(LabelRun):
    """A prepared request of an ensemble. candidates: as each model has them."""

    def __init__(self, model: Ensemble, request: LabelRequest, candidates: Sequence[Candidates]) -> None:
        super().__init__(model, request, candidates[0])
        others = [LabelRun(one, request, found) for one, found in zip(model.models[1:], candidates[1:], strict=True)]
        runs: list[LabelRun] = [self, *others]
        scorers = [one._scorer for one in runs]
        rejections = [one._rejection for one in runs if isinstance(one._rejection, Rejection)]
        if rejections:
            self._rejection = JoinedRejection(rejections, scorers, model.weights)
        self._scorer = model.joined(scorers)
        self._temperature = np.float32(1)
        how = "the weights of the file" if model.chosen else "equal weights"
        self.notes = (*self.notes, f"ensemble with {how}: {model.name}")

    def queries(self, features: Features) -> Queries:
        """Raise UsageError: each model has a place of its own for a picture."""
        raise UsageError("an ensemble has no one place for a picture: take one of its models")


def load_ensemble(
    paths: Sequence[Path | None],
    weights: Path | None = None,
    *,
    fast: bool = False,
    prior: bool = True,
    language: str | None = None,
    device: Device = "cpu",
    precision: Precision = "f32",
) -> Ensemble:
    """Load models and join them; None is the one in the package. weights: of `write_weights`; None: equal ones.

    For the rest see `load`. UsageError for models of different labels, or weights of other models.
    """
    models = [
        load(path, fast=fast, prior=prior, language=language, device=device, precision=precision) for path in paths
    ]
    return Ensemble(models, None if weights is None else read_weights(weights, models))


def write_weights(path: Path, models: Sequence[Model], weights: Sequence[float], facts: Mapping[str, Any]) -> None:
    """Store the weights of models as JSON. facts: how they were chosen."""
    stored = {
        "format": _FORMAT,
        "version": _VERSION,
        "models": [
            {"name": one.parts.bundle.manifest.name, "manifest_sha256": _mark(one), "weight": weight}
            for one, weight in zip(models, weights, strict=True)
        ],
        "chosen": dict(facts),
    }
    write_json(path, stored)


def read_weights(path: Path, models: Sequence[Model]) -> tuple[float, ...]:
    """Read the weight of each model. UsageError if the file is damaged, lacks one of them, or has another."""
    again = "devise train ensemble makes the file"
    try:
        stored = read_json(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"--weights {path} cannot be read ({reason_of(error)}): {again}") from None
    if not isinstance(stored, dict) or stored.get("format") != _FORMAT or stored.get("version") != _VERSION:
        raise UsageError(f"--weights {path} is not a file of weights of version {_VERSION}: {again}")
    try:
        listed = {one["manifest_sha256"]: float(one["weight"]) for one in stored["models"]}
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"--weights {path} is damaged: {again}") from None
    missing = [one.parts.bundle.manifest.name for one in models if _mark(one) not in listed]
    if missing or len(listed) != len(models):
        named = f"has no weight for {missing[0]}" if missing else f"is for {len(listed)} models, got {len(models)}"
        raise UsageError(f"--weights {path} {named}: {again}")
    return tuple(listed[_mark(one)] for one in models)


def _mark(model: Model) -> str:
    return file_sha256(model.parts.bundle.path / MANIFEST_FILE)


def _check(models: Sequence[Model], weights: Sequence[float]) -> None:
    if len(models) < 2:
        raise UsageError("an ensemble needs two models or more: give --model twice")
    first = models[0].parts
    for one in models[1:]:
        if one.parts.trained_ids != first.trained_ids:
            raise UsageError(
                f"the models were trained on different labels, {len(first.trained_ids):,} and "
                f"{len(one.parts.trained_ids):,}: give models of the same classes"
            )
        if one.parts.space.labels.ids != first.space.labels.ids:
            raise UsageError(
                f"the models have different labels, {len(first.space.labels):,} and {len(one.parts.space.labels):,}: "
                "build both from the same base model"
            )
    if len({_mark(one) for one in models}) < len(models):
        raise UsageError("an ensemble has the same model twice: give each once")
    if len(weights) != len(models) or not all(isfinite(one) and one >= 0 for one in weights) or not any(weights):
        raise UsageError(f"an ensemble needs a weight of 0 or more per model, one above 0, got {list(weights)}")
