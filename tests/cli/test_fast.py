"""`--fast` of the commands: it runs the fast form, or ends in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openvino
import pytest

from devise.cli.app import main

OLD = Path(__file__).parents[1] / "data" / "bundle-v1"


def test_label_runs_the_fast_form(label: Callable[..., Any], photo: Path) -> None:
    if "INT8" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("OpenVINO has no 8-bit arithmetic for this CPU")
    exact, fast = (label(photo, "--format", "json", *more) for more in ((), ("--fast",)))
    assert (exact.code, fast.code) == (0, 0)
    scores = [[guess["score"] for guess in json.loads(done.out)[0]["guesses"]] for done in (exact, fast)]
    assert len(scores[1]) == 5
    assert scores[0] != scores[1]


@pytest.mark.parametrize(
    "command",
    [
        ("label", "photo.jpg"),
        ("evaluate", "photos"),
        ("index", "photos", "--out", "index"),
        ("search", "index", "cat"),
        ("serve", "--port", "0"),
    ],
    ids=lambda command: command[0],
)
def test_a_model_without_a_fast_form(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if command[0] == "serve":
        pytest.importorskip("fastapi")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([*command, "--fast", "--model", str(OLD)])
    assert stop.value.code == 1
    told = capsys.readouterr().err
    assert "has no fast.safetensors" in told
    assert "devise train fast" in told
    assert told.count("\n") == 1
