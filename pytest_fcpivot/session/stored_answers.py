"""Answers that need no call: those of a stored run, and those that a crashed worker had received."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import AgentError

if TYPE_CHECKING:
    import pytest

    from pytest_fcpivot.runs.answers import AnswerBook, StoredAnswer
    from pytest_fcpivot.runs.call_log import Crashes
    from pytest_fcpivot.session.case import Case
    from pytest_fcpivot.session.items import PivotItem


class StoredAnswers:
    """The answers that tests get without a call.

    `suspects` are the tests whose calls may have crashed a worker: they are asked again, one at a time. `guilty` are
    the tests whose calls are known to have crashed one.
    """

    def __init__(self, book: AnswerBook | None, *, replays: bool, crashes: Crashes | None) -> None:
        self._book = book
        self._replays = replays  # a test without an answer in the book is an error
        self._crashes = crashes
        self.suspects: set[str] = set()
        self.guilty: set[str] = set()

    def learn_of_crashes(self) -> None:
        """Read which calls may have crashed another worker, and take over the answers that it had received."""
        if self._crashes is None:
            return
        for log in self._crashes.look():
            if self._book is None:
                from pytest_fcpivot.runs.answers import AnswerBook  # noqa: PLC0415 (only after a crash)

                self._book = AnswerBook(replays=False)
            self._book.add_calls(log)
        self.suspects = self._crashes.suspects
        self.guilty = self._crashes.guilty

    def has(self, item: PivotItem) -> bool:
        """Return whether there is an answer to an item."""
        return self.knows(item.nodeid, item.entry.id, item.repeat)

    def knows(self, test: str, pivot_id: str, repeat: int) -> bool:
        """Return whether there is an answer to a test, by its node id."""
        return self._book is not None and self._book.has(test, pivot_id, repeat)

    def read(self, item: PivotItem) -> StoredAnswer | None:
        """Return the answer to an item before its test runs; None if there is none."""
        return None if self._book is None else self._book.read(item.nodeid, item.entry.id, item.repeat)

    def give(self, node: pytest.Item, case: Case) -> bool:
        """Put the stored output for a test into its case; returns False if the agent has to be asked.

        Raises AgentError if the stored result is an error, and in a replay if there is no answer.
        """
        if self._book is None or case.call is not None:
            return False
        stored = self._book.take(node.nodeid, case.pivot.id, case.repeat)
        if stored is None:
            if self._replays:
                raise AgentError(self._book.why_none(node.nodeid, case.pivot.id))
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

    def close(self) -> None:
        """Close the files of the answers."""
        if self._book is not None:
            self._book.close()
