"""python -m bench.compare COMMIT: the same commands with an earlier commit's code and with this one, in turn."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import comb
from pathlib import Path

from bench.figures import Figure, median, ratio, table
from bench.machine import ROOT, facts, load
from bench.photos import Photos, find_photos

__all__ = ["Ran", "compared", "figures_of", "interval", "main"]

SLOWER = 1.03
"""A command got slower, or needs more memory, if the interval of its ratio lies above this."""

_ENOUGH = 6  # rounds, below which even the least and the greatest do not hold the median in 95 of 100 cases
_MAIN = "from devise.cli.app import main; main()"


@dataclass(frozen=True, slots=True)
class Ran:
    """One command: seconds on the wall, seconds of all cores, and its highest resident memory in bytes."""

    wall: float
    core: float
    peak: float


def main(arguments: list[str] | None = None) -> int:
    """Print ratios of this checkout to the commit; 1 if a command is surely slower than 3 %, 0 else."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description="This checkout beside a commit.")
    parser.add_argument("base", help="the commit to compare with")
    parser.add_argument("--photos", type=Path, help="folder of JPEGs; default: the shared data, or generated ones")
    parser.add_argument("--count", type=int, default=200, help="photos of the folder that is labelled; default: 200")
    parser.add_argument("--rounds", type=int, default=9, help="runs of each command with each code; default: 9")
    parser.add_argument("--only", action="append", help="run this command only; may be repeated")
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="devise-compare-") as folder, worktree(asked.base) as base:
        scratch = Path(folder)
        photos = find_photos(asked.photos, asked.count, scratch)
        commands = _commands(photos, scratch)
        commands = {name: one for name, one in commands.items() if name in (asked.only or commands)}
        print(f"{asked.base} and this checkout in turn; photos: {photos.what}; load {load()}", flush=True)
        runs = compared({"base": base / "src", "this": ROOT / "src"}, commands, asked.rounds)
    figures = [figure for name, found in runs.items() for figure in figures_of(name, found)]
    print(table(figures))
    if asked.json is not None:
        result = {"base": asked.base, "machine": facts(), "figures": [figure.to_dict() for figure in figures]}
        asked.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(any(figure.met is False for figure in figures))


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """Check a commit out beside this checkout, and remove it again; SystemExit if there is no such commit."""
    with tempfile.TemporaryDirectory(prefix="devise-base-") as folder:
        place = Path(folder) / "base"
        made = _git("worktree", "add", "--detach", "--force", str(place), commit)
        if made.returncode:
            sys.exit(f"no worktree of {commit}: {made.stderr.strip().splitlines()[-1]}")
        try:
            yield place
        finally:
            _git("worktree", "remove", "--force", str(place))


def compared(
    sources: Mapping[str, Path], commands: Mapping[str, Sequence[str]], rounds: int
) -> dict[str, dict[str, list[Ran]]]:
    """Run each command `rounds` times with each source, forwards and backwards in turn, after one run that is not kept.

    A command that the first source does not have is left out and said.
    """
    found: dict[str, dict[str, list[Ran]]] = {}
    for name, command in commands.items():
        if not all(_ran(code, source, command, 0) for code, source in sources.items()):
            print(f"left out {name}: it fails with one of the two", flush=True)
            continue
        found[name] = {code: [] for code in sources}
        for number in range(rounds):
            for code in list(sources)[:: -1 if number % 2 else 1]:
                ran = _ran(code, sources[code], command, number + 1)
                if ran is None:
                    raise SystemExit(f"{name} failed with the code {code}, which ran before: {' '.join(command)}")
                found[name][code].append(ran)
    return found


def figures_of(name: str, runs: Mapping[str, Sequence[Ran]]) -> list[Figure]:
    """Give the times of this code, and its ratios to the base with the interval of their median."""
    base, this = runs["base"], runs["this"]
    figures = [
        Figure.of(name, "wall time", [one.wall for one in this], "s"),
        Figure.of(name, "core time", [one.core for one in this], "s"),
        Figure.of(name, "highest memory", [one.peak / 2**20 for one in this], "MiB"),
    ]
    for what in ("wall", "core", "peak"):
        ratios = ratio([getattr(one, what) for one in this], [getattr(one, what) for one in base])
        low, high = interval(ratios)
        is_slower, is_faster = (len(ratios) >= _ENOUGH and sure for sure in (low > SLOWER, high < 1 / SLOWER))
        note = "surely slower" if is_slower else "surely faster" if is_faster else ""
        limit = SLOWER if is_slower and what != "wall" else None  # other work slows the wall clock of one of them
        figures.append(
            Figure(name, f"{what}, this / base", median(ratios), "x", low, high, len(ratios), limit=limit, note=note)
        )
    return figures


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the narrowest order statistics that hold the median in at least 95 % of samples; of few, all.

    >>> interval([5, 1, 4, 2, 3, 9, 6, 8, 7])
    (2, 8)
    """
    ordered, count = sorted(values), len(values)
    cut = 0
    while 2 * sum(comb(count, k) for k in range(cut + 2)) <= 0.05 * 2**count:
        cut += 1
    return ordered[cut], ordered[count - 1 - cut]


def _commands(photos: Photos, scratch: Path) -> dict[str, tuple[str, ...]]:
    """The commands; {code} and {run} stand for the code's name and the number of the run, 0 for the one not kept."""
    one, folder = str(photos.paths[0]), str(photos.folder)
    return {
        "help": ("--help",),
        "one photo": ("label", one),
        "a typed label": ("label", one, "--labels", "zedonk: offspring of a zebra and a donkey"),
        "a folder": ("label", folder, "--format", "jsonl"),
        "an index": ("index", folder, "--out", str(scratch / "index-{code}-{run}")),
        "a search": ("search", str(scratch / "index-{code}-0"), "dog"),
        "the senses of a word": ("labels", "crane"),
    }


def _ran(code: str, source: Path, command: Sequence[str], run: int) -> Ran | None:
    """Run `devise` from these sources; None if it fails."""
    command = [one.replace("{code}", code).replace("{run}", str(run)) for one in command]
    environment = {**os.environ, "PYTHONPATH": str(source), "NO_COLOR": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", _MAIN, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return None if process.returncode else Ran(wall, used.ru_utime + used.ru_stime, 1024.0 * used.ru_maxrss)


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
