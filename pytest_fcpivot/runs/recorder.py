"""Record a session's run: begin it, write each result, and end it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.answers import AnswerBook
from pytest_fcpivot.runs.described import DECIDED, RUN_FORMAT, read_with_origin
from pytest_fcpivot.runs.directory import SUMMARY, RunDirectory, now
from pytest_fcpivot.runs.trust import Origin, find_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_fcpivot.runs.record import CaseRecord
    from pytest_fcpivot.runs.trust import Key


class Recorder:
    """Records the run of this session in `path`; does nothing if that is None.

    `must`: an unusable directory is an error, because the user named it. `marks`: everything that the run names comes
    from this user, so that it is marked as made here, if there is a key.
    """

    def __init__(self, path: Path | None, *, resumes: bool, must: bool, marks: bool) -> None:
        self.path = path
        self.trouble: str | None = None
        self._no_mark = None if marks else "it continues a run that was not made here"
        self._marks = marks
        self._key: Key | None = None
        self._resumes = resumes
        self._must = must  # the user named the directory
        self._run: RunDirectory | None = None
        self._session: dict[str, Any] = {}
        self._sessions: list[dict[str, Any]] = []
        self._description: dict[str, Any] = {}
        self.repaired = 0
        self.written = 0

    def begin(self, description: Mapping[str, Any]) -> None:
        """Create or open the run directory; raises RunError if it cannot be used and the user named it."""
        if self.path is None:
            return
        self._session = {"started": now(), "ended": None, "exit_status": None}
        if self._marks:
            self._key = find_key(make=True)
            self._no_mark = self._key.trouble or None
        try:
            if self._resumes:
                self._run = RunDirectory.resume(self.path)
                self._run.forget_summary()  # it is of the session before
                self.repaired = self._run.repaired
                # Read again, now that the lock keeps other sessions out: the mark must be for the present content.
                self._description, origin = read_with_origin(self.path, self._key or find_key())
                if self._marks and origin is not Origin.HERE:
                    self._key, self._no_mark = None, "its run.json was changed while this session began"
                for name in ("counts", "verdict", DECIDED):  # of the session before
                    self._description.pop(name, None)
            else:
                self._description = {"format": RUN_FORMAT, **description}
                self._run = RunDirectory.begin(self.path, self._description, self._key)
            self._sessions = [*self._description.get("sessions", ()), self._session]
            self._describe()
        except RunError as error:
            if self._must:
                raise
            self.trouble = f"the run is not recorded: {error}; name a directory with --fc-run"
            self.path = self._run = None
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    @property
    def description(self) -> Mapping[str, Any]:
        """The run's description, as far as it is known; empty if the run is not recorded."""
        return self._description

    @property
    def is_open(self) -> bool:
        """Whether the run can be written."""
        return self._run is not None

    @property
    def unmarked(self) -> str | None:
        """The line about a run that is not marked as made here; None if it is marked, or is not recorded."""
        if self.path is None or self._no_mark is None:
            return None
        return (
            f"the run is not marked as made here ({self._no_mark}): to resume or replay it, its agent, data and "
            "addresses have to be given again"
        )

    @property
    def calls(self) -> Path | None:
        """The directory in which processes keep answers whose tests have not run; None without a run directory."""
        return None if self.path is None else RunDirectory(self.path).calls

    def add(self, record: CaseRecord, test: str, outcome: str, cost: float | None) -> str | None:
        """Write one result; if that fails, returns the error message and writes nothing more in this session."""
        if self._run is None:
            return None
        try:
            self._run.append(record.line(test, outcome, cost))
        except OSError as error:
            self.trouble = (
                f"{self.path}: results cannot be written any more: {error.strerror or error}; earlier ones are kept: "
                f"make room, and resume with --fc-resume={self.path}"
            )
            self._run.close()
            self._run = None
            return self.trouble
        self.written += 1
        return None

    def finish(
        self,
        exit_status: int,
        *,
        complete: bool,
        counts: Mapping[str, int] | None = None,
        judged: Mapping[str, int] | None = None,
        keep: bool = False,
        verdict: Mapping[str, Any] | None = None,
        decided: Mapping[str, Any] | None = None,
    ) -> None:
        """Record the end of the session; then remove the kept answers if the run is `complete`.

        The run stays open, for its summary, until `close`.

        `counts` has the selected tests by outcome, `judged` the scored messages by who scored them, if there was a
        judge, `verdict` is the gate's, if there was one, and `decided` says how the session stopped for it. A new run
        without results is removed, unless `keep` is set or answers are kept.
        """
        if self._run is None:
            return
        answers_wait = self.calls is not None and self.calls.exists() and not complete
        if not (self._resumes or answers_wait or keep) and self._run.discard_if_empty():
            self.path = self._run = None
            return
        self._session |= {"ended": now(), "exit_status": exit_status}
        if counts is not None:
            self._description["counts"] = dict(counts)
        if verdict is not None:
            self._description["verdict"] = dict(verdict)
        if decided is not None:
            self._description[DECIDED] = dict(decided)
        if judged is not None:
            counts = self._run.judged() if self._resumes else judged  # a resumed run has results of earlier sessions
            self._description["judged"] = dict(sorted(counts.items()))
        try:
            self._describe()
            described = True
        except OSError as error:
            described = False
            self.trouble = f"{self.path}: run.json cannot be written: {error.strerror or error}"
        if complete:
            if not self._answers_wait():
                self._run.forget_calls()
            if not described:
                self._describe_in_freed_room()

    def write_summary(self, content: bytes) -> None:
        """Write the summary of the finished run; if that fails, it is told as trouble."""
        if self._run is None:
            return
        try:
            self._run.write_summary(content)
        except OSError as error:
            self.trouble = self.trouble or f"{self.path}: {SUMMARY} cannot be written: {error.strerror or error}"

    def close(self) -> None:
        """Let go of the run, so that another session may go on with it."""
        if self._run is not None:
            self._run.close()
            self._run = None

    def _answers_wait(self) -> bool:
        """Return whether the run has answers for tests without a result, which this session did not select."""
        if self._run is None or not (self._resumes and self._run.calls.is_dir()):
            return False
        book = AnswerBook(replays=False)
        try:
            book.add_run(self._run)
        except RunError:
            return True
        return book.waiting > 0

    def _describe_in_freed_room(self) -> None:
        with suppress(OSError):
            self._describe()
            self.trouble = None

    def _describe(self) -> None:
        assert self._run is not None  # noqa: S101 (the callers have one)
        first = self._sessions[0]
        self._description |= {
            "started": first.get("started"),
            "ended": self._session["ended"],
            "sessions": self._sessions,
        }
        self._run.write_description(self._description, self._key)
