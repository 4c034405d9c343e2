"""Grades the stored answers of several runs again, under one grader, so that the runs can be compared.

It is the grader of the run that is the newest by the time of its start, or one that the user names. As in an audit,
nothing that only a run names is loaded.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.audit.grader import choose
from pytest_fcpivot.audit.pivot_facts import given_for, open_data
from pytest_fcpivot.audit.stored_results import StoredResults
from pytest_fcpivot.core.errors import FcPivotError, RunError
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.graders import describe_grader
from pytest_fcpivot.graders.agentic import AgenticGrader
from pytest_fcpivot.graders.categories import SCHEMA_INVALID
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK, TRUE
from pytest_fcpivot.runs.described import read_with_origin
from pytest_fcpivot.runs.directory import judge_of_run
from pytest_fcpivot.runs.rewards import Rewards, place_of
from pytest_fcpivot.runs.trust import Origin, find_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_fcpivot.audit.answers import Result
    from pytest_fcpivot.audit.grader import Named
    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.graders import Grader
    from pytest_fcpivot.runs.comparing import Side

_OPTIONS = ("fc_strict_schema", "fc_judge_fallback")
_BAD_SCHEMAS = ("invalid", "unknown-tool")
_NO_GRADE = "the grader raised an error"
_ERROR_WIDTH = 400


@dataclass(frozen=True, slots=True)
class _Rules:
    """How all answers are graded: the grader, and what of the newest run's settings matters besides."""

    of: Side
    grader: Grader
    described: Mapping[str, Any]
    strict_schema: bool
    judge: Mapping[str, Any] | None
    scores_kept: bool  # a judge scored the newest run's messages, so that they keep their scores


def regrade(
    sides: Sequence[Side], data: Sequence[str], named: Named | None, *, allow_damaged: bool = False
) -> list[Side]:
    """Return the sides with all answers graded again; `data` are files that the user gives, `named` the user's grader.

    Errors stay errors, and answers that cannot be graded again become errors; the notes of a side count them. Where the
    runs had different data, each answer is graded against the newest run's pivot of that id, if its conversation,
    tools and parameters are the same.

    Raises RunError for a saved baseline, which has no answers, for runs whose answers were read differently, for data
    that cannot be found, for messages that only a judge could score, and for a grader that the user has to name.
    """
    for side in sides:
        if side.is_baseline or side.path is None:
            raise RunError(
                f"{side.name}: a saved baseline has no answers to grade again; name the run that it was saved from"
            )
    newest = newest_of(sides)
    for text in data:
        if not any(given_for(side, [text]) for side in sides):
            raise RunError(f"--data {text}: none of the runs used this file, as its hash shows")
    _refuse_read_differently(sides, newest)
    rules = _rules(newest, named)
    pivots = _Pivots(newest, given_for(newest, data))
    try:
        return [_regraded(side, data, rules, pivots, allow_damaged=allow_damaged) for side in sides]
    finally:
        pivots.close()


def newest_of(sides: Sequence[Side]) -> Side:
    """Return the run that was started last."""
    return max(sides, key=lambda side: str(side.description.get("started") or ""))


def _rules(newest: Side, named: Named | None) -> _Rules:
    assert newest.path is not None  # noqa: S101 (regrade has refused the others)
    description, origin = read_with_origin(newest.path, find_key())
    described = description["grader"]
    choice = choose(newest.path, described, named, made_here=origin is Origin.HERE, for_check=False)
    if choice.grader is None:
        spec = one_line(Redactor()(str(described.get("spec", described["name"]))), _ERROR_WIDTH)
        raise RunError(
            f"{newest.name}: --regrade takes the grader of the newest run, {spec}, and what only a run names is not "
            "loaded; name a grader with --grader=SPEC, and its settings with --grader-option=KEY=VALUE"
        )
    if named is not None:
        described = describe_grader(choice.grader, named.settings or {})
    judge = judge_of_run(description) if isinstance(choice.grader, AgenticGrader) else None
    return _Rules(
        of=newest,
        grader=choice.grader,
        described=described,
        strict_schema=str(description["options"].get("fc_strict_schema")).lower() in TRUE,
        judge=judge,
        scores_kept=judge is not None and bool(judge["model"]),
    )


def _refuse_read_differently(sides: Sequence[Side], newest: Side) -> None:
    wanted = newest.description["options"].get("fc_empty_arguments") or "text"
    for side in sides:
        if (side.description["options"].get("fc_empty_arguments") or "text") != wanted:
            raise RunError(
                f"{side.name}: its answers were read with another --fc-empty-arguments than those of {newest.name}, "
                f"and only a replay reads them again: replay it, and compare that:  pytest --fc-replay={side.path}"
                f" --fc-empty-arguments={wanted}"
            )


