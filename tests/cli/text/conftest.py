"""Runs `devise text` in this process, with the packaged model read once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devise.cli.app import main
from devise.model.parts import ModelParts
from devise.text.vectors import WordTable
from tools.vector_files import write_vectors


class Cli:
    """What a command printed on standard output and on standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["text", *map(str, arguments)])
        written = self._capsys.readouterr()
        assert (caught.value.code or 0) == code, written.err
        return written.out, written.err

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json")[0])


@pytest.fixture(scope="session")
def packaged() -> ModelParts:
    return ModelParts.open()


@pytest.fixture(autouse=True)
def _opened_once(packaged: ModelParts, monkeypatch: pytest.MonkeyPatch) -> None:
    read = ModelParts.open
    monkeypatch.setattr(ModelParts, "open", lambda path=None, **more: packaged if path is None else read(path, **more))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture(scope="session")
def vectors_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random vectors of a few words: enough for some of the labels to get one."""
    words = ("cat", "kitten", "dog", "guitar", "harp", "clock", "happy", "depressing", "animal", "instrument", "fruit")
    vectors = np.random.default_rng(5).standard_normal((len(words), 8)).astype(np.float32)
    path = tmp_path_factory.mktemp("vectors") / "words.txt"
    write_vectors(path, WordTable(words, vectors))
    return path
