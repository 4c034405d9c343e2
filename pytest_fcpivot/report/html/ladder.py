"""Grade a run's answers by the comparators of the audit's ladder, for the first screen and the details."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.audit.comparators import LADDER, LENIENT, Agentic, Case, grades
from pytest_fcpivot.data.rows import expected_action_from_json
from pytest_fcpivot.data.selection import stable_hash
from pytest_fcpivot.graders import passes
from pytest_fcpivot.graders.agentic import AgenticGrader
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK
from pytest_fcpivot.report.html.model import Faults, Rung
from pytest_fcpivot.report.html.results import without_bias
from pytest_fcpivot.runs.reader import line_at, open_regular, result_line

if TYPE_CHECKING:
    from pytest_fcpivot.report.html.reading import RunRead
    from pytest_fcpivot.report.html.results import Entry

Rewards = tuple[float | None, ...]
_LENIENT = LADDER.index(LENIENT)


def _some(entries: list[Entry], most: int) -> list[Entry]:
    """Choose by a hash of the test's name, which is as good as by chance."""
    if len(entries) <= most:
        return entries
    chosen = sorted(range(len(entries)), key=lambda number: stable_hash("ladder", entries[number].test))[:most]
    return [entries[number] for number in sorted(chosen)]


def climb(run: RunRead, most: int) -> tuple[tuple[Rung, ...], Faults]:
    """Grade each answer by each rung, and keep the rewards in the entries; returns no rungs without the data.

    Failures are counted by whose they are. Answers from which a secret was removed are left out. Both is as in an
    audit. Of more answers than `most`, that many are chosen.
    """
    matcher = model = messages = 0
    if not run.stores:
        return (), Faults(matcher, model, messages)
    mark = float(run.description.get("pass_mark", DEFAULT_PASS_MARK))
    scores = run.description["grader"]["name"] == AgenticGrader().name
    totals, passed, judged = ([0.0] * len(LADDER), [0] * len(LADDER), [0] * len(LADDER))
    same: dict[Rewards, Rewards] = {}  # few different ones, which entries share
    by_row: dict[int, dict[int, list[Entry]]] = {}
    for entry in _some(without_bias(run.results.entries.values(), run.description), most):
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
                    if line.reward is not None and not passes(line.reward, mark):
                        lenient = found[_LENIENT]
                        if is_message:
                            messages += 1
                        elif lenient is not None and passes(lenient, mark):
                            matcher += 1
                        else:
                            model += 1
                    for place, reward in enumerate(found):
                        if reward is not None:
                            totals[place] += reward
                            judged[place] += 1
                            passed[place] += passes(reward, mark)
    own = run.description["grader"]["name"]
    scored = "as the run scored them" if scores else "by keyword overlap"
    rungs = tuple(
        Rung(
            name=rung.name,
            rule=f"{rung.rule}; messages {scored}" if isinstance(rung, Agentic) else rung.rule,
            mean=totals[place] / judged[place] if judged[place] else None,
            passed=passed[place],
            judged=judged[place],
            is_own=rung.name == own,
        )
        for place, rung in enumerate(LADDER)
    )
    return rungs, Faults(matcher, model, messages)
