"""Shows the progress of reading a large file: a bar on a terminal, a plain line every ten seconds in a log."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

from pytest_fcpivot.core.jsontext import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    # Called from time to time with the number of rows and of stored bytes read so far.
    Reached = Callable[[int, int], None]

_EVERY_S = {True: 0.2, False: 10.0}  # on a terminal, in a log
_WIDTH, _NAME_WIDTH = 30, 40
_MB = 1e6


def no_progress(_rows: int, _read: int) -> None:
    """Ignore the progress: the default for `progress` parameters."""


class Progress:
    """Shows the progress on standard error when called with the number of rows and of bytes read so far.

    `total` is the size in bytes, None if it is unknown. Each line begins with `what`. Nothing is shown before the first
    interval has passed, so short reads stay silent.
    """

    def __init__(self, total: int | None, what: str = "") -> None:
        self._total = total
        self._what = f"{what}: " if what else ""
        self._stream = sys.stderr
        self._terminal = self._stream.isatty()
        self._began = self._shown = time.monotonic()
        self._open = False

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Make the progress display for a file that a session prepares automatically."""
        return cls(path.stat().st_size if path.is_file() else None, f"preparing {one_line(path.name, _NAME_WIDTH)}")

    def __enter__(self) -> Self:
        return self

    def __call__(self, rows: int, read: int) -> None:
        """Show the progress if enough time has passed since the last time."""
        now = time.monotonic()
        if now - self._shown < _EVERY_S[self._terminal]:
            return
        self._shown = now
        text = f"{self._what}{rows:,} rows, {read / _MB:,.0f} MB"
        share = None
        if self._total:
            share = min(1.0, read / self._total)
            text += f" of {self._total / _MB:,.0f}"
        rate = read / _MB / max(now - self._began, 1e-9)
        text += f", {rate:.0f} MB/s"
        if not self._terminal:
            print(text, file=self._stream, flush=True)
            return
        bar = "" if share is None else f"[{'#' * round(share * _WIDTH):<{_WIDTH}}] "
        self._stream.write(f"\r\x1b[2K{bar}{text}")
        self._stream.flush()
        self._open = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
