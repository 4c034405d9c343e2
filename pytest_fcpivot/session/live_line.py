"""Keep one line under everything else that is written to a terminal.

The line stands in the row below the cursor. It is taken away before other text reaches that row, and drawn again after
it, so it never becomes a part of the output. The cursor stays where other text goes on, and no mode of the terminal is
changed: a process that is killed leaves one line behind, which the next output overwrites.
"""

from __future__ import annotations

import os
import re
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# To the beginning of the row below, with the cursor's place remembered. At the bottom of the screen, moving down (IND)
# scrolls by a row, and moving up again follows the text.
_BELOW = "\x1bD\x1b[A\x1b7\x1b[B\r"
_BACK = "\x1b[J\x1b8"  # nothing may remain after the line, nor below it, where a wider one was wrapped
_TAKE_AWAY = _BELOW + _BACK
# Text is written as it comes, many lines at once in a fast session, so the line is not drawn after each of them.
_DRAW_AFTER_S = 0.05
_LEAST_COLUMNS, _LEAST_ROWS = 20, 4
_INVISIBLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


class LiveLine:
    """A line under the text that goes to a terminal; any thread may use it.

    `terminal` is the file descriptor of the terminal, of which the line has a copy of its own: that of the standard
    output leads elsewhere while pytest captures. `text` makes the line for a number of columns.
    """

    def __init__(self, terminal: int, text: Callable[[int], str]) -> None:
        self._terminal = os.dup(terminal)
        self._text = text
        self._lock = threading.RLock()
        self._is_there = False
        self._paused = False
        self._ended = False
        self._unwritten = False  # text of others waits in a buffer, and would come out after the line
        self._column = 0
        self._columns = 0  # of the terminal, when the line was drawn
        self._drawn_at = float("-inf")

    def under(self, file: Any) -> Under:
        """Return a file that writes to another one, which leads to this terminal, with the line under it."""
        return Under(file, self)

    def draw(self) -> None:
        """Draw the line, with its text as it is now."""
        with self._lock:
            if self._ended or self._paused or self._unwritten:
                return
            columns, rows = self._size()
            if columns < _LEAST_COLUMNS or rows < _LEAST_ROWS:
                return
            if self._column and self._column % columns == 0:
                return  # a terminal would forget that the next character belongs into a new row
            self._columns = columns
            self._drawn_at = time.monotonic()
            line = _BELOW + self._text(columns - 1) + _BACK
            try:
                os.write(self._terminal, line.encode("ascii", "replace"))
            except OSError:  # the terminal is gone
                self._ended = True
            else:
                self._is_there = True

    def write(self, file: Any, text: str) -> int:
        """Write others' text to a file that leads to the terminal, and the line under it."""
        with self._lock:
            visible = _INVISIBLE.sub("", text) if "\x1b" in text else text
            ends_lines = "\n" in visible
            if ends_lines or "\r" in visible:
                last = visible[max(visible.rfind("\n"), visible.rfind("\r")) + 1 :]
                self._column, self._unwritten = _width(last), False
            else:
                self._column, self._unwritten = self._column + _width(visible), True
            if not self._is_there:
                file.write(text)
            elif ends_lines or self._column > self._columns:
                file.write(_TAKE_AWAY + text)
                self._is_there = False
            else:
                file.write(text)
                return len(text)
            if time.monotonic() - self._drawn_at >= _DRAW_AFTER_S and not self._ended:
                self.flush(file)
                self.draw()
        return len(text)

    def flush(self, file: Any) -> None:
        """Write out what waits in a file's buffer."""
        file.flush()
        self._unwritten = False

    def pause(self) -> None:
        """Take the line away until `resume`, while somebody types."""
        with self._lock:
            self._take_away()
            self._paused = True

    def resume(self) -> None:
        """Draw the line again."""
        with self._lock:
            self._paused, self._column = False, 0

    def end(self) -> None:
        """Take the line away for good."""
        with self._lock:
            self._take_away()
            if self._terminal >= 0:
                self._ended = True
                os.close(self._terminal)
                self._terminal = -1

    def _take_away(self) -> None:
        if self._is_there and not self._ended:
            self._is_there = False
            try:
                os.write(self._terminal, _TAKE_AWAY.encode())
            except OSError:
                self._ended = True

    def _size(self) -> tuple[int, int]:
        """Return the terminal's columns and rows; a terminal that does not know them is taken to be usual."""
        try:
            columns, rows = os.get_terminal_size(self._terminal)
        except OSError:
            return 0, 0
        return columns or 80, rows or 24


def _width(text: str) -> int:
    """Return at least how many columns a text takes."""
    return len(text) if text.isascii() else 2 * len(text)  # a wide character takes two


class Under:
    """A file that writes to another one, which leads to a terminal, with a line under it."""

    def __init__(self, file: Any, line: LiveLine) -> None:
        self.file = file
        # not methods: each of thousands of tests writes several times
        self.write: Callable[[str], int] = partial(line.write, file)
        self.flush: Callable[[], None] = partial(line.flush, file)

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """Pretend to be the file below, whose type pytest checks."""
        return type(self.file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)
