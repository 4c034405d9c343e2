"""Where a test's answer comes from: what is stored, or the agent, asked ahead of the tests."""

from __future__ import annotations

import time
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.agents import check_agent
from pytest_fcpivot.calls.call import AgentTimeoutError, CallLog, DroppedError
from pytest_fcpivot.calls.caller import Caller as AgentCaller
from pytest_fcpivot.calls.faults import TIMEOUT, fault_of, refusal_of
from pytest_fcpivot.calls.reasons import SettingNames, about_waiting, why_stopped
from pytest_fcpivot.calls.retry import RetryPolicy
from pytest_fcpivot.core.errors import AgentError, FatalAgentError
from pytest_fcpivot.distributed.workers import queued_items, window
from pytest_fcpivot.session.agent_output import OutputRouter
from pytest_fcpivot.session.case import CASE, Case
from pytest_fcpivot.session.items import PivotItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_fcpivot.calls.call import Call
    from pytest_fcpivot.calls.servers import Servers
    from pytest_fcpivot.options.values import Options
    from pytest_fcpivot.runs.answers import AnswerBook
    from pytest_fcpivot.runs.call_log import Crashes
    from pytest_fcpivot.session.judging import Judging

_MAY_NOT_RUN = frozenset({"skip", "skipif", "xfail"})  # marks whose tests are asked only when their turn comes
_MOST_AGENTS = 8
_WHERE = SettingNames("OPENAI_API_KEY for the openai agents", "--fc-model", "--fc-base-url")
# How often a worker that waits for an answer looks whether it was given more to do.
_LOOK_AGAIN_S = 0.05


