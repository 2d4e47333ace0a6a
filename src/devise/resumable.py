"""Work that is stopped and resumed: a folder with one writer, the facts it was begun with, and pieces that are kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devise.files import atomic_write, open_tensors, reason_of, sole_writer

if TYPE_CHECKING:
    import numpy as np

__all__ = ["differing", "kept_tensors", "resuming"]


@contextmanager
def resuming(folder: Path, check: Callable[[], None], error: type[Exception]) -> Iterator[None]:
    """Lock a folder for a run that is new, or continues the one in it; see `devise.files.sole_writer`.

    check: raises if the folder is not for this run. It is called before anything is created there, and again under the
    lock, because another process may have begun or finished a run meanwhile.
    """
    check()
    with sole_writer(folder, error):
        check()
        yield


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of the facts that differ, sorted; None counts like a missing fact.

    >>> differing({"seed": 1, "rate": 0.1}, {"seed": 1, "rate": 0.2, "epochs": 3})
    ['epochs', 'rate']
    """
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def kept_tensors(
    file: Path, names: Sequence[str], make: Callable[[], Mapping[str, "np.ndarray"]], error: type[Exception]
) -> list["np.ndarray"]:
    """Return these arrays of a safetensors file; make all and write them if it is missing.

    file: its name has a hash of all facts that the arrays depend on, so that other facts mean another file.
    `error`, in one line, if the file is damaged or lacks one of them.
    """
    if not file.exists():
        from safetensors.numpy import save

        made = make()
        with atomic_write(file, "wb") as out:
            out.write(save(dict(made)))
    try:
        with open_tensors(file) as stored:
            return [stored.get_tensor(name) for name in names]
    except (OSError, ValueError) as problem:
        raise error(f"{file} is damaged ({reason_of(problem)}): remove it to make it again") from None
