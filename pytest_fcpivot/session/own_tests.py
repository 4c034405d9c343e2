"""Parametrize the user's own tests that take our fixtures, or skip or refuse them if data or an agent is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.session import forked
from pytest_fcpivot.session.compat import fixture_definitions
from pytest_fcpivot.session.option_reader import names_a_run
from pytest_fcpivot.session.our_fixtures import NO_AGENT, brings_agent, is_ours
from pytest_fcpivot.session.reruns import refuse_repeats

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fcpivot.session.hooks import PivotSession

NOTHING_NAMED = (
    "neither data nor an agent is named: pass --fc-agent=module:fn to run this on the bundled sample, "
    "and --fc-data=FILE to run it on your own data"
)
_NO_AGENT_REPORTED = pytest.StashKey[bool]()


def nothing_named(config: pytest.Config, session: PivotSession | None) -> bool:
    """Return whether the user named neither data nor an agent, by options, settings or paths."""
    return not names_a_run(config) and (session is None or not session.plan.datasets.named)


def parametrize(metafunc: pytest.Metafunc, begun: PivotSession | None, begin: Callable[[], PivotSession]) -> None:
    """Parametrize a test that takes our `pivot` over the data, or skip it if neither data nor an agent is named.

    Raises CollectError if data are named without an agent, or if no pivot is selected, or the grader cannot judge one.
    """
    if not _takes_our_pivot(metafunc):
        return
    definitions = fixture_definitions(metafunc.definition, "fc_agent")
    # a user's own fixture `fc_action` may do without an agent
    answers_itself = "fc_action" in metafunc.fixturenames and "fc_agent" not in metafunc.fixturenames
    has_agent = answers_itself or brings_agent(definitions)
    if nothing_named(metafunc.config, begun) and not has_agent:
        _skip(metafunc, NOTHING_NAMED)
        return
    session = begin()
    needs_agent = "fc_agent" in metafunc.fixturenames and not has_agent
    if needs_agent and session.plan.options.agent is None and not session.plan.replays:
        _refuse_without_agent(metafunc)
        return
    refusal = refuse_repeats(metafunc.config, metafunc.definition)
    if forked.is_forked(metafunc.config, metafunc.definition):
        refusal = forked.WHY_NOT
    if refusal is not None:
        raise pytest.Collector.CollectError(f"{metafunc.definition.name}: {refusal}")
    cases = session.cases_of_own_tests()
    marks = {
        kind: getattr(pytest.mark, "message" if kind == "message" else "function_call")
        for kind in ("message", "function_call", "function_call_batch")
    }
    parameters = [pytest.param(case, id=name, marks=marks[case[1].expected_type]) for name, case in cases]
    metafunc.parametrize("pivot", parameters, indirect=True)


def _refuse_without_agent(metafunc: pytest.Metafunc) -> None:
    """Raise CollectError the first time in a session; later tests without an agent are skipped."""
    stash = metafunc.config.stash
    if stash.get(_NO_AGENT_REPORTED, False):
        _skip(metafunc, NO_AGENT)
        return
    stash[_NO_AGENT_REPORTED] = True
    raise pytest.Collector.CollectError(f"{metafunc.definition.name}: {NO_AGENT}")


def _skip(metafunc: pytest.Metafunc, reason: str) -> None:
    metafunc.parametrize("pivot", [pytest.param(None, id="no-pivot", marks=pytest.mark.skip(reason))], indirect=True)


def _takes_our_pivot(metafunc: pytest.Metafunc) -> bool:
    """Return whether a test's `pivot` is our fixture, and not the user's own fixture or parameter."""
    for marker in metafunc.definition.iter_markers("parametrize"):
        names = marker.args[0] if marker.args else marker.kwargs.get("argnames", "")
        if "pivot" in ([name.strip() for name in names.split(",")] if isinstance(names, str) else names):
            return False
    definitions = fixture_definitions(metafunc.definition, "pivot")
    return bool(definitions) and is_ours(definitions[-1])
