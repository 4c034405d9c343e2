"""Write the verdict of a gate: its word first, with the reason, and the rules that it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.runs.gate import INCONCLUSIVE

if TYPE_CHECKING:
    from pytest_fcpivot.runs.gate import Verdict

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


def github_warning(verdict: Verdict) -> str | None:
    """Return the line by which GitHub shows a warning, for a verdict that passes although it is not clear."""
    if verdict.word != INCONCLUSIVE or verdict.fails:
        return None
    text = verdict_line(verdict).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::warning title=pytest-fcpivot::{text}"
