"""Silence of Pillow while pictures are read: what it warns of is either harmless here or a PictureError."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from PIL import Image

__all__ = ["quiet_pillow"]


@dataclass
class _State:
    readers: int = 0
    undo: ExitStack = field(default_factory=ExitStack)
    lock: threading.Lock = field(default_factory=threading.Lock)


_state = _State()


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings and log lines off stderr, from any number of threads at once.

    Python's warning filters and Pillow's limit of pixels belong to the whole process, so they are changed
    when the first reader comes in and put back as they were when the last one leaves; only what is raised inside
    Pillow is silenced.
    """
    with _state.lock:
        _state.readers += 1
        if _state.readers == 1:
            _silence(_state.undo)
    try:
        yield
    finally:
        with _state.lock:
            _state.readers -= 1
            if _state.readers == 0:
                _state.undo.close()


def _silence(undo: ExitStack) -> None:
    undo.enter_context(warnings.catch_warnings())
    warnings.filterwarnings("ignore", module=r"PIL\b")
    logger, handler = logging.getLogger("PIL"), logging.NullHandler()
    logger.addHandler(handler)
    undo.callback(logger.removeHandler, handler)
    undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    Image.MAX_IMAGE_PIXELS = None  # `PictureLimits` is asked instead, which a user may move
