"""What each pytest session finds out again, remembered in the process that runs the tests and many sessions.

None of it changes while the tests run, and finding it out takes half of the time of a short session. Sessions in
processes of their own are as they are.
"""

from __future__ import annotations

from importlib.metadata import PathDistribution
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from _pytest import fixtures

if TYPE_CHECKING:
    from collections.abc import Callable


def remember_what_is_installed() -> None:
    """Read once what the packages beside pytest say of themselves; what a test installs elsewhere is read each time."""
    installed = Path(pytest.__file__).parents[1]

    def remembered(read: Callable[[PathDistribution], Any]) -> property:
        found: dict[str, Any] = {}

        def get(distribution: PathDistribution) -> Any:
            where = Path(str(distribution._path))
            if where.parent != installed:
                return read(distribution)
            if where.name not in found:
                found[where.name] = read(distribution)
            return found[where.name]

        return property(get)

    for name in ("metadata", "entry_points", "files"):
        setattr(PathDistribution, name, remembered(getattr(PathDistribution, name).fget))


def remember_fixtures_of_pytest() -> None:
    """Look once for the fixtures among all that pytest's own modules hold; anything else is searched as it comes.

    A module of pytest is replaced by one that holds its fixtures alone, where pytest (as of 9.1) asks in this way.
    """
    search = fixtures.FixtureManager.parsefactories
    found: dict[str, ModuleType] = {}

    def parsefactories(self: fixtures.FixtureManager, *args: Any, **named: Any) -> None:
        holder = named.get("holder")
        if isinstance(holder, ModuleType) and holder.__name__.startswith("_pytest."):
            if holder.__name__ not in found:
                found[holder.__name__] = _only_fixtures(holder)
            named["holder"] = found[holder.__name__]
        search(self, *args, **named)

    setattr(fixtures.FixtureManager, "parsefactories", parsefactories)  # noqa: B010 (mypy knows its overloads)


def _only_fixtures(module: ModuleType) -> ModuleType:
    small = ModuleType(module.__name__)
    held = {
        name: value for name, value in vars(module).items() if isinstance(value, fixtures.FixtureFunctionDefinition)
    }
    vars(small).update(held)
    return small
