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
    from pytest_fcpivot.session.hooks import PivotSession

_NOTHING = "fcpivot: no pivot was run"
_NAMES_SHOWN = 8
_TYPES = ("message", "function_call", "function_call_batch")
_MARKS = ("message", "function_call")
_CAME_TO_ITS_END = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
_OPERATORS = frozenset(("and", "or", "not"))


def why_nothing_ran(session: PivotSession) -> str:
    """Write the line that a summary has in place of figures; "" if no pivot was to be expected."""
    wanted = session.datasets.named or session.datasets.are_run or session.runs_own_tests
    if session.exit_status not in _CAME_TO_ITS_END:
        return _NOTHING if wanted else ""
    reason = session.datasets.why_nothing() if wanted else ""
    if not reason and wanted and session.exit_status == pytest.ExitCode.NO_TESTS_COLLECTED:
        reason = _by_pytest(session)
    if not reason and session.runs_own_tests:
        return "fcpivot: no pivot was graded"
    if not reason and not session.datasets.are_run:
        reason = _not_started(session)
        if not reason:
            return ""
    return f"{_NOTHING}: {reason}" if reason else _NOTHING


def _by_pytest(session: PivotSession) -> str:
    """Say which of pytest's own filters may have left nothing, and which names they know."""
    option = session.config.option
    entries = [entry for dataset in session.datasets for entry in dataset.entries]
    if not entries:
        return ""
    filters, known, near = [], [], []
    functions = Counter(name for entry in entries for name in entry.expected_names)
    if option.keyword:
        filters.append(f"-k {shlex.quote(option.keyword)}")
        shown = [shown_name(name) for name, _ in functions.most_common(_NAMES_SHOWN)]
        more = f" and {len(functions) - len(shown)} more" if len(functions) > len(shown) else ""
        calls = f", the functions that are expected to be called ({', '.join(shown)}{more})" if shown else ""
        known.append(f"-k knows ids{calls} and the types {', '.join(_TYPES)}")
        near += _nearest(option.keyword, [*functions, *_TYPES])
    if option.markexpr:
        filters.append(f"-m {shlex.quote(option.markexpr)}")
        known.append(f"pivots have the marks {' and '.join(_MARKS)}")
        near += _nearest(option.markexpr, [*_MARKS])
    filters += [f"--deselect={shlex.quote(prefix)}" for prefix in option.deselect or ()]
    if not filters:
        return ""
    meant = f"; did you mean {', '.join(dict.fromkeys(near))}?" if near else ""
    left = f"{' '.join(filters)} left none of {session.repeats * len(entries)} pivots"
    return "; ".join([left, *known]) + meant


def _nearest(expression: str, names: list[str]) -> list[str]:
    words = [word for word in re.findall(r"[\w.-]+", expression) if word not in _OPERATORS]
    return [close for word in words for close in get_close_matches(word, names, n=1) if close not in words]


def _not_started(session: PivotSession) -> str:
    """Say what would have run the data, where options or settings name data or an agent and nothing runs them."""
    config = session.config
    data = session.options.data[0][0] if session.options.data else "sample"
    path = f"pytest {shlex.quote(data)}"
    if options.on_command_line(config):
        return f"with a path, the run is what the path says, and no test there takes a pivot; to run data: {path}"
    named = [f"{where} in addopts" if where.startswith("--") else where for where in where_named(config)]
    if not named:
        return ""
    agent = session.options.agent
    way = f"pytest --fc-agent={shlex.quote(agent)}" if agent else f"pytest --fc-data={shlex.quote(data)}"
    return f"{', '.join(named)} alone never starts a run of data; to run it, pass an option or a path: {way}, or {path}"
