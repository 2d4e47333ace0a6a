"""Store the user's own labels in SQLite; acknowledged changes survive any end of the service."""

import logging
import sqlite3
import threading
from pathlib import Path
from time import monotonic, sleep

from devise.errors import DeviseError, LabelError, UsageError, counted
from devise.model.typed import TypedLabel
from devise.text.phrases import term_key

__all__ = ["OwnLabels"]

_LOG = logging.getLogger("devise.serve")
_VERSION = 1
_PATIENCE = 10  # seconds for others that use the file
_TABLE = "CREATE TABLE label (key TEXT PRIMARY KEY, name TEXT NOT NULL, definition TEXT NOT NULL) WITHOUT ROWID"
_STRANGE = "SELECT count(*) FROM label WHERE " + " OR ".join(
    f"typeof({column}) != 'text' OR length({column}) NOT BETWEEN {least} AND {most}"
    for column, least, most in (("key", 1, 1000), ("name", 1, 1000), ("definition", 0, 10_000))  # those put are shorter
)


class OwnLabels:
    """Labels by name, sorted; two spellings of one term are one label. Thread-safe; several processes may use one file.

    path: a file, created if missing; None keeps the labels in memory. DeviseError if it cannot be opened or is not a
    file of labels. Each change is on disk before the call returns.
    """

    def __init__(self, path: Path | None, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path or ":memory:", timeout=_PATIENCE, check_same_thread=False)
            self._prepare()
            self._version = self._changes()
            self._labels = self._read()
        except sqlite3.Error as error:
            raise DeviseError(
                f"{path}: the file of labels cannot be used ({error}): give another --labels-db"
            ) from None

    def all(self) -> tuple[TypedLabel, ...]:
        """Return all labels; the tuple is the same object until one changes, here or in another process.

        Never waits: while a label is stored here, or if the file cannot be used, the labels are those of before.
        """
        if self._lock.acquire(blocking=False):
            try:
                if (version := self._changes()) != self._version:
                    self._labels = self._read()
                    self._version = version
            except sqlite3.Error as error:
                _LOG.warning("labels of another process cannot be read", extra={"facts": {"reason": str(error)}})
            finally:
                self._lock.release()
        return self._labels

    def put(self, label: TypedLabel) -> bool:
        """Store a label, replacing one of the same name; True if it is new. UsageError if there are too many."""
        key = term_key(label.name)
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")  # others store labels too
            known = self._database.execute("SELECT 1 FROM label WHERE key = ?", (key,)).fetchone()
            count = self._database.execute("SELECT count(*) FROM label").fetchone()[0]
            if known is None and count >= self._most:
                stored = f"{counted(count, 'label')} {'is' if count == 1 else 'are'} stored"
                raise UsageError(f"{stored}, which is the limit: delete one first")
            self._database.execute(
                "INSERT INTO label VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
                "SET name = excluded.name, definition = excluded.definition",
                (key, label.name, label.definition),
            )
            self._database.commit()
            self._labels = self._read()
        return known is None

    def delete(self, name: str) -> None:
        """Delete a label; LabelError if there is none of this name."""
        with self._lock, self._database:
            gone = self._database.execute("DELETE FROM label WHERE key = ?", (term_key(name),)).rowcount
            self._database.commit()
            self._labels = self._read()
        if not gone:
            raise LabelError(f"no label of your own is called {name!r}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _prepare(self) -> None:
        """Create the table if missing; safe if several processes do so at once."""
        self._to_wal()
        self._database.execute("PRAGMA synchronous = FULL")
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")  # the others wait here, and look only then
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._database.execute(_TABLE)
                self._database.execute(f"PRAGMA user_version = {_VERSION}")
            elif version != _VERSION:
                raise sqlite3.DatabaseError(f"format version {version}, this devise reads {_VERSION}")
        if self._database.execute("SELECT type, sql FROM sqlite_master").fetchall() != [("table", _TABLE)]:
            raise sqlite3.DatabaseError("other tables, views or triggers than devise makes")  # they may have no end

    def _changes(self) -> int:
        """Return a number that changes when another process changes the file."""
        return int(self._database.execute("PRAGMA data_version").fetchone()[0])

    def _read(self) -> tuple[TypedLabel, ...]:
        """Return all labels; sqlite3.DatabaseError if they are too many or not as `put` stores them."""
        count = self._database.execute("SELECT count(*) FROM label").fetchone()[0]
        if count > self._most:
            raise sqlite3.DatabaseError(f"{counted(count, 'label')}, at most {self._most:,} are kept: see --max-labels")
        if strange := self._database.execute(_STRANGE).fetchone()[0]:
            raise sqlite3.DatabaseError(f"{counted(strange, 'label')} not text, empty, or too long")
        rows = self._database.execute("SELECT name, definition FROM label ORDER BY key").fetchall()
        return tuple(TypedLabel(name, definition) for name, definition in rows)

    def _to_wal(self) -> None:
        """Set the journal mode; SQLite does not wait for other users of the file."""
        until = monotonic() + _PATIENCE
        while True:
            try:
                self._database.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > until:
                    raise
                sleep(0.01)
