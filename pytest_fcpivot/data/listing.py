"""Writes the list of rows and turns that were left out: a file beside the store, put in place atomically."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from pytest_fcpivot.core.jsontext import quoted
from pytest_fcpivot.data.parts import remove_abandoned

if TYPE_CHECKING:
    from pathlib import Path

# A compressed file of a few kilobytes can hold billions of broken lines, so the list is limited, to about 200 MB.
ONE_BY_ONE = 10_000
MOST_LINES = 1_000_000


class Listing:
    """Writes one JSON object per line: `file`, `line`, `message` (null for a whole row) and `reason`.

    From the 10,001st line on, consecutive entries with the same file, message and reason are merged into one, with the
    additional members `last_line` and `count`. If the limit was reached, a final line with null for file, line and
    message counts the entries that are missing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._part = None if path is None else path.with_name(f".{path.name}.{os.getpid()}.part")
        if path is not None:
            remove_abandoned(path)
        self._stream: TextIO | None = None
        self.lines = 0
        self.unlisted = 0
        self._alike: tuple[str, str, int | None] = "", "", None
        self._first = self._last = self._count = 0

    def add(self, file: str, line: int, reason: str, message: int | None = None) -> None:
        """List one row, or one message of a conversation."""
        if self._part is None:
            return
        alike = file, reason, message
        if self._count and alike == self._alike and self.lines >= ONE_BY_ONE:
            self._last, self._count = line, self._count + 1
            return
        self._write_waiting()
        self._alike, self._first, self._last, self._count = alike, line, line, 1

    def _write_waiting(self) -> None:
        """Write the entry that was added last, merged with the equal ones before it."""
        if not self._count:
            return
        count, self._count = self._count, 0
        if self.lines >= MOST_LINES:
            self.unlisted += count
            return
        file, reason, message = self._alike
        more = f', "last_line": {self._last}, "count": {count}' if count > 1 else ""
        self._write_line(quoted(file), str(self._first), "null" if message is None else str(message), reason, more)
        self.lines += 1

    def _write_line(self, file: str, line: str, message: str, reason: str, more: str) -> None:
        if self._stream is None and self._part is not None:
            self._stream = self._part.open("w", encoding="ascii")
        if self._stream is not None:
            self._stream.write(
                f'{{"file": {file}, "line": {line}, "message": {message}, "reason": {quoted(reason)}{more}}}\n'
            )

    def finish(self) -> None:
        """Move the list to its place; if it is empty, remove the list of an earlier run instead."""
        self._write_waiting()
        if self.unlisted:
            self._write_line("null", "null", "null", "more that are only counted", f', "count": {self.unlisted}')
        if self._path is None or self._part is None:
            return
        if self._stream is None:
            self._path.unlink(missing_ok=True)
            return
        self._stream.close()
        self._part.replace(self._path)

    def discard(self) -> None:
        """Remove the unfinished list."""
        if self._stream is not None and self._part is not None:
            self._stream.close()
            with suppress(OSError):
                self._part.unlink()
