"""Grade a run's answers by the comparators of the audit's ladder, for the first screen and the details."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.audit.comparators import LADDER, Case, grades
from pytest_fcpivot.data.rows import expected_action_from_json
from pytest_fcpivot.data.selection import stable_hash
from pytest_fcpivot.graders import passes
from pytest_fcpivot.graders.agentic import AgenticGrader
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK
from pytest_fcpivot.report.html.model import Rung
from pytest_fcpivot.runs.reader import line_at, open_regular, result_line

if TYPE_CHECKING:
    from pytest_fcpivot.report.html.reading import RunRead
    from pytest_fcpivot.report.html.results import Entry

Rewards = tuple[float | None, ...]


def _some(entries: list[Entry], most: int) -> list[Entry]:
    """Choose by a hash of the test's name, which is as good as by chance."""
    if len(entries) <= most:
        return entries
    chosen = sorted(range(len(entries)), key=lambda number: stable_hash("ladder", entries[number].test))[:most]
    return [entries[number] for number in sorted(chosen)]


def climb(run: RunRead, most: int) -> tuple[Rung, ...]:
    """Grade each answer by each rung, and keep the rewards in the entries; () without the data.

    Answers from which a secret was removed are left out, as in an audit. Of more than `most`, that many are chosen.
    """
    if not run.stores:
        return ()
    mark = float(run.description.get("pass_mark", DEFAULT_PASS_MARK))
    scores = run.description["grader"]["name"] == AgenticGrader().name
    totals, passed, judged = ([0.0] * len(LADDER), [0] * len(LADDER), [0] * len(LADDER))
    same: dict[Rewards, Rewards] = {}  # few different ones, which entries share
    by_row: dict[int, dict[int, list[Entry]]] = {}
    for entry in _some(list(run.results.entries.values()), most):
        if entry.row >= 0 and entry.answered is not None:
            by_row.setdefault(entry.data, {}).setdefault(entry.row, []).append(entry)
    with open_regular(run.path / "results.jsonl") as stream:
        for number, rows in by_row.items():
            store, order = run.stores[number][1], sorted(rows)
            texts = zip(order, store.some("expected_action", order), store.some("tools", order), strict=True)
            for row, expected_json, tools_json in texts:
                expected = expected_action_from_json(expected_json)
                for entry in rows[row]:
                    line = result_line(line_at(stream, entry.offset or 0))
                    if line.redacted:
                        continue
                    action = line.graded()
                    is_message = not expected.calls and not action.calls and action.message is not None
                    case = Case(expected, action, tools_json, line.reward if scores and is_message else None)
                    found: Rewards = tuple(None if each is None else each.reward for each in grades(case))
                    entry.rungs = same.setdefault(found, found)
                    for place, reward in enumerate(found):
                        if reward is not None:
                            totals[place] += reward
                            judged[place] += 1
                            passed[place] += passes(reward, mark)
    own = run.description["grader"]["name"]
    return tuple(
        Rung(
            name=rung.name,
            rule=rung.rule,
            mean=totals[place] / judged[place] if judged[place] else None,
            passed=passed[place],
            judged=judged[place],
            is_own=rung.name == own,
        )
        for place, rung in enumerate(LADDER)
    )
