"""Settings of the project's own test run."""

from __future__ import annotations

import gc
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

# numpy's threads, one for each core, spin for a while when they begin: in every process, and for nothing.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A script's background process, as of `pytest &`, ignores Ctrl-C, and so would the sessions that tests end by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The first command of the README runs here too, in an environment without what only the tests need.
with suppress(ImportError):
    from hypothesis import settings

    # By default few examples of each property, since they are most of the unit tests' time. `.ci/run` runs them with
    # --hypothesis-profile=thorough. Tests that need a number of their own say so.
    settings.register_profile("thorough", max_examples=200, deadline=None)
    settings.register_profile("brief", max_examples=50, deadline=None)
    settings.load_profile("brief")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Use three processes where there are two cores: tests run sessions, and wait for them. -n0 turns it off."""
    option = config.option
    alone = getattr(option, "usepdb", False) or option.collectonly or "PYTEST_XDIST_WORKER" in os.environ
    if getattr(option, "numprocesses", 0) is None and not alone and (os.cpu_count() or 1) > 1:
        option.numprocesses = 3


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect thousands of tests without searching for garbage; there is little, and a third of the time was for it.

    What was collected is left out of the garbage collector's later passes too.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()
