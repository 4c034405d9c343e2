"""Report a JUnit file that cannot be written: the exit code must show it, and the message how to get the file."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.report.junit import guard_writing
from pytest_fcpivot.session.ledger import TO_THE_END

if TYPE_CHECKING:
    from pytest_fcpivot.runs.recorder import Recorder
    from pytest_fcpivot.session.plan import Plan


class JUnitTrouble:
    """Watches the writing of the JUnit file; `message` is the error message, None as long as there is none."""

    def __init__(self, session: pytest.Session, plan: Plan, recorder: Recorder) -> None:
        self._session = session
        self._plan = plan
        self._recorder = recorder
        self.message: str | None = None
        guard_writing(session.config, self._note)

    def _note(self, error: OSError) -> None:
        path = self._session.config.getoption("xmlpath", None)
        message = f"ERROR: the JUnit file {path} cannot be written: {error.strerror or error}"
        if self._recorder.path is not None and self._recorder.trouble is None:
            run = shlex.quote(self._plan.shown_path(self._recorder.path))
            message += (
                f"; the results are recorded: write the file with pytest --fc-replay={run} --junitxml=FILE, which asks "
                "no agent"
            )
        self.message = message
        if self._session.exitstatus in TO_THE_END:
            self._session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
