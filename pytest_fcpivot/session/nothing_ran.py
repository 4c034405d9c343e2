"""Why a session ran no pivot, and what to change."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.core.apart import shown_name
from pytest_fcpivot.session import options
from pytest_fcpivot.session.option_reader import where_named

if TYPE_CHECKING:
    from pytest_fcpivot.session.plan import Plan

_NOTHING = "fcpivot: no pivot was run"
_NAMES_SHOWN = 8
_TYPES = ("message", "function_call", "function_call_batch")
_MARKS = ("message", "function_call")
_CAME_TO_ITS_END = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
_OPERATORS = frozenset(("and", "or", "not"))


def why_nothing_ran(config: pytest.Config, plan: Plan, status: int, *, runs_own_tests: bool) -> str:
    """Write the line that a summary shows instead of figures; "" if the session was not meant to run pivots.

    `status` is the session's exit status; `runs_own_tests`: tests of the user's own run over the data.
    """
    datasets = plan.datasets
    wanted = datasets.named or datasets.are_run or runs_own_tests
    if status not in _CAME_TO_ITS_END:
        return _NOTHING if wanted else ""
    reason = datasets.why_nothing() if wanted else ""
    if not reason and wanted and status == pytest.ExitCode.NO_TESTS_COLLECTED:
        reason = _by_pytest(config, plan)
    if not reason and runs_own_tests:
        return "fcpivot: no pivot was graded"
    if not reason and not datasets.are_run:
        reason = _not_started(config, plan)
        if not reason:
            return ""
    return f"{_NOTHING}: {reason}" if reason else _NOTHING


def _by_pytest(config: pytest.Config, plan: Plan) -> str:
    """Explain which of pytest's own filters may have removed all pivots, and which names the filters accept."""
    option = config.option
    entries = [entry for dataset in plan.datasets for entry in dataset.entries]
    if not entries:
        return ""
    filters, known, near = [], [], []
    functions = Counter(name for entry in entries for name in entry.expected_names)
    if option.keyword:
        filters.append(f"-k {shlex.quote(option.keyword)}")
        shown = [shown_name(name) for name, _ in functions.most_common(_NAMES_SHOWN)]
        more = f" and {len(functions) - len(shown)} more" if len(functions) > len(shown) else ""
        calls = f", the functions that are expected to be called ({', '.join(shown)}{more})" if shown else ""
        known.append(f"-k matches ids{calls} and the types {', '.join(_TYPES)}")
        near += _nearest(option.keyword, [*functions, *_TYPES])
    if option.markexpr:
        filters.append(f"-m {shlex.quote(option.markexpr)}")
        known.append(f"pivots have the marks {' and '.join(_MARKS)}")
        near += _nearest(option.markexpr, [*_MARKS])
    filters += [f"--deselect={shlex.quote(prefix)}" for prefix in option.deselect or ()]
    if not filters:
        return ""
    meant = f"; did you mean {', '.join(dict.fromkeys(near))}?" if near else ""
    left = f"{' '.join(filters)} left none of {plan.repeats * len(entries)} pivots"
    return "; ".join([left, *known]) + meant


def _nearest(expression: str, names: list[str]) -> list[str]:
    words = [word for word in re.findall(r"[\w.-]+", expression) if word not in _OPERATORS]
    return [close for word in words for close in get_close_matches(word, names, n=1) if close not in words]


def _not_started(config: pytest.Config, plan: Plan) -> str:
    """Explain how to run the data if options or settings name data or an agent, but the session does not run them."""
    data = plan.options.data[0][0] if plan.options.data else "sample"
    path = f"pytest {shlex.quote(data)}"
    if options.on_command_line(config):
        return f"a path was given, so only its tests run, and none of them takes a pivot; to run data: {path}"
    named = [f"{where} in addopts" if where.startswith("--") else where for where in where_named(config)]
    if not named:
        return ""
    agent = plan.options.agent
    way = f"pytest --fc-agent={shlex.quote(agent)}" if agent else f"pytest --fc-data={shlex.quote(data)}"
    return f"{', '.join(named)} alone never starts a run of data; to run it, pass an option or a path: {way}, or {path}"
