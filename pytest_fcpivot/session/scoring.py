"""How a message came to its score: what was asked of the judge, and what came of it."""

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
    """A question to the judge and where its verdict comes from: the cache, or a call that may be under way."""

    question: Question
    judgement: Judgement | None
    call: Call | None


@dataclass(frozen=True, slots=True)
class Scored:
    """How a message came to its score: `by` the judge that was asked, its cache, or keywords in its place.

    `cause` says which fault of the judge's made keywords take its place. `question` is what the verdict answers.
    """

    by: str
    score: float | None = None
    reason: str = ""
    usage: Usage | None = None
    cause: str | None = None
    question: Question | None = None

    def to_builtins(self) -> Scoring:
        """Return it as a record holds it."""
        tokens = None if self.usage is None else self.usage.counts()
        return self.by, self.score, self.reason, tokens, self.cause
