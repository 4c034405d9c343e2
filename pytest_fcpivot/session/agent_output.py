"""Show what an agent prints and logs with the agent's own test, although the call runs while another test does.

Calls start ahead of their tests, when pytest captures the output of an earlier test. Text that Python code writes to
`sys.stdout` and `sys.stderr`, and log records, are therefore held with the call that they come from. Output written by
other means (a subprocess, a C extension) cannot be attributed, and appears with the test that is running.

Output that pytest does not capture, but sends to the terminal or a log file at once, has its secrets removed here.
Captured output is shown in reports, and `session.redaction` removes secrets there.
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


class Stream:
    """Replaces a standard stream: holds what agents write, and passes on other text, cleaned by `redact` if given.

    `stream` is where other text goes.
    """

    def __init__(self, name: str, stream: Any, redact: Callable[[str], str] | None) -> None:
        self.name_in_sys = name
        self.stream = stream
        self._redact = redact

    def write(self, text: str) -> int:
        """Write text, or hold it if it is an agent's."""
        output = current_output.get()
        if output is None:
            self.stream.write(text if self._redact is None else self._redact(text))
            return len(text)
        output.hold((self.name_in_sys, text))
        return len(text)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """Pretend to be the wrapped stream, because pytest checks the type of its streams."""
        return type(self.stream)

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
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
    """A handler of the root logger that holds the records that agents log."""

    def emit(self, record: logging.LogRecord) -> None:
        output = current_output.get()
        if output is not None:
            output.hold(record)


def _not_an_agents(_record: logging.LogRecord) -> bool:
    return current_output.get() is None


class OutputRouter:
    """Separates the output of agents from all other output, from its creation until `remove`.

    `shown` are the streams whose text is shown, rather than captured.
    """

    def __init__(self, config: pytest.Config, redact: Callable[[str], str]) -> None:
        self._undo: list[tuple[Any, str, Any]] = []
        self.shown: list[Stream] = []
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
        # pytest switches sys.stdout between two streams whenever it starts or suspends capturing. An agent may print at
        # any moment, so both streams are replaced where pytest keeps them.
        captured = []
        for name, owner, attribute in standard_streams(config):
            stream = getattr(owner, attribute)
            self._undo.append((owner, attribute, stream))
            if attribute == "tmpfile":
                captured.append(stream)
            replaced = Stream(name, stream, None if attribute == "tmpfile" else redact)
            if attribute != "tmpfile":
                self.shown.append(replaced)
            setattr(owner, attribute, replaced)
        for name in ("stdout", "stderr"):
            present = getattr(sys, name)
            captures = any(present is stream for stream in captured)
            replaced = Stream(name, present, None if captures else redact)
            if not captures:
                self.shown.append(replaced)
            setattr(sys, name, replaced)

    def remove(self) -> None:
        """Restore the streams and the log handlers."""
        for owner, attribute, stream in self._undo:
            setattr(owner, attribute, stream)
        for name in ("stdout", "stderr"):
            present = getattr(sys, name)
            if type(present) is Stream:  # of the two streams, the one that pytest uses now
                setattr(sys, name, present.stream)
        logging.getLogger().removeHandler(self._holder)
        for handler in self.log_handlers:
            handler.removeFilter(_not_an_agents)
        for handler in self._shown_at_once:
            if isinstance(handler.formatter, _CleanFormatter):
                handler.setFormatter(handler.formatter.inner)
