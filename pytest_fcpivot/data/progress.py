"""How far a long reading has come: a bar on a terminal, plain lines now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

from pytest_fcpivot.core.jsontext import one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    # Called now and then with the rows and the stored bytes that were read.
    Reached = Callable[[int, int], None]

_EVERY_S = {True: 0.2, False: 10.0}  # on a terminal, in a log
_WIDTH, _NAME_WIDTH = 30, 40
_MB = 1e6


def told_nobody(_rows: int, _read: int) -> None:
    """Tell nobody how far it is."""


class Progress:
    """Called with the rows and the bytes that were read; `total` is in bytes, None if it is not known.

    Lines begin with `what`. A bar or a line comes when it took a while: what is read in no time is not told of.
    """

    def __init__(self, total: int | None, what: str = "") -> None:
        self._total = total
        self._what = f"{what}: " if what else ""
        self._stream = sys.stderr
        self._terminal = self._stream.isatty()
        self._began = self._told = time.monotonic()
        self._open = False

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """Tell of a file that is prepared without having been asked for."""
        return cls(path.stat().st_size if path.is_file() else None, f"preparing {one_line(path.name, _NAME_WIDTH)}")

    def __enter__(self) -> Self:
        return self

    def __call__(self, rows: int, read: int) -> None:
        """Tell how far it is, if it is time to."""
        now = time.monotonic()
        if now - self._told < _EVERY_S[self._terminal]:
            return
        self._told = now
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
