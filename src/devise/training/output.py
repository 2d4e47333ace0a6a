"""A trained model as a bundle: the new parts, and the rest of its base bundle."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from devise.arrays import Surgery
from devise.bundle.bundle import Bundle
from devise.bundle.label_table import encode_label_table
from devise.bundle.manifest import BackboneFacts, LabelSpaceFacts, Provenance
from devise.bundle.parts import (
    BACKBONE,
    CLASSIFIER,
    FAMILIARITY,
    FAST,
    KERNEL,
    LABEL_TABLE,
    LABEL_VECTORS,
    PRIOR,
    RANDOM_SURGERY,
    SURGERY,
    WORDS,
    SurgeryMap,
    encode_classifier,
    encode_kernel,
    encode_label_vectors,
    encode_prior,
    encode_surgery,
)
from devise.bundle.writer import PartContent, write_bundle
from devise.files import real_path
from devise.space.evidence import Classifier
from devise.space.kernel import KernelSurgery
from devise.space.labelspace import CENTRE
from devise.training.targetspace import TargetSpace, trained_kernel
from devise.vision.preprocessing import Preprocessing

__all__ = ["Network", "TrainedModel", "write_trained"]


@dataclass(frozen=True, eq=False, slots=True)
class Network:
    """A backbone and the softmax on its features."""

    onnx: bytes
    architecture: str
    preprocessing: Preprocessing
    classifier: Classifier


@dataclass(frozen=True, eq=False, slots=True)
class TrainedModel:
    """What a job made. control: the map for random vectors, if there is one, and the seed of these.

    temperatures: by scorer. config: the resolved configuration and what was measured. photos: SHA-256 that names the
    photos, None if there were none. weights: what a new network started from, nothing where from random numbers;
    None: from the base's. kernel: kernel surgery; None is as `trained_kernel` makes it. scoring: other settings than
    the base's, by scorer and name.
    """

    space: TargetSpace
    surgery: Surgery
    control: Surgery | None
    seed: int
    config: Mapping[str, object]
    photos: str | None
    network: Network | None = None
    weights: tuple[Provenance, ...] | None = None
    temperatures: Mapping[str, float] = field(default_factory=dict)
    kernel: KernelSurgery | None = None
    scoring: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def write_trained(base: Bundle, made: TrainedModel, out: Path, *, overwrite: bool = False) -> Bundle:
    """Write the bundle; parts that were not trained are copied from `base`."""
    space, old = made.space, base.manifest
    centring = {} if space.centre is None else {CENTRE: space.centre}
    network = made.network
    parts: dict[str, PartContent] = {
        BACKBONE: base.part_path(BACKBONE) if network is None else network.onnx,
        CLASSIFIER: base.part_path(CLASSIFIER) if network is None else encode_classifier(network.classifier, "float32"),
        LABEL_TABLE: encode_label_table(space.labels, space.trained),
        LABEL_VECTORS: encode_label_vectors(space.vectors),
        SURGERY: encode_surgery(SurgeryMap(made.surgery, centring), "float32"),
    }
    if network is None and base.has(FAST):
        parts[FAST] = base.part_path(FAST)  # of the network, which stays
    for name in (PRIOR, FAMILIARITY):
        if base.has(name):
            parts[name] = encode_prior(base.prior().of(space.labels, base.labels, base.trained))
    kernel = made.kernel
    if kernel is None:
        kernel = trained_kernel(base, space, base.classifier() if network is None else network.classifier)
    if kernel is not None:
        parts[KERNEL] = encode_kernel(kernel)
    if made.control is not None:
        parts[RANDOM_SURGERY] = encode_surgery(SurgeryMap(made.control), "float32")
    if space.words is not None:
        parts[WORDS] = space.words
    features = made.surgery.shape[1]
    scoring = {name: dict(settings) for name, settings in old.scoring.items()}
    scoring["random"] = {"seed": made.seed}
    if kernel is None:
        scoring.pop("kernel", None)
    else:
        scoring["kernel"].update(kernel.config.to_dict())
    for scorer, temperature in made.temperatures.items():
        scoring.setdefault(scorer, {})["temperature"] = temperature
    for scorer, settings in made.scoring.items():
        scoring.setdefault(scorer, {}).update(settings)
    read = kernel is not None and kernel.config.text_share > 0  # by an encoder, whose vectors a new kernel lacks
    provenance = _provenance(tuple(one for one in old.provenance if read or one.what != "kernel"), made)
    gone = {one.licence for one in old.provenance} - {one.licence for one in provenance}
    manifest = replace(
        old,
        name=real_path(out).name,
        preprocessing=old.preprocessing if network is None else network.preprocessing.to_dict(),
        backbone=BackboneFacts(old.backbone.architecture if network is None else network.architecture, features),
        label_space=LabelSpaceFacts(len(space.labels), len(space.trained), space.dim),
        label_policy=space.policy,
        scoring=scoring,
        provenance=provenance,
        licences={name: text for name, text in old.licences.items() if name not in gone},
        config=json.loads(json.dumps({**made.config, "base": dict(old.config)})),
        parts=(),
    )
    return write_bundle(out, manifest, parts, overwrite=overwrite)


def _provenance(base: tuple[Provenance, ...], made: TrainedModel) -> tuple[Provenance, ...]:
    """A network with weights of its own was not made of the base's."""
    photos: tuple[Provenance, ...] = ()
    if made.photos is not None:
        photos = (Provenance("training photos", "given by the user", "", "as the photos", sha256=made.photos),)
    if made.weights is None:
        return (*base, *photos)
    return (*made.weights, *(one for one in base if "backbone" not in one.what), *photos)
