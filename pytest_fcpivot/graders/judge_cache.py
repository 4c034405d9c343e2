"""Verdicts of the judge on disk, for all processes of a user: SQLite, whose writers may be killed at any time.

A look-up takes some 10 us however many verdicts there are; a file that is only appended to would have to be read whole
by every process, 4 us a verdict. Processes of one machine may share the file; a network's file system may not have the
locks that several machines would need.
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

_FILE = "verdicts-1.sqlite3"  # the number is raised when the table changes
# How long a process that is stopped while it writes may hold up the others.
_BUSY_S = 5.0
_LOOK_AGAIN_S = 0.01


class JudgeCache:
    """Scores with their reasons, by key; opened when it is first used.

    `path` is None for the default, `judge/` in the cache directory. `redact` takes secrets out of reasons, which may
    quote the message: the cache is shared, and outlives the run. A cache that cannot be used raises nothing:
    `problem` then says so, once, look-ups find nothing and nothing is kept. All methods may be called from any thread.
    """

    def __init__(self, path: Path | None = None, redact: Callable[[str], str] = str) -> None:
        self._path = path
        self._redact = redact
        self.problem: str | None = None
        self._database: Connection | None = None
        self._closed = False
        self._lock = threading.Lock()

    def get(self, key: bytes) -> tuple[float, str, bool] | None:
        """Return the score, the reason and whether it came as structured output; None if there is no such verdict."""
        rows = self._execute("SELECT score, reason, structured FROM verdicts WHERE key = ?", (key,))
        if not rows:
            return None
        score, reason, structured = rows[0]
        if not isinstance(score, float) or not 0.0 <= score <= 1.0 or not isinstance(reason, str):
            return None  # nothing that was written here
        return score, reason, bool(structured)

    def put(self, key: bytes, score: float, reason: str, *, structured: bool) -> None:
        """Keep a verdict, in place of an earlier one."""
        row = (key, float(score), self._redact(reason), int(structured), int(time.time()))
        self._execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close the file; from now on nothing is found or kept."""
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
        import sqlite3  # noqa: PLC0415 (only for runs that judge, and some builds of Python are without it)

        if self._path is None:
            self._path = cache_dir() / "judge" / _FILE
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _write_ahead(database)
            # A crash of the machine may lose the last verdicts, never the file; a crash of the process loses nothing.
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
            return f"the judge goes on without its cache: {error}"
        advice = "set FC_CACHE_DIR to a directory on a local disk that can be written"
        if type(error).__name__ == "DatabaseError":  # the class itself is what SQLite raises for a damaged file
            advice = "delete it"
        return f"the judge goes on without its cache: {self._path}: {error}; {advice}"


def _write_ahead(database: Connection) -> None:
    """Have readers wait for nobody; where the file system cannot, it stays as it is.

    The change asks for the file alone and does not wait for others that open it at the same time.
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
