"""What an agent prints and logs, kept until its own test runs.

Calls start ahead of their tests, while pytest captures the output of a neighbour. Text that Python code writes to
`sys.stdout` and `sys.stderr`, and log records, are held with the call they come from; output written by other means
(a subprocess, a C extension) cannot be told apart and shows where it happens.

What is not captured, but goes to the terminal or a log file at once, goes there without secrets; what is captured is
shown by reports, which are cleaned as such.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.calls.output import current_output
from pytest_fcpivot.session.compat import standard_streams

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


class _Stream:
    """Stands for a standard stream: holds what agents write, and passes everything else on, cleaned by `redact`."""

    def __init__(self, name: str, stream: Any, redact: Callable[[str], str] | None) -> None:
        self.name_in_sys = name
        self.stream = stream
        self._redact = redact

    def write(self, text: str) -> int:
        output = current_output.get()
        if output is None:
            self.stream.write(text if self._redact is None else self._redact(text))
            return len(text)
        output.hold((self.name_in_sys, text))
        return len(text)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """Pass for the stream itself: pytest looks at what kind its own streams are."""
        return type(self.stream)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _CleanFormatter(logging.Formatter):
    """Writes records as another formatter does, without secrets."""

    def __init__(self, inner: logging.Formatter, redact: Callable[[str], str]) -> None:
        super().__init__()
        self.inner = inner
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(self.inner.format(record))


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

    def __init__(self, config: pytest.Config, redact: Callable[[str], str]) -> None:
        self._undo: list[tuple[Any, str, Any]] = []
        self._holder = _RecordHolder()
        logging.getLogger().addHandler(self._holder)
        plugin = config.pluginmanager.getplugin("logging-plugin")
        names = ("caplog_handler", "report_handler", "log_cli_handler", "log_file_handler")
        found = [getattr(plugin, name, None) for name in names]
        self.log_handlers = [handler for handler in found if isinstance(handler, logging.Handler)]
        for handler in self.log_handlers:
            handler.addFilter(_not_an_agents)
        self._shown_at_once = [handler for handler in found[2:] if isinstance(handler, logging.Handler)]
        for handler in self._shown_at_once:
            if handler.formatter is not None:
                handler.setFormatter(_CleanFormatter(handler.formatter, redact))
        # pytest sets sys.stdout to one of two streams whenever it begins or pauses capturing; an agent may print at
        # any moment, so the two themselves are replaced.
        captured = []
        for name, owner, attribute in standard_streams(config):
            stream = getattr(owner, attribute)
            self._undo.append((owner, attribute, stream))
            if attribute == "tmpfile":
                captured.append(stream)
            setattr(owner, attribute, _Stream(name, stream, None if attribute == "tmpfile" else redact))
        for name in ("stdout", "stderr"):
            present = getattr(sys, name)
            captures = any(present is stream for stream in captured)
            setattr(sys, name, _Stream(name, present, None if captures else redact))

    def remove(self) -> None:
        """Put everything back as it was."""
        for owner, attribute, stream in self._undo:
            setattr(owner, attribute, stream)
        for name in ("stdout", "stderr"):
            present = getattr(sys, name)
            if type(present) is _Stream:  # whichever of the two pytest has in place by now
                setattr(sys, name, present.stream)
        logging.getLogger().removeHandler(self._holder)
        for handler in self.log_handlers:
            handler.removeFilter(_not_an_agents)
        for handler in self._shown_at_once:
            if isinstance(handler.formatter, _CleanFormatter):
                handler.setFormatter(handler.formatter.inner)
