"""Open an index for exact search or, with very many photos, for approximate search by faiss, with measured recall."""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from devise.arrays import Float32, Int64, UInt8
from devise.errors import PhotoIndexError
from devise.files import atomic_write, read_json, reason_of, require_regular
from devise.model.labeller import Model
from devise.ranking import top_k
from devise.search.photoindex import header_of
from devise.search.query import CANDIDATES, PhotoSearch
from devise.search.rows import Rows, fingerprint
from devise.search.store import PhotoStore

__all__ = [
    "APPROXIMATE_ABOVE",
    "KEPT_ABOVE",
    "NEAREST_FACTS",
    "NEAREST_FILE",
    "LabelSide",
    "Nearest",
    "NearestFacts",
    "PhotoVectors",
    "import_faiss",
    "open_search",
    "refresh_nearest",
]

NEAREST_FILE = "nearest.faiss"
NEAREST_FACTS = "nearest.json"
_RECALL_OF = 10
_ENOUGH = 0.98
_LARGEST_FACTS = 1 << 16  # bytes
_LARGEST_FILE = 1 << 36
_TRAINING = 40  # vectors a list is placed by; faiss asks for 39
_BLOCK = 50_000  # vectors that are in 32 bits at once: 60 MB

_Vectors = Float32[np.ndarray, "rows dim"]
_Queries = Float32[np.ndarray, "queries dim"]


@dataclass(frozen=True, slots=True)
class NearestFacts:
    """Facts about an approximate index.

    fingerprint: of the rows it was made from. probes: lists that are searched, of `lists`.
    recall: share of the true first ten among the photos that are then scored exactly, in [0, 1], over `queries`
        queries.
    """

    fingerprint: str
    probes: int
    lists: int
    recall: float
    queries: int


def import_faiss() -> Any:
    """Import the module; PhotoIndexError with what to install if it is missing."""
    try:
        import faiss
    except ModuleNotFoundError:
        raise PhotoIndexError("this needs faiss, which is not installed: pip install 'devise-zsl[search]'") from None
    return faiss


