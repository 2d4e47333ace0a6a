import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devise.errors import TrainingError, TrainingStoppedError, UsageError

torch: Any = pytest.importorskip("torch")

from devise.training.batches import Sampler  # noqa: E402
from devise.training.classifier import ClassifierConfig  # noqa: E402
from devise.training.config import RunConfig, parse_settings, resolve  # noqa: E402
from devise.training.distributed import joined_processes  # noqa: E402
from devise.training.engine import ParameterGroup, train  # noqa: E402
from devise.training.finetune import FinetuneConfig  # noqa: E402
from devise.training.surgery import SurgeryConfig  # noqa: E402

HERE = str(Path(__file__).parent)


class Line:
    """Least squares with dropout: a task that is small and random in every way."""

    def __init__(self, count: int = 40, broken: int | None = None) -> None:
        made = torch.Generator().manual_seed(5)
        self.x = torch.randn(count, 3, generator=made)
        self.y = self.x @ torch.tensor([1.0, -2.0, 0.5])
        if broken is not None:
            self.x[broken] = torch.nan
        start = torch.nn.Linear(3, 1)
        with torch.no_grad():
            start.weight.copy_(torch.tensor([[0.1, 0.2, 0.3]]))
            start.bias.zero_()
        self.module = start
        self.identity = "line"
        self.delay = 0.0

    def __len__(self) -> int:
        return len(self.x)

    def groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(list(self.module.parameters()))]

    def loss(self, network: Any, batch: Any) -> Any:
        time.sleep(self.delay)
        x = torch.nn.functional.dropout(self.x[batch.rows], 0.2)
        noise = torch.from_numpy(batch.uniform(1))[:, 0]
        return (network(x)[:, 0] - self.y[batch.rows] - 0.01 * noise).square().mean()

    def measures(self) -> dict[str, float]:
        with torch.no_grad():
            return {"fit": -float((self.module(self.x)[:, 0] - self.y).square().mean())}

    def name(self, row: int) -> str:
        return f"sample-{row}"


def weights(task: Line) -> list[float]:
    return [*task.module.weight.flatten().tolist(), *task.module.bias.tolist()]


def config(**more: Any) -> RunConfig:
    return RunConfig(**({"epochs": 3, "batch": 8, "rate": 0.05} | more))


def test_it_learns_and_keeps_the_best_epoch(tmp_path: Path):
    task = Line()
    before = task.measures()["fit"]
    outcome = train(task, config(epochs=30), tmp_path)
    assert task.measures()["fit"] == outcome.measures["fit"] > before
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 31))
    assert max(line["fit"] for line in lines) == lines[outcome.epoch - 1]["fit"] == outcome.measures["fit"]
    assert {"loss", "seconds", "samples_a_second"} <= lines[0].keys()


