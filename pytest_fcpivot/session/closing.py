"""The end of a session: what is counted, settled and shown, however it comes about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pytest_fcpivot.core.jsontext import on_screen
from pytest_fcpivot.session.items import pivot_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from pytest_fcpivot.session.junit_trouble import JUnitTrouble
    from pytest_fcpivot.session.ledger import Ledger
    from pytest_fcpivot.session.plan import Plan


class Distribution(Protocol):
    """The other processes that run a session's tests; `tests` are those that they have collected."""

    @property
    def distributes(self) -> bool: ...  # noqa: D102
    def tests(self) -> Iterable[str] | None: ...  # noqa: D102
    def stop(self, reason: str) -> None: ...  # noqa: D102


class Closing:
    """Closes the session of the process that hears of all results.

    `distribution` are its workers, if there are any. `has_run` tells that tests were begun, `runs_own_tests` that tests
    of the user's run over the data; `judge_notes` are what is to be said of the judge.
    """

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self._plan = plan
        self._ledger = ledger
        self._session: pytest.Session | None = None
        self._junit: JUnitTrouble | None = None
        self._to_summarize = False
        self.distribution: Distribution | None = None
        self.has_run = False
        self.runs_own_tests = False
        self.judge_notes: set[str] = set()

    def begin(self, session: pytest.Session) -> None:
        """Take note of pytest's own session, and be told if its JUnit file cannot be written."""
        self._session = session
        if session.config.getoption("xmlpath", None) is not None:
            from pytest_fcpivot.session.junit_trouble import JUnitTrouble  # noqa: PLC0415 (only for a file)

            self._junit = JUnitTrouble(session, self._plan, self._ledger.recorder)

    def finish(self, session: pytest.Session, *, interrupted: bool, judged: bool) -> None:
        """Settle the exit code, and write the end of the run and the figures for JUnit.

        `interrupted`: by Ctrl-C, of which pytest's exit status may say nothing yet; `judged`: by a judge of messages.
        """
        others = self.distribution if self.distribution is not None and self.distribution.distributes else None
        self._ledger.settle(session, self._selected(session, others), interrupted=interrupted)
        self._to_summarize = self.has_run
        if others is not None and not self._ledger.complete:
            others.stop("fcpivot: the session ends")
        self._ledger.close(int(session.exitstatus), workers_answer=others is not None, judged=judged)
        from pytest_fcpivot.report.junit import write_suite_properties  # noqa: PLC0415 (once, at the end)
        from pytest_fcpivot.report.summary import Figures  # noqa: PLC0415
        from pytest_fcpivot.session.summing_up import subject_of  # noqa: PLC0415

        write_suite_properties(session.config, subject_of(self._plan), Figures.of(self._ledger.tally))

    def _selected(self, session: pytest.Session, others: Distribution | None) -> Iterable[str] | None:
        """Return the tests over pivots that this session was to run; None if it ended before that was known."""
        if not self.has_run:
            return None
        if others is not None:
            return others.tests()
        return (item.nodeid for item in session.items if pivot_of(item) is not None)

    def summarize(self, reporter: pytest.TerminalReporter) -> None:
        """Write the summary in the terminal."""
        from pytest_fcpivot.report.terminal import write_summary  # noqa: PLC0415 (once, at the end)
        from pytest_fcpivot.session.summing_up import summary_of  # noqa: PLC0415

        self._to_summarize = False
        if not reporter.config.option.collectonly:
            summary = summary_of(
                reporter.config,
                self._plan,
                self._ledger,
                status=0 if self._session is None else int(self._session.exitstatus),
                runs_own_tests=self.runs_own_tests,
                judge_notes=self.judge_notes,
            )
            write_summary(reporter, summary)
        if self._junit is not None and self._junit.told is not None:
            reporter.write_line(on_screen(self._plan.redact(self._junit.told)), red=True, bold=True)

    def summarize_after_all(self, reporter: pytest.TerminalReporter | None) -> None:
        """Write the summary if pytest has shown none: after an internal error, or an exit code of the user's."""
        if self._to_summarize and reporter is not None:
            self.summarize(reporter)
