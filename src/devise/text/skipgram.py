"""Skip-gram word vectors: trained in memory, or in a folder, where a training can be killed and resumed."""

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from devise.arrays import Float32
from devise.errors import DeviseError, TextError, UsageError
from devise.files import atomic_write, open_tensors, parse_json, read_json, reason_of, require_regular, write_json
from devise.resumable import differing, resuming
from devise.text.engine.config import ProgressCallback, SkipGramConfig, SkipGramProgress
from devise.text.engine.encoding import ENCODED_NUMBERS, EncodedText, encode
from devise.text.engine.training import Matrices, close_up, fresh_rows, train_blocks
from devise.text.vectors import WordTable
from devise.text.vectorstore import write_tensors, write_vector_store

__all__ = [
    "CHECKPOINT",
    "ENCODED",
    "LOG",
    "VECTORS",
    "ProgressCallback",
    "SentenceFactory",
    "SkipGramConfig",
    "SkipGramOutcome",
    "SkipGramProgress",
    "read_checkpoint",
    "read_encoded",
    "train_in_folder",
    "train_skipgram",
    "write_checkpoint",
    "write_encoded",
]

SentenceFactory = Callable[[], Iterable[list[str]]]
"""Gives the sentences; called once."""


def train_skipgram(
    sentences: SentenceFactory,
    config: SkipGramConfig,
    progress: ProgressCallback | None = None,
) -> WordTable:
    """Train a vector for every word that occurs at least `min_count` times, most frequent words first.

    The sentences are read once, counted, and kept as numbers in a temporary file, 4 bytes a token. Words of equal
    count are in the order of their letters. progress: called every 100,000 tokens while counting, then after each
    block of text, and at the end of each pass, in the thread of the caller; an error that it or the text raises ends
    the training and is raised here. DeviseError if numba is not installed. TextError if no word is frequent enough.
    """
    with tempfile.TemporaryDirectory(prefix="devise-skipgram-") as folder:
        text = _encoded(sentences, config, Path(folder), progress)
        rows = fresh_rows(len(text.words), config)
        train_blocks(text, rows, config, progress=progress)
    return WordTable(text.words, close_up(rows), text.counts)


CHECKPOINT = "checkpoint.safetensors"
"""Both matrices, and in its metadata how many blocks they were trained on; chance has no other state."""

ENCODED = "text.safetensors"
"""Words, counts and blocks of the encoded text; written last, so that the text is complete if it is there."""

_VERSION = 1
_AT_ONCE = 4096
_DAMAGED = "is damaged: remove the folder and train again"


def write_checkpoint(folder: Path, rows: Matrices, position: int) -> None:
    """Write both matrices after so many blocks, whole or not at all; OSError if the disk is full."""
    tensors = {"inputs": rows.inputs[:, : rows.dim], "outputs": rows.outputs[:, : rows.dim]}
    with atomic_write(folder / CHECKPOINT, "wb") as file:
        write_tensors(file, tensors, _described({"position": position}))


def read_checkpoint(folder: Path, words: int, config: SkipGramConfig) -> tuple[Matrices, int]:
    """Read the last checkpoint and its number of blocks, or the initial matrices and 0. TextError if damaged."""
    rows = fresh_rows(words, config)
    path = folder / CHECKPOINT
    if not path.exists():
        return rows, 0
    try:
        with open_tensors(path) as file:
            position = _count(_facts(file.metadata(), path), "position")
            for name, matrix in (("inputs", rows.inputs), ("outputs", rows.outputs)):
                _fill(matrix, file.get_slice(name), config.dim, path)
    except (OSError, ValueError) as problem:
        raise TextError(f"{path} {_DAMAGED} ({reason_of(problem)})") from None
    return rows, position


def write_encoded(folder: Path, text: EncodedText) -> None:
    """Write the encoded text except its numbers, which are in a separate file."""
    blob = np.frombuffer("\n".join(text.words).encode(), dtype=np.uint8)
    tensors = {"words": blob, "counts": text.counts, "blocks": text.blocks, "read": text.read}
    facts = {"tokens": text.tokens, "rare_tokens": text.rare_tokens, "forgotten": text.forgotten}
    with atomic_write(folder / ENCODED, "wb") as file:
        write_tensors(file, tensors, _described(facts))


