import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devise.errors import DeviseError, TextError, UsageError
from devise.files import sole_writer
from devise.text import skipgram
from devise.text.engine import encoding
from devise.text.skipgram import (
    CHECKPOINT,
    ENCODED,
    LOG,
    VECTORS,
    SkipGramConfig,
    SkipGramProgress,
    train_in_folder,
    train_skipgram,
    write_checkpoint,
)
from devise.text.vectorfiles import read_vectors

pytest.importorskip("numba")

CONFIG = SkipGramConfig(dim=20, window=5, epochs=4, threads=1, sample=0.01, min_count=1, hierarchical_softmax=True)
FILES = {"1 text.txt": "abc"}


class KilledError(Exception):
    """Stands for the end of the process: nothing is written when it comes."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_BLOCK", 500)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def text() -> Iterator[list[str]]:
    rng = np.random.default_rng(3)
    for _ in range(200):
        yield [f"w{min(word, 50)}" for word in rng.zipf(1.4, 20).tolist()]


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / VECTORS).read_bytes()).hexdigest()


def stopping_after(reports: int, problem: BaseException) -> Any:
    seen = 0

    def progress(report: SkipGramProgress) -> None:
        nonlocal seen
        seen += report.stage == "training"
        if seen == reports:
            raise problem

    return progress


def test_the_folder_holds_vectors_and_a_log(tmp_path: Path) -> None:
    outcome = train_in_folder(text, CONFIG, tmp_path / "a" / "b", text=FILES)
    folder = tmp_path / "a" / "b"
    assert names(folder) == [LOG, VECTORS]
    log = json.loads((folder / LOG).read_text())
    assert log["config"]["dim"] == 20
    assert log["text"] == FILES
    assert log["outcome"]["tokens"] == outcome.tokens == 4000
    assert outcome.resumed_at == 0.0
    assert outcome.loss is not None
    table, plain = read_vectors(folder / VECTORS), train_skipgram(text, CONFIG)
    assert table.words == plain.words
    np.testing.assert_array_equal(table.vectors, plain.vectors)
    assert table.counts is not None
    assert plain.counts is not None
    np.testing.assert_array_equal(table.counts, plain.counts)


@pytest.mark.parametrize("hierarchical_softmax", [True, False])
@pytest.mark.parametrize("stops", [(1,), (3, 2), (20,), (32,)])
def test_killed_again_and_again_it_ends_with_the_same_bits(
    tmp_path: Path, stops: tuple[int, ...], hierarchical_softmax: bool
) -> None:
    config = SkipGramConfig(
        dim=20, window=5, epochs=4, threads=1, hierarchical_softmax=hierarchical_softmax, negative=4
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_in_folder(text, config, whole, text=FILES)
    for reports in stops:
        broken.mkdir(exist_ok=True)
        (broken / f".{CHECKPOINT}.0123456789abcdef.part").write_bytes(b"half")
        with pytest.raises(KilledError):
            train_in_folder(
                text,
                config,
                broken,
                text=FILES,
                resume=True,
                every=0.0,
                progress=stopping_after(reports, KilledError()),
            )
        assert not (broken / VECTORS).exists()
    outcome = train_in_folder(text, config, broken, text=FILES, resume=True)
    assert (outcome.resumed_at > 0) == (stops != (1,))
    assert digest(broken) == digest(whole)
    assert names(broken) == [LOG, VECTORS]


def test_ctrl_c_leaves_a_checkpoint(tmp_path: Path) -> None:
    train_in_folder(text, CONFIG, tmp_path / "whole", text=FILES)
    with pytest.raises(KeyboardInterrupt):
        train_in_folder(text, CONFIG, tmp_path / "b", text=FILES, progress=stopping_after(5, KeyboardInterrupt()))
    assert (tmp_path / "b" / CHECKPOINT).exists()
    outcome = train_in_folder(text, CONFIG, tmp_path / "b", text=FILES, resume=True)
    assert outcome.resumed_at >= 5 / 36
    assert digest(tmp_path / "b") == digest(tmp_path / "whole")


def test_a_text_that_breaks_off_is_read_again(tmp_path: Path) -> None:
    def broken() -> Iterator[list[str]]:
        yield ["a", "b"]
        raise TextError("line 2 is not UTF-8")

    with pytest.raises(TextError, match="line 2"):
        train_in_folder(broken, CONFIG, tmp_path, text=FILES)
    assert names(tmp_path) == [LOG]
    assert train_in_folder(text, CONFIG, tmp_path, text=FILES, resume=True).tokens == 4000


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    with pytest.raises(KilledError):
        train_in_folder(text, CONFIG, tmp_path, text=FILES, every=0.0, progress=stopping_after(9, KilledError()))
    return tmp_path


@pytest.mark.parametrize(
    ("config", "files", "message"),
    [
        ({"window": 6}, FILES, "was begun with window 5, now it is 6: give the same settings"),
        ({"seed": 2}, FILES, "was begun with seed 1, now it is 2"),
        ({}, {"1 text.txt": "abd"}, r"was begun with other text \(1 text.txt is not the same\)"),
        ({}, {**FILES, "2 more.txt": "e"}, r"was begun with other text \(2 more.txt is not the same\)"),
        ({}, {}, "was begun with other text"),
    ],
)
def test_other_settings_and_texts_are_refused(
    begun: Path, config: dict[str, Any], files: dict[str, str], message: str
) -> None:
    before = {path.name: path.read_bytes() for path in begun.iterdir()}
    wanted = SkipGramConfig(**{name: getattr(CONFIG, name) for name in CONFIG.__slots__} | config)
    with pytest.raises(UsageError, match=message):
        train_in_folder(text, wanted, begun, text=files, resume=True)
    assert {path.name: path.read_bytes() for path in begun.iterdir()} == before


def test_threads_may_change_on_the_way(begun: Path) -> None:
    wanted = SkipGramConfig(**{name: getattr(CONFIG, name) for name in CONFIG.__slots__} | {"threads": 2})
    assert train_in_folder(text, wanted, begun, text=FILES, resume=True).resumed_at > 0


def test_a_training_is_not_overwritten(begun: Path) -> None:
    with pytest.raises(UsageError, match="contains a training: resume it"):
        train_in_folder(text, CONFIG, begun, text=FILES)
    train_in_folder(text, CONFIG, begun, text=FILES, resume=True)
    with pytest.raises(UsageError, match="nothing to resume"):
        train_in_folder(text, CONFIG, begun, text=FILES, resume=True)
    (begun / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        train_in_folder(text, CONFIG, begun / "file", text=FILES)


@pytest.mark.parametrize("name", [CHECKPOINT, ENCODED, encoding.ENCODED_NUMBERS, LOG])
def test_damaged_files_are_named(begun: Path, name: str) -> None:
    content = (begun / name).read_bytes()
    (begun / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(TextError, match=rf"{name}.* is damaged"):
        train_in_folder(text, CONFIG, begun, text=FILES, resume=True)


def test_a_full_disk_leaves_the_last_checkpoint(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (begun / CHECKPOINT).read_bytes()

    def full(folder: Path, *_: object) -> None:
        raise OSError(28, "No space left on device", str(folder / CHECKPOINT))

    with monkeypatch.context() as patched:
        patched.setattr(skipgram, "write_checkpoint", full)
        with pytest.raises(DeviseError, match=r"checkpoint.safetensors cannot be written \(No space left on device\)"):
            train_in_folder(text, CONFIG, begun, text=FILES, resume=True, every=0.0)
    assert (begun / CHECKPOINT).read_bytes() == before
    assert train_in_folder(text, CONFIG, begun, text=FILES, resume=True).resumed_at > 0


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from devise.text.engine.training import fresh_rows

    before = {path.name: path.read_bytes() for path in begun.iterdir()}

    def half_written(file: Any, *_: object) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(skipgram, "write_tensors", half_written)
    with pytest.raises(OSError, match="No space"):
        write_checkpoint(begun, fresh_rows(3, CONFIG), 1)
    assert {path.name: path.read_bytes() for path in begun.iterdir()} == before


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_in_another(tmp_path: Path) -> None:
    """SIGKILL in the middle; the same bits as a training that was left alone."""
    tokens = tmp_path / "text.txt"
    rng = np.random.default_rng(1)
    tokens.write_text("\n".join(" ".join(f"w{word}" for word in rng.zipf(1.3, 30)) for _ in range(20_000)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", "from devise.cli.app import main; main()", "text", "train", str(tokens)]
    command += ["--tokenised", "--dim", "64", "--window", "5", "--epochs", "2", "--threads", "1"]
    command += ["--resume", "--checkpoint-every", "0.05", "--out"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([*command, str(whole)], check=True, env=environment, capture_output=True)
    with subprocess.Popen([*command, str(broken)], env=environment, stderr=subprocess.DEVNULL) as process:
        limit = time.monotonic() + 120
        while not (broken / CHECKPOINT).exists() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (broken / VECTORS).exists()
    done = subprocess.run([*command, str(broken)], check=True, env=environment, capture_output=True, text=True)
    assert "resumed at" in done.stderr
    assert digest(broken) == digest(whole)


def test_a_folder_in_which_another_process_trains_is_refused(tmp_path: Path) -> None:
    with (
        sole_writer(tmp_path, ValueError),
        pytest.raises(UsageError, match="another process is writing to it: wait until it ends"),
    ):
        train_in_folder(text, CONFIG, tmp_path, text=FILES, resume=True)
    assert not (tmp_path / LOG).exists()
    assert train_in_folder(text, CONFIG, tmp_path, text=FILES).words
