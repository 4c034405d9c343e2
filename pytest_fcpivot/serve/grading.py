"""Grades a submission: at once where the grader can, else with the judge's verdict."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.graders.base import is_bundled

if TYPE_CHECKING:
    from pytest_fcpivot.core.model import Action, Grade
    from pytest_fcpivot.graders import AgenticGrader
    from pytest_fcpivot.serve.environments import Environment
    from pytest_fcpivot.serve.judging import Judging
    from pytest_fcpivot.serve.pivots import Task

BY_KEYWORDS, FALLBACK = "keyword", "keyword, since the judge failed"
_MOST_AT_ONCE = 1 << 16  # characters of an action that are graded in the loop, which takes a few milliseconds at most
_THREADS = 2


class NotGradedError(Exception):
    """No grade could be made of a submission, for a reason that is not the model's; the session goes on."""


class Grading:
    """Grades the submissions of all sessions."""

    def __init__(self, judging: Judging | None) -> None:
        self._judging = judging
        self._threads = ThreadPoolExecutor(_THREADS, "fcpivot-grade")

    def at_once(self, environment: Environment, task: Task, action: Action, key: str | None) -> Grade | None:
        """Return the grade of an action if it can be made quickly here, else None."""
        if not is_bundled(environment.grader.name) or self._asks(environment, task, action, key):
            return None
        size = len(action.message or "") + sum(len(call.arguments) for call in action.calls)
        if size + len(task.pivot.expected_action.message or "") > _MOST_AT_ONCE:
            return None
        return _graded(environment, task, action)

    async def later(
        self, environment: Environment, task: Task, action: Action, key: str | None
    ) -> tuple[Grade, str | None]:
        """Return the grade of an action, and who judged a message; raises NotGradedError with the reason."""
        loop = asyncio.get_running_loop()
        if not self._asks(environment, task, action, key):
            grade = await loop.run_in_executor(self._threads, _graded, environment, task, action)
            return grade, self.judged_by(environment, task, action)
        assert self._judging is not None  # noqa: S101 (`_asks` says so)
        from pytest_fcpivot.graders.judge import Question  # noqa: PLC0415 (needs the package openai)

        message, grader = action.message or "", cast("AgenticGrader", environment.grader)
        try:
            verdict = await self._judging.verdict(key, Question.of(task.pivot, message))
        except Exception as error:  # noqa: BLE001 (whatever the service did; its text may hold what was sent to it)
            if self._judging.settings.fallback:
                return await loop.run_in_executor(self._threads, _graded, environment, task, action), FALLBACK
            why = f"the judge gave no verdict ({type(error).__name__}); call again to ask it again"
            raise NotGradedError(why) from None
        expected = task.pivot.expected_action.message or ""
        made = grader.grade_message(expected, message, verdict.score, verdict.reason)
        return made, self._judging.settings.model

    def judged_by(self, environment: Environment, task: Task, action: Action) -> str | None:
        """Return how a message was scored without a judge; None for a grader or an action that needs no judge."""
        return BY_KEYWORDS if environment.scores_messages and _is_judged(task, action) else None

    async def aclose(self) -> None:
        """End the threads, and the judge's connections."""
        self._threads.shutdown(cancel_futures=True)
        if self._judging is not None:
            await self._judging.aclose()

    def _asks(self, environment: Environment, task: Task, action: Action, key: str | None) -> bool:
        if self._judging is None or not environment.scores_messages or not self._judging.judges(key):
            return False
        return _is_judged(task, action)


def _is_judged(task: Task, action: Action) -> bool:
    """Return whether an action is a message that says something, where a message is expected."""
    return not task.pivot.expected_action.calls and not action.calls and bool((action.message or "").strip())


def _graded(environment: Environment, task: Task, action: Action) -> Grade:
    grader: Any = environment.grader
    try:
        grade: Grade = grader.grade(task.pivot.expected_action, action)
    except FcPivotError as error:
        raise NotGradedError(f"the grader {grader.name} failed: {error}") from None
    return grade
