"""Refuse pytest-forked, whose child processes cannot run pivots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.session.peers import has_option

if TYPE_CHECKING:
    import pytest

WHY_NOT = (
    "--forked and the mark forked (pytest-forked) run each test in a separate process, which can neither use the calls "
    "that were started ahead nor return its result; run pivots without it (with pytest-xdist, as in -n2, an agent that "
    "ends its process costs one test)"
)


def is_forked(config: pytest.Config, test: pytest.Item | None = None) -> bool:
    """Return whether pytest-forked is to run every test, or this one, in a separate process."""
    if config.getoption("forked", False):
        return True
    return test is not None and has_option(config, "forked") and test.get_closest_marker("forked") is not None
