"""The surgery's step against the machine's matrix product and against the loop of public code; streaming of a store."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bench.figures import Figure, Reading, interleaved, median, ratio

__all__ = ["measure_surgery"]

_STEP = "A step of the surgery: 1,024 pictures, 1,000 labels, 500-D, all negatives"
_STREAM = "Features streamed from the disk"
_FEATURES, _DIM, _LABELS, _BATCH, _MARGIN = 1280, 500, 1000, 1024, 0.1
_PEAK_SHARE, _LOOP_RATIO, _MEMORY = 0.6, 20.0, 2000.0
_WHOLE = 1_281_167  # photos of ImageNet's training set

_READER = """
import sys, time
from pathlib import Path
import numpy as np
from bench.machine import peak_memory
from devise.training.batches import Sampler
from devise.training.surgery import FeatureRows, block_and_group
from devise.vision.featurestore import FeatureStore
folder, count, dim = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
mapped = np.memmap(folder / "features.f32", np.float32, "r", shape=(count, dim))
store = FeatureStore(folder, "", "", mapped, np.arange(count), np.zeros(count, np.int64), ("a",), (), 0)
rows = FeatureRows(store, held=0)
block, group = block_and_group(rows)
began = time.perf_counter()
done = 0
for batch in Sampler(count, 1024, 0, block=block, group=group).batches(0):
    done += len(rows.take(batch.rows))
seconds = time.perf_counter() - began
print(done / seconds, peak_memory())
"""


def measure_surgery(scratch: Path, *, rounds: int, stored: int) -> list[Figure]:
    """All of it. stored: rows of the synthetic store, lowered to what a quarter of the free disk holds."""
    return [*_steps(rounds), *_streaming(scratch, stored)]


def _steps(rounds: int) -> list[Figure]:
    """Every case does the same update; the loop is timed on a part of the batch, and scaled."""
    import torch

    step, product, part = _fast_step(), _product(), 16
    cases: dict[str, Callable[[], object]] = {"step": step, "product": product, "loop": lambda: _loop(part)}
    found = interleaved(cases, rounds)
    walls = {name: [one.wall for one in readings] for name, readings in found.items()}
    operations = _operations()
    peak = [2 * _BATCH * _FEATURES * _LABELS / wall / 1e9 for wall in walls["product"]]
    rates = [operations / wall / 1e9 for wall in walls["step"]]
    loops = [wall * _BATCH / part for wall in walls["loop"]]
    note = f"{operations / 1e9:.2f} GFLOP a step, torch with {torch.get_num_threads()} threads"
    return [
        Figure.of(_STEP, "forward, backward and update", [1e3 * wall for wall in walls["step"]], "ms", note=note),
        Figure.of(_STEP, "sgemm of the same sizes", peak, "GFLOP/s"),
        Figure.of(_STEP, "the step's rate over it", ratio(rates, peak), "", limit=_PEAK_SHARE, at_least=True),
        Figure.of(
            _STEP, "the same by core time", _by_core_time(found), "", note="other work moves it less than wall time"
        ),
        Figure.of(
            _STEP,
            "speed-up over the loop over pictures and labels",
            ratio(loops, walls["step"]),
            "",
            limit=_LOOP_RATIO,
            at_least=True,
            note=f"the loop was timed on {part} pictures of the batch",
        ),
    ]


def _by_core_time(found: Mapping[str, list[Reading]]) -> list[float]:
    """The step's operations a core second over the product's."""
    share = _operations() / (2 * _BATCH * _FEATURES * _LABELS)
    return [share * product.core / step.core for step, product in zip(found["step"], found["product"], strict=True)]


def _operations() -> int:
    """Multiplications and additions of the four products: M f, T M f, and back the same way."""
    return 2 * (2 * _BATCH * _FEATURES * _DIM + 2 * _BATCH * _DIM * _LABELS)


def _data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((_BATCH, _FEATURES), dtype=np.float32)
    vectors = rng.standard_normal((_LABELS, _DIM), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    start = rng.standard_normal((_DIM, _FEATURES), dtype=np.float32) / 1000
    return features, vectors, start, rng.integers(0, _LABELS, _BATCH)


def _fast_step() -> Callable[[], object]:
    import torch

    from devise.training.losses import all_negatives_loss
    from devise.training.surgery import SurgeryHead

    features, vectors, start, truth = _data()
    head = SurgeryHead(start, vectors, tuned=False)
    optimizer = torch.optim.Adagrad(head.parameters(), lr=1e-6)
    batch, labels = torch.from_numpy(features), torch.from_numpy(truth)

    def step() -> object:
        projected, fixed = head(batch)
        loss = all_negatives_loss(projected, fixed, labels, _MARGIN)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _product() -> Callable[[], object]:
    import torch

    rng = np.random.default_rng(0)
    left = torch.from_numpy(rng.standard_normal((_BATCH, _FEATURES), dtype=np.float32))
    right = torch.from_numpy(rng.standard_normal((_FEATURES, _LABELS), dtype=np.float32))
    out = torch.empty(_BATCH, _LABELS)
    return lambda: torch.mm(left, right, out=out)


def _loop(part: int) -> float:
    """The published form: picture by picture, label by label, autograd through each hinge."""
    import torch

    features, vectors, start, truth = _data()
    surgery = torch.from_numpy(start).requires_grad_()
    labels = torch.from_numpy(vectors)
    total = torch.zeros(())
    for picture, own in zip(torch.from_numpy(features[:part]), truth[:part].tolist(), strict=True):
        place = surgery @ picture
        score = labels[own] @ place
        for label in range(_LABELS):
            if label != own:
                total = total + torch.relu(_MARGIN - score + labels[label] @ place)
    (total / part).backward()
    return float(total.detach())


def _streaming(scratch: Path, stored: int) -> list[Figure]:
    """A process of its own reads an epoch of the store in training's order."""
    import shutil

    count = min(stored, shutil.disk_usage(scratch).free // 4 // (_FEATURES * 4))
    folder = scratch / "store"
    folder.mkdir()
    rng = np.random.default_rng(0)
    block = rng.standard_normal((4096, _FEATURES), dtype=np.float32).tobytes()
    began = time.perf_counter()
    with (folder / "features.f32").open("wb") as file:
        for start in range(0, count, 4096):
            file.write(block[: min(4096, count - start) * _FEATURES * 4])
    wrote = time.perf_counter() - began
    done = subprocess.run(
        [sys.executable, "-c", _READER, str(folder), str(count), str(_FEATURES)],
        capture_output=True,
        text=True,
        check=True,
    )
    rate, peak = map(float, done.stdout.split())
    shutil.rmtree(folder)
    note = f"{count:,} of ImageNet's {_WHOLE:,} rows, {count * _FEATURES * 4 / 1e9:.1f} GB, written in {wrote:.0f} s"
    return [
        Figure(_STREAM, "rows read, in training order", median([rate]), "rows/s", note=note),
        Figure(_STREAM, "peak memory of the process", peak / 1e6, "MB", limit=_MEMORY),
    ]
