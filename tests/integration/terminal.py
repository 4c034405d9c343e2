"""A session in a real pseudo-terminal, whose screen is read back."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import pytest

pyte = pytest.importorskip("pyte")

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from pivot_project import Project

_PATIENCE_S = 20


class Terminal:
    """A terminal in which pytest runs in a project; as a context, it ends the process that still runs at its end."""

    def __init__(
        self, project: Project, *args: str, columns: int = 80, rows: int = 24, env: Mapping[str, str] | None = None
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, rows, history=100_000)
        self._stream = pyte.ByteStream(self._screen)
        self._ours, theirs = pty.openpty()
        self.written = b""
        self.resize(columns, rows)
        left_out = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
        variables = {name: value for name, value in os.environ.items() if name not in left_out}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", "-m", "pytest", *args],
            cwd=project.path,
            env={**variables, "TERM": "xterm-256color", **(env or {})},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 (for Ctrl-C as a user types it)
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._ours)

    def resize(self, columns: int, rows: int = 24) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._screen.resize(rows, columns)

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self._ours, text.encode())

    @property
    def lines(self) -> list[str]:
        """The lines on the screen, without empty ones at its end."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip("\n").split("\n")

    @property
    def text(self) -> str:
        """Everything that was written, as one reads it when scrolling back."""
        rows = [[cell.data for _, cell in sorted(row.items())] for row in self._screen.history.top]
        return "\n".join(["".join(row).rstrip() for row in rows] + self.lines)

    @property
    def cursor_row(self) -> str:
        """The text of the row that the cursor is in."""
        return str(self._screen.display[self._screen.cursor.y]).rstrip()

    @property
    def is_as_before(self) -> bool:
        """Whether the terminal scrolls as a whole and shows its cursor, as at its beginning."""
        return self._screen.margins is None and not self._screen.cursor.hidden

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read until the last line on the screen matches a pattern from its beginning; returns the match."""
        found: re.Match[str] | None = None

        def seen() -> bool:
            nonlocal found
            found = re.match(pattern, self.lines[-1])
            return found is not None

        self._read(seen)
        assert found is not None, f"no last line like {pattern!r}:\n{self.text}"
        return found

    def wait_for_cursor_in(self, row: str) -> None:
        """Read until the cursor is in the row with a text."""
        self._read(lambda: self.cursor_row == row)
        assert self.cursor_row == row, f"the cursor is in {self.cursor_row!r}:\n{self.text}"

    def end(self) -> int:
        """Read until the process has ended; returns its exit code."""
        self._read(lambda: False)
        return self.process.wait(_PATIENCE_S)

    def _read(self, until: Callable[[], bool]) -> None:
        """Feed the screen with what is written, until a condition holds, or the process has ended."""
        end = time.monotonic() + _PATIENCE_S
        while not until():
            assert time.monotonic() < end, f"nothing more came:\n{self.text}"
            if select.select([self._ours], [], [], 0.1)[0]:
                data = b""
                with suppress(OSError):  # the process has ended
                    data = os.read(self._ours, 2**16)
                if not data:
                    return
                self.written += data
                self._stream.feed(data)
