import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from devise.arrays import Pixels
from devise.vision import pipeline
from devise.vision.backbone import OpenVinoBackbone
from devise.vision.folders import Found, find_pictures
from devise.vision.pipeline import cores, extract, one_thread
from devise.vision.preprocessing import Preprocessing


def flat(level: int) -> np.ndarray:
    return np.full((10, 12, 3), level, np.uint8)


def test_order_and_values(mean_colour: Any) -> None:
    levels = [int(level) for level in np.random.default_rng(0).integers(0, 256, 300)]
    # Every fifth picture is large and so takes longer than those behind it; every seventh is broken.
    sources = [flat(level) if i % 5 else np.full((400, 500, 3), level, np.uint8) for i, level in enumerate(levels)]
    sources = [source if i % 7 else b"" for i, source in enumerate(sources)]
    results = list(extract(sources, mean_colour, workers=3))
    assert [result.source is source for result, source in zip(results, sources, strict=True)] == [True] * 300
    assert [None if result.features is None else result.features.tolist() for result in results] == [
        [level] * 3 if i % 7 else None for i, level in enumerate(levels)
    ]


def test_a_failure_is_a_result_and_stops_nothing(tmp_path: Path, mean_colour: Any) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    sources = [
        flat(1),
        b"",
        tmp_path / "none.jpg",
        tmp_path / "text.jpg",
        Found(tmp_path, "unreadable"),
        flat(2),
    ]
    results = list(extract(sources, mean_colour, workers=2))
    assert [result.problem for result in results] == [
        None,
        "empty",
        "no such file",
        "not a picture of a known format",
        "unreadable",
        None,
    ]
    assert [result.features is None for result in results] == [result.problem is not None for result in results]
    assert results[4].source == tmp_path


def test_from_a_folder(tmp_path: Path, encode: Callable[..., bytes], mean_colour: Any) -> None:
    from PIL import Image

    for name, level in (("b", 20), ("a", 10)):
        (tmp_path / f"{name}.png").write_bytes(encode(Image.fromarray(flat(level)), "PNG"))
    (tmp_path / "c.png").symlink_to(tmp_path / "gone.png")
    results = list(extract(find_pictures([tmp_path]), mean_colour))
    assert [Path(result.source).name for result in results if isinstance(result.source, Path)] == [
        "a.png",
        "b.png",
        "c.png",
    ]
    assert [None if result.features is None else result.features[0] for result in results] == [10, 20, None]
    assert results[2].problem == "a broken link"


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_only_a_few_pictures_are_held(workers: int, mean_colour: Any) -> None:
    taken = 0

    def sources() -> Iterator[np.ndarray]:
        nonlocal taken
        for _ in range(300):
            taken += 1
            yield flat(0)

    for given, _ in enumerate(extract(sources(), mean_colour, workers=workers), start=1):
        assert taken - given <= 12 * workers
    assert given == taken == 300


def test_workers_take_several_pictures_at_a_time_and_few_at_the_end(mean_colour: Any) -> None:
    sizes: list[int] = []

    class Counting:
        preprocessing: Preprocessing = mean_colour.preprocessing
        dim = 3

        def features(self, crops: np.ndarray) -> np.ndarray:
            sizes.append(len(crops))
            return crops.mean((1, 2)).astype(np.float32)

    levels = [number % 250 for number in range(100)]
    results = list(extract([flat(level) for level in levels], Counting(), workers=1))
    assert [result.features[0] for result in results] == levels
    assert sum(sizes) == 100
    assert max(sizes) == 8

    sizes.clear()
    both = threading.Barrier(2)

    class Together(Counting):
        def features(self, crops: np.ndarray) -> np.ndarray:
            both.wait(timeout=60)
            return super().features(crops)

    assert len(list(extract([flat(0)] * 2, Together(), workers=2))) == 2  # each takes one, none takes both
    assert sizes == [1, 1]


def test_too_little_memory_for_the_network_is_the_problem_of_its_block(mean_colour: Any) -> None:
    class Short:
        preprocessing: Preprocessing = mean_colour.preprocessing
        dim = 3

        def features(self, crops: np.ndarray) -> np.ndarray:
            if (crops == 77).any():
                raise MemoryError
            return crops.mean((1, 2)).astype(np.float32)

    results = list(extract([flat(77), b"", *[flat(5)] * 60], Short(), workers=1))
    assert results[0].problem == "too large for the memory: make it smaller"
    assert results[1].problem == "empty"
    assert [result.problem for result in results[-40:]] == [None] * 40


def test_nothing_and_one(mean_colour: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "thread_time", map(float, count()).__next__)
    assert list(extract([], mean_colour)) == []
    assert len(list(extract([flat(3)], mean_colour, workers=8))) == 1
    one, broken = extract([flat(3), b""], mean_colour)
    assert one.features.tolist() == [3, 3, 3]
    assert one.decoding > 0
    assert (broken.features, broken.problem, broken.decoding) == (None, "empty", 0)


def test_a_bug_in_the_backbone_is_raised(mean_colour: Any) -> None:
    class Broken:
        preprocessing: Preprocessing = mean_colour.preprocessing
        dim = 3

        def features(self, crops: np.ndarray) -> np.ndarray:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        list(extract([flat(0)] * 50, Broken()))


def test_leaving_early_reads_no_further(mean_colour: Any) -> None:
    read = 0
    lock = threading.Lock()

    class Counting:
        preprocessing: Preprocessing = mean_colour.preprocessing
        dim = 3

        def features(self, crops: np.ndarray) -> np.ndarray:
            nonlocal read
            with lock:
                read += 1
            return crops.mean((1, 2)).astype(np.float32)

    for _ in extract((flat(0) for _ in range(1000)), Counting(), workers=2):
        break
    assert read <= 12 * 2


def test_ctrl_c_ends_at_once() -> None:
    script = """
import itertools, time
import numpy as np
from devise.vision.pipeline import extract
from devise.vision.preprocessing import Preprocessing

class Slow:
    preprocessing, dim = Preprocessing(8, 8, "bicubic", (0.0,) * 3, (1.0,) * 3), 3
    def features(self, crops):
        time.sleep(0.2)
        return np.zeros((len(crops), 3), np.float32)

for result in extract((np.zeros((9, 9, 3), np.uint8) for _ in itertools.count()), Slow(), workers=2):
    print("one", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "one\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)  # there is no end of pictures
    assert process.returncode != 0
    assert stderr.strip().endswith("KeyboardInterrupt")


def test_the_same_as_one_by_one_with_a_real_backbone(lite0_backbone: OpenVinoBackbone, photos: list[Pixels]) -> None:
    settings = lite0_backbone.preprocessing
    results = list(extract(photos, lite0_backbone, workers=2))
    for result, photo in zip(results, photos, strict=True):
        expected = lite0_backbone.features(settings.apply(photo)[None])[0]
        assert result.features is not None
        assert np.abs(result.features - expected).max() < 1e-4


def test_cores() -> None:
    assert cores() >= 1


def _threads() -> list[int]:
    np.eye(2) @ np.eye(2)
    return [lib["num_threads"] for lib in ThreadpoolController().info() if "numpy" in lib["filepath"]]


def test_inside_one_outside_as_before() -> None:
    before = _threads()
    with one_thread():
        assert set(_threads()) == {1}
    assert _threads() == before


def test_an_error_restores_the_threads() -> None:
    before = _threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        raise ZeroDivisionError
    assert _threads() == before
