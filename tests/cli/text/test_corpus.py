import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devise.cli.app import main

pytest.importorskip("mwparserfromhell")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["text", "corpus", *map(str, arguments)])
    return int(stop.value.code or 0)


def test_tokens_with_nouns_and_a_list_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("The snow leopard saw a blue teapot twice.\n--\n")
    (tmp_path / "list").write_text("# mine\nblue teapot # joined\n")
    out = tmp_path / "c.txt"
    assert run(f"{tmp_path}/a.txt@2", "-o", out, "--phrase-list", tmp_path / "list", "--workers", 1) == 0
    assert out.read_text() == "the snow_leopard saw a blue_teapot twice\n" * 2
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: 2 documents with 12 words in 2 sentences",
        "left out: documents without a word 2",
    ]
    assert run(f"{tmp_path}/a.txt@lead=3", "-o", out, "--no-phrases", "--workers", 1) == 0
    assert out.read_text() == "the snow leopard\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.txt", "-o", "c.pdf"], "--out needs a name that ends in .txt or .jsonl"),
        (["a.txt@x", "-o", "c.txt"], "a.txt@x: after @ give a weight"),
        (["a.txt@0", "-o", "c.txt"], "repeat must be above 0"),
        (["a.txt", "-o", "c.jsonl", "--phrase-list", "a.txt"], "--phrase-list needs --format tokens"),
    ],
)
def test_wrong_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("text\n")
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_damaged_source_is_one_line_and_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d.xml").write_text("<mediawiki><page><title>A</title><revision><text>cat</text></revision></page><")
    assert run(tmp_path / "d.xml", "-o", tmp_path / "c.txt", "--workers", 1) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "breaks off after 1 page, its XML is broken" in error
    assert "nothing was done yet" in error
    assert [path.name for path in tmp_path.iterdir()] == ["d.xml"]


def command(tmp_path: Path, *more: str) -> list[str]:
    start = [sys.executable, "-m", "devise", "text", "corpus", str(tmp_path / "a.txt"), "-o", str(tmp_path / "c.txt")]
    return [*start, "--no-phrases", *more]


ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "src")}


def test_file_that_may_not_grow_is_told_and_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the cat sat on the mat and looked at the dog\n" * 50_000)
    (tmp_path / "b.txt").write_text("a dog\n")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    done = subprocess.run(
        [*command(tmp_path, "--workers", "1")[:5], str(tmp_path / "b.txt"), *command(tmp_path, "--workers", "1")[5:]],
        env=ENVIRONMENT,
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert ".part cannot be written: File too large; 1 document of 1 source kept in" in done.stderr
    assert [path.read_text() for path in (tmp_path / "c.txt.parts").glob("*.part")] == ["a dog\n"]


def test_ctrl_c_keeps_what_was_done_and_resume_ends_it(tmp_path: Path) -> None:
    line = "the cat sat on the mat and looked at the dog\n"
    (tmp_path / "a.txt").write_text(line)
    (tmp_path / "b.txt").write_text(line * 300_000)
    both = [*command(tmp_path, "--workers", "2"), str(tmp_path / "b.txt")]
    started = subprocess.Popen(both, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while started.poll() is None and not list((tmp_path / "c.txt.parts").glob("*.json")):
        time.sleep(0.01)
    started.send_signal(signal.SIGINT)
    error = started.communicate()[1]
    assert started.returncode == 130, error
    assert "1 document of 1 source kept in" in error
    assert "Traceback" not in error
    subprocess.run([*both, "--resume"], env=ENVIRONMENT, check=True, capture_output=True)
    assert (tmp_path / "c.txt").read_text() == line * 300_001
