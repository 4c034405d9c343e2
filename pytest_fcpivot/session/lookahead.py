"""Asking ahead: calls are started before their tests come, since pytest runs one test at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.session.items import PivotItem

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_fcpivot.calls.call import Call
    from pytest_fcpivot.calls.caller import Caller
    from pytest_fcpivot.session.case import Case
    from pytest_fcpivot.session.judging import Judging
    from pytest_fcpivot.session.queue import Queue
    from pytest_fcpivot.session.stored_answers import StoredAnswers

_MAY_NOT_RUN = frozenset({"skip", "skipif", "xfail"})  # marks whose tests are asked only when their turn comes


class Lookahead:
    """Starts the calls of the tests that come next in a process, up to `window` of them.

    `start` begins one call of a caller for a case, under a test's name. `calls` counts those that were started and
    whose test has not come yet.
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
        """Start the calls of the pivots that come next: when half the window is used up, or when there is time."""
        if self.calls > self._window // 2 and not (waits and self.calls <= self._window * 7 // 8):
            return
        for upcoming in self.queue.after(item):
            if self.calls >= self._window or self.stopped:
                break
            if not isinstance(upcoming, PivotItem) or upcoming.asked or not _has_agent(upcoming, agent, item):
                continue
            if _may_not_run(upcoming):
                continue
            if upcoming.nodeid in self._stored.suspects:
                break  # it is asked alone, when its turn comes
            if self._stored.has(upcoming):
                if self._judges_enough():
                    break
                self._judge(upcoming)
                continue
            upcoming.asked = True
            case = upcoming.case()
            case.call = self._start(caller, case, upcoming.nodeid)
            self.calls += 1

    def ask_judge(self, node: pytest.Item) -> None:
        """Ask the judge about the stored answers that come next."""
        if self._judging is None or not isinstance(node, PivotItem):
            return
        for upcoming in self.queue.after(node):
            if self._judges_enough() or self.stopped:
                break
            if not isinstance(upcoming, PivotItem):
                continue
            if not self._stored.has(upcoming):
                break  # the agent is asked about it first
            self._judge(upcoming)

    def _judges_enough(self) -> bool:
        return self._judging is not None and self._judging.ahead_of_tests >= self._window

    def _judge(self, upcoming: PivotItem) -> None:
        """Ask the judge about a stored answer whose test has not come, once."""
        if self._judging is None or upcoming.asked or upcoming.entry.expected_type != "message":
            return
        if _may_not_run(upcoming):
            return
        upcoming.asked = True
        stored = self._stored.read(upcoming)
        if stored is None or stored.error is not None or stored.redacted:
            return
        # what is reported has its verdict
        if stored.output is not None and stored.judged is None:
            self._judging.ahead(upcoming.case(), stored.output)


def _has_agent(upcoming: PivotItem, agent: Any, item: PivotItem) -> bool:
    """Return whether an item is to be asked of the same agent; its file may not have come to its agent yet."""
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
