"""Trains with one program in a process of its own; prints what it took as JSON. Run by bench.skipgram.

`training` is the time from the end of counting words to the end of training.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

__all__: list[str] = []


def ours(asked: dict[str, Any], tokens: Path, vectors: Path) -> dict[str, Any]:
    from devise.text.corpus import read_tokens
    from devise.text.skipgram import SkipGramConfig, SkipGramProgress, train_skipgram
    from tools.vector_files import write_vectors

    counted = [0.0]
    updates = [0]

    def progress(report: SkipGramProgress) -> None:
        if report.stage == "counting":
            counted[0] = time.perf_counter()
        updates[0] += report.updates

    names = ("dim", "window", "min_count", "sample", "negative", "threads", "seed")
    config = SkipGramConfig(
        epochs=1, hierarchical_softmax=not asked["negative"], **{name: asked[name] for name in names}
    )
    table = train_skipgram(lambda: read_tokens(tokens), config, progress)
    training = time.perf_counter() - counted[0]
    write_vectors(vectors, table)
    return {"program": f"devise, numba {metadata.version('numba')}", "training": training, "updates": updates[0]}


def gensim(asked: dict[str, Any], tokens: Path, vectors: Path) -> dict[str, Any]:
    from gensim.models import Word2Vec

    model = Word2Vec(
        vector_size=asked["dim"],
        window=asked["window"],
        min_count=asked["min_count"],
        sample=asked["sample"],
        workers=asked["threads"],
        seed=asked["seed"],
        sg=1,
        hs=int(not asked["negative"]),
        negative=asked["negative"],
        epochs=1,
    )
    # `build_vocab` in its two halves: the tree and the first vectors are part of the training, as they are of ours
    model.corpus_total_words, model.corpus_count = model.scan_vocab(corpus_file=str(tokens))
    began = time.perf_counter()
    model.prepare_vocab()
    model.prepare_weights()
    model.train(
        corpus_file=str(tokens), total_words=model.corpus_total_words, total_examples=model.corpus_count, epochs=1
    )
    training = time.perf_counter() - began
    model.wv.save_word2vec_format(str(vectors), binary=True)
    return {"program": f"gensim {metadata.version('gensim')}, reading the file itself", "training": training}


def word2vec(asked: dict[str, Any], tokens: Path, vectors: Path) -> dict[str, Any]:
    program = _found("word2vec")
    if program is None:
        return {"missing": "the C program is not installed: pip install word2vec (needs gcc), or set WORD2VEC"}
    options = {
        "train": tokens,
        "output": vectors,
        "size": asked["dim"],
        "window": asked["window"],
        "min-count": asked["min_count"],
        "sample": asked["sample"],
        "threads": asked["threads"],
        "cbow": 0,
        "hs": int(not asked["negative"]),
        "negative": asked["negative"],
        "iter": 1,
        "binary": 1,
    }
    with subprocess.Popen(_command([program], options), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)  # it is silent, its output held back, until the first words are trained on
        began = time.perf_counter()
        process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{program} ended with {process.returncode}")
    return {"program": "the original C program", "training": time.perf_counter() - began}


def fasttext(asked: dict[str, Any], tokens: Path, vectors: Path) -> dict[str, Any]:
    program = _found("fasttext")
    if program is None:
        return {"missing": "fastText is not installed: compile its sources (pip download fasttext), or set FASTTEXT"}
    options = {
        "input": tokens,
        "output": vectors.with_suffix(""),
        "dim": asked["dim"],
        "ws": asked["window"],
        "minCount": asked["min_count"],
        "t": asked["sample"],
        "thread": asked["threads"],
        "loss": "ns" if asked["negative"] else "hs",
        "neg": asked["negative"],
        "lr": 0.025,  # of the others; its own is twice that
        "maxn": 0,  # no parts of words
        "epoch": 1,
    }
    with subprocess.Popen(_command([program, "skipgram"], options), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = iter(process.stderr)  # a line per step: the words, how many differ, the labels, and the training
        counted = next((time.perf_counter() for line in said if line.startswith(b"Number of labels")), 0.0)
        training = next((time.perf_counter() - counted for _ in said), 0.0)
        process.stderr.read()
    if process.returncode:
        raise SystemExit(f"{program} ended with {process.returncode}")
    return {"program": "fastText without parts of words; saves two files", "training": training}


def _found(name: str) -> str | None:
    """A program: of the variable of its name, beside Python, or on the path."""
    places = [os.environ.get(name.upper()), str(Path(sys.executable).with_name(name)), shutil.which(name)]
    return next((place for place in places if place and Path(place).is_file()), None)


def _command(program: Sequence[str], options: dict[str, Any]) -> list[str]:
    return [*program, *(part for name, value in options.items() for part in (f"-{name}", str(value)))]


def main() -> None:
    asked = json.loads(sys.argv[1])
    tokens = Path(asked["tokens"])
    ending = {"ours": "safetensors", "fasttext": "vec"}.get(asked["program"], "bin")
    vectors = Path(asked["folder"]) / f"{asked['program']}.{ending}"
    programs: Sequence[Callable[..., dict[str, Any]]] = (ours, gensim, word2vec, fasttext)
    found = {program.__name__: program for program in programs}[asked["program"]](asked, tokens, vectors)
    from bench.machine import peak_memory

    own, child = peak_memory(), 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with tokens.open("rb") as file:
        words = sum(line.count(b" ") + 1 for line in file)
    memory = child if asked["program"] in ("word2vec", "fasttext") else own
    print(json.dumps(found | {"words": words, "vectors": str(vectors), "memory": memory}))


if __name__ == "__main__":
    main()
