"""Run matrix products on one thread, while the other cores read pictures."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

__all__ = ["one_thread"]

_one_at_a_time = threading.Lock()  # two that restore each other's limit would leave the lower one for ever


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit NumPy's products to one thread within the block.

    BLAS threads wait for their next product by spinning, and take that time from the threads that decode pictures
    and run the network.
    """
    with _one_at_a_time, _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