class AgentRaisedError(Exception):
    """The agent raised `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class Asker:
    """Gets the answers of a process's tests."""

    def __init__(
        self,
        config: pytest.Config,
        options: Options,
        *,
        load: Callable[..., Any],
        read_pivot: Callable[[PivotItem], Case],
        log: CallLog,
        redact: Callable[[str], str],
        crashes: Crashes | None,
        servers: Servers,
        judging: Judging | None = None,
    ) -> None:
        self._config = config
        self._options = options
        self._load = load
        self._read_pivot = read_pivot
        self._log = log
        self._redact = redact
        self._crashes = crashes
        self._judging = judging
        self._servers = servers
        self._callers: dict[int, tuple[Any, AgentCaller]] = {}
        self._router: OutputRouter | None = None
        self._ahead = 0  # calls that were started and whose test has not come yet
        self._cursor = 0  # where in the session's items the present test stands
        self._examined = 0  # up to where they have been looked at
        self._window = window(config, options.concurrency)
        self._gets_more = hasattr(config, "workerinput")  # a worker's queue is filled while it runs
        self.book: AnswerBook | None = None
        self.replays = False  # nothing but the book answers
        self._stopping = False
        self.suspects: set[str] = set()
        self._guilty: set[str] = set()

    def begin(self) -> None:
        """Tell what agents print and log from what others do; pytest is configured by now."""
        if self._router is None:
            self._router = OutputRouter(self._config, self._redact)
            self._config.add_cleanup(self._end_routing)  # a session that does not begin has no end either

    # ---------------------------------------------------------------- one answer

    def answer(self, node: pytest.Item, case: Case, agent: Any) -> None:
        """Put the output for a test into its case; what the agent raised comes as AgentRaisedError.

        Raises AgentError if there is none for another reason.
        """
        if self._crashes is not None:
            self._learn_of_crashes()
        if self._is_stored(node, case):
            self._judge_ahead(node)
            return
        if node.nodeid in self._guilty:
            raise AgentError("the process crashed during the agent's call, and again when it was made alone")
        caller = self._caller(agent)
        call, case.call = case.call, None
        alone = node.nodeid in self.suspects
        if call is None:
            if alone:
                self._wait_for_others(node, caller)
            call = self._start(caller, case, node.nodeid)
        else:
            self._ahead -= 1
        began = time.perf_counter()
        try:
            if isinstance(node, PivotItem):
                node.asked = True
                if node.parent.agent is agent and not alone:
                    self._look_ahead(node, agent, caller, waits=not call.settled)
                    while self._gets_more and not caller.wait_for(call, _LOOK_AGAIN_S):
                        self._look_ahead(node, agent, caller, waits=True)
            caller.wait_for(call)
            if isinstance(call.error, DroppedError):  # this test still runs
                call = self._start(caller, case, node.nodeid)
            case.output = caller.finish(call)
        except (pytest.skip.Exception, pytest.exit.Exception):
            raise
        except AgentTimeoutError:
            case.cause = TIMEOUT
            raise
        except BaseException as error:
            if call.error is not error:
                raise  # not the agent's: the user's Ctrl-C, while waiting
            self._stop_if_fatal(error, caller, case)
            raise AgentRaisedError(error) from None
        finally:
            case.waited_s = time.perf_counter() - began
            case.latency_s, case.attempts, case.retried = call.latency_s, call.attempts, tuple(call.retried)
            call.printed.release(self._router.log_handlers if self._router else [])

    def _is_stored(self, node: pytest.Item, case: Case) -> bool:
        """Put the stored output for a test into its case; False if the agent is to be asked."""
        if self.book is None or case.call is not None:
            return False
        stored = self.book.take(node.nodeid, case.pivot.id, case.repeat)
        if stored is None:
            if self.replays:
                raise AgentError(self.book.why_none(node.nodeid))
            return False
        case.stored = stored
        case.latency_s, case.attempts, case.retried = stored.latency_s, stored.attempts, stored.retried
        case.cause = stored.cause
        if stored.output is not None:
            case.output = stored.output
        if stored.error is not None:
            raise AgentError(stored.error)
        case.output = stored.output
        return True

    def _stop_if_fatal(self, error: BaseException, caller: AgentCaller, case: Case) -> None:
        fault = fault_of(error)
        case.cause = None if fault is None else fault.cause
        case.refusal = refusal_of(error)
        if fault is None or not caller.is_fatal(fault):
            case.note = None if fault is None else about_waiting(fault, caller.policy.deadline) or None
            return
        raise FatalAgentError(why_stopped(error, fault, _WHERE)) from error

    def _caller(self, agent: Any) -> AgentCaller:
        known = self._callers.get(id(agent))
        if known is None:
            try:
                function = self._load(agent, where="fixture fc_agent") if isinstance(agent, str) else agent
                check_agent(function, "fixture fc_agent")
            except AgentError as error:
                raise FatalAgentError(str(error)) from error  # the fixture is made so for every test
            chosen = self._options
            caller = AgentCaller(
                function,
                chosen.timeout,
                concurrency=chosen.concurrency,
                policy=RetryPolicy.chosen(function, chosen.retries, chosen.deadline),
                log=self._log,
                server=self._servers.of(function),
            )
            known = self._callers[id(agent)] = (agent, caller)
            if len(self._callers) > _MOST_AGENTS:  # a fixture that makes an agent a test leaves no thread a test
                self._callers.pop(next(iter(self._callers)))[1].close()
        return known[1]

    def _start(self, caller: AgentCaller, case: Case, key: str) -> Call:
        """Ask the agent, and then, without waiting for the test, the judge."""
        then = None if self._judging is None else partial(self._judging.ahead, case)
        return caller.start(case.pivot.view(case.repeat), key, then)

    def forget(self, case: Case) -> None:
        """Take note that a test ended whose call was started ahead and never read."""
        if self._judging is not None:
            self._judging.forget(case)
        if case.call is not None:
            case.call.then = None  # nobody reads what the judge would say
            self._ahead -= 1
            case.call = None

    def stop(self) -> None:
        """Ask at no further test than the one that runs, for the session ends; may be called by any thread."""
        self._stopping = True
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
        if self.book is not None:
            self.book.close()

    def _end_routing(self) -> None:
        if self._router is not None:
            self._router.remove()
            self._router = None

    # ---------------------------------------------------------------- looking ahead

    def _look_ahead(self, item: PivotItem, agent: Any, caller: AgentCaller, *, waits: bool) -> None:
        """Start the calls of the pivots that come next: when half the window is used up, or when there is time."""
        if self._ahead > self._window // 2 and not (waits and self._ahead <= self._window * 7 // 8):
            return
        for upcoming in self._upcoming(item):
            if self._ahead >= self._window or self._stopping:
                break
            if not isinstance(upcoming, PivotItem) or upcoming.asked or not _has_agent(upcoming, agent, item):
                continue
            if _may_not_run(upcoming):
                continue
            if upcoming.nodeid in self.suspects:
                break  # it is asked alone, when its turn comes
            if self._has_stored(upcoming):
                if self._judges_enough():
                    break
                self._judge_stored(upcoming)
                continue
            upcoming.asked = True
            case = self._read_pivot(upcoming)
            case.call = self._start(caller, case, upcoming.nodeid)
            self._ahead += 1

    def _judge_ahead(self, node: pytest.Item) -> None:
        """Ask the judge about the stored answers that come next."""
        if self._judging is None or not isinstance(node, PivotItem):
            return
        for upcoming in self._upcoming(node):
            if self._judges_enough() or self._stopping:
                break
            if not isinstance(upcoming, PivotItem):
                continue
            if self._has_stored(upcoming):
                self._judge_stored(upcoming)
            else:
                break  # the agent is asked about it first

    def _has_stored(self, item: PivotItem) -> bool:
        return self.book is not None and self.book.has(item.nodeid, item.entry.id, item.repeat)

    def _judges_enough(self) -> bool:
        return self._judging is not None and self._judging.ahead_of_tests >= self._window

    def _judge_stored(self, upcoming: PivotItem) -> None:
        """Ask the judge about a stored answer whose test has not come, once."""
        if self._judging is None or self.book is None or upcoming.asked or upcoming.entry.expected_type != "message":
            return
        if _may_not_run(upcoming):
            return
        upcoming.asked = True
        stored = self.book.read(upcoming.nodeid, upcoming.entry.id, upcoming.repeat)
        if stored is None or stored.error is not None or stored.redacted:
            return
        # what is reported has its verdict
        if stored.output is not None and stored.judged is None:
            self._judging.ahead(self._read_pivot(upcoming), stored.output)

    def _upcoming(self, item: PivotItem) -> Iterable[pytest.Item]:
        """Yield what runs after an item in this process, as far as it is known and was not looked at before."""
        queue = queued_items(self._config, item.session)
        if queue is not None:
            return queue
        items = item.session.items
        try:
            self._cursor = items.index(item, self._cursor)
        except ValueError:  # run again, or in another order than collected
            self._cursor = self._examined = items.index(item)
        return self._examine(items)

    def _examine(self, items: list[pytest.Item]) -> Iterable[pytest.Item]:
        self._examined = max(self._examined, self._cursor + 1)
        for upcoming in islice(items, self._examined, None):
            yield upcoming
            self._examined += 1  # not reached for the one that was too much

    # ---------------------------------------------------------------- crashes

    def _learn_of_crashes(self) -> None:
        """Read which calls may have ended another worker's process, and take over the answers that it held."""
        assert self._crashes is not None  # noqa: S101 (the only caller checks)
        for log in self._crashes.look():
            if self.book is None:
                from pytest_fcpivot.runs.answers import AnswerBook  # noqa: PLC0415 (only after a crash)

                self.book = AnswerBook(replays=False)
            self.book.add_calls(log)
        self.suspects = self._crashes.suspects
        self._guilty = self._crashes.guilty

    def _wait_for_others(self, node: pytest.Item, caller: AgentCaller) -> None:
        """Wait until no call is under way: if the process ends now, it is known by whom."""
        for other in queued_items(self._config, node.session) or ():
            case = other.stash.get(CASE, None)
            if case is not None and case.call is not None:
                caller.wait_for(case.call)


def _has_agent(upcoming: PivotItem, agent: Any, item: PivotItem) -> bool:
    """Tell whether an item is to be asked of the same agent; its file may not have come to its agent yet."""
    if upcoming.parent.agent is not None or not upcoming.parent.direct:
        return upcoming.parent.agent is agent
    return upcoming.agent_fixture() is item.agent_fixture()


def _may_not_run(item: pytest.Item) -> bool:
    """Look for marks on an item and above it; `iter_markers` costs ten times as much, for every pivot."""
    node: Any = item
    while node is not None:
        for marker in node.own_markers:
            if marker.name in _MAY_NOT_RUN:
                return True
        node = node.parent
    return False
