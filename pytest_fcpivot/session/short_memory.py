"""Free the reports that pytest keeps until the end of the session although nothing reads them."""

from __future__ import annotations

from typing import Any

import pytest


class ShortMemory:
    """The plugin object that drops the reports of pivots' setups and teardowns that passed without output.

    pytest keeps them for --durations and captured output; they are two thirds of the memory of a run of pivots.
    `labels` are the names of the data files, with which their node ids begin.
    """

    def __init__(self, reporter: Any, labels: set[str]) -> None:
        self._stats = reporter.stats
        self._labels = labels

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remove the report that the terminal reporter has just stored."""
        if report.when == "call" or report.outcome != "passed" or report.sections:
            return
        kept = self._stats.get("")
        if kept and kept[-1] is report and report.nodeid.rpartition("::")[0] in self._labels:
            kept.pop()
