"""One line under everything that is written to a terminal, on a screen that is read back."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyte
import pytest

from pytest_fcpivot.session import live_line
from pytest_fcpivot.session.live_line import LiveLine
from pytest_fcpivot.session.progress import is_live

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS, ROWS = 30, 6
_MARK = b"\x1b]0;all is read\x07"


class Screen:
    """A terminal with a live line that says how often it was drawn."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self.resize(COLUMNS)
        self.file = open(self.theirs, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115 (closed below)
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self.drawn = 0
        self.line = LiveLine(self.theirs, self._text)
        self.under = self.line.under(self.file)

    def _text(self, width: int) -> str:
        self.drawn += 1
        return f"<live {self.drawn}>{'.' * width}"[:width]

    def resize(self, columns: int) -> None:
        """Give the terminal another width."""
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))

    @property
    def rows(self) -> list[str]:
        """The rows of the screen without blanks at their ends, and without empty rows below."""
        os.write(self.theirs, _MARK)  # which nobody sees
        data = b""
        while not data.endswith(_MARK):
            data += os.read(self._ours, 2**16)
        self._stream.feed(data)
        return "\n".join(row.rstrip() for row in self._screen.display).rstrip("\n").split("\n")

    def close(self) -> None:
        """Close the terminal."""
        self.line.end()
        self.file.close()
        os.close(self.theirs)
        os.close(self._ours)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    """Return a screen whose line is drawn again after each text."""
    monkeypatch.setattr(live_line, "_DRAW_AFTER_S", 0.0)
    with closing(Screen()) as made:
        yield made


def test_text_goes_on_above(screen: Screen) -> None:
    """Parts of a line leave the live line where it is, and whole lines move it down, also at the bottom."""
    screen.under.write("collected")
    assert [row[:8] for row in screen.rows] == ["collecte", "<live 1>"]
    screen.under.write("...")
    screen.under.flush()
    assert screen.rows[0] == "collected..."
    for number in range(10):
        screen.under.write(f"\nline {number}")
        screen.under.flush()
        screen.line.draw()
    assert [row[:6] for row in screen.rows] == [f"line {n}" for n in range(5, 10)] + ["<live "]
    screen.line.end()
    assert screen.rows == [f"line {n}" for n in range(5, 10)]


def test_text_that_wraps(screen: Screen) -> None:
    """A line longer than the terminal, wide characters and one that fills it exactly lose nothing."""
    screen.line.draw()
    screen.under.write("a" * 20)
    screen.under.flush()
    screen.line.draw()
    screen.under.write("b" * 20)
    screen.under.flush()
    screen.line.draw()
    assert [row[:6] for row in screen.rows] == ["aaaaaa", "bbbbbb", "<live "]
    screen.under.write("c" * 20)  # the second row is full to its last column now
    screen.under.flush()
    screen.line.draw()
    screen.under.write("d\n")
    screen.line.end()
    assert screen.rows == ["a" * 20 + "b" * 10, "b" * 10 + "c" * 20, "d"]
    screen.under.write("界" * 15 + "e\n")
    assert screen.rows[3].startswith("界")
    assert screen.rows[4] == "e"


def test_colours_take_no_room(screen: Screen) -> None:
    """Text in colour is as wide as what is seen of it, so that the line is not drawn anew for each dot."""
    screen.line.draw()
    for _ in range(20):
        screen.under.write("\x1b[32m.\x1b[0m")
        screen.under.flush()
    assert screen.rows[0] == "." * 20
    assert screen.drawn == 1


def test_half_written_text_is_not_torn_apart(screen: Screen) -> None:
    """While text waits in a buffer, the line is not drawn, as it would come before that text."""
    screen.line.draw()
    screen.under.write("half")
    screen.line.draw()
    assert screen.drawn == 1
    screen.under.flush()
    screen.line.draw()
    assert [row[:8] for row in screen.rows] == ["half", "<live 2>"]


def test_a_pause(screen: Screen) -> None:
    """The line is away while somebody debugs, and comes back after that."""
    screen.line.draw()
    screen.line.pause()
    screen.line.draw()
    screen.under.write("(Pdb) \n")
    assert screen.rows == ["(Pdb)"]
    screen.line.resume()
    screen.line.draw()
    assert screen.rows[1:2] == [""]  # the row of the cursor
    assert screen.rows[2].startswith("<live 2>")


@pytest.mark.parametrize("columns", [10, 0])
def test_sizes(screen: Screen, columns: int) -> None:
    """A terminal that is too small has no line; one that does not know its size is taken to have 80 columns."""
    screen.resize(columns)
    screen.line.draw()
    assert screen.drawn == (0 if columns else 1)


def test_a_terminal_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the terminal is closed, the line ends without an error."""
    ours, theirs = pty.openpty()
    line = LiveLine(theirs, lambda width: "x" * width)
    os.close(ours)
    os.close(theirs)
    line.draw()
    line.draw()
    line.end()
    line.end()


def test_who_looks_at_it(monkeypatch: pytest.MonkeyPatch, screen: Screen, tmp_path: Any) -> None:
    """A line is live on a terminal alone, which knows how to replace text, outside of CI."""
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with (tmp_path / "log").open("w") as log:
        assert [is_live(screen.file), is_live(log), is_live(SimpleNamespace())] == [True, False, False]
    monkeypatch.setenv("CI", "true")
    assert not is_live(screen.file)
    monkeypatch.delenv("CI")
    monkeypatch.delenv("TERM")
    assert not is_live(screen.file)