class Nearest:
    """The approximate index in memory; searching it is safe from several threads."""

    def __init__(self, faiss_index: Any, facts: NearestFacts) -> None:
        """Use `built` or `read`."""
        self.facts = facts
        self._index = faiss_index

    @classmethod
    def built(cls, vectors: "_Vectors | PhotoVectors", queries: _Queries, fingerprint: str) -> "Nearest":
        """Build the index from vectors (8 bits per number); search enough lists for a recall of 0.98.

        queries: vectors to measure the recall with, against the exact search.
        """
        faiss, count = import_faiss(), len(vectors)
        lists = max(1, min(int(4 * np.sqrt(count)), count // 39))
        index = faiss.index_factory(vectors.shape[1], f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
        index.cp.seed = 0
        some = np.random.default_rng(0).permutation(count)[: max(_TRAINING * lists, 1000)]
        index.train(vectors[np.sort(some)])
        for start in range(0, count, _BLOCK):
            index.add(vectors[start : start + _BLOCK])
        true = _true_first(vectors, queries, min(_RECALL_OF, count))
        probes = min(8, lists)
        while (recall := _recall(index, queries, true, probes)) < _ENOUGH and probes < lists:
            probes = min(probes + probes // 4, lists)  # in small steps: the time grows with the lists
        return cls(index, NearestFacts(fingerprint, probes, lists, recall, len(queries)))

    @classmethod
    def read(cls, folder: Path) -> "Nearest | None":
        """Read the index in a folder, None if absent; PhotoIndexError if it is damaged.

        faiss believes what it reads: flipped bits of its file give other answers. So the facts hold a hash over
        themselves and the file, and nothing is used that does not match it.
        """
        try:
            stored = read_json(folder / NEAREST_FACTS, _LARGEST_FACTS)
            told = stored.pop("sha256", None)
            facts = NearestFacts(**stored)
            require_regular(folder / NEAREST_FILE, _LARGEST_FILE)
            data = np.memmap(folder / NEAREST_FILE, np.uint8, "r")
            if told != _sha256(facts, data):
                raise ValueError("its sha256 differs")
            if [type(one) for one in astuple(facts)] != [str, int, int, float, int] or facts.probes < 1:
                raise ValueError("its facts are out of range")
            index = import_faiss().read_index(str(folder / NEAREST_FILE))
            index.nprobe = facts.probes
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RuntimeError, AttributeError, OverflowError, MemoryError) as error:
            raise PhotoIndexError(
                f"{folder / NEAREST_FILE}: is damaged ({reason_of(error)}): run devise index again, which rebuilds it"
            ) from None
        return cls(index, facts)

    def write(self, folder: Path) -> None:
        """Write it to a folder, complete or not at all."""
        for name in (NEAREST_FACTS, NEAREST_FILE):  # without its facts the file counts for nothing
            (folder / name).unlink(missing_ok=True)
        data = import_faiss().serialize_index(self._index)
        with atomic_write(folder / NEAREST_FILE, "wb") as file:
            file.write(data.data)
        with atomic_write(folder / NEAREST_FACTS) as file:
            file.write(json.dumps({**asdict(self.facts), "sha256": _sha256(self.facts, data)}, indent=1) + "\n")

    def near(self, queries: _Queries, count: int) -> Int64[np.ndarray, "some"]:
        """Return rows among the top `count` of any query (most likely all of them), sorted."""
        found = np.unique(self._index.search(queries, count)[1])
        rows: Int64[np.ndarray, "some"] = found[found >= 0]
        return rows


def _sha256(facts: NearestFacts, data: UInt8[np.ndarray, "bytes"]) -> str:
    """Hash the facts and the file together."""
    digest = hashlib.sha256(json.dumps(asdict(facts), sort_keys=True).encode())
    digest.update(data.data)
    return digest.hexdigest()


def _recall(index: Any, queries: _Queries, true: np.ndarray, probes: int) -> float:
    index.nprobe = probes
    found = index.search(queries, min(CANDIDATES, index.ntotal))[1]
    return float(np.mean([np.isin(row, got).mean() for row, got in zip(true, found, strict=True)]))


def _true_first(
    vectors: "_Vectors | PhotoVectors", queries: _Queries, count: int
) -> Int64[np.ndarray, "queries first"]:
    """Return the rows of the highest inner products with each query."""
    scores, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for start in range(0, len(vectors), _BLOCK):
        block = queries @ vectors[start : start + _BLOCK].T
        found = top_k(block, min(count, block.shape[1]))
        scores = np.concatenate([scores, found.scores], axis=1)
        rows = np.concatenate([rows, found.positions + start], axis=1)
        best = top_k(scores, min(count, scores.shape[1])).positions
        scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
    return rows


APPROXIMATE_ABOVE = 200_000
"""Number of photos above which an approximate index is made; below, exact search is fast enough."""

KEPT_ABOVE = 20_000
"""Number of photos above which all rows are kept in one file; fewer open from their parts in 0.3 s."""

_QUERIES = 200  # labels that the recall is measured with


class LabelSide:
    """The approximate index of photos: the score of a label and a photo as one inner product.

    A photo has one extra number after its point: the offset that its sum over all labels subtracts from each score.
    """

    def __init__(self, nearest: Nearest) -> None:
        self.nearest = nearest

    def near_labels(self, vectors: Float32[np.ndarray, "labels dim"], count: int) -> Int64[np.ndarray, "some"]:
        """Return photos in the top `count` of any label vector, without the classifier's term."""
        return self.nearest.near(_with(vectors, 1.0), count)

    def near_point(self, point: Float32[np.ndarray, "dim"], count: int) -> Int64[np.ndarray, "some"]:
        """Return photos in the top `count` by cosine."""
        return self.nearest.near(_with(point[None], 0.0), count)


def open_search(model: Model, index: Path, *, often: bool = False, all_nouns: bool = False) -> PhotoSearch:
    """Read the index at `index` into memory; PhotoIndexError if absent or of another model.

    An approximate index that is damaged or of other rows is not used: the search is exact, and its notes say so. often,
    all_nouns: see `PhotoSearch`.
    """
    rows, note = PhotoStore.opened(index, header_of(model.parts)).rows_and_note()
    notes = (note,) if note else ()
    if len(rows) and not (0 <= rows.labels.min() <= rows.labels.max() < len(model.labels)):
        raise PhotoIndexError(f"{index}: is damaged (a label that the model has not): index the photos again elsewhere")
    try:
        nearest = Nearest.read(index)
    except PhotoIndexError as error:
        notes = (*notes, f"searched exactly: {error}")
        return PhotoSearch(model, rows, notes=notes, often=often, all_nouns=all_nouns)
    if nearest is None:
        return PhotoSearch(model, rows, notes=notes, often=often, all_nouns=all_nouns)
    if nearest.facts.fingerprint != fingerprint(rows):
        notes = (*notes, "searched exactly: the approximate index is out of date; run devise index again to update it")
        return PhotoSearch(model, rows, notes=notes, often=often, all_nouns=all_nouns)
    return PhotoSearch(model, rows, LabelSide(nearest), notes=notes, all_nouns=all_nouns)


def refresh_nearest(
    model: Model, index: Path, photos: int, above: int = APPROXIMATE_ABOVE, kept_above: int = KEPT_ABOVE
) -> Nearest | None:
    """Make the approximate index above `above` photos if it is missing; below, remove it.

    kept_above: above so many photos, all rows are kept in one file too, which opens faster (`PhotoStore.keep`).
    """
    store = PhotoStore.opened(index, header_of(model.parts))
    if photos <= above:
        for name in (NEAREST_FACTS, NEAREST_FILE):
            (index / name).unlink(missing_ok=True)
    if photos <= kept_above:
        store.forget_kept()
    if photos <= min(above, kept_above):
        return None
    rows = store.rows()
    if photos > kept_above and not store.keeps():
        store.keep(rows)
    if photos <= above:
        return None
    mark = fingerprint(rows)
    with suppress(PhotoIndexError):  # a damaged one is made anew
        kept = Nearest.read(index)
        if kept is not None and kept.facts.fingerprint == mark:
            return kept
    space = model.parts.placed
    some = np.random.default_rng(0).permutation(len(space.labels))[:_QUERIES]
    temperature = np.float32(model.parts.setting("fused", "temperature"))
    built = Nearest.built(PhotoVectors(rows, temperature), _with(space.vectors[some], 1.0), mark)
    built.write(index)
    return built


class PhotoVectors:
    """Vectors of photos whose inner products with (label vector, 1) order like scores; made in 32 bits when read."""

    def __init__(self, rows: Rows, temperature: np.float32) -> None:
        self._points = rows.vectors
        self._off = (temperature * (rows.totals.mean() - rows.totals)).astype(np.float32)
        self.shape = (len(rows), rows.vectors.shape[1] + 1)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, places: "slice | Int64[np.ndarray, 'some']") -> Float32[np.ndarray, "some more"]:
        return np.concatenate([self._points[places].astype(np.float32), self._off[places, None]], axis=1)


def _with(vectors: Float32[np.ndarray, "rows dim"], last: float) -> Float32[np.ndarray, "rows more"]:
    return np.concatenate([vectors, np.full((len(vectors), 1), last, np.float32)], axis=1)
