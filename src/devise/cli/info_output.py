"""Describe a model in words."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from devise.bundle.bundle import Bundle
from devise.bundle.manifest import Manifest, Provenance
from devise.cli.printing import facts, page, plain

__all__ = ["calibration_in_words", "policy_in_words", "print_info", "scoring_in_words"]

_Rows = Iterator[tuple[str, str]]

_SCORING = {
    ("fused", "confidence"): "{} x its probability is added to a trained label's cosine",
    ("fused", "slope"): "the classifier's top label is right with probability 1 / (1 + exp(-x)), x = {} x its log "
    "odds + offset",
    ("fused", "prior"): "prior of a label: {} x the log odds that people photograph it",
    ("fused", "familiarity"): "prior of a label: {} x the familiarity of its name",
    ("fused", "penalty"): "{} is subtracted from every trained label",
    ("devise", "ridge"): "the map was fitted with a ridge of {}",
    ("fused", "offset"): "offset = {}",
    ("fused", "typed"): "a label that you type has log odds of {}",
    ("kernel", "label_share"): "similarity of label vectors has weight {}",
    ("kernel", "text_share"): "similarity of definitions has weight {}",
    ("kernel", "tree_share"): "similarity in the tree has weight {}",
    ("kernel", "width"): "the kernel has width {}",
    ("kernel", "ridge"): "it was fitted with a ridge of {}",
    ("kernel", "rank"): "labels are kept along {} axes",
    ("conse", "top"): "the picture is the weighted mean of its {} most probable trained labels",
}
_WAYS = {
    "fused": "the picture is at unit(DeViSE + ConSE), labels by cosine",
    "devise": "the picture is at map x features, labels by cosine",
    "kernel": "a label is its predicted classifier row, the picture the square roots of its features",
    "conse": "labels by cosine",
}
_FAST = {
    "wide": "wide: this processor adds 8-bit products in 32 bits, the weights keep all 8 bits",
    "narrow": "narrow: this processor adds 8-bit products in 16 bits, so the weights are rounded in larger steps",
    "none": "none: OpenVINO has no 8-bit arithmetic for this processor",
}
_NUMBERS = {"FP32": "f32", "BF16": "bf16", "FP16": "16-bit floats", "INT8": "8-bit integers"}
_POLICY = frozenset(
    ("name", "terms", "term_weight", "gloss_weight", "parents_weight", "parts_weight", "head_weight", "rarity")
)


def print_info(bundle: Bundle, described: Mapping[str, Any], *, verified: bool) -> None:
    """Print the model section by section. described: from `describe`."""
    manifest = bundle.manifest
    sections: list[tuple[str, _Rows]] = [
        (manifest.name, _identity(manifest, described, verified)),
        ("pictures", _pictures(bundle, described)),
        ("devices", _devices(described["devices"])),
        ("labels", _labels(manifest, described)),
        ("scoring", iter(scoring_in_words(manifest.scoring).items())),
        ("calibration", calibration_in_words(manifest.config)),
        ("parts", ((part.name, f"{_size(part.bytes)}, sha256 {part.sha256[:12]}...") for part in manifest.parts)),
        ("made of", ((item.what, _origin(item)) for item in manifest.provenance)),
        ("licences", iter(manifest.licences.items())),
    ]
    blocks: list[RenderableType] = []
    for title, rows in sections:
        listed = list(rows) or [("", "the bundle does not say")]
        blocks += [plain(title, "bold"), facts(listed), Text()]
    page(blocks[:-1])


def scoring_in_words(scoring: Mapping[str, Mapping[str, int | float]]) -> dict[str, str]:
    """Return one sentence per scorer; a setting without a sentence is printed by its name."""
    return {scorer: "; ".join(_settings(scorer, settings)) for scorer, settings in scoring.items()}


def _settings(scorer: str, settings: Mapping[str, int | float]) -> Iterator[str]:
    kernel = scorer == "fused" and "conse" in settings
    if kernel:
        yield f"the picture is at unit(kernel + {settings['conse']:g} x ConSE), labels by cosine"
    elif scorer == "fused" and "typed" in settings:
        yield "the picture is at its features, labels by cosine"
    elif scorer in _WAYS:
        yield _WAYS[scorer]
    for name, value in settings.items():
        if name == "temperature" or (kernel and name == "conse"):
            continue
        yield _SCORING.get((scorer, name), f"{name} {{}}").format(f"{value:g}")
    if "temperature" in settings:
        yield f"scores are the softmax over the candidates at temperature {settings['temperature']:g}"


def policy_in_words(parameters: Mapping[str, Any]) -> str:
    """Describe how a label's vector is made of word vectors; print unknown parameters by name."""
    numbers = all(isinstance(value, int | float) for name, value in parameters.items() if name != "name")
    if set(parameters) - {"tags", "retrofit"} != _POLICY or not numbers:
        return ", ".join(f"{name} {value}" for name, value in parameters.items())
    first = "its first term" if parameters["terms"] == 1 else f"its first {parameters['terms']} terms"
    terms = first if parameters["terms"] else "all its terms"
    gloss = "its sense tag, else its definition" if parameters.get("tags") else "its definition"
    weighed = ((terms, "term_weight"), (gloss, "gloss_weight"), ("its hypernyms", "parents_weight"))
    summed = [f"{parameters[key]:g} x {what}" for what, key in weighed if parameters[key]]
    parts = (
        f"a term without a vector is the sum of its words, scaled to length {parameters['parts_weight']:g}, with its "
        f"last word counted {parameters['head_weight']:g} times"
    )
    rare = f"; words of the definition have weight a/(a + frequency), a = {parameters['rarity']:g}"
    pull = parameters.get("retrofit")
    drawn = f"; pulled towards its hypernyms and hyponyms with weight {pull:g}" if pull else ""
    return f"unit({' + '.join(summed)}); {parts}{rare if parameters['gloss_weight'] else ''}{drawn}"


