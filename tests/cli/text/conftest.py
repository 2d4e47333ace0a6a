"""Runs `devise text` in this process, with the packaged model read once."""

from pathlib import Path

import numpy as np
import pytest
from commandline import Cli, Run

from devise.text.vectors import WordTable
from tools.vector_files import write_vectors


@pytest.fixture
def cli(packaged_once: None, run: Run) -> Cli:
    return Cli(run, "text")


@pytest.fixture(scope="session")
def vectors_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random vectors of a few words: enough for some of the labels to get one."""
    words = ("cat", "kitten", "dog", "guitar", "harp", "clock", "happy", "depressing", "animal", "instrument", "fruit")
    vectors = np.random.default_rng(5).standard_normal((len(words), 8)).astype(np.float32)
    path = tmp_path_factory.mktemp("vectors") / "words.txt"
    write_vectors(path, WordTable(words, vectors))
    return path
