"""Memory while a folder of thousands of photos is labelled: how much, and whether it grows."""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench import command
from bench.command import Sample
from bench.figures import Figure
from bench.photos import Photos, many_of

__all__ = ["measure_memory"]

_SECTION = "Memory while a folder is labelled"
_PEAK = 1000.0  # MB
_GROWTH = 1.1


def measure_memory(photos: Photos, scratch: Path, *, count: int) -> list[Figure]:
    """`devise label` of `count` links to the photos; resident memory early, in the middle and late.

    Before the middle the network is compiled a second time, for two photos at once: growth is counted from there.
    """
    if not sys.platform.startswith("linux"):
        return []
    folder = scratch / "many"
    many_of(photos.paths, count, folder)
    tenth, half = count // 10, count // 2
    samples = command.watched("label", str(folder), "--format", "jsonl")
    early = _resident(samples, tenth, 2 * tenth)
    middle = _resident(samples, half, half + tenth)
    late = _resident(samples, 9 * tenth, count)
    return [
        Figure(_SECTION, f"peak, {count:,} photos", max(one.peak for one in samples) / 1e6, "MB", limit=_PEAK),
        Figure(_SECTION, f"after {tenth:,} photos", early, "MB"),
        Figure(_SECTION, f"after {half:,} photos", middle, "MB"),
        Figure(_SECTION, f"after {9 * tenth:,} photos", late, "MB"),
        Figure(_SECTION, "growth between the last two", late / middle, "", limit=_GROWTH),
    ]


def _resident(samples: Sequence[Sample], first: int, last: int) -> float:
    """The most megabytes resident while so many lines were printed; at the end of a short run, the most of all."""
    inside = [one.resident for one in samples if first <= one.lines <= last]
    return max(inside or [one.resident for one in samples]) / 1e6
