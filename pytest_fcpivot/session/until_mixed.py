"""Ask at each pivot only until it has passed and failed, as --fc-until-mixed asks.

The repeats of a pivot wait for each other: whether one is needed is known when the one before it has been graded. So
that calls can be under way at the same time nevertheless, tests run in blocks: the first repeats of all pivots of a
block, then their second ones, and so on. Nothing is asked that is not needed.

A test that is not needed is passed over as if it had not been selected: it has no report, so that neither the output
nor JUnit fills up with thousands of skipped tests, and counts as not run.
"""

from __future__ import annotations

from functools import partial
from heapq import heappop, heappush
from itertools import groupby
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.runs.until_mixed import Outcomes, first_test
from pytest_fcpivot.session.case import CASE
from pytest_fcpivot.session.compat import tear_down_to
from pytest_fcpivot.session.items import pivot_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from pytest_fcpivot.session.queue import Queue
    from pytest_fcpivot.session.stored_answers import StoredAnswers

_ENDS = (KeyboardInterrupt, pytest.exit.Exception)


def pivot_key(item: pytest.Item) -> str | None:
    """Return what the repeats of a pivot have in common: the node id of the first; None for a test over no pivot."""
    over = pivot_of(item)
    return None if over is None else first_test(item.nodeid, over[1])


def arrange(items: list[pytest.Item], pivots: int) -> None:
    """Order tests in blocks of so many pivots: in each, first repeats come first, then second ones, and so on.

    Pivots keep their order, and so do files, functions and tests over no pivot.
    """
    ordered: list[pytest.Item] = []
    for (_, is_over), group in groupby(items, lambda item: (item.parent, pivot_of(item) is not None)):
        together = list(group)
        ordered += _in_blocks(together, pivots) if is_over else together
    items[:] = ordered


def _in_blocks(items: Sequence[pytest.Item], pivots: int) -> Iterator[pytest.Item]:
    of_pivot: dict[str, list[tuple[int, pytest.Item]]] = {}
    for item in items:
        over, key = pivot_of(item), pivot_key(item)
        assert over is not None  # noqa: S101 (the caller has looked)
        assert key is not None  # noqa: S101
        of_pivot.setdefault(key, []).append((over[1], item))
    all_repeats = [[item for _, item in sorted(each, key=lambda pair: pair[0])] for each in of_pivot.values()]
    for start in range(0, len(all_repeats), pivots):
        block = all_repeats[start : start + pivots]
        for place in range(max(map(len, block))):
            yield from (repeats[place] for repeats in block if place < len(repeats))


