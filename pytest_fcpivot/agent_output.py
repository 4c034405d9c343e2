"""What an agent prints and logs, kept until its own test runs.

Calls start ahead of their tests, while pytest captures the output of a neighbour. Text that Python code writes to
`sys.stdout` and `sys.stderr`, and log records, are held with the call they come from; output written by other means
(a subprocess, a C extension) cannot be told apart and shows where it happens.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class AgentOutput:
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


# The output of the call that this thread or task works on; None outside agents.
current_output: ContextVar[AgentOutput | None] = ContextVar("current_output", default=None)


class _Stream:
    """Stands for a standard stream: holds what agents write, and passes everything else on."""

    def __init__(self, name: str) -> None:
        self.name_in_sys = name
        self.stream: Any = getattr(sys, name)

    def write(self, text: str) -> int:
        output = current_output.get()
        if output is None:
            written: int = self.stream.write(text)
            return written
        output.hold((self.name_in_sys, text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _RecordHolder(logging.Handler):
    """Sits on the root logger and holds the records that agents log."""

    def emit(self, record: logging.LogRecord) -> None:
        output = current_output.get()
        if output is not None:
            output.hold(record)


def _not_an_agents(_record: logging.LogRecord) -> bool:
    return current_output.get() is None


class OutputRouter:
    """Installed in a session, tells agents' output from everybody else's."""

    def __init__(self, config: pytest.Config) -> None:
        self._out: Any = _Stream("stdout")
        self._err: Any = _Stream("stderr")
        self._holder = _RecordHolder()
        logging.getLogger().addHandler(self._holder)
        plugin = config.pluginmanager.getplugin("logging-plugin")
        found = [getattr(plugin, name, None) for name in ("caplog_handler", "report_handler")]
        self.log_handlers = [handler for handler in found if isinstance(handler, logging.Handler)]
        for handler in self.log_handlers:
            handler.addFilter(_not_an_agents)
        self._capture = config.pluginmanager.getplugin("capturemanager")
        for name in ("resume_global_capture", "suspend_global_capture"):
            method = getattr(self._capture, name, None)
            if method is not None:  # pytest sets sys.stdout anew whenever it begins or pauses capturing
                setattr(self._capture, name, self._then_install(method))
        self._install()

    def remove(self) -> None:
        """Put everything back as it was."""
        for name in ("resume_global_capture", "suspend_global_capture"):
            with suppress(AttributeError):
                delattr(self._capture, name)
        for name, stream in (("stdout", self._out), ("stderr", self._err)):
            if getattr(sys, name) is stream:
                setattr(sys, name, stream.stream)
        logging.getLogger().removeHandler(self._holder)
        for handler in self.log_handlers:
            handler.removeFilter(_not_an_agents)

    def _install(self) -> None:
        if sys.stdout is not self._out:
            self._out.stream, sys.stdout = sys.stdout, self._out
        if sys.stderr is not self._err:
            self._err.stream, sys.stderr = sys.stderr, self._err

    def _then_install(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            result = method(*arguments, **keywords)
            self._install()  # six times a test, so it is kept short
            return result

        return wrapped
