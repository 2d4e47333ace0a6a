"""Work that is stopped and resumed: one writer, the same facts, pieces made once."""

from pathlib import Path

import numpy as np
import pytest

from devise.errors import DeviseError, UsageError
from devise.files import sole_writer
from devise.resumable import differing, kept_tensors, resuming


def test_what_another_run_began_meanwhile_is_seen_under_the_lock(tmp_path: Path) -> None:
    """The first check passes; between it and the lock another run writes its settings."""
    folder = tmp_path / "out"
    seen: list[bool] = []

    def check() -> None:
        seen.append(folder.exists())
        if len(seen) == 2:
            raise UsageError("begun meanwhile")

    with pytest.raises(UsageError, match="begun meanwhile"), resuming(folder, check, DeviseError):
        pytest.fail("the block must not run")
    assert seen == [False, True]  # the folder is made only for the lock
    assert not folder.exists()  # and nothing of it stays


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    checks: list[int] = []
    with (
        sole_writer(tmp_path, ValueError),
        pytest.raises(DeviseError, match="another process is writing to it"),
        resuming(tmp_path, lambda: checks.append(1), DeviseError),
    ):
        pytest.fail("the block must not run")
    assert len(checks) == 1
    with resuming(tmp_path, lambda: checks.append(1), DeviseError):
        assert len(checks) == 3


def test_differing_facts_are_named_in_order() -> None:
    before = {"same": [1], "b": 1, "gone": "x", "none": None}
    assert differing(before, {"same": [1], "b": 2, "added": 0}) == ["added", "b", "gone"]


def test_tensors_are_made_once(tmp_path: Path) -> None:
    made: list[int] = []
    values = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([7], dtype=np.int64)}

    def make() -> dict[str, np.ndarray]:
        made.append(1)
        return values

    file = tmp_path / "piece.safetensors"
    for _ in range(2):
        b, a = kept_tensors(file, ("b", "a"), make, UsageError)
        assert np.array_equal(a, values["a"])
        assert np.array_equal(b, values["b"])
    assert made == [1]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_making_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def make() -> dict[str, np.ndarray]:
        raise KeyError("no vector")

    with pytest.raises(KeyError):
        kept_tensors(tmp_path / "piece.safetensors", ("a",), make, UsageError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0, 7, 40, -1])
def test_a_damaged_file_is_named_with_its_cure(tmp_path: Path, keep: int) -> None:
    file = tmp_path / "piece.safetensors"
    kept_tensors(file, ("a",), lambda: {"a": np.ones(9)}, UsageError)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(UsageError, match=r"piece\.safetensors is damaged \(.+\): remove it to make it again") as caught:
        kept_tensors(file, ("a",), lambda: {"a": np.ones(9)}, UsageError)
    assert "\n" not in str(caught.value)


def test_a_file_without_an_array_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "piece.safetensors"
    kept_tensors(file, ("a",), lambda: {"a": np.ones(9)}, UsageError)
    with pytest.raises(UsageError, match="is damaged"):
        kept_tensors(file, ("b",), lambda: {"a": np.ones(9)}, UsageError)
