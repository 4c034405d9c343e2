"""Stop a worker that finds tests over pivots although its controller has started a session without pivots."""

from __future__ import annotations

import pytest

NOT_TOLD = (
    "a worker of pytest-xdist found a test that takes a pivot, but the controller, which counts the results, does not "
    "know that there are pivots, because the fixture fc_agent is where only workers find it; name the data as well, in "
    "the ini file (fc_data = sample) or by FC_DATA=sample, or move the fixture to a conftest.py beside the ini file"
)


class Untold:
    """Ends a session whose controller does not know of pivots by an interrupt: exit code 1 would stand for results."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Set the reason that the worker reports after collecting; a worker that just ended would be replaced."""
        session.shouldstop = f"fcpivot: {NOT_TOLD}"


def refuse_untold(config: pytest.Config) -> None:
    """Arrange that this worker stops its session, and raise CollectError for the present test."""
    if not config.pluginmanager.hasplugin("fcpivot-untold"):
        config.pluginmanager.register(Untold(), "fcpivot-untold")
    raise pytest.Collector.CollectError(NOT_TOLD)
