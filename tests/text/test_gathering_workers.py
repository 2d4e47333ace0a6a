import os
import time
from collections.abc import Iterator

import pytest

from devise.errors import DeviseError, TextError
from devise.text.gathering import ordered_map

_given: list[int] = []


def prepare(number: int) -> None:
    _given[:] = [number]


def slow_for_even(number: int) -> tuple[int, int]:
    time.sleep(0.02 * (number % 2 == 0))
    return number + _given[0], os.getpid()


def die(number: int) -> int:
    os._exit(3)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_in_order_and_few_read_ahead(workers: int) -> None:
    read = -1

    def numbers() -> Iterator[int]:
        nonlocal read
        while read < 39:
            read += 1
            yield read

    results = []
    for place, (result, pid) in enumerate(ordered_map(slow_for_even, numbers(), workers, prepare, (100,))):
        assert read <= place + 4 * workers
        assert (pid == os.getpid()) is (workers == 1)
        results.append(result)
    assert results == list(range(100, 140))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_stood_before_an_error_comes_first(workers: int) -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise TextError("breaks off")

    results: list[tuple[int, int]] = []
    with pytest.raises(TextError, match="breaks off"):
        results.extend(ordered_map(slow_for_even, broken(), workers, prepare, (0,)))
    assert [result for result, _ in results] == [0, 1, 2, 3, 4]


def test_worker_that_dies_is_told() -> None:
    with pytest.raises(DeviseError, match="a worker process died"):
        list(ordered_map(die, range(3), 2, prepare, (0,)))
