"""The hooks that users implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.hookspec(firstresult=True)
def pytest_fcpivot_grader(config: pytest.Config, name: str | None, settings: Mapping[str, Any]) -> Any:
    """Return the grader that --fc-grader=NAME means, or None for a name that is not yours.

    `name` is None if the user named no grader; the one that is returned then takes the place of that which the data
    ask for. The hook is called once in each process, before tests are collected, and not for the names of bundled
    graders nor for `module:attribute`. `settings` are those of --fc-grader-option; it is for the hook to use them. The
    result is a function of (expected, actual), or an object with such a method `grade`: see
    `pytest_fcpivot.Grader`. The hook has to be in a plugin or in a conftest.py that pytest loads at its start, as
    in the rootdir or in a directory that the command line names::

        def pytest_fcpivot_grader(name, settings):
            return MyGrader(**settings) if name == "mine" else None
    """
