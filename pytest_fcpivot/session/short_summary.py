"""Keep the end of pytest's own output short, where thousands of tests may have failed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.session.options import command_line

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_fcpivot.report.terminal import FewFailures
    from pytest_fcpivot.runs.tally import Tally

_DEFAULT = "fE"  # of pytest's -r


class ShortSummary:
    """The plugin object that is called after all that is shown of failures, and before pytest's line for each."""

    def __init__(self) -> None:
        self._few: FewFailures | None = None

    @contextmanager
    def shown(self, reporter: pytest.TerminalReporter, tally: Tally) -> Generator[None, None, None]:
        """Make pytest show only a few failures, while it calls pytest_terminal_summary."""
        from pytest_fcpivot.report.terminal import FewFailures  # noqa: PLC0415 (once, at the end)

        with FewFailures(reporter, tally.example_ids, tally.unexplained, asked=_asked(reporter)) as self._few:
            yield
        self._few = None

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self) -> None:
        """Leave out the lines that the summary of the pivots replaces."""
        if self._few is not None:
            self._few.short()


def _asked(reporter: pytest.TerminalReporter) -> str:
    """Return the letters of -r if the user has given it: its default asks for nothing."""
    config = reporter.config
    letters = config.getoption("reportchars", _DEFAULT)
    typed = [*command_line(config), *config.getini("addopts")]
    return reporter.reportchars if letters != _DEFAULT or any(each.startswith("-r") for each in typed) else ""
