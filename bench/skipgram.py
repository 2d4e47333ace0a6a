"""Skip-gram training against gensim, the original C program and fastText: speed, memory, what the vectors know."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.command import environment
from bench.figures import Figure
from bench.machine import ROOT
from devise.text.corpus import CorpusTally, TextFiles
from devise.text.similarity import judge_analogies, judge_pairs, read_analogies, read_pairs
from devise.text.vectorfiles import read_vectors
from devise.text.vectors import WordTable
from tools.vector_files import write_tokens

__all__ = ["SkipGramCase", "measure_skipgram"]

_RATIO = {"gensim": 4.0, "word2vec": 3.5}
_OTHERS = ("gensim", "word2vec")
_TEXTS = ("simple-wikipedia.jsonl.xz", "english-wikipedia-core.jsonl.xz")
_SETS = ("EN-WS-353-ALL", "EN-MEN-TR-3k", "EN-SIMLEX-999", "EN-RW-STANFORD")
_WORKER = Path(__file__).with_name("skipgram_worker.py")
_WARM_WORDS = 2_000


@dataclass(frozen=True, slots=True)
class SkipGramCase:
    """What all train on: the first `words` words of the texts, once.

    negative: noise words per word, 0 for hierarchical softmax.
    judged: what the vectors know is measured too, by word pairs and analogies.
    """

    texts: tuple[Path, ...]
    words: int
    dim: int = 500
    window: int = 20
    min_count: int = 5
    sample: float = 1e-3
    negative: int = 0
    threads: int = 2
    seed: int = 1
    judged: bool = False

    def settings(self) -> dict[str, Any]:
        names = ("dim", "window", "min_count", "sample", "negative", "threads", "seed")
        return {name: getattr(self, name) for name in names}


def measure_skipgram(case: SkipGramCase, scratch: Path) -> list[Figure]:
    """All programs that are installed, one after the other on the same file; the product of matrices in between.

    fastText, slower than the others, only with noise words.
    """
    others = (*_OTHERS, "fasttext") if case.negative else _OTHERS
    predicts = f"{case.negative} noise words" if case.negative else "hs"
    size = f"{case.words / 1e6:g} M words, {case.dim}-D"
    section = f"Skip-gram, {size}, {predicts}, window {case.window}, {case.threads} threads"
    shared = Path(os.environ.get("DEVISE_SHARED", ROOT.parent / "shared")) / "data"
    texts = case.texts or tuple(shared / "text" / name for name in _TEXTS)
    if missing := [text for text in texts if not text.is_file()]:
        return [Figure(section, "not measured", 0, "", note=f"no text {missing[0]}: give --text FILES")]
    tokens, few = scratch / "tokens.txt", scratch / "few.txt"
    sentences = list(_first(texts, _WARM_WORDS))
    write_tokens(few, sentences)
    write_tokens(tokens, _first(texts, case.words))
    figures: list[Figure] = []
    speeds: dict[str, float] = {}
    peaks = [_sgemm()]
    for name in ("ours", *others):
        _trained(name, few, case, scratch)  # what is compiled is compiled now
        found = _trained(name, tokens, case, scratch)
        peaks.append(_sgemm())
        if "missing" in found:
            figures.append(Figure(section, f"{name}: not measured", 0, "", note=found["missing"]))
            continue
        speeds[name] = found["words"] / found["training"]
        table = read_vectors(Path(found["vectors"]))
        allowed = (8 * len(table) * case.dim + 500e6) / 1e6 if name == "ours" else None
        figures += [
            Figure(section, f"{name}: training alone", speeds[name], "words/s", note=found["program"]),
            Figure(section, f"{name}: from the file to the vectors", found["words"] / found["whole"], "words/s"),
            Figure(section, f"{name}: peak memory", found["memory"] / 1e6, "MB", limit=allowed),
        ]
        if "updates" in found:
            reached = 6 * case.dim * found["updates"] / found["training"] / 1e9
            figures.append(Figure(section, f"{name}: arithmetic", reached, "GFLOP/s"))
        figures += _quality(section, name, table, shared / "similarity" if case.judged else None)
    figures.append(Figure.of(section, "numpy's product of matrices, all cores", peaks, "GFLOP/s"))
    arithmetic = [figure.value for figure in figures if figure.what == "ours: arithmetic"]
    if arithmetic:
        figures.append(Figure(section, "ours: share of that", arithmetic[0] / statistics.median(peaks), ""))
    for name in others:
        if name in speeds:
            ratio, limit = speeds["ours"] / speeds[name], _RATIO.get(name)
            figures.append(Figure(section, f"training alone, ours / {name}", ratio, "", limit=limit, at_least=True))
    return figures


def _first(texts: tuple[Path, ...], words: int) -> Iterator[list[str]]:
    """From each text as many, one text after the other."""
    share = -(-words // len(texts))
    for text in texts:
        left = share
        for sentence in TextFiles((text,)).sentences(CorpusTally()):
            yield sentence[:left]
            left -= len(sentence)
            if left <= 0:
                break


def _trained(name: str, tokens: Path, case: SkipGramCase, scratch: Path) -> dict[str, Any]:
    """What the worker says, and how long its process took."""
    asked = case.settings() | {"program": name, "tokens": str(tokens), "folder": str(scratch)}
    if tokens.name == "few.txt":
        asked["min_count"] = 1
    paths = os.pathsep.join((str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")))
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(_WORKER), json.dumps(asked)],
        capture_output=True,
        text=True,
        env=environment() | {"PYTHONPATH": paths},
        check=False,
    )
    whole = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()[-400:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"whole": whole}


def _quality(section: str, name: str, table: WordTable, folder: Path | None) -> list[Figure]:
    figures = [Figure(section, f"{name}: vocabulary", len(table), "words")]
    if folder is None or not folder.is_dir():
        return figures
    for one in _SETS:
        judged = judge_pairs(table, read_pairs(folder / f"{one}.txt"))
        note = f"{judged.covered} of {judged.pairs} pairs"
        if judged.spearman is not None:
            figures.append(
                Figure(section, f"{name}: {one.removeprefix('EN-')}, Spearman", judged.spearman, "", note=note)
            )
    solved = judge_analogies(table, read_analogies(folder / "questions-words.txt"))[-1]
    if solved.accuracy is not None:
        note = f"{solved.covered} of {solved.analogies} analogies"
        figures.append(Figure(section, f"{name}: analogies", 100 * solved.accuracy, "%", note=note))
    return figures


def _sgemm(size: int = 2000) -> float:
    """Billions of operations a second of a large float32 product, the best of five."""
    one = np.ones((size, size), dtype=np.float32)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        one @ one
        best = max(best, 2 * size**3 / (time.perf_counter() - began) / 1e9)
    return best
