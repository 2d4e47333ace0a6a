"""Standard output and standard error that are closed, and a reader that leaves: one line, and the documented code."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from commandline import Run

from devise.cli.app import main

PRINTING = pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["labels", "--help"],
        ["text", "neighbors", "-h"],
        ["labels"],
        ["labels", "dog"],
        ["info"],
    ],
    ids=" ".join,
)


@PRINTING
def test_closed_output_is_one_line(
    arguments: list[str], packaged_once: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 1
    assert capsys.readouterr().err == "devise: standard output is closed: open it, or redirect it to a file\n"


@PRINTING
@pytest.mark.skipif(os.name == "nt", reason="Windows has no EPIPE")
def test_a_reader_that_leaves_ends_every_command_alike(
    arguments: list[str], packaged_once: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    reader, writer = os.pipe()
    os.close(reader)
    left = open(writer, "w", encoding="utf-8")  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", left)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 141
    assert capsys.readouterr().err == ""
    with suppress(BrokenPipeError):  # of what it holds still
        left.close()


def test_a_command_that_prints_nothing_needs_no_output(label: Any, photo: Path, monkeypatch: pytest.MonkeyPatch):
    written = photo.with_name("names.csv")
    monkeypatch.setattr(sys, "stdout", None)
    assert label(photo, "--output", written).code == 0
    assert written.read_text().count("\n") > 1


def test_what_closed_standard_error_would_get_is_not_in_the_output(run: Run, monkeypatch: pytest.MonkeyPatch):
    """`print(..., file=None)` prints on standard output."""
    monkeypatch.setattr(sys, "stderr", None)
    done = run("--version")
    assert done.out.startswith("devise-zsl ")
    assert sys.stderr is not None
    print("aside", file=sys.stderr)
    assert run("--version").out == done.out


def test_ctrl_c_while_modules_are_read_is_one_line():
    code = "\n".join(
        (
            "import sys",
            "class Stop:",
            "    def find_spec(self, name, *more):",
            "        if name == 'typer': raise KeyboardInterrupt",
            "sys.meta_path.insert(0, Stop())",
            "from devise.__main__ import main",
            "main()",
        )
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "devise: stopped\n")
