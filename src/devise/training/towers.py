"""The job `devise build` on two towers, such as CLIP: names photos by the cosine of image and text, without training.

The image tower is the backbone, and its vectors are the features. The text tower makes the vectors of all labels once,
and those of typed labels later. Labels and prior come from a base bundle.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from devise.arrays import Float32, LabelVectors
from devise.bundle.bundle import Bundle
from devise.bundle.label_table import encode_label_table
from devise.bundle.manifest import BackboneFacts, LabelPolicyFacts, LabelSpaceFacts, Manifest, Provenance
from devise.bundle.parts import (
    BACKBONE,
    FAMILIARITY,
    LABEL_TABLE,
    LABEL_VECTORS,
    PRIOR,
    TEXT_TOWER,
    TOKENIZER,
    encode_label_vectors,
)
from devise.bundle.writer import PartContent, write_bundle
from devise.errors import PictureError, TrainingError, UsageError
from devise.evaluation.photos import class_photos
from devise.files import real_path
from devise.labels import LabelSet
from devise.resumable import kept_tensors
from devise.space.labelspace import unit_rows
from devise.space.texttower import TEXT_POLICY, Prompts, TextTower
from devise.taxonomy.wordnet import Taxonomy, default_taxonomy
from devise.training.pairs import Pair
from devise.training.temperatures import open_base, spread
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.cutting import halved
from devise.vision.decoding import read_picture
from devise.vision.export import INPUT, OUTPUT
from devise.vision.foreign import settled_preprocessing
from devise.vision.pipeline import cores
from devise.vision.preprocessing import Preprocessing
from devise.vision.timmnet import exported

__all__ = ["TowerInputs", "Towers", "TowersBuilt", "TowersChecked", "build_towers", "cut_towers"]

Say = Callable[[str], None]

EXACT, HALVED = 1e-4, 1e-3  # one minus the cosine; float32, summed in another order, differs by about 1e-6
_SHORTER = (11, 22, 36)  # tokens; these three cost CLIP least for all labels: 60 x 10^12 multiply-adds instead of 232
_BLOCK = 1024  # labels between two files, and two lines of progress
_NOISE = 2  # pictures
_PROBES = (
    "zebra",
    "a photo of a Snow Leopard.",
    "kick_scooter, which is a child's two-wheeled vehicle -- operated by foot (since 1900)",
    "naïve café №5, 3.14 % of it's 雪豹",
    "word " * 120,
)


@dataclass(frozen=True, slots=True)
class TowerInputs:
    """What a build reads in addition to the towers.

    base: the bundle whose labels and prior the new one gets. work: keeps label vectors, so that a killed build resumes.
    prompts: templates, see `devise.space.texttower.PROMPTS`. check: class folders of photos to measure on.
    """

    base: Path
    work: Path
    prompts: tuple[str, ...]
    check: tuple[Path, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Towers:
    """Both towers as ONNX. tower: the text tower, ready to run. weights: where they come from. most: see EXACT."""

    pair: Pair
    preprocessing: Preprocessing
    image: bytes
    text: bytes
    tower: TextTower
    weights: Provenance
    most: float


@dataclass(frozen=True, slots=True)
class TowersChecked:
    """What was measured. image, text: the largest of one minus the cosine with the library's own vectors.

    hit1: per cent of photos whose nearest label, of the classes of the photos, is right.
    """

    pictures: int
    image: float
    text: float
    hit1: float | None = None
    photos: int = 0
    classes: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class TowersBuilt:
    """The bundle and what was measured on the way."""

    bundle: Bundle
    checked: TowersChecked


def cut_towers(
    pair: Pair, settings: dict[str, object], half: bool, weights: Provenance, prompts: Sequence[str]
) -> Towers:
    """Export both towers. settings: of the preprocessing, over those of the source. half: weights as float16."""
    preprocessing = settled_preprocessing(pair.found, settings)
    pack = halved if half else bytes
    side = preprocessing.crop
    image = pack(exported(pair.image, torch.zeros(1, 3, side, side), INPUT, OUTPUT))
    whole = pair.text_onnx(pair.context)
    if whole is None:
        raise UsageError(f"the text tower does not take {pair.context} tokens: report this")
    asked = Prompts(tuple(prompts), pair.context)
    text = pack(whole)
    lengths = [length for length in _SHORTER if length < pair.context]
    made = ((length, pair.text_onnx(length)) for length in lengths)
    tower = TextTower(text, pair.tokenizer, asked, ((length, pack(one)) for length, one in made if one is not None))
    most = HALVED if half else EXACT
    if _apart(tower.encode(_PROBES), _own_text(pair)) > most:  # padding is read, as by SigLIP
        tower = TextTower(text, pair.tokenizer, asked)
    return Towers(pair, preprocessing, image, text, tower, weights, most)


def build_towers(
    towers: Towers, inputs: TowerInputs, out: Path, *, say: Say = print, overwrite: bool = False
) -> TowersBuilt:
    """Check the towers against their library, make the vectors of all labels, and write the bundle.

    Nothing is written unless every check passes. TrainingError if vectors or tokens are not the library's.
    """
    taxonomy, base = default_taxonomy(), open_base(inputs.base)
    found = _checked(towers, inputs.check, taxonomy, say)
    vectors = _label_vectors(towers, base.labels.ids, taxonomy, inputs.work, say)
    return TowersBuilt(_written(base, towers, vectors, found, inputs, out, overwrite), found)


def _label_vectors(towers: Towers, ids: Sequence[str], taxonomy: Taxonomy, work: Path, say: Say) -> LabelVectors:
    """Return one unit vector per label; blocks of them are kept in `work`, so that a killed build resumes."""
    synsets = [taxonomy.synset(one) for one in ids]
    labels = [(one.name, one.definition) for one in synsets]
    work.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(towers.text + towers.pair.tokenizer + repr(towers.tower.prompts).encode()).hexdigest()
    rows: list[LabelVectors] = []
    for start in range(0, len(labels), _BLOCK):
        some = labels[start : start + _BLOCK]
        name = hashlib.sha256(f"{key} {some}".encode()).hexdigest()[:16]
        make = partial(_label_block, towers.tower, some)
        rows.append(kept_tensors(work / f"labels-{name}.safetensors", ("vectors",), make, TrainingError)[0])
        say(f"label vectors: {start + len(some):,} of {len(labels):,}")
    return np.concatenate(rows)


def _label_block(tower: TextTower, labels: Sequence[tuple[str, str]]) -> dict[str, LabelVectors]:
    return {"vectors": tower.labels(labels)}


def _own_text(pair: Pair) -> Float32[np.ndarray, "texts dim"]:
    return _by_library(pair.text, np.array(pair.tokens(_PROBES), np.int64))


def _by_library(module: nn.Module, values: np.ndarray) -> Float32[np.ndarray, "rows dim"]:
    with torch.no_grad():
        made: Float32[np.ndarray, "rows dim"] = module(torch.from_numpy(values)).numpy()
    return unit_rows(made.astype(np.float32))


def _apart(ours: np.ndarray, own: np.ndarray) -> float:
    """The largest of one minus the cosine, of unit vectors."""
    if ours.shape != own.shape:
        raise TrainingError(
            f"the library makes vectors of {own.shape}, the exported tower of {ours.shape}: report this"
        )
    cosines = np.einsum("id,id->i", ours.astype(np.float64), own.astype(np.float64))
    return max(0.0, float(1 - cosines.min()))


def _checked(towers: Towers, folders: Sequence[Path], taxonomy: Taxonomy, say: Say) -> TowersChecked:
    """Compare tokens and vectors with the library's own, on noise, and on photos if there are some."""
    pair, backbone = towers.pair, OpenVinoBackbone(towers.image, towers.preprocessing, streams=cores())
    ours = np.array([one.ids for one in towers.tower.tokenizer.encode_batch(list(_PROBES))], np.int64)
    wrong = np.flatnonzero((ours != pair.tokens(_PROBES)).any(axis=1))
    if len(wrong):
        raise TrainingError(
            f"the tokenizer.json reads {_PROBES[wrong[0]][:40]!r} as other tokens than {pair.by} does: nothing was "
            "written; give the tokenizer of this model"
        )
    text = _apart(towers.tower.encode(_PROBES), _own_text(pair))
    crop = towers.preprocessing.crop
    noise = np.random.default_rng(0).integers(0, 256, (_NOISE, crop, crop, 3), np.uint8)
    own = _by_library(pair.image, towers.preprocessing.normalised(noise))
    image = _apart(unit_rows(backbone.features(noise)), own)
    found = TowersChecked(_NOISE, image, text)
    if folders:
        found = _on_photos(towers, backbone, folders, taxonomy, found, say)
    for name, apart in (("image", found.image), ("text", found.text)):
        if not apart <= towers.most:
            raise TrainingError(
                f"{name} vectors are {apart:.1e} from those of {pair.by} (one minus the cosine), more than "
                f"{towers.most:g}: nothing was written; build without --half, or use another model"
            )
    return found


