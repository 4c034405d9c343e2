"""The judge's verdicts on disk, shared by all processes of a user, in SQLite, whose writers may be killed at any time.

A look-up takes about 10 us, whatever the number of verdicts; an append-only file would have to be read completely by
every process, at 4 us per verdict. Processes on one machine may share the file; network file systems may lack the locks
that several machines would need.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.cachedir import cache_dir
from pytest_fcpivot.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from sqlite3 import Connection

_FILE = "verdicts-1.sqlite3"  # increase the number when the table changes
# How long a process may wait for another one that is stopped while it holds the write lock.
_BUSY_S = 5.0
_LOOK_AGAIN_S = 0.01


class JudgeCache:
    """Stores scores with their reasons by key; the file is opened on first use.

    With `path` None, the file is in `judge/` in the cache directory. `redact` removes secrets from reasons, which may
    quote the message: the cache is shared, and outlives the run. A cache that cannot be used raises no error: `problem`
    then describes the reason, look-ups find nothing, and nothing is stored. All methods are thread-safe.
    """

    def __init__(self, path: Path | None = None, redact: Callable[[str], str] = str) -> None:
        self._path = path
        self._redact = redact
        self.problem: str | None = None
        self._database: Connection | None = None
        self._closed = False
        self._lock = threading.Lock()

    def get(self, key: bytes) -> tuple[float, str, bool] | None:
        """Return a verdict's score, its reason, and whether it was structured output; None if there is none."""
        rows = self._execute("SELECT score, reason, structured FROM verdicts WHERE key = ?", (key,))
        if not rows:
            return None
        score, reason, structured = rows[0]
        if not isinstance(score, float) or not 0.0 <= score <= 1.0 or not isinstance(reason, str):
            return None  # not written by this class
        return score, reason, bool(structured)

    def put(self, key: bytes, score: float, reason: str, *, structured: bool) -> None:
        """Store a verdict; it replaces an earlier one with the same key."""
        row = (key, float(score), self._redact(reason), int(structured), int(time.time()))
        self._execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close the file; from then on nothing is found or stored."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def _execute(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:
            if self._closed:
                return []
            try:
                if self._database is None:
                    self._database = self._open()
                return self._database.execute(statement, values).fetchall()
            except Exception as error:  # noqa: BLE001 (whatever is wrong with a cache must not fail a run)
                self._closed = True
                self.problem = self._problem_of(error)
                self._disconnect()
                return []

    def _open(self) -> Connection:
        import sqlite3  # noqa: PLC0415 (only for runs with a judge; some builds of Python lack it)

        if self._path is None:
            self._path = cache_dir() / "judge" / _FILE
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _write_ahead(database)
            # With this setting, a crash of the machine may lose the last verdicts but not damage the file, and a crash
            # of the process loses nothing.
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS verdicts (key BLOB PRIMARY KEY, score REAL NOT NULL, reason TEXT NOT NULL,"
                " structured INTEGER NOT NULL, judged_at INTEGER NOT NULL) WITHOUT ROWID"
            )
        except BaseException:
            database.close()
            raise
        return database

    def _disconnect(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with suppress(Exception):
                database.close()

    def _problem_of(self, error: Exception) -> str:
        if isinstance(error, DataError):
            return f"the judge continues without its cache: {error}"
        advice = "set FC_CACHE_DIR to a directory on a local disk that can be written"
        if type(error).__name__ == "DatabaseError":  # for a damaged file, SQLite raises this class, not a subclass
            advice = "delete it"
        return f"the judge continues without its cache: {self._path}: {error}; {advice}"


def _write_ahead(database: Connection) -> None:
    """Switch to write-ahead logging, so that readers do not wait for writers; no error if it is not supported.

    The switch needs the file exclusively, and fails at once if others open it at the same time, so it is retried.
    """
    end = time.monotonic() + _BUSY_S
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL").fetchall()
        except Exception as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(_LOOK_AGAIN_S)
        else:
            return
