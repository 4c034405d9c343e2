"""End a session: settle the exit code, finish the run on disk, and show the summary."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from pytest_fcpivot.core.jsontext import on_screen
from pytest_fcpivot.session.items import pivot_of
from pytest_fcpivot.session.ledger import TO_THE_END

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fcpivot.report.summary import Summary
    from pytest_fcpivot.session.deciding import Deciding
    from pytest_fcpivot.session.junit_trouble import JUnitTrouble
    from pytest_fcpivot.session.ledger import Ledger
    from pytest_fcpivot.session.page import Page
    from pytest_fcpivot.session.plan import Plan

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"  # names the file whose Markdown GitHub shows on the page of a job


class Distribution(Protocol):
    """The controller's view of its workers.

    `tests` are the tests over pivots that the workers collected, None if that is unknown; `all_tests` has others too.
    """

    @property
    def distributes(self) -> bool: ...  # noqa: D102
    def tests(self) -> Iterable[str] | None: ...  # noqa: D102
    def all_tests(self) -> Iterable[str]: ...  # noqa: D102
    def stop(self, reason: str) -> None: ...  # noqa: D102


class Closing:
    """Ends the session in the process that receives all results: the controller, or the only process.

    `distribution` are the controller's workers, if there are any. `has_run`: pytest has begun to run tests.
    `runs_own_tests`: tests of the user's own run over the data. `judge_notes` are remarks about the judge for the
    summary. `deciding` stops the session when its gate is decided; None if it is not to be stopped. `calls_under_way`
    counts the calls for tests that were not run.
    """

    def __init__(self, plan: Plan, ledger: Ledger, deciding: Deciding | None) -> None:
        self._plan = plan
        self._ledger = ledger
        self._session: pytest.Session | None = None
        self._junit: JUnitTrouble | None = None
        self._page: Page | None = None
        self._to_summarize = False
        self._summary: Summary | None = None
        self.distribution: Distribution | None = None
        self.has_run = False
        self.runs_own_tests = False
        self.judge_notes: set[str] = set()
        self.deciding = deciding
        self.calls_under_way = 0

    def begin(self, session: pytest.Session) -> None:
        """Remember pytest's session, and watch whether its JUnit file can be written."""
        self._session = session
        if session.config.getoption("xmlpath", None) is not None:
            from pytest_fcpivot.session.junit_trouble import JUnitTrouble  # noqa: PLC0415 (only for a file)

            self._junit = JUnitTrouble(session, self._plan, self._ledger.recorder)

    def finish(self, session: pytest.Session, *, interrupted: bool, judged: bool) -> None:
        """Set the exit code, and write the end of the run and the figures for JUnit.

        `interrupted`: the session ends by Ctrl-C, which pytest's exit status may not show yet. `judged`: a judge scored
        messages.
        """
        others = self._others()
        self._ledger.settle(session, self._selected(session, others), interrupted=interrupted)
        self._to_summarize = self.has_run
        if others is not None and not self._ledger.complete:
            others.stop("fcpivot: the session ends")
        try:
            self._ledger.close(int(session.exitstatus), workers_answer=others is not None, judged=judged)
            self._save_baseline(session)
            self._write_summary_file(session)
        finally:
            self._ledger.recorder.close()
        self._write_page(session)
        self._write_junit_properties(session.config)

    def _others(self) -> Distribution | None:
        return self.distribution if self.distribution is not None and self.distribution.distributes else None

    def excuses(self, session: pytest.Session) -> bool:
        """Return whether a gate passes, so that failed tests do not decide the exit code; all tests have run."""
        return self._ledger.excuses(session, self._selected(session, self._others()))

    def decided_by(self, test: str, session: pytest.Session) -> str | None:
        """Return why the session stops, if with the result of this test its gate is decided; None otherwise."""
        deciding, gating, ledger = self.deciding, self._ledger.gating, self._ledger
        if deciding is None or gating is None or not ledger.ending.has_result(test):
            return None
        if self._plan.replays_unfinished is not None:
            return None  # nothing can be said about the whole run
        if not deciding.begun:
            others = self._others()
            tests = [item.nodeid for item in session.items] if others is None else others.all_tests()
            gating.begin_deciding(deciding, tests, ledger.recorder)
        if not deciding.saw(test, gating.rewards):
            return None
        gating.early = deciding.verdict
        return f"decided: {deciding.verdict.word}" if deciding.verdict is not None else None

    def _save_baseline(self, session: pytest.Session) -> None:
        """Save the run as a baseline, if that is asked for; a job that relies on it notices by the exit code."""
        gating, ledger = self._ledger.gating, self._ledger
        if gating is None or gating.options.save is None or not ledger.ending.selection:
            return
        refused = gating.save(ledger.recorder, int(session.exitstatus), ledger.tally.counts())
        if refused and session.exitstatus in TO_THE_END and not (gating.verdict is not None and gating.verdict.fails):
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def _write_page(self, session: pytest.Session) -> None:
        """Write the HTML report, if it is asked for; a job that relies on it notices by the exit code."""
        target = self._plan.options.html
        if target is None or self._plan.only_looks or not self.has_run:
            return
        from pytest_fcpivot.session.page import Page  # noqa: PLC0415 (only for a report)

        self._page = Page(self._plan, target)
        self._page.write(self._ledger)
        if self._page.trouble is not None and session.exitstatus in TO_THE_END:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def _write_junit_properties(self, config: pytest.Config) -> None:
        """Add the figures to the JUnit file before pytest writes it; without one, they are not worked out here."""
        from pytest_fcpivot.report.junit import (  # noqa: PLC0415 (once, at the end)
            suite_properties,
            suite_writers,
            verdict_properties,
        )

        writers = suite_writers(config)
        if not writers:
            return
        summary = self._summary_of(config)
        properties = suite_properties(summary.subject, summary.figures)
        if summary.verdict is not None:
            properties |= verdict_properties(summary.verdict)
        for add in writers:
            for name, value in properties.items():
                add(name, value)

    def _selected(self, session: pytest.Session, others: Distribution | None) -> Iterable[str] | None:
        """Return the node ids of the selected tests over pivots; None if the session ended before they were known."""
        if not self.has_run:
            return None
        if others is not None:
            return others.tests()
        return (item.nodeid for item in session.items if pivot_of(item) is not None)

    def summarize(self, reporter: pytest.TerminalReporter) -> None:
        """Write the summary in the terminal."""
        from pytest_fcpivot.report.terminal import write_summary  # noqa: PLC0415 (once, at the end)

        self._to_summarize = False
        if not reporter.config.option.collectonly:
            summary = self._summary_of(reporter.config)
            write_summary(reporter, summary)
            self._say_page(reporter)
            self._write_step_summary(reporter, summary)
        if self._junit is not None and self._junit.message is not None:
            reporter.write_line(on_screen(self._plan.redact(self._junit.message)), red=True, bold=True)

    def _say_page(self, reporter: pytest.TerminalReporter) -> None:
        """Write where the HTML report is, or why there is none."""
        if self._page is None:
            return
        for line in self._page.lines:
            reporter.write_line(on_screen(self._plan.redact(line)))
        if self._page.trouble is not None:
            reporter.write_line(on_screen(self._plan.redact(f"ERROR: {self._page.trouble}")), red=True, bold=True)

    def _summary_of(self, config: pytest.Config) -> Summary:
        """Return the present Summary of the session; what takes long to find out is found out once."""
        from pytest_fcpivot.session.summing_up import summary_of  # noqa: PLC0415 (once, at the end)

        self._summary = summary_of(
            config,
            self._plan,
            self._ledger,
            status=0 if self._session is None else int(self._session.exitstatus),
            runs_own_tests=self.runs_own_tests,
            judge_notes=self.judge_notes,
            calls_under_way=self.calls_under_way,
            known=self._summary,
        )
        return self._summary

    def _write_summary_file(self, session: pytest.Session) -> None:
        """Write the summary beside the results, if the session is recorded."""
        recorder = self._ledger.recorder
        if not recorder.is_open:
            return
        from pytest_fcpivot.report.summary_json import written  # noqa: PLC0415 (only for a run)

        recorder.write_summary(written(self._summary_of(session.config), self._plan.redact))

    def _write_step_summary(self, reporter: pytest.TerminalReporter, summary: Summary) -> None:
        """Write the summary for the page of the CI job, if the environment names a file for it."""
        if not os.environ.get(STEP_SUMMARY):
            return
        from pytest_fcpivot.report.step_summary import append, step_summary  # noqa: PLC0415 (only in such a CI)

        path = Path(os.environ[STEP_SUMMARY])
        try:
            append(path, step_summary(summary))
        except OSError as error:
            reporter.write_line(
                on_screen(f"the summary for the job's page cannot be written to {path}: {error.strerror or error}")
            )

    def summarize_after_all(self, reporter: pytest.TerminalReporter | None) -> None:
        """Write the summary if pytest has shown none: after an internal error, or an unknown exit code."""
        if self._to_summarize and reporter is not None:
            self.summarize(reporter)