def _on_photos(
    towers: Towers,
    backbone: OpenVinoBackbone,
    folders: Sequence[Path],
    taxonomy: Taxonomy,
    found: TowersChecked,
    say: Say,
) -> TowersChecked:
    samples, skipped = class_photos(folders, {one: place for place, one in enumerate(taxonomy.ids)})
    for reason, count in skipped.items():
        say(f"left out {count}: {reason}")
    names = [taxonomy.synset(one) for one in samples.class_names]
    labels = towers.tower.labels([(one.name, one.definition) for one in names])
    right, read, image = 0, 0, found.image
    for row in spread(np.arange(len(samples))).tolist():
        try:
            pixels = read_picture(samples.source(row), min_side=towers.preprocessing.decode_side)
        except PictureError as error:
            say(f"left out {samples.place(row)}: {error}")
            continue
        crop = towers.preprocessing.apply(pixels)[None]
        ours = unit_rows(backbone.features(crop))
        own = _by_library(towers.pair.image, towers.preprocessing.normalised(crop))
        image = max(image, _apart(ours, own))
        right += int((labels @ ours[0]).argmax()) == int(samples.truth[row])
        read += 1
    if not read:
        raise UsageError("no photo of --check can be read: check the folders")
    return TowersChecked(read, image, found.text, 100 * right / read, len(samples), len(names))


