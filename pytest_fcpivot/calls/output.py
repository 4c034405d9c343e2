"""Hold what a call prints and logs until the test that reads the call runs."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar


class CallOutput:
    """The output of one call, in order."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: list[tuple[str, str] | logging.LogRecord] = []

    def hold(self, piece: tuple[str, str] | logging.LogRecord) -> None:
        """Keep a (stream name, text) or a log record."""
        self._held.append(piece)

    def release(self, log_handlers: list[logging.Handler]) -> None:
        """Write what was held, now that pytest captures for the right test."""
        for piece in self._held:
            if isinstance(piece, logging.LogRecord):
                for handler in log_handlers:
                    if piece.levelno >= handler.level:
                        handler.handle(piece)
            else:
                getattr(sys, piece[0]).write(piece[1])
        self._held.clear()


# The output of the call that the present thread or task is making; None outside of calls.
current_output: ContextVar[CallOutput | None] = ContextVar("current_output", default=None)
