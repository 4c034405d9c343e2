"""Start calls ahead of their tests: pytest runs one test at a time, and would otherwise make one call at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.session.items import PivotItem
from pytest_fcpivot.session.marks import has_mark

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_fcpivot.calls.call import Call
    from pytest_fcpivot.calls.caller import Caller
    from pytest_fcpivot.session.case import Case
    from pytest_fcpivot.session.judging import Judging
    from pytest_fcpivot.session.queue import Queue
    from pytest_fcpivot.session.stored_answers import StoredAnswers

_MAY_NOT_RUN = frozenset({"skip", "skipif", "xfail"})  # tests with these marks are not asked ahead


class Lookahead:
    """Starts the calls of the next tests in this process, up to `window` of them.

    `start` begins one call of a caller for a case, under a test's node id. `calls` counts the calls that were started
    and whose test has not run yet.
    """

    def __init__(
        self,
        queue: Queue,
        stored: StoredAnswers,
        judging: Judging | None,
        *,
        window: int,
        start: Callable[[Caller, Case, str], Call],
    ) -> None:
        self.queue = queue
        self._stored = stored
        self._judging = judging
        self._window = window
        self._start = start
        self.calls = 0
        self.stopped = False

    def ask(self, item: PivotItem, agent: Any, caller: Caller, *, waits: bool) -> None:
        """Start the calls of the pivots after `item` if half of the window is free; an eighth, if the test `waits`."""
        if self.calls > self._window // 2 and not (waits and self.calls <= self._window * 7 // 8):
            return
        for upcoming in self.queue.after(item):
            if self.calls >= self._window or self.stopped:
                break
            if not isinstance(upcoming, PivotItem) or upcoming.asked or not _has_agent(upcoming, agent, item):
                continue
            if has_mark(upcoming, _MAY_NOT_RUN):
                continue
            test = upcoming.nodeid
            if test in self._stored.suspects:
                break  # it may crash the process, so it is asked alone, in its turn
            if self._stored.has(upcoming):
                if self._judges_enough():
                    break
                self._judge(upcoming)
                continue
            upcoming.asked = True
            case = upcoming.case()
            case.call = self._start(caller, case, test)
            self.calls += 1

    def ask_judge(self, node: pytest.Item) -> None:
        """Ask the judge about the stored answers of the tests after `node`."""
        if self._judging is None or not isinstance(node, PivotItem):
            return
        for upcoming in self.queue.after(node):
            if self._judges_enough() or self.stopped:
                break
            if not isinstance(upcoming, PivotItem):
                continue
            if not self._stored.has(upcoming):
                break  # the agent has to answer first
            self._judge(upcoming)

    def _judges_enough(self) -> bool:
        return self._judging is not None and self._judging.ahead_of_tests >= self._window

    def _judge(self, upcoming: PivotItem) -> None:
        """Ask the judge about a stored answer before its test runs, unless that was done."""
        if self._judging is None or upcoming.asked or upcoming.entry.expected_type != "message":
            return
        if has_mark(upcoming, _MAY_NOT_RUN):
            return
        upcoming.asked = True
        stored = self._stored.read(upcoming)
        if stored is None or stored.error is not None or stored.redacted:
            return
        # an answer with a result has its verdict already
        if stored.output is not None and stored.judged is None:
            self._judging.ahead(upcoming.case(), stored.output)


def _has_agent(upcoming: PivotItem, agent: Any, item: PivotItem) -> bool:
    """Return whether two items have the same agent; if the agent of a file is not made yet, compare the fixtures."""
    if upcoming.parent.agent is not None or not upcoming.parent.direct:
        return upcoming.parent.agent is agent
    return upcoming.agent_fixture() is item.agent_fixture()
