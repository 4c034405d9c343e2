"""What pytest keeps of each test until the end, and nobody asks for."""

from __future__ import annotations

from typing import Any

import pytest


class ShortMemory:
    """The plugin object that drops the reports of pivots' uneventful setups and teardowns.

    pytest keeps them for output and durations; they are two thirds of what a run of pivots would hold in memory.
    `labels` are how the node ids of the data begin.
    """

    def __init__(self, reporter: Any, labels: set[str]) -> None:
        self._stats = reporter.stats
        self._labels = labels

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take back what the terminal reporter has just put away."""
        if report.when == "call" or report.outcome != "passed" or report.sections:
            return
        kept = self._stats.get("")
        if kept and kept[-1] is report and report.nodeid.rpartition("::")[0] in self._labels:
            kept.pop()
