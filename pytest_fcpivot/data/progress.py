"""How far a long reading has come: a bar on a terminal, plain lines now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

_EVERY_S = {True: 0.2, False: 10.0}  # on a terminal, in a log
_WIDTH = 30
_MB = 1e6


class Progress:
    """Called with the rows and the bytes that were read; `total` is in bytes, None if it is not known."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._stream = sys.stderr
        self._terminal = self._stream.isatty()
        self._began = self._told = time.monotonic()
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __call__(self, rows: int, read: int) -> None:
        """Tell how far it is, if it is time to."""
        now = time.monotonic()
        if now - self._told < _EVERY_S[self._terminal]:
            return
        self._told = now
        text = f"{rows:,} rows, {read / _MB:,.0f} MB"
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
