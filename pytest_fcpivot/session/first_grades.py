"""Stored answers in which a secret was replaced by ***: they cannot be graded again, and keep their first grade.

The stored text is not what the agent answered, so grading it would give a plausible wrong number. The first grade is
kept as long as the data, the grader, the judge and the options that change grades are the same. Another pass mark does
not change the reward; the test passes or fails by the present session's mark. If anything else differs there is no
grade, and the test is an error that says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import AgentError
from pytest_fcpivot.graders import meaning_of
from pytest_fcpivot.options.table import TRUE, flag_of
from pytest_fcpivot.runs.directory import judge_of_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.runs.answers import FirstGrade
    from pytest_fcpivot.session.case import Case

# The cause under which errors of such answers are counted.
SECRET_TAKEN_OUT = "secret taken out"  # noqa: S105 (no secret)
# Options that change what an answer earns, beside the grader and the judge.
_CHANGE_GRADES = ("fc_strict_schema", "fc_empty_arguments")


def why_not_kept(recorded: Mapping[str, Any], present: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of what differs between a run and the session that regrades it, and may change grades.

    Both arguments are descriptions as in run.json.
    """
    differing = []
    if meaning_of(recorded.get("grader")) != meaning_of(present["grader"]):
        differing.append("grader")
    if judge_of_run(recorded) != judge_of_run(present):
        differing.append("judge")
    options, now = recorded.get("options", {}), present["options"]
    differing += [flag_of(name) for name in _CHANGE_GRADES if _meant(options.get(name)) != _meant(now.get(name))]
    hashes = [{data["sha256"] for data in described.get("data") or ()} for described in (recorded, present)]
    if not hashes[1] <= hashes[0]:
        differing.append("data")
    return tuple(differing)


def about_kept(count: int, differing: tuple[str, ...]) -> str:
    """Explain what happens to `count` stored answers from which a secret was removed."""
    what = "1 stored answer has" if count == 1 else f"{count} stored answers have"
    if differing:
        so = "its test ends in an error" if count == 1 else "their tests end in errors"
        return f"{what} *** in place of a secret, and cannot be graded with another {' and '.join(differing)}: {so}"
    return f"{what} *** in place of a secret, and the first grade is kept"


def _meant(value: object) -> str:
    """Normalise the raw value of an option that changes grades, so that two spellings compare equal."""
    text = str(value).lower()
    return "on" if text in TRUE else text if text == "object" else "as by default"


def first_grade(case: Case, differing: tuple[str, ...]) -> FirstGrade | None:
    """Return the grade that the stored answer of a case keeps; None for an answer without ***, which is graded.

    Raises AgentError for an answer with *** that has no grade, or whose grade does not hold in this session.
    """
    stored = case.stored
    if stored is None or not stored.redacted:
        return None
    if stored.first is not None and not differing:
        return stored.first
    case.cause = SECRET_TAKEN_OUT
    what = "this stored answer has *** in place of a secret, so that it cannot be graded"
    if stored.first is None:
        raise AgentError(f"{what}, and it had no grade: ask the agent again")
    raise AgentError(f"{what} again; its first grade does not hold here: another {' and '.join(differing)}")