class UntilMixed:
    """The plugin object that passes over tests that are not needed, in the process that runs them.

    `block` is the number of pivots in a block, `stored` has the answers that need no call, and `outcomes` are those of
    a run that is resumed.
    """

    def __init__(self, block: int, stored: StoredAnswers, outcomes: Outcomes) -> None:
        self._block = block
        self._stored = stored
        self._outcomes = outcomes
        self._places: dict[str, int] = {}
        self._last: pytest.Item | None = None  # the last test that was not passed over
        self._running: str | None = None  # the pivot of the running test
        self._passed: bool | None = None  # what became of the running test; None as long as it has no grade
        self._ran: set[str] = set()
        self._open: set[str] = set()  # pivots with a test that runs, or is asked ahead
        self._waiting: dict[str, list[pytest.Item]] = {}  # later repeats of these
        self._ready: list[tuple[int, pytest.Item]] = []  # a heap: what no longer waits, by its place

    def ahead(self, queue: Queue) -> Queue:
        """Return the queue of those tests in another one that may be asked already."""
        return _Ready(queue, self)

    def learn(self, pivot: str, outcomes: Iterable[bool]) -> None:
        """Take in outcomes that a pivot had in another process."""
        for passed in outcomes:
            self._outcomes.add(pivot, passed=passed)

    def is_needed(self, item: pytest.Item) -> bool:
        """Return whether a test is needed: always a first repeat, and what is answered already."""
        over, pivot = pivot_of(item), pivot_key(item)
        if over is None or pivot is None or over[1] == 1 or not self._outcomes.is_mixed(pivot):
            return True
        return self._stored.knows(item.nodeid, over[0].id, over[1])

    # ---------------------------------------------------------------- pytest's hooks

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Order the tests, after all others, --ff too, have left tests out or put them into another order."""
        arrange(session.items, self._block)
        self._places = {item.nodeid: place for place, item in enumerate(session.items)}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> object | None:
        """Pass over a test that is not needed: its fixtures are not set up, and it has no report."""
        self._end()
        pivot = pivot_key(item)
        if pivot is None:
            self._last = item
            return None
        if self.is_needed(item):
            self._last = item
            self._running, self._passed = pivot, None
            self._ran.add(item.nodeid)
            self._open.add(pivot)
            return None
        call = pytest.CallInfo.from_call(partial(tear_down_to, item, nextitem), when="teardown", reraise=_ENDS)
        if call.excinfo is not None:  # of a fixture that was set up for tests before
            of = self._last or item
            of.ihook.pytest_runtest_logreport(report=of.ihook.pytest_runtest_makereport(item=of, call=call))
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note the outcome of a graded answer, as results.jsonl has it."""
        report = yield
        case = item.stash.get(CASE, None)
        if report.when == "call" and case is not None and case.grade is not None and report.outcome != "skipped":
            self._passed = report.outcome == "passed"
        return report

    def _end(self) -> None:
        """Take in the outcome of the last test, which has ended for good: another plugin may have run it again."""
        pivot, self._running = self._running, None
        if pivot is None:
            return
        if self._passed is not None:
            self._outcomes.add(pivot, passed=self._passed)
        self._open.discard(pivot)
        waiting = self._waiting.pop(pivot, [])
        if waiting:
            heappush(self._ready, (self._places.get(waiting[0].nodeid, 0), waiting[0]))
        if waiting[1:]:
            self._waiting[pivot] = waiting[1:]

    # ---------------------------------------------------------------- looking ahead

    def released(self) -> Iterator[pytest.Item]:
        """Yield the tests that waited for an earlier repeat of their pivot, which has ended."""
        while self._ready:
            item = self._ready[0][1]
            if item.nodeid not in self._ran and self.is_needed(item):
                yield item
                self.began(item)
            heappop(self._ready)  # not reached if the reader stops at this item

    def may_begin(self, item: pytest.Item) -> bool:
        """Return whether a test may be asked; if it has to wait for an earlier repeat, it is released later."""
        pivot = pivot_key(item)
        if pivot is not None and pivot in self._open:
            self._waiting.setdefault(pivot, []).append(item)
            return False
        return self.is_needed(item)

    def began(self, item: pytest.Item) -> None:
        """Take in that a test was asked ahead, so that later repeats wait for it."""
        pivot = pivot_key(item)
        if pivot is not None:
            self._open.add(pivot)


class _Ready:
    """The tests of a queue that may be asked already: those whose pivots have no earlier repeat to wait for."""

    def __init__(self, queue: Queue, mixing: UntilMixed) -> None:
        self._queue = queue
        self._mixing = mixing
        self._seen: set[str] = set()  # a worker's queue yields its tests again and again

    @property
    def grows(self) -> bool:
        """Whether tests are added while the process runs."""
        return self._queue.grows

    def after(self, item: pytest.Item) -> Iterable[pytest.Item]:
        """Yield the tests after an item that may be asked, and were not yielded before."""
        yield from self._mixing.released()
        for upcoming in self._queue.after(item):
            if upcoming.nodeid in self._seen:
                continue
            if self._mixing.may_begin(upcoming):
                yield upcoming
                self._mixing.began(upcoming)
            self._seen.add(upcoming.nodeid)  # not reached if the reader stops at this item

    def waiting(self, session: pytest.Session) -> Iterable[pytest.Item]:
        """Yield the queued tests besides the running one, as the other queue does."""
        return self._queue.waiting(session)
