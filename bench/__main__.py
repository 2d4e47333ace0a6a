"""python -m bench: run the benchmarks, print a table, write the figures as JSON."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.coldstart import measure_cold_start, measure_import
from bench.evaluation import measure_evaluation
from bench.extraction import measure_extraction
from bench.fast import measure_fast
from bench.figures import Figure, table
from bench.labelling import measure_candidates, measure_labelling, measure_large
from bench.machine import ROOT, facts, load
from bench.memory import measure_memory
from bench.photos import Photos, find_photos
from bench.pieces import measure_pieces
from bench.search import measure_search
from bench.service import measure_service
from bench.skipgram import SkipGramCase, measure_skipgram
from bench.surgery import measure_surgery

__all__ = ["main"]

_PHOTOS = 1000
_JUDGED_WORDS = 10_000_000


@dataclass(frozen=True, slots=True)
class _Size:
    """How much is run."""

    photos: int
    part: int
    folder: int
    large: int
    rounds: int
    runs: int
    commands: int
    many: int
    images: int
    naive: int
    searched: int
    stored: int


_FULL = _Size(
    photos=_PHOTOS,
    part=80,
    folder=240,
    large=64,
    rounds=12,
    runs=7,
    commands=5,
    many=5 * _PHOTOS,
    images=50_000,
    naive=10,
    searched=100 * _PHOTOS,
    stored=1_281_167,
)
_QUICK = _Size(
    photos=16,
    part=8,
    folder=8,
    large=2,
    rounds=1,
    runs=1,
    commands=1,
    many=40,
    images=500,
    naive=1,
    searched=2000,
    stored=40_000,
)


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked; 1 if a limit was missed, 0 else; --quick is always 0, it is too short to judge by."""
    asked = _parser().parse_args(arguments)
    size = _QUICK if asked.quick else _FULL
    machine = facts()
    with tempfile.TemporaryDirectory(prefix="devise-bench-") as folder:
        scratch = Path(folder)
        photos = find_photos(asked.photos, size.photos, scratch)
        print(_heading(machine, photos), flush=True)
        figures: list[Figure] = []
        seconds: dict[str, float] = {}
        for name, measure in _sections(photos, scratch, size, _skipgram(asked)).items():
            if not asked.only or name in asked.only:
                began = time.perf_counter()
                found = measure()
                seconds[name] = round(time.perf_counter() - began, 1)
                figures += found
                print(f"\n{table(found)}", flush=True)
    result = {
        "quick": asked.quick,
        "photos": photos.what,
        "machine": machine | {"load_after": load()},
        "seconds": seconds,
        "figures": [figure.to_dict() for figure in figures],
    }
    print(f"\n{sum(seconds.values()) / 60:.1f} minutes, load {load()} after; figures in {_written(result, asked.json)}")
    missed = [figure for figure in figures if figure.met is False]
    return int(bool(missed) and not asked.quick)


def _skipgram(asked: argparse.Namespace) -> SkipGramCase:
    """Few words with all rare ones among them, whose vectors know nothing; without these what the vectors know too."""
    texts, negative = tuple(asked.text), asked.negative
    if asked.quick:
        return SkipGramCase(texts, asked.words or 20_000, dim=64, min_count=1, negative=negative)
    words = asked.words or 2_000_000
    rarest = asked.min_count or (1 if words < _JUDGED_WORDS else 5)
    return SkipGramCase(texts, words, min_count=rarest, negative=negative, judged=rarest > 1)


def _sections(
    photos: Photos, scratch: Path, size: _Size, skipgram: SkipGramCase
) -> dict[str, Callable[[], list[Figure]]]:
    return {
        "cold": lambda: measure_cold_start(photos.paths[0], runs=size.runs),
        "import": lambda: measure_import(runs=size.runs),
        "pieces": lambda: measure_pieces(photos, scratch, rounds=size.runs),
        "labelling": lambda: measure_labelling(
            photos, scratch, rounds=size.rounds, part=size.folder, commands=size.commands, many=size.many
        ),
        "large": lambda: measure_large(photos, scratch, rounds=size.rounds, count=size.large),
        "fast": lambda: measure_fast(photos, rounds=size.rounds, part=size.folder, runs=size.runs),
        "candidates": lambda: measure_candidates(photos, rounds=size.rounds, part=size.part),
        "evaluation": lambda: measure_evaluation(images=size.images, naive=size.naive),
        "memory": lambda: measure_memory(photos, scratch, count=size.many),
        "skipgram": lambda: measure_skipgram(skipgram, scratch),
        "search": lambda: measure_search(photos, scratch, rounds=size.runs, count=size.searched),
        "service": lambda: measure_service(photos, rounds=size.runs, part=2 * size.part),
        "surgery": lambda: [
            *measure_surgery(scratch, rounds=size.rounds, stored=size.stored),
            *measure_extraction(photos, scratch, rounds=size.rounds, part=size.part),
        ],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks of devise.")
    parser.add_argument("--photos", type=Path, help="folder of JPEGs; default: the shared data, or generated ones")
    parser.add_argument("--json", type=Path, help="file for the figures; default: bench/results/TIME.json")
    parser.add_argument("--quick", action="store_true", help="a smoke run of about a minute, no measurement")
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="skipgram: corpora; default: the shared text")
    parser.add_argument("--words", type=int, help="skipgram: so many words of the text; default: 2 million")
    parser.add_argument(
        "--min-count", type=int, help="skipgram: rarer words get no vector; default: 1, of 10 M words 5"
    )
    parser.add_argument("--negative", type=int, default=0, help="skipgram: noise words per word; default: hs instead")
    parser.add_argument(
        "--only",
        action="append",
        choices=(
            "cold",
            "import",
            "pieces",
            "labelling",
            "large",
            "candidates",
            "evaluation",
            "fast",
            "memory",
            "search",
            "service",
            "skipgram",
            "surgery",
        ),
        help="run this section only; may be repeated",
    )
    return parser


def _heading(machine: dict[str, object], photos: Photos) -> str:
    packages = machine["packages"]
    assert isinstance(packages, dict)
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load']}, python {machine['python']}\n"
        f"{versions}; commit {machine['commit']}\n{photos.what}"
    )


def _written(result: dict[str, object], asked: Path | None) -> Path:
    machine = result["machine"]
    assert isinstance(machine, dict)
    name = str(machine["time"]).replace(":", "").replace("+0000", "Z")
    path = asked or ROOT / "bench" / "results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