class _Pivots:
    """The pivots of the newest run's data, by id."""

    def __init__(self, newest: Side, given: Sequence[str]) -> None:
        self.hashes = {data["sha256"] for data in newest.description["data"]}
        self._stores = open_data(newest, given)
        self._rows: dict[str, tuple[PivotStore, int]] | None = None

    def get(self, pivot_id: str) -> Pivot | None:
        """Return the first pivot of an id; None if there is none."""
        if self._rows is None:
            self._rows = {}
            for _, store in self._stores:
                for row, name in enumerate(store.each("id")):
                    self._rows.setdefault(name, (store, row))
        found = self._rows.get(pivot_id)
        return None if found is None else found[0].read(found[1])

    def close(self) -> None:
        """Close the data."""
        for _, store in self._stores:
            store.close()


def _regraded(side: Side, data: Sequence[str], rules: _Rules, pivots: _Pivots, *, allow_damaged: bool) -> Side:
    assert side.path is not None  # noqa: S101 (regrade has refused the others)
    same_data = {each["sha256"] for each in side.description["data"]} <= pivots.hashes
    stored = StoredResults(side.path, given_for(side, data), None, allow_damaged=allow_damaged)
    keeps_scores = rules.scores_kept and judge_of_run(side.description) == rules.judge
    again: dict[tuple[str, str, int], tuple[float, str]] = {}
    left: Counter[str] = Counter()
    first = None
    for result in stored.results():
        expected = result.pivot if same_data else pivots.get(result.pivot.id)
        why = _why_not(result, expected)
        if rules.scores_kept and not keeps_scores and result.is_message:
            raise RunError(
                f"{side.name}: the messages of {rules.of.name} were scored by a judge, and only a replay asks it to "
                f"score these; replay this run with the same judge, and compare the replay:  pytest "
                f"--fc-replay={side.path} --fc-judge=MODEL"
            )
        if why is None and expected is not None:
            try:
                found = _graded(result, expected, rules, keeps_score=keeps_scores)
            except FcPivotError as error:
                why, text = _NO_GRADE, str(error)
            except Exception as error:  # noqa: BLE001 (a user's own grader may raise anything)
                why, text = _NO_GRADE, f"{type(error).__name__}: {error}"
            else:
                again[place_of(result.test, result.pivot.id), result.pivot.id, result.repeat] = found
                continue
            first = first or f"{result.name}: {one_line(Redactor()(text), _ERROR_WIDTH)}"
        left[why or _NO_GRADE] += 1
    notes = [f"not graded again: {count_of(number, 'answer')}, since {why}" for why, number in left.items()]
    if first is not None:
        notes.append(f"  {first}")
    return replace(
        side,
        description=_description(side, rules),
        rewards=_rewards(side.rewards, again),
        notes=(*side.notes, *notes),
    )


def _why_not(result: Result, expected: Pivot | None) -> str | None:
    """Return why an answer cannot be graded again against a pivot; None if it can."""
    if expected is None:
        return "the newest run's data do not have their pivots"
    asked = result.pivot
    if (asked.input_json, asked.tools_json, asked.params_json) != (
        expected.input_json,
        expected.tools_json,
        expected.params_json,
    ):
        return "the newest run's data have another conversation or other tools at their pivots"
    if result.redacted:
        return "they contained a secret, which was removed when they were recorded"
    return None


def _graded(result: Result, expected: Pivot, rules: _Rules, *, keeps_score: bool) -> tuple[float, str]:
    """Return the reward and the category of an answer; raises whatever the grader does."""
    if keeps_score and result.is_message and result.reward is not None:
        return result.reward, result.category or ""
    if rules.strict_schema and result.schema in _BAD_SCHEMAS:
        return 0.0, SCHEMA_INVALID
    grade = rules.grader.grade(expected.expected_action, result.action)
    return grade.reward, grade.category


def _rewards(recorded: Rewards, again: Mapping[tuple[str, str, int], tuple[float, str]]) -> Rewards:
    """Return the new rewards of all pivots; a repeat without one is missing."""
    rewards = Rewards()
    for pivot in recorded:
        found = replace(pivot, rewards={}, categories={}, missing=set())
        for repeat in (*pivot.rewards, *pivot.missing):
            grade = again.get((pivot.place, pivot.pivot_id, repeat))
            if grade is None:
                found.missing.add(repeat)
            else:
                found.rewards[repeat], found.categories[repeat] = grade
        rewards.put(found)
    return rewards


def _description(side: Side, rules: _Rules) -> dict[str, Any]:
    """Return a side's description with the newest run's data and settings."""
    newest = rules.of.description
    options = {name: value for name, value in side.description["options"].items() if name not in _OPTIONS}
    options |= {name: value for name, value in newest["options"].items() if name in _OPTIONS}
    how = {name: newest.get(name, default) for name, default in (("pass_mark", DEFAULT_PASS_MARK), ("data", []))}
    return {**side.description, **how, "grader": rules.described, "judge": rules.judge, "options": options}
