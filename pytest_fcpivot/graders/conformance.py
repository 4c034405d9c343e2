"""Checks conformance with NeMo Gym's verifier: grades the cases of a file of its verdicts, and lists differences.

Each line holds `id`, `expected_action`, `output` (Responses items), `config` (the verifier's settings), and the
`reward` and `category` by the verifier's current rule (`any-order`). If the older rule applies to the case as well,
`first_call` holds reward and category by that rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import ActionError, DataError, GraderError, RowProblem
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.data.files import read_rows
from pytest_fcpivot.graders import grade

if TYPE_CHECKING:
    from pathlib import Path

_TOLERANCE = 1e-9
_THRESHOLD = "word_count_similarity_threshold"


@dataclass(slots=True)
class VersionOutcome:
    """The number of cases of one version, and how many rewards and categories agree."""

    cases: int = 0
    rewards: int = 0
    categories: int = 0


@dataclass(slots=True)
class Conformance:
    """The result for a file of verdicts; a case agrees if reward and category agree for every version it names."""

    cases: int = 0
    agreeing: int = 0
    versions: dict[str, VersionOutcome] = field(
        default_factory=lambda: {"any-order": VersionOutcome(), "first-call": VersionOutcome()}
    )
    disagreements: list[str] = field(default_factory=list)


def check_file(path: Path) -> Conformance:
    """Grade every case of a file; raises DataError, with file and line, for a line that is not a case."""
    found = Conformance()
    for line, case in read_rows(path):
        if isinstance(case, RowProblem):
            raise DataError(f"{path}:{line}: {case.reason}")
        try:
            config = dict(case.get("config") or {})
            agrees = _check(found, case, "any-order", case, config)
            if "first_call" in case:
                older = {key: value for key, value in config.items() if key == _THRESHOLD}
                agrees &= _check(found, case, "first-call", case["first_call"], older)
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, ActionError, GraderError) as error:
            raise DataError(
                f"{path}:{line}: not a conformance case ({one_line(str(error), 400)}); it needs id, expected_action, "
                "output, config, reward and category"
            ) from error
        found.cases += 1
        found.agreeing += agrees
    if not found.cases:
        raise DataError(f"{path}: no cases in it")
    return found


def _check(
    found: Conformance, case: dict[str, Any], version: str, verdict: dict[str, Any], config: dict[str, Any]
) -> bool:
    reward, category = float(verdict["reward"]), str(verdict["category"])
    if "empty_arguments" in config:
        raise GraderError("empty_arguments is not a setting of the verifier, to which empty arguments are not JSON")
    graded = grade(case["expected_action"], case["output"], f"nemo-gym:{version}", **config)
    same_reward = abs(graded.reward - reward) <= _TOLERANCE
    same_category = graded.category == category
    outcome = found.versions[version]
    outcome.cases += 1
    outcome.rewards += same_reward
    outcome.categories += same_category
    if not (same_reward and same_category):
        found.disagreements.append(
            f"{one_line(str(case['id']), 80)} ({version}): expected {reward:g} {one_line(category, 80)}, "
            f"got {graded.reward:g} {graded.category}: {graded.explanation}"
        )
    return same_reward and same_category
