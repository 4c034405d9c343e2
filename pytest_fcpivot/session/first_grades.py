"""Stored answers that a secret was taken out of: they cannot be graded again, and keep the grade that they had.

What is stored of such an answer is not what the agent said, so a grade of it would be a plausible wrong number. Its
first grade holds as long as the same question is asked of it: of the same data, by the same grader, judge and reading.
With another pass mark the reward is the same, and it passes or fails by the mark of this session. With anything else
there is no grade, and the test is an error that says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import AgentError
from pytest_fcpivot.graders import meaning_of
from pytest_fcpivot.runs.directory import judge_of_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.runs.answers import FirstGrade
    from pytest_fcpivot.session.case import Case

# The fault that errors of such answers are counted under.
SECRET_TAKEN_OUT = "secret taken out"  # noqa: S105 (no secret)
# Options that change what an answer earns, beside the grader and the judge.
_CHANGE_GRADES = ("fc_strict_schema", "fc_empty_arguments")


def why_not_kept(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what differs between a run and a session that grades its answers again, by which grades may be others.

    Both are described as run.json does.
    """
    differing = []
    if meaning_of(recorded.get("grader")) != meaning_of(present["grader"]):
        differing.append("grader")
    if judge_of_run(recorded) != judge_of_run(present):
        differing.append("judge")
    options, now = recorded.get("options", {}), present["options"]
    differing += [
        f"--{name.replace('_', '-')}" for name in _CHANGE_GRADES if _meant(options.get(name)) != _meant(now.get(name))
    ]
    hashes = [{data["sha256"] for data in described.get("data") or ()} for described in (recorded, present)]
    if not hashes[1] <= hashes[0]:
        differing.append("data")
    return tuple(differing)


def about_kept(count: int, differing: tuple[str, ...]) -> str:
    """Say what becomes of so many stored answers that a secret was taken out of."""
    what = "1 stored answer has" if count == 1 else f"{count} stored answers have"
    if differing:
        return f"{what} *** in place of a secret, and cannot be graded with another {' and '.join(differing)}: errors"
    return f"{what} *** in place of a secret, and the first grade is kept"


def _meant(value: object) -> str:
    """Return what an option's value means where it changes grades, however it is written."""
    text = str(value).lower()
    return "on" if text in ("1", "true", "yes", "on") else text if text == "object" else "as by default"


def first_grade(case: Case, differing: tuple[str, ...]) -> FirstGrade | None:
    """Return the grade that a case's stored answer keeps; None for an answer that is whole, and is graded.

    Raises AgentError for one that is not whole and has no grade to keep.
    """
    stored = case.stored
    if stored is None or not stored.redacted:
        return None
    if stored.first is not None and not differing:
        return stored.first
    case.cause = SECRET_TAKEN_OUT
    what = "what is stored of this answer has *** in it, where a secret was taken out, so that it cannot be graded"
    if stored.first is None:
        raise AgentError(f"{what}, and it had no grade: ask again")
    raise AgentError(
        f"{what} again; its first grade holds only for what it was given for, and this session has another "
        f"{' and '.join(differing)}"
    )
