"""An approximate index of very many vectors by inner product: faiss's inverted lists, their recall measured."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from devise.errors import PhotoIndexError
from devise.files import atomic_write
from devise.index.exact import nearest

__all__ = ["NEAREST_FACTS", "NEAREST_FILE", "Nearest", "NearestFacts", "import_faiss"]

NEAREST_FILE = "nearest.faiss"
NEAREST_FACTS = "nearest.json"
_RECALL_OF = 10
_ENOUGH = 0.98
_TRAINING = 64  # vectors a list is placed by

_Vectors = Float32[np.ndarray, "rows dim"]
_Queries = Float32[np.ndarray, "queries dim"]


@dataclass(frozen=True, slots=True)
class NearestFacts:
    """What is known of an approximate index.

    fingerprint: of the rows it was made from. probes: lists that are looked into, of `lists`.
    recall: share of the true first ten that it finds, in [0, 1], over `queries` queries.
    """

    fingerprint: str
    probes: int
    lists: int
    recall: float
    queries: int


def import_faiss() -> Any:
    """The module; PhotoIndexError with what to install if it is absent."""
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
    def built(cls, vectors: _Vectors, queries: _Queries, fingerprint: str) -> "Nearest":
        """Made of vectors (16 bits a number); as many lists are looked into as the recall of 0.98 needs.

        queries: what the recall is measured with, against the exact search.
        """
        faiss = import_faiss()
        lists = max(1, min(int(4 * np.sqrt(len(vectors))), len(vectors) // 39))  # faiss asks for 39 vectors a list
        index = faiss.index_factory(vectors.shape[1], f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
        index.cp.seed = 0
        some = np.random.default_rng(0).permutation(len(vectors))[: _TRAINING * lists]
        index.train(vectors[np.sort(some)])
        index.add(vectors)
        true = nearest(queries, vectors, min(_RECALL_OF, len(vectors))).positions
        probes = min(8, lists)
        while (recall := _recall(index, queries, true, probes)) < _ENOUGH and probes < lists:
            probes = min(2 * probes, lists)
        return cls(index, NearestFacts(fingerprint, probes, lists, recall, len(queries)))

    @classmethod
    def read(cls, folder: Path) -> "Nearest | None":
        """The one kept in a folder, None if there is none; PhotoIndexError if it is damaged."""
        try:
            facts = NearestFacts(**json.loads((folder / NEAREST_FACTS).read_text(encoding="utf-8")))
            data = np.frombuffer((folder / NEAREST_FILE).read_bytes(), dtype=np.uint8)
            faiss = import_faiss()
            index = faiss.deserialize_index(data)
            index.nprobe = facts.probes
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise PhotoIndexError(
                f"{folder / NEAREST_FILE}: is damaged ({str(error).splitlines()[0][:80]}): remove it and run devise "
                "index again"
            ) from None
        return cls(index, facts)

    def write(self, folder: Path) -> None:
        """Keep it in a folder, whole or not at all."""
        (folder / NEAREST_FACTS).unlink(missing_ok=True)  # without its facts the file counts for nothing
        with atomic_write(folder / NEAREST_FILE, "wb") as file:
            file.write(import_faiss().serialize_index(self._index).tobytes())
        with atomic_write(folder / NEAREST_FACTS) as file:
            file.write(json.dumps(asdict(self.facts), indent=1) + "\n")

    def near(self, queries: _Queries, count: int) -> Int64[np.ndarray, "some"]:
        """Rows that are among the first `count` of any of the queries, most likely all of them; sorted."""
        found = np.unique(self._index.search(queries, count)[1])
        rows: Int64[np.ndarray, "some"] = found[found >= 0]
        return rows


def _recall(index: Any, queries: _Queries, true: np.ndarray, probes: int) -> float:
    index.nprobe = probes
    found = index.search(queries, true.shape[1])[1]
    return float(np.mean([np.isin(row, got).mean() for row, got in zip(true, found, strict=True)]))
