"""The job `devise reproduce table1`: from training and test photos to the table."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from devise.arrays import LabelVectors
from devise.bundle.bundle import Bundle, open_bundle
from devise.errors import UsageError
from devise.labels import Label, LabelSet
from devise.space.composition import LabelPolicy
from devise.space.embedding import random_space
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.training.classes import map_classes
from devise.training.surgeryjob import LabelledFeatures, SurgeryInputs, labelled_features, make_store
from devise.training.table1 import RowSpec, Table1, Table1Config, make_table1
from devise.training.targetspace import bundle_space, words_space
from devise.training.words import read_words
from devise.vision.samples import find_samples

__all__ = ["Table1Inputs", "run_table1"]

_PAPER_DIMS = (500, 1000)


@dataclass(frozen=True, slots=True)
class Table1Inputs:
    """model: the bundle whose backbone makes the features. train, test: folders and shards. vectors: word vectors,
    rows of the table each; without any, the model's own. work: keeps runs. stores: keeps features.
    """

    model: Path
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    work: Path
    stores: Path
    vectors: tuple[Path, ...] = ()
    classes: Path | None = None


def run_table1(
    config: Table1Config,
    inputs: Table1Inputs,
    *,
    on_photos: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = print,
) -> Table1:
    """Make the table; the test photos' features are read after all choices."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("Table 1 runs in one process: start it without torchrun")
    base, taxonomy = open_bundle(inputs.model), default_taxonomy()
    _check_classes(inputs, taxonomy, say)

    def read(photos: tuple[Path, ...]) -> LabelledFeatures:
        asked = SurgeryInputs(inputs.model, inputs.work, inputs.stores, photos)
        return labelled_features(make_store(base, asked, on_photos, say), taxonomy, inputs.classes, say)

    photos = read(inputs.train)
    specs, notes = _specs(base, inputs, photos.ids, taxonomy)
    table = make_table1(config, specs, photos, lambda: read(inputs.test), taxonomy, inputs.work / "runs", say)
    return replace(table, notes=(*notes, f"features of {base.manifest.backbone.architecture} ({base.manifest.name})"))


def _check_classes(inputs: Table1Inputs, taxonomy: Taxonomy, say: Callable[[str], None]) -> None:
    """Raise UsageError before training if training and test photos have different classes.

    No photo is decoded for it.
    """
    train, test = find_samples(inputs.train), find_samples(inputs.test)
    trained, tested = (
        set(map_classes(one.class_names, taxonomy, inputs.classes).kept.values()) for one in (train, test)
    )
    if other := sorted(trained ^ tested):
        where = "training" if other[0] in trained else "test"
        raise UsageError(
            f"training and test photos must have the same classes, and {len(other)} are on one side only "
            f"({other[0]}: {where}): correct the folders or the review file"
        )
    if train.fingerprint() == test.fingerprint():
        say("training and test photos are the same: what follows says nothing of other photos")


def _specs(
    base: Bundle, inputs: Table1Inputs, ids: Sequence[str], taxonomy: Taxonomy
) -> tuple[list[RowSpec], list[str]]:
    trained = tuple(base.labels.ids[place] for place in base.trained.tolist())
    own = bundle_space(base, taxonomy, ids, trained)
    policy = LabelPolicy.from_dict(dict(base.manifest.label_policy.parameters))
    spaces = [words_space(own, read_words(path), taxonomy, policy) for path in inputs.vectors] or [own]
    devise = [RowSpec("DeViSE", space.dim, _fixed(space.rows(ids))) for space in spaces]
    dims = sorted({*_PAPER_DIMS, *(space.dim for space in spaces)})
    random = [RowSpec("Random embeddings", dim, _random(ids, dim)) for dim in dims]
    rows = [*devise, *random]
    if len({(row.name, row.dim) for row in rows}) < len(rows):
        raise UsageError(f"--vectors must differ in length, got {', '.join(str(space.dim) for space in spaces)}")
    notes = [f"label vectors: {policy.name}"]
    if not inputs.vectors:
        notes.append(f"no --vectors were given, so DeViSE has the model's own word vectors of length {own.dim}")
    return [RowSpec("Softmax", None, None), *rows], notes


def _fixed(vectors: LabelVectors) -> Callable[[int], LabelVectors]:
    return lambda seed: vectors


def _random(ids: Sequence[str], dim: int) -> Callable[[int], LabelVectors]:
    labels = LabelSet(Label(label_id, label_id) for label_id in ids)

    def drawn(seed: int) -> LabelVectors:
        return random_space(labels, dim, np.random.default_rng((seed, dim))).vectors

    return drawn
