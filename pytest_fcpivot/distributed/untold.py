"""A worker that comes to pivots of which its controller knows nothing."""

from __future__ import annotations

import pytest

NOT_TOLD = (
    "a worker of pytest-xdist came to a test that takes a pivot, of which the session that counts the results knows "
    "nothing: the fixture fc_agent stands where only workers find it; name the data as well, in the ini file "
    "(fc_data = sample) or by FC_DATA=sample, or move the fixture to a conftest.py beside the ini file"
)


class Untold:
    """Stops a session whose controller does not know that its workers have pivots: exit code 1 is for results."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Have the worker tell its controller, which it does when it has collected: a worker that ends is replaced."""
        session.shouldstop = f"fcpivot: {NOT_TOLD}"


def refuse_untold(config: pytest.Config) -> None:
    """Stop the session of a worker that was told nothing; raises CollectError."""
    if not config.pluginmanager.hasplugin("fcpivot-untold"):
        config.pluginmanager.register(Untold(), "fcpivot-untold")
    raise pytest.Collector.CollectError(NOT_TOLD)
