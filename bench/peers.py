"""python -m bench.peers: CLIP models of open_clip and Hugging Face beside devise, on the same photos and candidates.

Run by `make bench-peers` in an environment of its own. Weights come from OPEN_CLIP_WEIGHTS (a file) and HF_MODEL (a
folder); without the first they are random, without the second there is no row of Hugging Face. The table says so.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from bench.machine import ROOT

__all__ = ["main"]

_CLIP = ("clip", "examples/open_clip_scorer.py:scorer")
_HF = ("hf", "examples/hf_pipeline_scorer.py:scorer")


def main(arguments: list[str] | None = None) -> int:
    """Evaluate, add the rows of the peers, write the report; the exit code of what failed, or 0."""
    asked = _parser().parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    record, both = asked.out / "devise.json", asked.out / "peers.json"
    photos = [part for folder in asked.photos for part in ("--photos", str(folder))]
    peers = [_CLIP, *([_HF] if os.environ.get("HF_MODEL") else [])]
    scorers = [part for name, spec in peers for part in ("--scorer", f"{name}={ROOT / spec}")]
    candidates = ["--candidates", asked.candidates]
    steps = [
        ["evaluate", *map(str, asked.photos), *candidates, "--images", str(record)],
        ["also", str(record), *scorers, *photos, "--out", str(both)],
        ["report", str(both), *photos, "--beside", "clip", "--out", str(asked.out / "peers.html")],
    ]
    for step in steps:
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "devise", *step], check=False)
        if done.returncode:
            return done.returncode
        print(f"devise {step[0]}: {time.perf_counter() - start:.1f} s", flush=True)
    if not os.environ.get("OPEN_CLIP_WEIGHTS"):
        print("clip has random weights: its row shows that it runs, not how good it is (set OPEN_CLIP_WEIGHTS)")
    if not os.environ.get("HF_MODEL"):
        print("no row of Hugging Face: set HF_MODEL to the folder of a model")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path, help="folders of class folders named by synset")
    parser.add_argument("--candidates", default="test-classes", help="as for devise evaluate")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "peers", help="folder for records and report")
    return parser


if __name__ == "__main__":
    sys.exit(main())