def _written(
    base: Bundle,
    towers: Towers,
    vectors: LabelVectors,
    found: TowersChecked,
    inputs: TowerInputs,
    out: Path,
    overwrite: bool,
) -> Bundle:
    old, count, pair = base.manifest, len(base.labels), towers.pair
    labels = LabelSet.of_columns(
        base.labels.ids, [one.name for one in base.labels], [""] * count, [False] * count, ["term"] * count
    )
    parts: dict[str, PartContent] = {
        BACKBONE: towers.image,
        TEXT_TOWER: towers.text,
        TOKENIZER: pair.tokenizer,
        LABEL_TABLE: encode_label_table(labels, ()),
        LABEL_VECTORS: encode_label_vectors(vectors),
        **{name: base.part_path(name) for name in (PRIOR, FAMILIARITY) if base.has(name)},
    }
    temperature = 1 / pair.scale
    fused = {"temperature": temperature}
    known = base.prior().standing
    if known is not None:  # as strong against the cosines, in log probability, as in the base model
        weight = base.prior_weight() / base.setting("fused", "temperature")
        kind = "prior" if base.has(PRIOR) else "familiarity"
        fused |= {kind: weight * temperature, "typed": float(known[base.trained].mean())}
    provenance = (towers.weights, *(one for one in old.provenance if one.what in ("taxonomy", "prior")))
    kept = {one.licence for one in provenance}
    manifest = Manifest(
        name=real_path(out).name,
        preprocessing=towers.preprocessing.to_dict(),
        backbone=BackboneFacts(pair.architecture, vectors.shape[1]),
        label_space=LabelSpaceFacts(count, 0, vectors.shape[1]),
        label_policy=LabelPolicyFacts(TEXT_POLICY, towers.tower.prompts.to_dict()),
        scoring={"fused": fused},
        provenance=provenance,
        licences={name: text for name, text in old.licences.items() if name in kept},
        config={"build": {"check": asdict(found) | {"by": pair.by}, "base": old.name}},
    )
    return write_bundle(out, manifest, parts, overwrite=overwrite)
