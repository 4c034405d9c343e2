"""Get the judge's verdicts on messages, requested as soon as an agent has answered, while earlier tests still run."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.calls.call import AgentTimeoutError, DroppedError
from pytest_fcpivot.calls.caller import Caller
from pytest_fcpivot.calls.faults import TIMEOUT, fault_of
from pytest_fcpivot.calls.reasons import SettingNames, about_waiting, why_stopped
from pytest_fcpivot.calls.retry import RetryPolicy
from pytest_fcpivot.core.actions import to_action
from pytest_fcpivot.core.errors import FatalAgentError, OptionError
from pytest_fcpivot.graders.base import OFF
from pytest_fcpivot.schema.toolset import tool_set
from pytest_fcpivot.session.scoring import ASKED, CACHED, FALLBACK, Held, Scored
from pytest_fcpivot.session.worker_plan import received_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_fcpivot.calls.call import Call
    from pytest_fcpivot.calls.servers import Server, Servers
    from pytest_fcpivot.core.model import Action
    from pytest_fcpivot.graders import Grader
    from pytest_fcpivot.graders.judge import Judge, Judgement, Question
    from pytest_fcpivot.options.values import Options
    from pytest_fcpivot.runs.record import Scoring
    from pytest_fcpivot.session.case import Case


class JudgeRaisedError(Exception):
    """The judge gave no verdict: it raised `error`, in the last of `attempts`.

    `cause` names the service's fault, None if it is none; `note` is an explanation to be shown beside the error.
    """

    def __init__(self, error: BaseException, cause: str | None, attempts: int, note: str | None = None) -> None:
        super().__init__()
        self.error = error
        self.cause = cause
        self.attempts = attempts
        self.note = note


def make_judging(
    config: pytest.Config, chosen: Options, grader: Grader, servers: Servers, redact: Callable[[str], str]
) -> tuple[Judging | None, dict[str, str | None] | None]:
    """Return the session's Judging, None without a judge, and the judge's description for run.json.

    The description is None for a grader that does not score messages; if a judge would be used but there is none, it
    gives the reason. Raises OptionError if a judge is named for a grader that does not score messages,
    AgentError if the judge cannot be made.
    """
    wanted, received = chosen.judge, received_plan(config)
    if not hasattr(grader, "grade_message"):
        if wanted.model not in (None, OFF):
            raise OptionError(
                f"{wanted.model_from}={wanted.model}: {grader.name} does not score messages, so a judge is not "
                "used; leave the option out, or choose --fc-grader=agentic"
            )
        return None, None
    from pytest_fcpivot.agents.openai.settings import OPENAI_KEY  # noqa: PLC0415 (as the judge)
    from pytest_fcpivot.graders.judge import make_judge  # noqa: PLC0415 (most graders need none)
    from pytest_fcpivot.graders.judge_cache import JudgeCache  # noqa: PLC0415

    # A worker on another machine may have a key although its controller has none, or the reverse.
    model = wanted.model if received is None else (received.judge or {}).get("model") or OFF
    key = wanted.key_variable or OPENAI_KEY
    judge = make_judge(
        model,
        base_url=wanted.base_url,
        key_variable=wanted.key_variable,
        api=wanted.api,
        timeout=chosen.timeout,
        cache=JudgeCache(redact=redact),
    )
    if judge is None:
        why = f"--fc-judge={OFF}" if model == OFF else f"{key} is not set"
        return None, {"model": None, "why": why}
    judging = Judging(
        judge,
        concurrency=wanted.concurrency,
        timeout=chosen.timeout,
        policy=RetryPolicy.chosen(judge, chosen.retries, chosen.deadline),
        server=servers.of(judge),
        fallback=wanted.fallback,
        settings=SettingNames(key, "--fc-judge", "--fc-judge-base-url"),
    )
    return judging, dict(judge.facts())


class Judging:
    """Gets a judge's verdicts for the tests in this process, in an event loop that is separate from the agent's.

    Up to `concurrency` questions are in flight at once, in addition to the agent's calls. With `fallback`, the grader
    scores a message by keyword overlap if the judge fails on it.
    """

    def __init__(
        self,
        judge: Judge,
        *,
        concurrency: int,
        timeout: float | None,
        policy: RetryPolicy,
        fallback: bool,
        settings: SettingNames,
        server: Server | None = None,
    ) -> None:
        self.judge = judge
        self._fallback = fallback
        self._settings = settings
        self._caller = Caller(judge, timeout, concurrency=concurrency, policy=policy, who="judge", server=server)
        self._lock = threading.Lock()
        self._closed = self._stopping = False
        self.ahead_of_tests = 0  # number of questions asked whose test has not read the verdict

    def ahead(self, case: Case, output: Any) -> None:
        """Ask about an answer before its test runs, if the judge is to score it; may be called by any thread."""
        if self._closed or self._stopping or case.pivot.expected_action.calls or case.judging is not None:
            return  # the thread of a plain function may return after the session's end
        tools = tool_set(case.pivot.tools_json).names  # (--fc-empty-arguments does not matter for a message)
        question = _question(case, to_action(output, tools))
        if question is None:
            return
        case.judging = self._begin(question)
        with self._lock:
            self.ahead_of_tests += 1

    def verdict(self, case: Case, action: Action) -> Judgement | None:
        """Return the judge's verdict on an action; None if the grader is to score it by itself.

        Raises JudgeRaisedError if the judge gave no verdict, FatalAgentError if none of its calls can succeed.
        """
        before, case.scored = case.scored, None
        question = _question(case, action)
        held = self.forget(case)
        if question is None:
            return None
        if before is not None and before.score is not None and before.question == question:  # graded a second time
            case.scored = before
            return self._again(before)
        if case.stored is not None and case.stored.judged is not None and case.stored.judged[0] == action.message:
            return self._recorded(case, case.stored.judged[1])
        if held is None or held.question != question:
            held = self._begin(question)
        judgement = held.judgement
        if judgement is not None:
            case.scored = Scored(CACHED, judgement.score, judgement.reason, question=question)
            return judgement
        assert held.call is not None  # noqa: S101 (a question without a verdict has a call)
        began = time.perf_counter()
        try:
            self._caller.wait_for(held.call)
            if isinstance(held.call.error, DroppedError):  # dropped as the session stopped, but this test runs
                held.call = self._caller.start(question)
            asked: Judgement = self._caller.finish(held.call)
        except BaseException as error:
            if held.call.error is not error:
                raise  # not the judge's error: the user pressed Ctrl-C while this waited
            case.scored = self._without(error, held.call)
            return None
        finally:
            case.waited_s += time.perf_counter() - began
        case.scored = Scored(ASKED, asked.score, asked.reason, asked.usage, question=question)
        return asked

    def _recorded(self, case: Case, scoring: Scoring) -> Judgement | None:
        """Return the verdict recorded in the run's results: a stored answer is not judged, and paid for, twice."""
        from pytest_fcpivot.core.usage import Usage  # noqa: PLC0415 (a resumed run has loaded it)

        by, score, reason, tokens, cause = scoring
        case.scored = Scored(by, score, reason, None if tokens is None else Usage(*tokens), cause)
        return self._again(case.scored)

    def _again(self, scored: Scored) -> Judgement | None:
        from pytest_fcpivot.graders.judge import Judgement  # noqa: PLC0415 (loaded with the judge)

        return None if scored.score is None else Judgement(scored.score, scored.reason, scored.usage)

    def forget(self, case: Case) -> Held | None:
        """Remove and return the question that was asked ahead for a test; None if there was none."""
        held, case.judging = case.judging, None
        if held is not None:
            with self._lock:
                self.ahead_of_tests -= 1
        return held

    def stop(self) -> None:
        """Start no further questions ahead of tests, because the session ends; may be called by any thread."""
        self._stopping = True
        self._caller.drop_waiting()

    def close(self) -> None:
        """End all calls, and close the cache."""
        self._closed = True
        self._caller.close()
        self.judge.close()

    def _begin(self, question: Question) -> Held:
        judgement = self.judge.cached(question)
        return Held(question, judgement, None if judgement is not None else self._caller.start(question))

    def _without(self, error: BaseException, call: Call) -> Scored:
        """Score by keyword overlap because the judge failed, if that is allowed; otherwise raises as `verdict` does."""
        fault = fault_of(error)
        cause = TIMEOUT if isinstance(error, AgentTimeoutError) else None if fault is None else fault.cause
        if self._fallback:
            return Scored(FALLBACK, cause=cause or type(error).__name__)
        if fault is not None and self._caller.is_fatal(fault):
            raise FatalAgentError(f"the judge: {why_stopped(error, fault, self._settings)}") from error
        note = None if fault is None else about_waiting(fault, self._caller.policy.deadline) or None
        raise JudgeRaisedError(error, cause, call.attempts, note) from None


def _question(case: Case, action: Action) -> Question | None:
    """Return the question about an action; None unless it is a non-blank message where a message is expected."""
    if case.pivot.expected_action.calls or action.calls or not (action.message or "").strip():
        return None
    from pytest_fcpivot.graders.judge import Question  # noqa: PLC0415 (loaded with the judge)

    return Question.of(case.pivot, action.message or "", case.repeat)
