"""What calls print and log, held until it is asked for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pytest_fcpivot.calls.output import CallOutput

if TYPE_CHECKING:
    import pytest


class Kept(logging.Handler):
    """Keeps the messages that it gets."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.messages.append(record.getMessage())


def record(level: int, message: str) -> logging.LogRecord:
    """Return a log record."""
    return logging.LogRecord("agent", level, __file__, 1, message, None, None)


def test_what_was_held_is_written_once(capsys: pytest.CaptureFixture[str]) -> None:
    """What was printed comes out in order, on the stream that it was printed to, and once."""
    output = CallOutput()
    for piece in (("stdout", "one "), ("stderr", "warned"), ("stdout", "two")):
        output.hold(piece)
    assert capsys.readouterr() == ("", "")
    output.release([])
    assert capsys.readouterr() == ("one two", "warned")
    output.release([])
    assert capsys.readouterr() == ("", "")


def test_records_come_to_the_handlers_of_their_level(capsys: pytest.CaptureFixture[str]) -> None:
    """A log record comes to each handler whose level it reaches."""
    output = CallOutput()
    output.hold(record(logging.INFO, "told"))
    output.hold(("stdout", "printed"))
    output.hold(record(logging.WARNING, "warned"))
    every, some, none = Kept(logging.NOTSET), Kept(logging.WARNING), Kept(logging.ERROR)
    output.release([every, some, none])
    assert (every.messages, some.messages, none.messages) == (["told", "warned"], ["warned"], [])
    assert capsys.readouterr().out == "printed"
