"""`--device` and `--precision` of the commands: the network runs there, or the command ends in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devise.cli.app import main
from devise.model.parts import ModelParts
from devise.search.photoindex import header_of
from devise.vision.runtime import Placement, here

COMMANDS = [
    ("label", "photo.jpg"),
    ("evaluate", "photos"),
    ("index", "photos", "--out", "index"),
    ("search", "index", "cat"),
    ("watch", ".", "--index", "index"),
    ("serve", "--port", "0"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_device_that_is_not_here(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "npu" in {one.device for one in here()}:
        pytest.skip("this machine has an NPU")
    for name, needed in (("serve", "fastapi"), ("watch", "watchfiles")):
        if command[0] == name:
            pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([*command, "--device", "npu"])
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("devise: --device npu is not here: this machine has cpu (")
    assert told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_label_says_what_auto_chose(label: Callable[..., Any], photo: Path) -> None:
    if len(here()) > 1 or "BF16" in here()[0].capabilities:
        pytest.skip("this machine has more than a CPU in float32")
    plain, auto = (
        label(photo, "--format", "json", *more) for more in ((), ("--device", "auto", "--precision", "auto"))
    )
    assert (plain.code, auto.code) == (0, 0)
    assert f"device: cpu ({here()[0].name}), f32; it has no bf16" in auto.err
    assert json.loads(plain.out) == json.loads(auto.out)


def test_an_index_is_of_a_precision_and_of_any_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devise.model.parts.settled", lambda place, fast: (place, ""))
    plain, gpu, half = (
        header_of(ModelParts.open(place=place)) for place in (Placement(), Placement("gpu"), Placement("cpu", "bf16"))
    )
    assert plain == gpu
    assert half.model_sha256 != plain.model_sha256
    assert half.model.endswith(" --precision bf16")


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_info_lists_the_devices(form: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["info", *form])
    assert not stop.value.code
    out = capsys.readouterr().out
    if form:
        assert json.loads(out)["devices"] == [one.to_dict() for one in here()]
    else:
        assert f"--device cpu  {here()[0].name}: f32" in out
