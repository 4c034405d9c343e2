"""Stop a worker that finds tests over pivots although its controller has started a session without pivots."""

from __future__ import annotations

import pytest

WHY_NOT = (
    "a worker of pytest-xdist found a test that takes a pivot, but the controller, which counts the results, does not "
    "know that there are pivots, because the fixture fc_agent is where only workers find it; name the data as well, in "
    "the ini file (fc_data = sample) or by FC_DATA=sample, or move the fixture to a conftest.py beside the ini file"
)


class UnexpectedPivots:
    """Ends a session whose controller does not know of pivots by an interrupt: exit code 1 would stand for results."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Set the reason that the worker reports after collecting; a worker that just ended would be replaced."""
        session.shouldstop = f"fcpivot: {WHY_NOT}"


def refuse_pivots(config: pytest.Config) -> None:
    """Arrange that this worker stops its session, and raise CollectError for the present test."""
    if not config.pluginmanager.hasplugin("fcpivot-unexpected-pivots"):
        config.pluginmanager.register(UnexpectedPivots(), "fcpivot-unexpected-pivots")
    raise pytest.Collector.CollectError(WHY_NOT)
