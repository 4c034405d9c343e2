"""Settings of the project's own test run."""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Use three processes where there are two cores: tests run sessions, and wait for them. -n0 turns it off."""
    option = config.option
    alone = getattr(option, "usepdb", False) or option.collectonly or "PYTEST_XDIST_WORKER" in os.environ
    if getattr(option, "numprocesses", 0) is None and not alone and (os.cpu_count() or 1) > 1:
        option.numprocesses = 3