def read_encoded(folder: Path, numbers: Path) -> EncodedText | None:
    """Read the text, or None if its encoding is incomplete. TextError if a file is damaged."""
    path = folder / ENCODED
    if not path.exists():
        return None
    try:
        with open_tensors(path) as file:
            facts = _facts(file.metadata(), path)
            tokens, rare_tokens, forgotten = (_count(facts, name) for name in ("tokens", "rare_tokens", "forgotten"))
            tensors = {name: file.get_tensor(name) for name in ("words", "counts", "blocks", "read")}
        words = tuple(tensors["words"].tobytes().decode().split("\n"))
        _require_whole(words, tensors)
        size = require_regular(numbers)
    except (OSError, ValueError) as problem:
        raise TextError(f"{path} {_DAMAGED} ({reason_of(problem)})") from None
    if size != 4 * tensors["blocks"][-1]:
        raise TextError(f"{numbers} {_DAMAGED} ({size} bytes instead of {4 * tensors['blocks'][-1]})")
    return EncodedText(
        words, tensors["counts"], tokens, rare_tokens, forgotten, numbers, tensors["blocks"], tensors["read"]
    )


def _require_whole(words: tuple[str, ...], tensors: Mapping[str, Any]) -> None:
    """Raise ValueError unless the arrays fit one text: blocks rise from 0, one count above 0 per word."""
    counts, blocks, read = (tensors[name] for name in ("counts", "blocks", "read"))
    if any(array.dtype != np.int64 or array.ndim != 1 for array in (counts, blocks, read)):
        raise ValueError("an array is not a row of 64-bit numbers")
    rising = (
        len(blocks) > 0 and blocks[0] == 0 and bool((np.diff(blocks) > 0).all()) and bool((np.diff(read) >= 0).all())
    )
    if not rising or len(read) != len(blocks) or len(counts) != len(words) or (counts < 1).any():
        raise ValueError("its arrays do not fit each other")


def _fill(matrix: Float32[np.ndarray, "_ padded"], stored: Any, dim: int, path: Path) -> None:
    if tuple(stored.get_shape()) != (len(matrix), dim):
        raise TextError(f"{path} {_DAMAGED} (rows of another size)")
    for start in range(0, len(matrix), _AT_ONCE):
        end = min(start + _AT_ONCE, len(matrix))
        matrix[start:end, :dim] = stored[start:end]


def _described(facts: dict[str, int]) -> dict[str, str]:
    return {"devise": json.dumps({"format": "devise-skipgram", "version": _VERSION, **facts}, sort_keys=True)}


def _count(facts: Mapping[str, Any], name: str) -> int:
    count = facts.get(name)
    if type(count) is not int or count < 0:
        raise ValueError(f"{name} is not a count")
    return count


