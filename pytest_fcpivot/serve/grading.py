"""Grades a submission: at once where that is quick, else in a thread, or with the judge's verdict."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.core.importing import describe_failure
from pytest_fcpivot.core.jsontext import on_screen
from pytest_fcpivot.graders.base import is_bundled
from pytest_fcpivot.schema.toolset import tool_set

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fcpivot.core.model import Action, Grade
    from pytest_fcpivot.graders import AgenticGrader
    from pytest_fcpivot.serve.environments import Environment
    from pytest_fcpivot.serve.judging import Judging
    from pytest_fcpivot.serve.pivots import Task

BY_KEYWORDS, FALLBACK = "keyword", "keyword, since the judge failed"
_MOST_AT_ONCE = 1 << 14  # characters of an action that are graded in the loop, which takes a few milliseconds at most
_THREADS = 2
_log = logging.getLogger("pytest_fcpivot.serve")


class NotGradedError(Exception):
    """No grade could be made of a submission, for a reason that is not the model's; the session goes on."""


@dataclass(frozen=True, slots=True)
class Graded:
    """A grade, whether the call fits its tool's schema (None for a message), and how a message was scored."""

    grade: Grade
    schema: str | None
    judge: str | None


class Grading:
    """Grades the submissions of all sessions.

    A user's own grader is called by one thread, one action after the other, as in pytest: it need not be made for more.
    """

    def __init__(self, judging: Judging | None) -> None:
        self._judging = judging
        self._threads = ThreadPoolExecutor(_THREADS, "fcpivot-grade")
        self._own = ThreadPoolExecutor(1, "fcpivot-grade-own")

    def at_once(self, environment: Environment, task: Task, action: Action, key: str | None) -> Graded | None:
        """Return the grade of an action if it can be made quickly here, else None."""
        if not is_bundled(environment.grader.name) or self._asks(environment, task, action, key):
            return None
        size = len(action.message or "") + sum(len(call.arguments) for call in action.calls)
        if size + len(task.pivot.expected_action.message or "") > _MOST_AT_ONCE:
            return None
        if not tool_set(task.pivot.tools_json).ends_soon(action):
            return None
        return _graded(environment, task, action)

    async def later(self, environment: Environment, task: Task, action: Action, key: str | None) -> Graded:
        """Return the grade of an action; raises NotGradedError with the reason."""
        if not self._asks(environment, task, action, key):
            return await self._in_thread(environment, lambda: _graded(environment, task, action))
        assert self._judging is not None  # noqa: S101 (`_asks` says so)
        from pytest_fcpivot.graders.judge import Question  # noqa: PLC0415 (needs the package openai)

        message, grader = action.message or "", cast("AgenticGrader", environment.grader)
        try:
            verdict = await self._judging.verdict(key, Question.of(task.pivot, message))
        except Exception as error:  # noqa: BLE001 (whatever the service did; its text may hold what was sent to it)
            if self._judging.settings.fallback:
                return await self._in_thread(environment, lambda: _graded(environment, task, action, FALLBACK))
            why = f"the judge gave no verdict ({type(error).__name__}); call again to ask it again"
            raise NotGradedError(why) from None
        expected, model = task.pivot.expected_action.message or "", self._judging.settings.model

        def scored() -> Graded:
            with_score = grader.grade_message
            return Graded(
                _made(grader, lambda: with_score(expected, message, verdict.score, verdict.reason)), None, model
            )

        return await self._in_thread(environment, scored)

    async def aclose(self) -> None:
        """End the threads, and the judge's connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._own.shutdown(wait=False, cancel_futures=True)
        if self._judging is not None:
            await self._judging.aclose()

    async def _in_thread(self, environment: Environment, make: Callable[[], Graded]) -> Graded:
        threads = self._threads if is_bundled(environment.grader.name) else self._own
        return await asyncio.get_running_loop().run_in_executor(threads, make)

    def _asks(self, environment: Environment, task: Task, action: Action, key: str | None) -> bool:
        if self._judging is None or not environment.scores_messages or not self._judging.judges(key):
            return False
        return _is_judged(task, action)


def _is_judged(task: Task, action: Action) -> bool:
    """Return whether an action is a message that says something, where a message is expected."""
    return not task.pivot.expected_action.calls and not action.calls and bool((action.message or "").strip())


def _graded(environment: Environment, task: Task, action: Action, judge: str | None = None) -> Graded:
    """Grade without a judge; `judge` says why, if one was asked."""
    grader: Any = environment.grader
    grade = _made(grader, lambda: grader.grade(task.pivot.expected_action, action))
    schema = tool_set(task.pivot.tools_json).check(action).status if action.calls else None
    if judge is None and environment.scores_messages and _is_judged(task, action):
        judge = BY_KEYWORDS
    return Graded(grade, schema, judge)


def _made(grader: Any, make: Callable[[], Grade]) -> Grade:
    """Return a grade; raises NotGradedError if the grader fails, for a reason that only the log tells.

    The reason may quote a verdict, in which the answer may be.
    """
    try:
        return make()
    except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever the user's code raises)
        why = str(error) if isinstance(error, FcPivotError) else describe_failure(error)
        _log.error("grader %s failed: %s", grader.name, on_screen(why))
        raise NotGradedError(f"the grader {grader.name} failed; the server's log says why") from None
