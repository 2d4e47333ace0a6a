"""python -m bench.millions: label and index a million links to photos, kill both, and search the index.

The network runs once on each real photo; its features are then found by the hash of the photo's content. All else is
what the commands do: list, read, hash, score 39,990 labels, write, resume. Nine tenths of the index of photos have
vectors of the others with noise, so that a search has a million different photos to order.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.command import environment
from bench.figures import Figure, table
from bench.machine import ROOT, facts, load
from bench.photos import find_photos, many_of
from devise.model.labeller import Model
from devise.model.labeller import load as load_model
from devise.model.typed import parse_labels
from devise.search.photofacts import FactColumns, PhotoFact
from devise.search.photoindex import PhotoSide, header_of, refresh_kept
from devise.search.query import PhotoSearch, open_search
from devise.search.results import Wanted
from devise.search.rows import Rows
from devise.search.store import PhotoStore
from devise.search.top_photos import TopPhotos
from devise.vision.folders import Found
from devise.vision.pipeline import Extracted

__all__ = ["main", "replaying", "search_figures", "spread_rows", "words"]

_GROWTH = 1.25  # of resident memory, from a tenth of the photos to all
_RESUME = 10.0  # seconds
_OPEN = 1.0  # seconds
_ALL_MS, _LISTED_MS, _SAME = 60.0, 10.0, 100.0
_WORDS = ROOT / "tests" / "data" / "everyday_words.tsv"
_CHANGED = 1000  # photos of an index that change before its update
_SEED = 1000  # photos that the network sees
_PARTS = {"label": "part-*.parquet", "index": "parts/part-*.parquet"}


def main(arguments: list[str] | None = None) -> int:
    """Run all; 1 if a limit was missed."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.count < 2:  # photos that change are half of them at most
        parser.error(f"--count must be at least 2, got {asked.count}")
    if asked.child:
        return _child(asked.child, asked.rest)
    work = asked.work
    work.mkdir(parents=True, exist_ok=True)
    machine = facts()
    photos = _seed(asked.photos, work)
    folder = work / "links"
    figures: list[Figure] = []
    for kind in () if asked.only == "search" else ("label", "index"):
        if not folder.is_dir():
            many_of(photos, asked.count, folder)
        found = _bulk(kind, folder, work, asked.count)
        print(f"\n{table(found)}", flush=True)
        figures += found
    found = _searched(work, asked.count)
    print(f"\n{table(found)}")
    figures += found
    result = {"machine": machine | {"load_after": load()}, "figures": [figure.to_dict() for figure in figures]}
    (work / "figures.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return int(any(figure.met is False for figure in figures))


def replaying(features: dict[bytes, np.ndarray]) -> Callable[..., Iterator[Extracted]]:
    """What stands for `Model.features`: features by the SHA-256 of a photo's content, in order."""

    def found(model: Model, pictures: Iterable[Any], *, regions: bool = False) -> Iterator[Extracted]:
        for picture in pictures:
            if isinstance(picture, Found) and picture.problem is not None:
                yield Extracted(picture.path, None, picture.problem)
                continue
            data = picture if isinstance(picture, bytes) else Path(getattr(picture, "path", picture)).read_bytes()
            yield Extracted(data, features[hashlib.sha256(data).digest()], None)

    return found


def spread_rows(rows: Rows, rng: np.random.Generator, every: int = 10) -> Rows:
    """The rows, of which one in `every` stays; the others get half of another's vector, with noise of a third.

    Likewise the classes of the classifier: the mean of both photos' probabilities.
    """
    own, others = rows.vectors.astype(np.float32), rng.permutation(len(rows))
    more = 0.5 * own[others]
    more += rng.standard_normal(own.shape, dtype=np.float32) / np.float32(3 * np.sqrt(own.shape[1]))
    more[::every] = 0
    vectors = own + more
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    others[::every] = np.arange(len(rows))[::every]
    classes, shares = _mean_of(rows, others)
    return replace(rows, vectors=vectors.astype(np.float16), classes=classes, shares=shares)


def _mean_of(rows: Rows, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most probable classes of the mean of each photo and another, and their probabilities."""
    classes = np.concatenate([rows.classes, rows.classes[others]], axis=1)
    shares = np.concatenate([rows.shares, rows.shares[others]], axis=1) / 2
    best = rows.classes.shape[1]
    same = rows.classes[:, :, None] == rows.classes[others][:, None, :]
    shares[:, :best] += (same * shares[:, None, best:]).sum(axis=2)
    shares[:, best:][same.any(axis=1)] = 0
    order = np.argsort(-shares, axis=1, kind="stable")[:, :best]
    return np.take_along_axis(classes, order, axis=1), np.take_along_axis(shares, order, axis=1)


def words() -> list[str]:
    """Everyday nouns: those of the tests for the senses of words."""
    lines = _WORDS.read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[0] for line in lines if line and not line.startswith("#")]


def search_figures(model: Model, index: Path, asked: Iterable[str]) -> list[Figure]:
    """Open the index; search it for words in turn with the lists of top photos, and through all photos."""
    section = "Search of all photos, one everyday word each, top 20"
    began = time.perf_counter()
    rows = open_search(model, index).rows
    opened = time.perf_counter() - began
    tops = TopPhotos.read(index, len(model.labels), rows)
    assert tops is not None, "made before"
    counting = _Counting(**{one.name: getattr(tops, one.name) for one in fields(tops)})
    searches = {"listed": PhotoSearch(model, rows, counting, often=True), "all": PhotoSearch(model, rows, often=True)}
    wanted = [Wanted(parse_labels(word)) for word in asked]
    times: dict[str, list[float]] = {name: [] for name in searches}
    same = []
    for one in (wanted[0], *wanted):  # the first prepares
        found = {}
        for name, search in searches.items():
            began = time.perf_counter()
            found[name] = [hit.score for hit in search.find(one, 20).hits]
            times[name].append(1e3 * (time.perf_counter() - began))
        same.append(100 * np.allclose(found["listed"], found["all"], rtol=1e-4, atol=0))  # links to one photo tie
    answered = 100 * float(np.mean(_Counting.answered))
    return [
        Figure(section, "opened", opened, "s", limit=_OPEN, note=f"{len(rows):,} photos"),
        Figure.of(section, "through all photos, in 8 bits first", times["all"][1:], "ms", limit=_ALL_MS),
        Figure.of(section, "with the top photos of each label", times["listed"][1:], "ms", limit=_LISTED_MS),
        Figure(section, "the same scores, rank by rank", float(np.mean(same)), "%", limit=_SAME, at_least=True),
        Figure(section, "words that the top photos of their labels answer", answered, "%"),
    ]


class _Counting(TopPhotos):
    """Top photos that remember whether they could answer."""

    answered: ClassVar[list[bool]] = []

    def possible(self, labels: np.ndarray, count: int) -> np.ndarray | None:
        found = super().possible(labels, count)
        self.answered.append(found is not None)
        return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.millions", description="A million photos.")
    parser.add_argument("--work", type=Path, help="folder for 4 GB per million photos; kept")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--photos", type=Path, help="folder of JPEGs; default: as for python -m bench")
    parser.add_argument("--only", choices=("search",), help="leave out labelling and indexing the links")
    parser.add_argument("--child", choices=tuple(_PARTS), help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _seed(asked: Path | None, work: Path) -> tuple[Path, ...]:
    """The photos, and their features next to them, by the network."""
    photos = find_photos(asked, _SEED, work / "seed").paths if not (work / "seed").is_dir() else ()
    photos = photos or tuple(sorted((work / "seed").rglob("*.jpg")))
    if not (work / "features.npy").is_file():
        found = [one.features for one in load_model().features(photos)]
        if any(one is None for one in found):
            raise SystemExit("bench.millions: a photo cannot be read: give others by --photos")
        hashes = np.stack([np.frombuffer(hashlib.sha256(p.read_bytes()).digest(), np.uint8) for p in photos])
        np.save(work / "hashes.npy", hashes)
        np.save(work / "features.npy", np.stack([one for one in found if one is not None]))
    return photos


def _child(kind: str, rest: list[str]) -> int:
    """`devise label` or `devise index` with features of the store. rest: the folder of the store, the arguments."""
    from devise.cli.app import main as devise

    work = Path(rest[0])
    hashes, features = np.load(work / "hashes.npy"), np.load(work / "features.npy")
    known = {one.tobytes(): row for one, row in zip(hashes, features, strict=True)}
    Model.features = replaying(known)  # type: ignore[method-assign]
    sys.argv = ["devise", kind, *rest[1:]]
    devise()
    return 0


def _bulk(kind: str, folder: Path, work: Path, count: int) -> list[Figure]:
    """Run the command, kill it in the middle, run it again to the end."""
    out = work / kind
    command = [sys.executable, "-m", "bench.millions", "--work", str(work), "--child", kind, str(work), str(folder)]
    command += ["--format", "parquet", "--output", str(out)] if kind == "label" else ["--out", str(out)]
    began = time.perf_counter()
    first = _watched(
        command, out / _PARTS[kind], stop=lambda parts, now: now - began > 1 and parts >= _half(kind, count)
    )
    killed = time.perf_counter()
    again = _watched(command, out / _PARTS[kind], stop=None)
    ended = time.perf_counter()
    early = next((sample for sample in first if sample[1] >= _half(kind, count) / 5), first[-1])
    added = max(1, first[-1][1] - early[1]) * _per_part(kind)
    resumed = next((at - killed for at, parts, _ in again if parts > first[-1][1]), ended - killed)
    section = f"devise {kind}, {count:,} links, killed in the middle and resumed"
    peak = max(size for _, _, size in (*first, *again)) / 1e6
    # An index must know all its photos, to recognise what it has; a label needs no other.
    growth = Figure(section, "memory at the kill over that at a tenth", first[-1][2] / early[2], "", limit=_GROWTH)
    if kind == "index":
        growth = Figure(section, "memory per photo of the index", (first[-1][2] - early[2]) / added, "bytes")
    return [
        Figure(section, "rate", count / (ended - began), "photos/s"),
        Figure(section, "peak memory", peak, "MB"),
        growth,
        Figure(section, "from the start again to the next part", resumed, "s", limit=_RESUME),
    ]


def _per_part(kind: str) -> int:
    """Photos in a part, of an index those with known content."""
    return 256 if kind == "label" else 2048


def _half(kind: str, count: int) -> int:
    """Parts when half is done."""
    return max(1, count // 2 // _per_part(kind))


def _watched(
    command: list[str], parts: Path, stop: Callable[[int, float], bool] | None
) -> list[tuple[float, int, int]]:
    """Time, parts and resident bytes, ten times a second; the process is killed when `stop` says so."""
    samples: list[tuple[float, int, int]] = []
    environ = environment() | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    page = os.sysconf("SC_PAGE_SIZE")
    with subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(0.1)
            try:
                resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * page
            except (OSError, IndexError):
                continue
            if not resident:  # it has ended
                continue
            now = time.perf_counter()
            samples.append((now, len(list(parts.parent.glob(parts.name))), resident))
            if stop is not None and stop(samples[-1][1], now):
                process.send_signal(signal.SIGKILL)
    if stop is None and process.returncode:
        raise SystemExit(f"bench.millions: {' '.join(command[5:])} ended with {process.returncode}")
    return samples


def _searched(work: Path, count: int) -> list[Figure]:
    """Spread the vectors of the index in a copy of it, and search that."""
    model = load_model()
    index = work / "spread"
    if not index.is_dir():
        store = PhotoStore.created(index, header_of(model.parts))
        rows, rng = _indexed(model, work, count), np.random.default_rng(0)
        with store.writing():
            for start in range(0, count, 50_000):
                block = rows.taken(np.arange(start, min(start + 50_000, count)))
                store.append(spread_rows(replace(block, facts=FactColumns.made(block.facts)), rng))
    began = time.perf_counter()
    tops = refresh_kept(model, index, count, min(count - 1, 200_000), min(count - 1, 20_000))
    built = time.perf_counter() - began
    assert tops is not None, "of so many photos"
    section = "The top photos of each label"
    changed = _changed(PhotoStore.opened(index).rows(), min(_CHANGED, count // 2))
    began = time.perf_counter()
    tops.updated(model.parts, changed)
    updated = time.perf_counter() - began
    return [
        Figure(section, "made, if it was not there", built, "s"),
        Figure(section, "updated after changes", updated, "s", note=f"{min(_CHANGED, count // 2):,} photos"),
        *search_figures(model, index, words()[::5]),
    ]


def _changed(rows: Rows, count: int) -> Rows:
    """The rows, of which the first ones have other content."""
    other = spread_rows(rows.taken(np.arange(count)), np.random.default_rng(1), every=count)
    found = {name: getattr(rows, name).copy() for name in ("vectors", "classes", "shares")}
    for name, column in found.items():
        column[:count] = getattr(other, name)
    return replace(rows, **found)


def _indexed(model: Model, work: Path, count: int) -> Rows:
    """The index of the links, or without it the same rows, computed from the features."""
    if (work / "index").is_dir():
        return PhotoStore.opened(work / "index").rows()
    features = np.load(work / "features.npy")
    seed = PhotoSide(model.parts).rows([PhotoFact("/seed", 1, 1, b"")] * len(features), features)
    facts = [PhotoFact(f"/photos/{number:07d}.jpg", 1, 1, number.to_bytes(32, "big")) for number in range(count)]
    return seed.taken(np.arange(count) % len(seed), FactColumns.made(facts))


if __name__ == "__main__":
    sys.exit(main())