@pytest.mark.parametrize("optimizer", ["adagrad", "adamw", "sgd"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_stopped_anywhere_and_gone_on_with_is_the_same_to_the_bit(tmp_path: Path, optimizer: str, ema: float):
    settings = config(optimizer=optimizer, ema=ema, warmup=0.5)
    whole = Line()
    train(whole, settings, tmp_path / "whole")
    parts, stops = Line(), 0
    for _ in range(20):
        try:
            train(parts, settings, tmp_path / "parts", report=lambda e, s, n, loss: _term(s == 3 or (e, s) == (1, 5)))
            break
        except TrainingStoppedError:
            stops += 1
            parts = Line()  # nothing is left but what is on the disk
    assert stops == 4
    assert weights(parts) == weights(whole)


def _term(now: bool) -> None:
    if now:
        os.kill(os.getpid(), signal.SIGTERM)


_KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_engine import Line, config, train
task = Line(800)
task.delay = 0.001
train(task, config(epochs=2, save_seconds=0.1), Path(sys.argv[1]))
"""


def test_a_killed_run_goes_on_to_the_same_end(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED.format(here=HERE), str(tmp_path / "killed")],
        env=os.environ | {"PYTHONPATH": "src"},
    )
    ends = time.monotonic() + 60
    while not (tmp_path / "killed" / "last.safetensors").exists() and time.monotonic() < ends:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    settings = config(epochs=2, save_seconds=0.1)
    gone_on, whole = Line(800), Line(800)
    train(gone_on, settings, tmp_path / "killed")
    train(whole, settings, tmp_path / "whole")
    assert weights(gone_on) == weights(whole)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path):
    train(Line(), config(), tmp_path)
    with pytest.raises(TrainingError, match=r"a run with other settings \(rate, seed\): give another --work"):
        train(Line(), config(rate=0.1, seed=5), tmp_path)
    with pytest.raises(TrainingError, match="a run with other photos, labels or another network"):
        train(Line(41), config(), tmp_path)
    (tmp_path / "last.safetensors").write_bytes(b"no checkpoint")
    with pytest.raises(TrainingError, match="is not a checkpoint"):
        train(Line(), config(), tmp_path)


def test_a_loss_that_is_no_number_names_the_batch(tmp_path: Path):
    task = Line(8, broken=5)
    with pytest.raises(TrainingError, match=r"the loss is nan at epoch 1, step 1, .*sample-\d") as told:
        train(task, config(batch=8), tmp_path)
    assert "sample-" in str(told.value)


def test_weights_that_the_last_step_made_infinite_are_not_kept(tmp_path: Path):
    """The root of 0 is 0, and its gradient is infinite: no loss shows it."""

    class Root(Line):
        def loss(self, network: Any, batch: Any) -> Any:
            return (network(self.x[batch.rows])[:, 0] * (0.0 if batch.step == 4 else 1.0)).square().sum().sqrt()

    with pytest.raises(TrainingError, match=r"weights are no longer finite at epoch 1, step 5, .*sample-\d"):
        train(Root(), config(epochs=1), tmp_path)
    assert not (tmp_path / "best.safetensors").exists()


def test_the_speed_after_a_stop_is_of_what_was_done_since(tmp_path: Path):
    task = Line()
    with pytest.raises(TrainingStoppedError):
        train(task, config(epochs=1), tmp_path, report=lambda e, s, n, loss: _term(s == 3))
    task.delay = 0.05
    train(task, config(epochs=1), tmp_path)
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert line["samples_a_second"] * line["seconds"] == pytest.approx(16, rel=0.1)  # two steps of 8; both are rounded


def test_patience_ends_a_run(tmp_path: Path):
    assert train(Line(), config(epochs=50, rate=1e-12, patience=2), tmp_path).epochs < 50


@given(
    st.integers(1, 300), st.integers(1, 64), st.integers(1, 3), st.sampled_from([(1, 1), (4, 3), (64, 2)]),
    st.integers(0, 5),
)  # fmt: skip
@settings(max_examples=25)
def test_every_epoch_visits_samples_once_and_ranks_share_a_step(
    count: int, batch: int, world: int, blocks: tuple[int, int], epoch: int
):
    block, group = blocks
    if min(count, batch) < world:
        return  # refused
    samplers = [Sampler(count, batch, 7, rank, world, block, group) for rank in range(world)]
    assert sorted(samplers[0].order(epoch).tolist()) == list(range(count))
    steps = [sampler.batches(epoch) for sampler in samplers]
    for parts in zip(*steps, strict=True):
        rows = np.concatenate([part.rows for part in parts])
        assert len(set(rows.tolist())) == len(rows) == samplers[0].size
        one = Sampler(count, batch, 7, 0, 1, block, group)
        if one.size == samplers[0].size:
            alone = one.batches(epoch)[parts[0].step].uniform(2)
            joined = np.empty_like(alone)
            for rank, part in enumerate(parts):
                joined[rank::world] = part.uniform(2)
            assert np.array_equal(alone, joined)


def test_a_batch_that_leaves_a_process_without_a_sample():
    with pytest.raises(UsageError, match="2 processes need as many samples in a batch, got 1"):
        Sampler(10, 1, 0, 0, 2)
    with pytest.raises(UsageError, match="got 1"):
        Sampler(1, 8, 0, 1, 2)


@pytest.mark.parametrize("device", ["gpu", "cuda:0", "CPU"])
def test_another_device(device: str):
    with pytest.raises(UsageError, match=f"--device must be cpu, cuda or auto, got {device}"), joined_processes(device):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_where_there_is_none():
    with pytest.raises(UsageError, match="there is none"), joined_processes("cuda"):
        pass


def test_an_incomplete_environment_of_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UsageError, match="WORLD_SIZE is 2, but RANK is not set"), joined_processes("cpu"):
        pass


def test_a_process_that_waits_for_one_that_has_ended_says_so(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("init_process_group", "destroy_process_group"):
        monkeypatch.setattr(torch.distributed, name, lambda *_, **__: None)
    with pytest.raises(TrainingError, match="another process of this run has ended"), joined_processes("cpu"):
        raise RuntimeError("[pair.cc:553] Connection closed by peer [127.0.0.1]:39318. GLHF!")
    with pytest.raises(RuntimeError, match="a bug of ours"), joined_processes("cpu"):
        raise RuntimeError("a bug of ours")


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (RunConfig, "patience", -1), (RunConfig, "seed", -1), (RunConfig, "momentum", 1.0), (RunConfig, "clip", -1.0),
        (RunConfig, "rate", math.inf), (RunConfig, "weight_decay", math.nan), (RunConfig, "epochs", 0),
        (SurgeryConfig, "margin", math.nan), (SurgeryConfig, "pull", -1.0), (SurgeryConfig, "random_embeddings", -5),
        (ClassifierConfig, "holdout", 1.0), (ClassifierConfig, "smoothing", 2.0), (ClassifierConfig, "features", 0),
        (ClassifierConfig, "held_gb", math.nan), (ClassifierConfig, "least_area", -1.0),
        (FinetuneConfig, "holdout", 1.5), (FinetuneConfig, "least_area", 0.0), (FinetuneConfig, "margin", math.inf),
    ],
)  # fmt: skip
def test_a_setting_that_would_train_nothing(kind: Any, key: str, value: float):
    with pytest.raises(UsageError, match=f"{key} must be .*, got {value}"):
        kind(**{key: value})


def test_how_often_it_is_saved_makes_no_other_run(tmp_path: Path):
    train(Line(), config(epochs=2), tmp_path)
    assert train(Line(), config(epochs=2, save_seconds=1.0), tmp_path).epochs == 2
    with pytest.raises(TrainingError, match=r"other settings \(clip\)"):
        train(Line(), config(epochs=2, clip=1.0), tmp_path)


def test_best_weights_that_are_gone_are_not_replaced_in_silence(tmp_path: Path):
    train(Line(), config(epochs=2), tmp_path)
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"best\.safetensors with the best weights is missing"):
        train(Line(), config(epochs=2), tmp_path)


def test_blocks_keep_neighbours_together():
    order = Sampler(1000, 10, 0, block=10, group=5).order(0)
    assert len(set((order[:50] // 10).tolist())) == 5
    assert order[:50].tolist() != sorted(order[:50].tolist())


def test_configuration_from_file_flags_and_defaults(tmp_path: Path):
    file = tmp_path / "run.toml"
    file.write_text("epochs = 7\nrate = 1\nbf16 = true\n")
    made = resolve(RunConfig, file, {"epochs": 9, "seed": None})
    assert (made.epochs, made.rate, made.bf16, made.seed, made.batch) == (9, 1.0, True, 0, 256)
    file.write_text("epoch = 7\n")
    with pytest.raises(UsageError, match="unknown key 'epoch': expected one of batch"):
        resolve(RunConfig, file, {})
    file.write_text("epochs = ")
    with pytest.raises(UsageError, match="is not TOML"):
        resolve(RunConfig, file, {})
    for key, value in {"epochs": "3", "optimizer": "adam", "bf16": 1, "rate": "fast"}.items():
        with pytest.raises(UsageError, match=f"{key} must be"):
            resolve(RunConfig, None, {key: value})
    for key, value in {"epochs": 0, "rate": 0.0, "ema": 1.0, "warmup": -1.0}.items():
        with pytest.raises(UsageError, match=f"{key} must be"):
            resolve(RunConfig, None, {key: value})
    with pytest.raises(UsageError, match="needs KEY=VALUE"):
        parse_settings(["rate"])


@pytest.mark.parametrize("value", ["99999999999999999999", "-1", "9223372036854775808"])
def test_a_seed_that_no_generator_takes_is_told(value: str):
    with pytest.raises(UsageError, match="seed must be"):
        resolve(RunConfig, None, parse_settings([f"seed={value}"]))


@pytest.mark.parametrize("text", ["epochs=1\nbatch=3", "epochs=1\n[table]", "epochs=1\r\nbatch=3"])
def test_a_second_setting_after_a_line_break_is_told(text: str):
    with pytest.raises(UsageError, match=r"--set needs one KEY=VALUE, got 'epochs=1\\") as told:
        parse_settings([text])
    assert len(str(told.value).splitlines()) == 1


def test_numbers_and_brackets_without_end_are_told():
    for text in ("rate=" + "9" * 5000, "rate=" + "[" * 5000, "epochs=" + "9" * 4000):
        with pytest.raises(UsageError, match=r"(rate|epochs) must be"):
            resolve(RunConfig, None, parse_settings([text]))
