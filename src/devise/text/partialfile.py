"""A text file that takes hours to write: valid at every checkpoint, and resumable."""

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devise.errors import TextError, UsageError
from devise.files import atomic_write, locked, read_json
from devise.text.streams import COMPRESSIONS

__all__ = ["PartialFile"]

_VERSION = 1
_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, 6, mtime=0),
    ".xz": lambda data: lzma.compress(data, preset=3),
    ".bz2": bz2.compress,
}


class PartialFile:
    """Grows next to its target as `corpus.partial.txt.xz` and takes the target's name when it is complete.

    Each `append` is a checkpoint: the text is on the disk, compressed by itself (compressed streams may stand one
    behind the other), and `corpus.partial.txt.xz.json` says how long the file is and what the caller needs to go on.
    What a crash leaves behind the last checkpoint is cut off.

    target: its ending says whether it is compressed. facts: what must be equal for a run to go on, JSON values.
    """

    def __init__(self, target: Path, facts: dict[str, Any]) -> None:
        self._target = target
        ending = "".join(target.suffixes[-2:] if target.suffix.lower() in COMPRESSIONS else target.suffixes[-1:])
        self.path = target.with_name(f"{target.name.removesuffix(ending)}.partial{ending}")
        self._notes = self.path.with_name(f"{self.path.name}.json")
        self._pack = _PACKERS.get(target.suffix.lower(), bytes)
        self._facts = facts
        self._length = 0
        self.broken = False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the file for the block; UsageError if another process writes it, or as `open` raises it."""
        self._require_place()
        try:
            with locked(self.path) as free:
                if not free:
                    raise UsageError(f"{self.path}: another process is writing to it: wait until it ends")
                yield
        except OSError as problem:
            if problem.filename != str(self.path):
                raise
            raise self._unwritable(problem) from problem

    def open(self, resume: bool) -> dict[str, Any] | None:
        """Return the state of the last checkpoint, or None if there is none to resume.

        UsageError if an unfinished file is there and `resume` is false, or it is of other facts, or the target is no
        place for a file; TextError if it is damaged.
        """
        self._require_place()
        if not self._notes.exists():
            try:
                self.path.write_bytes(b"")
            except OSError as problem:
                raise self._unwritable(problem) from problem
            return None
        if not resume:
            raise UsageError(f"{self.path} is an unfinished run: continue with --resume, or remove {self._notes}")
        notes = self._read_notes()
        if notes["facts"] != self._facts:
            raise UsageError(
                f"{self.path} was made of other sources or settings: give the same, or remove {self._notes}"
            )
        self._length = notes["length"]
        if not self.path.exists() or self.path.stat().st_size < self._length:
            raise TextError(f"{self.path} is shorter than at its last checkpoint: remove {self._notes} and start again")
        os.truncate(self.path, self._length)
        state: dict[str, Any] = notes["state"]
        return state

    def _require_place(self) -> None:
        if self._target.exists() and not self._target.is_file():
            raise UsageError(f"{self._target} is not a file: give the name of one")
        if not self._target.absolute().parent.is_dir():
            raise UsageError(f"{self._target} needs a folder that exists: create {self._target.parent} first")

    def append(self, text: str, state: dict[str, Any]) -> None:
        """Append text and save the state after it; TextError, and `broken`, if that fails, as on a full disk.

        Whatever ends it, the file is then what it was at the last checkpoint.
        """
        data = self._pack(text.encode("utf-8", "replace"))
        length = self._length + len(data)
        notes = {"version": _VERSION, "facts": self._facts, "length": length, "state": state}
        try:
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            with atomic_write(self._notes) as file_of_notes:
                file_of_notes.write(json.dumps(notes, sort_keys=True) + "\n")
        except OSError as problem:
            self.broken = True
            os.truncate(self.path, self._length)
            raise self._unwritable(problem) from problem
        except BaseException:
            os.truncate(self.path, self._length)
            raise
        self._length = length

    def finish(self) -> None:
        """Rename the file to the target's name, replacing any old file."""
        self.path.replace(self._target)
        self._notes.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the file and its notes."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def _read_notes(self) -> dict[str, Any]:
        try:
            notes = read_json(self._notes)
            known = (
                notes["version"] == _VERSION
                and type(notes["length"]) is int
                and notes["length"] >= 0
                and "state" in notes
            )
            if known:
                return {key: notes[key] for key in ("facts", "length", "state")}
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise TextError(f"{self._notes} does not say how to resume {self.path}: remove it and start again")

    def _unwritable(self, problem: OSError) -> TextError:
        return TextError(f"{self.path} cannot be written: {problem.strerror or problem}")
