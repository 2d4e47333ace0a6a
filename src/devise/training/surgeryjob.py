"""The job `devise train surgery`: from photos or stored features to a bundle."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from devise.arrays import Surgery, Truth
from devise.bundle.bundle import Bundle
from devise.bundle.parts import BACKBONE
from devise.errors import TrainingError, UsageError, counted
from devise.labels import Label, LabelSet
from devise.space.label_vectors import LabelPolicy
from devise.space.scorers import random_space
from devise.space.surgery import image_free_surgery
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.training.classes import kept_photos
from devise.training.config import recorded
from devise.training.engine import Outcome, Session, TrainingResult, train
from devise.training.output import TrainedModel, write_trained
from devise.training.surgery import (
    FeatureRows,
    SurgeryConfig,
    SurgeryHead,
    SurgeryTask,
    held_out,
    tell_if_none_is_held,
)
from devise.training.targetspace import TargetSpace, bundle_space, random_target, read_words, words_space
from devise.training.temperatures import best_temperatures, open_base, spread
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.featurestore import FeatureStore, feature_store, open_store
from devise.vision.pipeline import cores
from devise.vision.samples import find_samples

__all__ = [
    "LabelledFeatures",
    "Say",
    "SurgeryInputs",
    "fit_map",
    "labelled_features",
    "make_store",
    "random_start",
    "run_surgery",
]

Say = Callable[[str], None]
"""Takes a line for people."""


@dataclass(frozen=True, slots=True)
class SurgeryInputs:
    """The inputs of surgery.

    photos: folders and shards, of which features are made and kept in `stores`; or features: a finished store.
    work: checkpoints and logs. classes: the review file. vectors: word vectors to make label vectors of.
    """

    base: Path
    work: Path
    stores: Path
    photos: tuple[Path, ...] = ()
    features: Path | None = None
    classes: Path | None = None
    vectors: Path | None = None


@dataclass(frozen=True, eq=False, slots=True)
class LabelledFeatures:
    """Features of photos of known classes. truth: which of `ids` each row of `rows` shows. key: names them."""

    rows: FeatureRows
    truth: Truth
    ids: tuple[str, ...]
    key: str


def run_surgery(
    config: SurgeryConfig,
    inputs: SurgeryInputs,
    out: Path,
    session: Session,
) -> TrainingResult:
    """Train the map, and the control's, and write the bundle; only the first process writes."""
    together, say = session.together, session.say
    taxonomy, base = default_taxonomy(), open_base(inputs.base)
    store = make_store(base, inputs, session.on_photos, say) if together.first else None
    together.wait()
    store = store or make_store(base, inputs, None, say)
    photos = labelled_features(store, taxonomy, inputs.classes, say)
    space = _target(base, inputs, config, taxonomy, photos.ids)
    start = _start(config, base, space, photos.rows)
    tell_if_none_is_held(held_out(photos.truth, config.holdout, config.seed), config.holdout, say)
    work = inputs.work / "surgery"
    head, before, outcome = fit_map(photos, space.rows(photos.ids), start, config, work, session)
    surgery = head.surgery()
    if head.tuned:
        space = _tuned(space, photos.ids, head)
    control = None
    if config.random_row and not config.random_embeddings:
        control = _control(photos, base, space, config, inputs.work / "random", session)
    made = TrainedModel(
        space,
        surgery,
        control,
        config.seed,
        {"surgery": recorded(config), "held_out": dict(outcome.measures), "photos": len(photos.truth)},
        hashlib.sha256(photos.key.encode()).hexdigest(),
        temperatures=_temperatures(base, photos, space, surgery, config),
    )
    bundle = write_trained(base, made, out, overwrite=session.overwrite) if together.first else base
    return TrainingResult(bundle, len(photos.truth), len(photos.ids), outcome, before)


def make_store(
    base: Bundle, inputs: SurgeryInputs, on_photos: Callable[[int, int], None] | None, say: Say
) -> FeatureStore:
    """The features of the photos by the base's backbone: opened, or made; TrainingError if they are another's."""
    weights = base.part_bytes(BACKBONE)
    if inputs.features is not None:
        if inputs.photos:
            raise UsageError("--features and --photos are alternatives: give one of them")
        store = open_store(inputs.features)
        if store.weights != hashlib.sha256(weights).hexdigest():
            raise TrainingError(
                f"{inputs.features} contains features of another network than {inputs.base}'s: extract again"
            )
        return store
    if not inputs.photos:
        raise UsageError("surgery needs --photos or --features")
    samples = find_samples(inputs.photos)
    for line in samples.left_out():
        say(line)
    backbone = OpenVinoBackbone(weights, base.preprocessing(), streams=cores())
    inputs.stores.mkdir(parents=True, exist_ok=True)
    return feature_store(inputs.stores, samples, backbone, weights, on_progress=on_photos, on_problem=say)


