"""Remove secrets from what a session shows: reports, warnings, and the reason with which it ends.

Text that comes from users' or servers' code is cleaned before it is shown, written or sent. The names of tests and
files, and the figures of summaries, are left alone: a password that is an ordinary word or a number would damage them.
"""

from __future__ import annotations

import linecache
import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.core.jsontext import on_screen
from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.core.secret_values import in_address, names_a_secret
from pytest_fcpivot.session.compat import shown_interrupt

if TYPE_CHECKING:
    import warnings
    from collections.abc import Callable, Generator

    from pytest_fcpivot.options.values import Options

_KEY = pytest.StashKey["Redaction"]()
# The attribute of a traceback that names its style, and is never a user's text.
_NO_TEXT = "style"


class Redaction:
    """The plugin object that hides secrets in a session over pivots; the whole session uses its `redact`."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.redact = Redactor()

    @classmethod
    def of(cls, config: pytest.Config) -> Redaction | None:
        """Return the session's Redaction; None in a session without pivots."""
        return config.stash.get(_KEY, None)

    @classmethod
    def begin(cls, config: pytest.Config) -> Redaction:
        """Begin to hide secrets, before any code of the user's can fail; reports not shown yet are cleaned too."""
        redaction = cls.of(config)
        if redaction is None:
            redaction = config.stash[_KEY] = cls(config)
            config.pluginmanager.register(redaction, "fcpivot-redaction")
            for reports in getattr(config.pluginmanager.getplugin("terminalreporter"), "stats", {}).values():
                for report in reports:  # if a fixture begins the session, some exist
                    redaction.in_report(report)
        return redaction

    # ---------------------------------------------------------------- reports

    def in_report(self, report: Any) -> None:
        """Clean all text of a report: its traceback or reason, the captured output, and the reason of an xfail."""
        sections = getattr(report, "sections", None)
        if sections:
            report.sections = [(name, self.redact(content)) for name, content in sections]
        longrepr = getattr(report, "longrepr", None)
        if longrepr is not None:
            report.longrepr = self._clean_repr(longrepr)
        for name in ("wasxfail", "message"):  # of an expected failure, and of pytest's own report of a warning
            text = getattr(report, name, None)
            if isinstance(text, str) and text:
                setattr(report, name, self.redact(text))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Clean a report before others show, write or send it."""
        self.in_report(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Clean a report of what could not be collected."""
        self.in_report(report)

    def _clean_repr(self, longrepr: Any) -> Any:
        """Return a failure's representation without secrets; pytest and plugins still find file and line in it."""
        if isinstance(longrepr, str | tuple):
            return _cleaned(longrepr, self.redact)
        if self._is_clean(longrepr):
            return longrepr
        _cleaned(longrepr, self.redact)
        return longrepr if self._is_clean(longrepr) else self.redact(str(longrepr))

    def _is_clean(self, longrepr: Any) -> bool:
        # The message is also shown alone; there, no margin of the traceback splits a secret of several lines.
        text = f"{longrepr}\n{getattr(getattr(longrepr, 'reprcrash', None), 'message', '')}"
        return self.redact(text) == text

    # ---------------------------------------------------------------- warnings

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Clean a warning: what it says, where it comes from, and the line of code that is shown with it."""
        line = warning_message.line or linecache.getline(warning_message.filename, warning_message.lineno).strip()
        for name, text in (
            ("message", str(warning_message.message)),
            ("line", line),
            ("filename", warning_message.filename),
        ):
            clean = on_screen(self.redact(text)) if name == "message" else self.redact(text)
            if clean != text:
                value: Any = UserWarning(clean) if name == "message" else clean
                setattr(warning_message, name, value)
                if name == "filename":
                    warning_message.line = self.redact(line)  # pytest cannot find it by the new name
        if warning_message.source is None:
            return
        import tracemalloc  # noqa: PLC0415 (for warnings of open files and the like)

        if tracemalloc.is_tracing():
            allocated = tracemalloc.get_object_traceback(warning_message.source)
            text = "\n".join(allocated.format() if allocated else ())
            if self.redact(text) != text:
                warning_message.source = None

    # ---------------------------------------------------------------- the end

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionstart(self) -> Generator[None, object, object]:
        """Clean the reason if a conftest calls pytest.exit() as the session starts."""
        return (yield from self._cleaning_exit())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Clean the reasons why the session ended, before they are shown, or sent to the controller of workers."""
        for name in ("shouldstop", "shouldfail"):
            reason = getattr(session, name, False)
            if isinstance(reason, str) and reason:
                setattr(session, name, self.redact(reason))
        return (yield from self._cleaning_exit())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_keyboard_interrupt(
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> Generator[None, object, object]:
        """Clean the reason of pytest.exit(), and what pytest keeps of the interrupt to show it at the end."""
        self._clean_exit(excinfo.value)
        result = yield
        _cleaned(shown_interrupt(self._config), self.redact)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr: Any) -> None:
        """Clean the traceback of what a hook or a plugin raised."""
        _cleaned(excrepr, self.redact)

    def _cleaning_exit(self) -> Generator[None, object, object]:
        try:
            return (yield)
        except pytest.exit.Exception as error:
            self._clean_exit(error)
            raise

    def _clean_exit(self, error: BaseException) -> None:
        if isinstance(error, pytest.exit.Exception):
            error.msg = self.redact(str(error.msg))
            error.args = (error.msg,)

    def usage_error(self, error: pytest.UsageError) -> pytest.UsageError:
        """Return an error without secrets: the same one if there are none in it."""
        clean = [self.redact(str(part)) for part in error.args]
        return error if clean == [str(part) for part in error.args] else pytest.UsageError(*clean)


def without_secrets(failure: Exception) -> Exception:
    """Return the failure of a conftest that pytest could not import, as an error that pytest shows without secrets.

    It is the same failure if there are none in it.
    """
    cause = failure.__cause__ or failure
    text = str(pytest.ExceptionInfo.from_exception(cause).getrepr(style="short", chain=False))
    clean = Redactor()(text)
    if clean == text:
        return failure
    return pytest.UsageError(f"ImportError while loading conftest '{getattr(failure, 'path', '')}'.\n{clean}")


def _cleaned(value: Any, redact: Callable[[str], str]) -> Any:
    """Return a value without secrets in its texts; objects of pytest's own are changed, and others left alone."""
    return _Cleaning(redact).of(value)


class _Cleaning:
    """Goes through what pytest makes of an exception, each object once."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._seen: set[int] = set()

    def of(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, tuple):
            return tuple(self.of(part) for part in value)
        if isinstance(value, list):
            return [self.of(part) for part in value]
        if type(value).__module__.startswith("_pytest.") and id(value) not in self._seen:
            self._seen.add(id(value))
            for name, part in list(getattr(value, "__dict__", {}).items()):
                if name != _NO_TEXT:
                    setattr(value, name, self.of(part))
        return value


def secrets_in_options(chosen: Options) -> set[str]:
    """Return the secrets that the options of a session hold, or name a variable for."""
    found: set[str] = set()
    for name, value in (chosen.model.headers or {}).items():
        if names_a_secret(name):
            found |= {value, value.rpartition(" ")[2]}
    for address in (chosen.model.base_url, chosen.judge.base_url, os.environ.get("OPENAI_BASE_URL")):
        found.update(in_address(address or ""))
    return found | {os.environ.get(name, "").strip() for name in ("OPENAI_API_KEY", chosen.judge.key_variable or "")}
