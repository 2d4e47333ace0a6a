"""python -m bench.peers: CLIP of open_clip and of Hugging Face beside devise, in the same tables and in speed.

Run by `make bench-peers` in an environment of its own. Weights come from OPEN_CLIP_WEIGHTS (a file) and HF_MODEL (a
folder); without them they are random, which says nothing of how good a model is and all of how fast. The table says so.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import table
from bench.machine import ROOT, facts
from bench.peer_speed import PeerCase, measure_peers
from bench.photos import find_photos
from bench.random_clip import random_clip

__all__ = ["main"]

_CLIP = ("clip", "examples/open_clip_scorer.py:scorer")
_HF = ("hf", "examples/hf_pipeline_scorer.py:scorer")
_PACKAGES = ("open_clip_torch", "torch", "torchvision", "transformers")


def main(arguments: list[str] | None = None) -> int:
    """The rows of the peers with a report, then the speeds; the exit code of what failed, or 0."""
    asked = _parser().parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    folder = os.environ.get("HF_MODEL")
    model = Path(folder) if folder else random_clip(asked.out / "random-clip")
    failed = 0 if asked.only == "speed" else _tables(asked, model)
    if not failed and asked.only != "tables":
        failed = _speeds(asked, model)
    for name, variable in (("clip", "OPEN_CLIP_WEIGHTS"), ("hf", "HF_MODEL")):
        if not os.environ.get(variable):
            print(f"{name} has random weights: its row shows that it runs, not how good it is (set {variable})")
    return failed


def _tables(asked: argparse.Namespace, model: Path) -> int:
    record, both = asked.out / "devise.json", asked.out / "peers.json"
    photos = [part for folder in asked.photos for part in ("--photos", str(folder))]
    scorers = [part for name, spec in (_CLIP, _HF) for part in ("--scorer", f"{name}={ROOT / spec}")]
    candidates = ["--candidates", asked.candidates]
    steps = [
        ["evaluate", *map(str, asked.photos), *candidates, "--images", str(record)],
        ["also", str(record), *scorers, *photos, "--out", str(both)],
        ["report", str(both), *photos, "--beside", "clip", "--out", str(asked.out / "peers.html")],
    ]
    for step in steps:
        start = time.perf_counter()
        environment = os.environ | {"HF_MODEL": str(model)}
        done = subprocess.run([sys.executable, "-m", "devise", *step], check=False, env=environment)
        if done.returncode:
            return done.returncode
        print(f"devise {step[0]}: {time.perf_counter() - start:.1f} s", flush=True)
    return 0


def _speeds(asked: argparse.Namespace, model: Path) -> int:
    """1 if a limit was missed, 0 else."""
    machine = facts(_PACKAGES)
    with tempfile.TemporaryDirectory(prefix="devise-peers-") as scratch:
        photos = find_photos(asked.photos[0], asked.part, Path(scratch))
        case = PeerCase(
            photos=photos.paths,
            slow=asked.slow,
            rounds=asked.rounds,
            model=model,
            clip=(os.environ.get("OPEN_CLIP_MODEL", "ViT-B-32"), os.environ.get("OPEN_CLIP_WEIGHTS")),
            towers=asked.towers,
        )
        print(f"\n{machine['cpu']}, {machine['cores']} cores, load {machine['load']}; {photos.what}", flush=True)
        figures = measure_peers(case)
    print(table(figures), flush=True)
    result = {"machine": machine, "photos": photos.what, "figures": [figure.to_dict() for figure in figures]}
    target = asked.out / "speed.json"
    target.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"figures in {target}")
    return int(any(figure.met is False for figure in figures))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path, help="folders of class folders named by synset")
    parser.add_argument("--candidates", default="test-classes", help="as for devise evaluate")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "peers", help="folder for records and report")
    parser.add_argument("--only", choices=("tables", "speed"), help="one of the two; default: both")
    parser.add_argument("--part", type=int, default=96, help="speed: photos of devise and open_clip a round")
    parser.add_argument("--towers", type=Path, help="speed: CLIP of open_clip as `devise build --open-clip` made it")
    parser.add_argument("--slow", type=int, default=1, help="speed: photos of the pipeline a round; 0: none")
    parser.add_argument("--rounds", type=int, default=5, help="speed: how often each is timed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
