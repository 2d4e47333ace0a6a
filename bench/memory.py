"""Memory while a folder of thousands of photos is labelled: how much, and whether it grows."""

import sys
from pathlib import Path

from bench import command
from bench.figures import Figure
from bench.photos import Photos, many_of

__all__ = ["measure_memory"]

_SECTION = "Memory while a folder is labelled"
_PEAK = 1000.0  # MB
_GROWTH = 1.1


def measure_memory(photos: Photos, scratch: Path, *, count: int) -> list[Figure]:
    """`devise label` of `count` links to the photos; resident memory after a tenth of them and at the end."""
    if not sys.platform.startswith("linux"):
        return []
    folder = scratch / "many"
    many_of(photos.paths, count, folder)
    tenth = count // 10
    samples = command.watched("label", str(folder), "--format", "jsonl")
    early = next((one for one in samples if one.lines >= tenth), samples[-1]).resident / 1e6
    late, peak = samples[-1].resident / 1e6, samples[-1].peak / 1e6
    return [
        Figure(_SECTION, f"peak, {count:,} photos", peak, "MB", limit=_PEAK),
        Figure(_SECTION, f"after {tenth:,} photos", early, "MB"),
        Figure(_SECTION, "at the end", late, "MB"),
        Figure(_SECTION, "growth", late / early, "", limit=_GROWTH),
    ]
