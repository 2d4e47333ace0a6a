"""`devise --help` shows every command without loading one."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer

from devise.cli import app as program
from devise.cli.app import main


def overview(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit):
        main(list(arguments))
    return "".join(capsys.readouterr())


def test_all_commands_are_listed_with_whole_lines(capsys: pytest.CaptureFixture[str]):
    shown = overview(capsys, "--help")
    listed = dict(line.split(maxsplit=1) for line in shown.partition("Commands:")[2].strip().splitlines())
    assert listed == program._COMMANDS  # a line that is too long would end in "..."
    for name in listed:
        import_module(f"devise.cli.{name}")
    assert set(typer.main.get_command(program.app).commands) == set(listed)


def test_no_argument_and_h_show_the_same(capsys: pytest.CaptureFixture[str]):
    shown = overview(capsys, "--help")
    assert overview(capsys, "-h") == shown
    assert overview(capsys) == shown


def test_no_command_and_no_rich_is_loaded():
    code = (
        "import sys; from devise.cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([one for one in sys.modules if one.startswith(('devise.cli.label', 'devise.vision.folders', 'rich.'))])"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("first", ["lable", "--lable"])
def test_a_mistyped_command_is_refused(first: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main([first, str(tmp_path)])
    assert stop.value.code == 2
    assert "lable" in capsys.readouterr().err