def calibration_in_words(config: Mapping[str, Any]) -> _Rows:
    """Describe how the stacking rule and the temperatures were chosen, if the bundle says."""
    tried, result = config.get("calibration"), config.get("calibration_result")
    if isinstance(tried, Mapping) and "folds" in tried:
        yield "on", f"photos of trained classes; each of {tried['folds']} folds treats some classes as not trained"
    if not isinstance(result, Mapping):
        return
    k = tried.get("k", tried.get("unseen_k", "k")) if isinstance(tried, Mapping) else "k"
    shares = {
        "seen_hit1": "hit@1 of classes kept",
        "softmax_hit1": "the softmax's hit@1",
        "seen_hit": f"hit@{k} of classes kept",
        "unseen_hit": f"hit@{k} of classes left out",
        "unseen_only_hit": "trained labels away",
        "mistaken": "classes left out named as a trained one",
    }
    numbers = {
        "photos": "photos",
        "prior": "weight of the prior",
        "familiarity": "share of the name's familiarity in the prior",
    }
    known = {name: result[name] for name in (*shares, *numbers) if name in result}
    for name, value in (known | dict(result)).items():
        if isinstance(value, int | float):
            shown = f"{value:.1f} %" if name in shares else f"{value:,}" if isinstance(value, int) else f"{value:g}"
            yield (shares | numbers).get(str(name), str(name)), shown


def _identity(manifest: Manifest, described: Mapping[str, Any], verified: bool) -> _Rows:
    yield "format", f"{described['format']}, written by {manifest.created_by}"
    yield "directory", str(described["path"])
    yield "manifest sha256", str(described["manifest_sha256"])
    yield "size", _size(described["bytes"])
    if verified:
        yield (
            "verified",
            f"all {len(manifest.parts)} parts match the hashes in the manifest and each other; the network ran",
        )


def _pictures(bundle: Bundle, described: Mapping[str, Any]) -> _Rows:
    backbone, steps = bundle.manifest.backbone, bundle.preprocessing()
    yield "backbone", f"{backbone.architecture}, {backbone.features:,} features"
    yield (
        "preprocessing",
        f"short side to {steps.resize} pixels ({steps.interpolation}), centre crop {steps.crop} x {steps.crop}, "
        f"(byte - {_channels(steps.mean)}) / {_channels(steps.std)}",
    )
    yield "--fast here", _FAST[described["fast_here"]] if "fast_here" in described else "the model has no fast form"


def _devices(machines: Sequence[Mapping[str, Any]]) -> _Rows:
    for one in machines:
        known = one["capabilities"]
        numbers = [name for key, name in _NUMBERS.items() if key in known]
        lacks = ", no bf16" if one["device"] == "cpu" and "BF16" not in known else ""
        yield f"--device {one['device']}", f"{one['name']}: {', '.join(numbers)}{lacks}"


def _channels(numbers: Sequence[float]) -> str:
    """Return one number if the three channels agree."""
    return "/".join(f"{number:g}" for number in (numbers[:1] if len(set(numbers)) == 1 else numbers))


def _labels(manifest: Manifest, described: Mapping[str, Any]) -> _Rows:
    from devise.cli.labels_output import withheld_in_words
    from devise.labels import TOWER
    from devise.meaning.senses import VECTOR_FROM
    from devise.space.texttower import TEXT_POLICY, Prompts

    space, policy = manifest.label_space, manifest.label_policy.parameters
    trained = f", {space.trained:,} of them trained" if space.trained else ""
    yield "labels", f"{space.labels:,}{trained}; vectors of {space.dim} numbers"
    yield "withheld unless requested", f"{withheld_in_words(described['withheld'])}; see docs/people.md"
    if manifest.label_policy.name == TEXT_POLICY:
        yield "vectors from", f"{TOWER}, the mean of {' | '.join(Prompts.from_dict(policy).templates)}"
        return
    by_source = described["vector_sources"]
    counts = (f"{words} {by_source[source]:,}" for source, words in VECTOR_FROM.items() if source in by_source)
    yield "vectors from", ", ".join(counts)
    yield "label policy", f"{manifest.label_policy.name}: {policy_in_words(policy)}"


def _origin(item: Provenance) -> str:
    version = f" {item.version}" if item.version else ""
    digest = f"sha256 {item.sha256[:12]}..." if item.sha256 else ""
    traces = [trace for trace in (item.url, digest) if trace]
    return f"{item.source}{version}, {item.licence}, {', '.join(traces)}"


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} bytes"
