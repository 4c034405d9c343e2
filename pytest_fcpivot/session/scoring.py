"""The question to the judge about a message, and how the message got its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fcpivot.calls.call import Call
    from pytest_fcpivot.core.usage import Usage
    from pytest_fcpivot.graders.judge import Judgement, Question
    from pytest_fcpivot.runs.record import Scoring

ASKED, CACHED, FALLBACK = "asked", "cached", "keyword"


@dataclass(slots=True)
class Held:
    """A question to the judge, with its verdict from the cache, or else the call that will bring one."""

    question: Question
    judgement: Judgement | None
    call: Call | None


@dataclass(frozen=True, slots=True)
class Scored:
    """How a message got its score: `by` is ASKED (the judge), CACHED (its cache), or FALLBACK (keyword overlap).

    `cause` is the judge's fault that led to the fallback. `question` is the question that the verdict answers.
    """

    by: str
    score: float | None = None
    reason: str = ""
    usage: Usage | None = None
    cause: str | None = None
    question: Question | None = None

    def to_builtins(self) -> Scoring:
        """Return the score as a CaseRecord holds it, in builtin types."""
        tokens = None if self.usage is None else self.usage.counts()
        return self.by, self.score, self.reason, tokens, self.cause
