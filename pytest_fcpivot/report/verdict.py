"""Write the verdict of a gate: its word first, with the reason, and the rules that it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.runs.gate import INCONCLUSIVE

if TYPE_CHECKING:
    from pytest_fcpivot.runs.gate import Stopped, Verdict

_WIDTH = 1000


def verdict_line(verdict: Verdict) -> str:
    """Return the line with the word and its reason."""
    return f"{verdict.word}: {one_line(verdict.sentence, _WIDTH)}"


def rule_lines(verdict: Verdict) -> list[str]:
    """Return a line for each rule; none if there is only one, whose line would be the same."""
    if len(verdict.rules) == 1:
        return []
    width = max(len(each.word) for each in verdict.rules)
    return [
        f"  {each.word:{width}}  {one_line(each.rule, _WIDTH)}: {one_line(each.sentence, _WIDTH)}"
        for each in verdict.rules
    ]


def stopped_lines(stopped: Stopped, calls_under_way: int) -> list[str]:
    """Return lines on a session that stopped when its verdict was certain: what was asked, and what the mean is worth.

    `calls_under_way` counts the calls for tests that were not run.
    """
    large = f", the {stopped.large:,} largest first" if stopped.large > 1 else ", the largest first"
    seen = f"{stopped.trajectories:,} of {stopped.of_trajectories:,} trajectories"
    order = f"in the random order of seed {stopped.seed}{large if stopped.large else ''}"
    lines = [f"decided after {seen}, {order}; wrong about the whole run in at most {100 * stopped.error:.6g} % of runs"]
    if calls_under_way:
        calls = "more call had begun" if calls_under_way == 1 else "more calls had begun"
        lines.append(
            f"{calls_under_way:,} {calls}, for tests that were not run; answers that came are kept for a resume"
        )
    return [*lines, "the mean below is biased, since the session stopped because of what it had seen"]


def github_warning(verdict: Verdict) -> str | None:
    """Return the line by which GitHub shows a warning, for a verdict that passes although it is not clear."""
    if verdict.word != INCONCLUSIVE or verdict.fails:
        return None
    text = verdict_line(verdict).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::warning title=pytest-fcpivot::{text}"
