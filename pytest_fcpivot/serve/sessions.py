"""The sessions of a server: each is one try at one task, and ends with one submission."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_fcpivot.serve.problems import RequestProblem

if TYPE_CHECKING:
    import asyncio

    from pytest_fcpivot.serve.environments import Environment

NO_SESSION = "no_session"


@dataclass(slots=True)
class Submission:
    """A call of a session: `reply` has the events of its result once it is known."""

    task_id: str
    reply: bytes | None = None
    working: asyncio.Task[bytes] | None = None
    summary: str = ""


@dataclass(slots=True)
class Session:
    """One try at the task at `row`; `key` is the client's own for the judge.

    `submission` is the one graded call, `failed` the last call that brought no grade: a client that did not read a
    reply to its end asks for it again.
    """

    environment: Environment
    row: int
    key: str | None = field(repr=False)
    seen: float
    submission: Submission | None = None
    failed: Submission | None = None

    @property
    def at_work(self) -> bool:
        """Whether its submission is being graded, which may take longer than clients stay silent."""
        return self.submission is not None and self.submission.working is not None

    def submitted(self, task_id: object) -> Submission | None:
        """Return the call that a client names to read its result again; None if there is none."""
        calls = (self.submission, self.failed)
        return next((each for each in calls if each is not None and each.task_id == task_id), None)


class Sessions:
    """All open sessions, by the ids that clients send; those that are silent for too long are removed."""

    def __init__(self, *, idle_s: float, most: int) -> None:
        self._idle_s = idle_s
        self._most = most
        self._open: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, sid: str, environment: Environment, row: int, key: str | None) -> None:
        """Open a session; raises RequestProblem if there is one with this id, or if there are too many."""
        if sid in self._open:
            raise RequestProblem(400, "session_exists", "Session already exists")
        if len(self._open) >= self._most:
            raise RequestProblem(503, "too_many_sessions", f"{self._most} sessions are open, the most that may be")
        self._open[sid] = Session(environment, row, key, time.monotonic())

    def get(self, sid: str) -> Session:
        """Return an open session, which counts as a sign of life; raises RequestProblem if there is none."""
        session = self._open.get(sid)
        if session is None:
            raise RequestProblem(404, NO_SESSION, "Active environment not found: create a session first, or again")
        session.seen = time.monotonic()
        return session

    def close(self, sid: str) -> None:
        """Close a session, if it is open."""
        session = self._open.pop(sid, None)
        if session is not None:
            _end(session)

    def close_idle(self) -> int:
        """Close the sessions that gave no sign of life for too long; returns their number."""
        before = time.monotonic() - self._idle_s
        idle = [sid for sid, session in self._open.items() if session.seen < before and not session.at_work]
        for sid in idle:
            self.close(sid)
        return len(idle)

    def close_all(self) -> None:
        """Close all sessions, as the server ends."""
        for sid in list(self._open):
            self.close(sid)


def _end(session: Session) -> None:
    session.key = None
    if session.submission is not None and session.submission.working is not None:
        session.submission.working.cancel()
