"""Get the action of each test: from a stored answer, or from the agent, which is called ahead of the tests."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.agents import check_agent, load_agent
from pytest_fcpivot.calls.call import AgentTimeoutError, DroppedError, TooManyHungCallsError
from pytest_fcpivot.calls.caller import Caller
from pytest_fcpivot.calls.faults import TIMEOUT, fault_of, refusal_of
from pytest_fcpivot.calls.reasons import SettingNames, about_waiting, why_stopped
from pytest_fcpivot.calls.retry import RetryPolicy
from pytest_fcpivot.core.errors import ActionError, AgentError, FatalAgentError
from pytest_fcpivot.core.jsontext import on_screen
from pytest_fcpivot.core.model import Action
from pytest_fcpivot.report.failure import explain_error
from pytest_fcpivot.session.agent_output import OutputRouter
from pytest_fcpivot.session.case import CASE, FIRST_GRADED, case_of
from pytest_fcpivot.session.items import PivotItem
from pytest_fcpivot.session.lookahead import Lookahead
from pytest_fcpivot.session.our_fixtures import NO_AGENT
from pytest_fcpivot.session.queue import CollectedQueue, window
from pytest_fcpivot.session.stopping import stopping

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fcpivot.calls.call import Call, CallLog
    from pytest_fcpivot.calls.servers import Servers
    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.session.agent_output import Stream
    from pytest_fcpivot.session.case import Case
    from pytest_fcpivot.session.grading import Grading
    from pytest_fcpivot.session.judging import Judging
    from pytest_fcpivot.session.plan import Plan
    from pytest_fcpivot.session.queue import Queue
    from pytest_fcpivot.session.stored_answers import StoredAnswers

_MOST_AGENTS = 8
_WHERE = SettingNames("OPENAI_API_KEY for the openai agents", "--fc-model", "--fc-base-url")
# While a worker waits for an answer, it checks at this interval (in seconds) whether its queue has grown.
_LOOK_AGAIN_S = 0.05


class _AgentRaisedError(Exception):
    """The agent raised `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class Asker:
    """Gets the actions of the tests in this process; raises FcPivotError if the named agent cannot be found."""

    def __init__(
        self,
        config: pytest.Config,
        plan: Plan,
        grading: Grading,
        *,
        stored: StoredAnswers,
        judging: Judging | None,
        log: CallLog,
        servers: Servers,
    ) -> None:
        self._config = config
        self._plan = plan
        self._grading = grading
        self._stored = stored
        self._judging = judging
        self._log = log
        self._servers = servers
        self._callers: dict[int, tuple[Any, Caller]] = {}
        self._router: OutputRouter | None = None
        self._ahead = Lookahead(
            CollectedQueue(),
            stored,
            judging,
            window=window(config, plan.options.concurrency, may_stop=plan.stops_early),
            start=self._start,
        )
        if plan.options.agent is not None and not plan.replays:
            self._load(plan.options.agent, instantiate=False)

    def take_from(self, queue: Queue) -> None:
        """Look ahead in this queue instead of in all collected tests."""
        self._ahead.queue = queue

    def begin(self) -> None:
        """Begin to separate the agents' output from other output; call it once pytest is configured."""
        if self._router is None:
            self._router = OutputRouter(self._config, self._plan.redact)
            self._config.add_cleanup(self._end_routing)  # pytest_sessionfinish is not called if the start fails

    # ---------------------------------------------------------------- the agent

    def agent(self, session: pytest.Session | None) -> Callable[..., Any]:
        """Load the agent that the options name; in a replay, return a stand-in that raises AgentError."""
        trouble, plan = NO_AGENT, self._plan
        if plan.replays:
            return _no_agent
        if plan.options.agent is not None:
            try:
                return self._load(plan.options.agent)
            except AgentError as error:
                trouble = str(error)
        if session is not None:
            session.shouldstop = stopping(plan.redact(trouble))  # the next test would get no other agent
        pytest.fail(on_screen(plan.redact(trouble)), pytrace=False)

    def _load(self, spec: str, *, where: str | None = None, instantiate: bool = True) -> Callable[..., Any]:
        chosen = self._plan.options
        search = [self._config.rootpath, self._config.invocation_params.dir]
        where = where or chosen.agent_from
        return load_agent(spec, search, where=where, instantiate=instantiate, settings=chosen.openai_settings())

    def _caller(self, agent: Any) -> Caller:
        known = self._callers.get(id(agent))
        if known is None:
            try:
                function = self._load(agent, where="fixture fc_agent") if isinstance(agent, str) else agent
                check_agent(function, "fixture fc_agent")
            except AgentError as error:
                raise FatalAgentError(str(error)) from error  # the fixture would fail in the same way in every test
            chosen = self._plan.options
            caller = Caller(
                function,
                chosen.timeout,
                concurrency=chosen.concurrency,
                policy=RetryPolicy.chosen(function, chosen.retries, chosen.deadline),
                log=self._log,
                server=self._servers.of(function),
            )
            known = self._callers[id(agent)] = (agent, caller)
            if len(self._callers) > _MOST_AGENTS:  # a fixture may make one agent a test, whose threads must not add up
                self._callers.pop(next(iter(self._callers)))[1].close()
        return known[1]

    # ---------------------------------------------------------------- one test

    def action(self, node: pytest.Item, pivot: Pivot, agent: Any) -> Action:
        """Return the agent's action at a pivot; without one to grade, the test's setup fails, which is an error."""
        plan, case = self._plan, case_of(node, pivot)
        if plan.only_sets_up:
            return Action()  # the test will not run, so the agent is not called
        if FIRST_GRADED in node.stash:
            case.take(node.stash[FIRST_GRADED])
            assert case.action is not None  # noqa: S101 (it was graded)
            return case.action
        trouble = plan.reruns.refusal(node)
        if trouble is not None:
            pytest.fail(trouble, pytrace=False)
        try:
            self._answer(node, case, agent)
            case.action = self._grading.action_of(case)
        except (TooManyHungCallsError, FatalAgentError) as error:
            trouble = plan.redact(str(error))
            node.session.shouldstop = stopping(trouble)
        except (AgentError, ActionError) as error:
            trouble = plan.redact(str(error))
        except _AgentRaisedError as error:
            trouble = explain_error("agent", error.error, case.cause, case.attempts, case.note, redact=plan.redact)
        if trouble is not None:
            pytest.fail(on_screen(trouble), pytrace=False)
        assert case.action is not None  # noqa: S101 (there was no trouble)
        return case.action

    def _answer(self, node: pytest.Item, case: Case, agent: Any) -> None:
        """Put the output for a test into its case.

        Raises _AgentRaisedError around an error that the agent raised, and AgentError if there is no output for another
        reason.
        """
        stored, ahead = self._stored, self._ahead
        stored.learn_of_crashes()
        if stored.give(node, case):
            ahead.ask_judge(node)
            return
        test = node.nodeid
        if test in stored.guilty:
            raise AgentError("the process crashed during the agent's call, and again when it was made alone")
        caller = self._caller(agent)
        call, case.call = case.call, None
        alone = test in stored.suspects
        if call is None:
            if alone:
                self._wait_for_others(node, caller)
            call = self._start(caller, case, test)
        else:
            ahead.calls -= 1
        began = time.perf_counter()
        try:
            if isinstance(node, PivotItem):
                node.asked = True
                if node.parent.agent is agent and not alone:
                    ahead.ask(node, agent, caller, waits=not call.settled)
                    while ahead.queue.grows and not caller.wait_for(call, _LOOK_AGAIN_S):
                        ahead.ask(node, agent, caller, waits=True)
            caller.wait_for(call)
            if isinstance(call.error, DroppedError):  # dropped when the session was stopped, but this test runs
                call = self._start(caller, case, test)
            case.output = caller.finish(call)
        except (pytest.skip.Exception, pytest.exit.Exception):
            raise
        except AgentTimeoutError:
            case.cause = TIMEOUT
            raise
        except BaseException as error:
            if call.error is not error:
                raise  # not the agent's error: the user pressed Ctrl-C while this waited
            _stop_if_fatal(error, caller, case)
            raise _AgentRaisedError(error) from None
        finally:
            case.waited_s = time.perf_counter() - began
            case.latency_s, case.attempts, case.retried = call.latency_s, call.attempts, tuple(call.retried)
            call.printed.release(self._router.log_handlers if self._router else [])

    def _start(self, caller: Caller, case: Case, key: str) -> Call:
        """Call the agent, and the judge as soon as the agent has answered, before the test runs."""
        then = None if self._judging is None else partial(self._judging.ahead, case)
        return caller.start(case.pivot.view(case.repeat), key, then)

    def _wait_for_others(self, node: pytest.Item, caller: Caller) -> None:
        """Wait until no other call is in flight, so that a crash of the process can only come from this test's call."""
        for other in self._ahead.queue.waiting(node.session):
            case = other.stash.get(CASE, None)
            if case is not None and case.call is not None:
                caller.wait_for(case.call)

    def forget(self, case: Case) -> None:
        """Release the call of a test that has ended, whether or not the test read it."""
        if self._judging is not None:
            self._judging.forget(case)
        if case.call is not None:
            case.call.then = None  # no test would read the judge's verdict
            self._ahead.calls -= 1
            case.call = None

    # ---------------------------------------------------------------- what is to be shown of them

    def under_way(self) -> tuple[int, int | None]:
        """Return how many calls are under way in this process, and what their number is limited to by overload.

        The limit is None if there is no overload. May be called by any thread.
        """
        limits = [caller.limit for _, caller in list(self._callers.values())]
        lowered = [limit.lowered_to for limit in limits if limit.lowered_to is not None]
        return sum(limit.under_way for limit in limits), min(lowered, default=None)

    def terminal_streams(self) -> list[Stream]:
        """Return the streams that lead to where the session's output is shown, with nothing captured."""
        return [] if self._router is None else self._router.shown

    # ---------------------------------------------------------------- the end

    def stop(self) -> None:
        """Start no further calls, because the session ends after the running test; may be called by any thread."""
        self._ahead.stopped = True
        for _, caller in list(self._callers.values()):
            caller.drop_waiting()
        if self._judging is not None:
            self._judging.stop()

    def close(self) -> None:
        """End all calls."""
        for _, caller in self._callers.values():
            caller.close()
        if self._judging is not None:
            self._judging.close()
        self._end_routing()
        self._stored.close()

    def _end_routing(self) -> None:
        if self._router is not None:
            self._router.remove()
            self._router = None


def _stop_if_fatal(error: BaseException, caller: Caller, case: Case) -> None:
    """Classify an agent's error and note its cause in the case; raises FatalAgentError if no call can succeed."""
    fault = fault_of(error)
    case.cause = None if fault is None else fault.cause
    case.refusal = refusal_of(error)
    if fault is None or not caller.is_fatal(fault):
        case.note = None if fault is None else about_waiting(fault, caller.policy.deadline) or None
        return
    raise FatalAgentError(why_stopped(error, fault, _WHERE)) from error


def _no_agent(pivot: Any) -> None:
    raise AgentError(f"a replay does not call the agent, and the replayed run has no answer for {pivot.id}")
