"""pytest-forked, whose processes cannot run pivots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.session.peers import has_option

if TYPE_CHECKING:
    import pytest

WHY_NOT = (
    "--forked, and the mark of that name, run a test in a process of its own, which has neither the calls that were "
    "begun ahead nor a way to hand on its result; run pivots without it (with pytest-xdist, as in -n2, an agent that "
    "ends its process costs one test)"
)


def is_forked(config: pytest.Config, test: pytest.Item | None = None) -> bool:
    """Return whether pytest-forked is to run every test, or this one, in a process of its own."""
    if config.getoption("forked", False):
        return True
    return test is not None and has_option(config, "forked") and test.get_closest_marker("forked") is not None
