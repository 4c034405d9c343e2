"""Distinguish the plugin's own fixtures from those with which users override them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.session.options import FIXTURE_HOME

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_AGENT = (
    "no agent to ask: pass --fc-agent=module:fn (or FC_AGENT, or ini fc_agent), "
    "or override the fixture fc_agent in a conftest.py"
)


def is_ours(definition: Any) -> bool:
    """Return whether the definition of a fixture is the plugin's own."""
    return bool(definition.func.__module__ == FIXTURE_HOME)


def brings_agent(definitions: Sequence[Any]) -> bool:
    """Return whether `fc_agent` is overridden by a fixture that does without ours, which needs an option."""
    for definition in reversed(definitions):
        if is_ours(definition):
            return False
        if "fc_agent" not in definition.argnames:
            return True
    return False