def labelled_features(store: FeatureStore, taxonomy: Taxonomy, review: Path | None, say: Say) -> LabelledFeatures:
    """The photos whose class is not left out, and the synset of each."""
    ids, truth, inside = kept_photos(store.class_names, store.truth[store.rows], taxonomy, review, say)
    if not len(inside):
        raise UsageError("every class was left out: keep at least one")
    if store.broken:
        say(f"left out {counted(store.broken, 'broken photo')}")
    rows = FeatureRows(replace(store, rows=store.rows[inside]))
    return LabelledFeatures(rows, truth, ids, f"{store.key} {' '.join(ids)}")


def fit_map(
    photos: LabelledFeatures,
    vectors: np.ndarray,
    start: Surgery,
    config: SurgeryConfig,
    work: Path,
    session: Session,
) -> tuple[SurgeryHead, dict[str, float], Outcome]:
    """The trained head, what the start measured on the photos held out, and the outcome."""
    held = held_out(photos.truth, config.holdout, config.seed)
    head = SurgeryHead(start, vectors, tuned=config.labels == "tuned")
    digest = hashlib.sha256(start.tobytes() + vectors.tobytes()).hexdigest()
    task = SurgeryTask(photos.rows, photos.truth, held, head, config, f"{photos.key} {digest}")
    before = _measured(task)
    together = session.together
    sampler = task.sampler(together.rank, together.world)
    outcome = train(
        task, config, work, processes=together, sampler=sampler, report=session.report, tensorboard=session.tensorboard
    )
    return head, before, outcome


def random_start(dim: int, rows: FeatureRows, seed: int) -> Surgery:
    """Make a random map from features to vectors of length about 1."""
    some = rows.take(np.arange(min(len(rows), 1024)))
    scale = 1 / (np.sqrt(dim) * max(float(np.linalg.norm(some, axis=1).mean()), 1e-6))
    rng = np.random.default_rng((seed, 3))
    drawn: Surgery = np.float32(scale) * rng.standard_normal((dim, rows.dim), dtype=np.float32)
    return drawn


def _measured(task: SurgeryTask) -> dict[str, float]:
    import torch

    with torch.no_grad():
        return task.measures()


def _target(
    base: Bundle, inputs: SurgeryInputs, config: SurgeryConfig, taxonomy: Taxonomy, ids: Sequence[str]
) -> TargetSpace:
    trained = tuple(base.labels.ids[place] for place in base.trained.tolist())
    space = bundle_space(base, taxonomy, ids, trained)
    if config.random_embeddings:
        return random_target(space, config.random_embeddings, config.seed)
    if inputs.vectors is None:
        return space
    policy = LabelPolicy.from_dict(dict(base.manifest.label_policy.parameters))
    return words_space(space, read_words(inputs.vectors), taxonomy, policy)


def _start(config: SurgeryConfig, base: Bundle, space: TargetSpace, rows: FeatureRows) -> Surgery:
    if config.start == "random":
        return random_start(space.dim, rows, config.seed)
    vectors = space.vectors[space.positions(space.trained)]
    return image_free_surgery(vectors, base.classifier().weight, config.ridge)


def _control(
    photos: LabelledFeatures,
    base: Bundle,
    space: TargetSpace,
    config: SurgeryConfig,
    work: Path,
    session: Session,
) -> Surgery:
    """The same training with random vectors, those that the row "random" of a table has for the trained labels."""
    labels = LabelSet(Label(i, i) for i in dict.fromkeys((*space.trained, *photos.ids)))
    random = random_space(labels, space.dim, np.random.default_rng(config.seed)).vectors
    start = random_start(space.dim, photos.rows, config.seed)
    if config.start == "image-free":
        start = image_free_surgery(random[: len(space.trained)], base.classifier().weight, config.ridge)
    alone = replace(session, tensorboard=None)
    vectors = random[[labels.position(label_id) for label_id in photos.ids]]
    head, _, _ = fit_map(photos, vectors, start, replace(config, labels="frozen"), work, alone)
    return head.surgery()


def _tuned(space: TargetSpace, ids: Sequence[str], head: SurgeryHead) -> TargetSpace:
    vectors = space.vectors.copy()
    vectors[space.positions(ids)] = head.label_vectors()
    return replace(space, vectors=vectors)


def _temperatures(
    base: Bundle, photos: LabelledFeatures, space: TargetSpace, surgery: Surgery, config: SurgeryConfig
) -> dict[str, float]:
    """Choose the temperatures for `devise label` on held-out photos."""
    held = np.flatnonzero(held_out(photos.truth, config.holdout, config.seed))
    chosen = spread(held if len(held) else np.arange(len(photos.truth)))
    truth = space.positions(photos.ids)[photos.truth[chosen]]
    return best_temperatures(base, space, surgery, base.classifier(), photos.rows.take(chosen), truth)
