"""`devise` in this process: its exit code and what it wrote, with the packaged model read once."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from devise.cli.app import main
from devise.model import labeller
from devise.model.labeller import Model, load
from devise.model.parts import ModelParts


class Done(NamedTuple):
    """The end of a command."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`devise ARGUMENTS`."""

    def command(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as stop:
            main(list(map(str, arguments)))
        written = capsys.readouterr()
        return Done(int(stop.value.code or 0), written.out, written.err)

    return command


class Cli:
    """`devise BEFORE ARGUMENTS`, whose exit code must be `code`: what it wrote on both streams."""

    def __init__(self, run: Run, *before: str) -> None:
        self._run, self._before = run, before

    def __call__(self, *arguments: object, code: int = 0) -> tuple[str, str]:
        done = self._run(*self._before, *arguments)
        assert done.code == code, done.err
        return done.out, done.err

    def json(self, *arguments: object) -> Any:
        return json.loads(self(*arguments, "--json")[0])


@pytest.fixture
def packaged_once(packaged: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packaged model is read once for all tests, as reading it is most of a short command's time."""
    opened = ModelParts.open

    def once(path: object = None, **more: Any) -> bool:
        return path is None and not any(more.values())

    monkeypatch.setattr(
        labeller, "load", lambda path=None, **more: packaged if once(path, **more) else load(path, **more)
    )
    monkeypatch.setattr(
        ModelParts,
        "open",
        lambda path=None, **more: packaged.parts if once(path, **more) else opened(path, **more),
    )