def _facts(metadata: dict[str, str] | None, path: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = parse_json((metadata or {})["devise"])
        version = facts["version"]
    except (KeyError, TypeError, ValueError):
        raise TextError(f"{path} {_DAMAGED} (it does not say what it is)") from None
    if version != _VERSION:
        raise TextError(f"{path} is of version {version}, this devise reads {_VERSION}: train in another folder")
    return facts


VECTORS = "vectors.safetensors"
"""The vectors in their folder, as `read_vectors` takes them; the training is finished if they are there."""

LOG = "training.json"
"""Settings, what the text is, and when it is finished what came of it."""

_FREE = ("threads",)  # settings that may change on the way


@dataclass(frozen=True, slots=True)
class SkipGramOutcome:
    """The results of a training.

    words: that have a vector. tokens: of the text. rare_tokens: of words without one. forgotten: of words dropped
    while counting. loss: mean of the last tenth of the blocks; None if nothing was left to train. seconds: of this
    process. resumed_at: share of the training that was done before, in [0, 1].
    """

    words: int
    tokens: int
    rare_tokens: int
    forgotten: int
    loss: float | None
    seconds: float
    resumed_at: float


def train_in_folder(
    sentences: SentenceFactory,
    config: SkipGramConfig,
    folder: Path,
    *,
    text: Mapping[str, str],
    resume: bool = False,
    every: float = 300.0,
    progress: ProgressCallback | None = None,
) -> SkipGramOutcome:
    """Train as `train_skipgram` does and leave `VECTORS` and `LOG` in the folder.

    text: what the sentences are made of, such as hashes of files by name; kept in the log, and compared on resuming.
    resume: continue from the last checkpoint, or begin if there is none; with one thread the vectors are to the bit
    those of a training that was not stopped. every: seconds between checkpoints; another is written on Ctrl-C.
    UsageError if the folder contains a training and `resume` is not set, or one of other settings or text, or if
    another process trains in it. DeviseError if a file cannot be written; the checkpoint before stays then.
    """
    described = {"format": "devise-skipgram-training", "version": 1, "config": asdict(config), "text": dict(text)}
    with ExitStack() as lock:
        with _writing(folder):  # only the lock: an error of the text or of `progress` is raised as it is
            lock.enter_context(resuming(folder, partial(_check, folder, described, resume), UsageError))
        return _trained(sentences, config, folder, described, every, progress)


def _trained(
    sentences: SentenceFactory,
    config: SkipGramConfig,
    folder: Path,
    described: Mapping[str, Any],
    every: float,
    progress: ProgressCallback | None,
) -> SkipGramOutcome:
    """Train in a folder that no other process writes to."""
    began = time.monotonic()
    with _writing(folder):
        write_json(folder / LOG, described)
        encoded = read_encoded(folder, folder / ENCODED_NUMBERS)
        if encoded is None:
            encoded = _encoded(sentences, config, folder, progress)
            write_encoded(folder, encoded)
    rows, first = read_checkpoint(folder, len(encoded.words), config)
    losses: list[float] = []

    def on_progress(report: SkipGramProgress) -> None:
        if report.loss is not None:
            losses.append(report.loss)
        if progress is not None:
            progress(report)

    def save(position: int) -> float:
        if position > first:
            with _writing(folder):
                write_checkpoint(folder, rows, position)
        return every

    train_blocks(encoded, rows, config, first=first, progress=on_progress, between=save)
    total = (len(encoded.blocks) - 1) * config.epochs
    last = losses[-math.ceil(total / 10) :]
    outcome = SkipGramOutcome(
        len(encoded.words),
        encoded.tokens,
        encoded.rare_tokens,
        encoded.forgotten,
        sum(last) / len(last) if last else None,
        round(time.monotonic() - began, 1),
        first / total,
    )
    vectors = rows.inputs[:, : config.dim]
    del rows
    with _writing(folder):
        write_vector_store(folder / VECTORS, WordTable(encoded.words, vectors, encoded.counts))
        write_json(folder / LOG, {**described, "outcome": asdict(outcome)})
    for name in (CHECKPOINT, ENCODED, ENCODED_NUMBERS):
        (folder / name).unlink(missing_ok=True)
    return outcome


def _encoded(
    sentences: SentenceFactory, config: SkipGramConfig, folder: Path, progress: ProgressCallback | None
) -> EncodedText:
    def counted(tokens: int) -> None:
        if progress is not None:
            progress(SkipGramProgress("counting", 0, config.epochs, tokens, None))

    return encode(sentences(), folder, min_count=config.min_count, max_words=config.max_words, on_tokens=counted)


def _check(folder: Path, described: dict[str, Any], resume: bool) -> None:
    """Raise UsageError unless the folder is new, or contains the same training to resume."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: give a folder to train in")
    log = folder / LOG
    if not log.exists():
        return
    if not resume:
        raise UsageError(f"{folder} contains a training: resume it, or train in another folder")
    if (folder / VECTORS).exists():
        raise UsageError(f"{folder} contains a finished training, so nothing to resume: train in another folder")
    try:
        before: dict[str, Any] = read_json(log)
        config, text = dict(before["config"]), dict(before["text"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TextError(f"{log} is damaged ({reason_of(error)}): remove the folder and train again") from None
    for name, now in described["config"].items():
        if name not in _FREE and config.get(name) != now:
            raise UsageError(
                f"{folder} was begun with {name} {config.get(name)}, now it is {now}: "
                "give the same settings, or train in another folder"
            )
    if changed := differing(text, described["text"]):
        raise UsageError(
            f"{folder} was begun with other text ({changed[0]} is not the same): "
            "give the same text, or train in another folder"
        )


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Raise DeviseError instead of OSError."""
    try:
        yield
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise DeviseError(
            f"{problem.filename or folder} cannot be written ({reason}): fix that and resume; "
            "what was written before stays"
        ) from problem
