"""The pytest hooks of this plugin, which users may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.hookspec(firstresult=True)
def pytest_fcpivot_grader(config: pytest.Config, name: str | None, settings: Mapping[str, Any]) -> Any:
    """Return the grader for --fc-grader=NAME, or None to leave the choice to others.

    `name` is None if no grader is named; the returned grader then replaces the one that the data ask for. The hook is
    called once in each process, before tests are collected. It is not called for the names of bundled graders, or for
    `module:attribute`. `settings` are the values of --fc-grader-option, which the hook has to apply itself. The result
    is a function of (expected, actual), or an object with such a method `grade`; see `pytest_fcpivot.Grader`. The hook
    has to be in a plugin, or in a conftest.py that pytest loads at its start: one in the rootdir, or in a directory
    that the command line names::

        def pytest_fcpivot_grader(name, settings):
            return MyGrader(**settings) if name == "mine" else None
    """
