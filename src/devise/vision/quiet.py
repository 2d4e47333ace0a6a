"""Silence Pillow and its libraries while reading: warnings are harmless or become a PictureError."""

import ctypes
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import PIL
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
    _silence_libtiff()
    undo.enter_context(warnings.catch_warnings())
    warnings.filterwarnings("ignore", module=r"PIL\b")
    logger, handler = logging.getLogger("PIL"), logging.NullHandler()
    logger.addHandler(handler)
    undo.callback(logger.removeHandler, handler)
    undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    # `PictureLimits` is asked instead, which a user may move. Not None: another thread may be between Pillow's look for
    # None and its comparison (a TypeError in `crop`).
    Image.MAX_IMAGE_PIXELS = 2**62


@cache
def _silence_libtiff() -> None:
    """Remove libtiff's handlers, which write a line to standard error for every unknown tag.

    They belong to the library as this process has loaded it, so one call is for all threads and for good.
    """
    maps = Path("/proc/self/maps")
    loaded = {line.split(maxsplit=5)[-1] for line in _lines(maps) if "libtiff" in line}
    for path in loaded or map(str, Path(PIL.__file__).parent.glob(".dylibs/libtiff*")):
        try:
            library = ctypes.CDLL(path)
            for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
                handler = getattr(library, name)
                handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
                handler(None)
        except (OSError, AttributeError):  # not the library after all: its lines are a nuisance, no fault
            continue


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
