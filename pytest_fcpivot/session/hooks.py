"""The plugin object of a session that runs pivots: each of pytest's hooks is forwarded to one part of the session."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.core.jsontext import on_screen
from pytest_fcpivot.runs.ending import is_interrupted
from pytest_fcpivot.runs.surroundings import surroundings
from pytest_fcpivot.session.case import CASE, Case
from pytest_fcpivot.session.closing import Closing
from pytest_fcpivot.session.heading import heading
from pytest_fcpivot.session.items import PivotFile, PivotItem
from pytest_fcpivot.session.progress import progress_of
from pytest_fcpivot.session.queue import CollectedQueue
from pytest_fcpivot.session.reports import Reports
from pytest_fcpivot.session.reruns import OneCaseEach
from pytest_fcpivot.session.short_memory import ShortMemory
from pytest_fcpivot.session.short_summary import ShortSummary
from pytest_fcpivot.session.stopping import stopping
from pytest_fcpivot.session.test_names import TestNames
from pytest_fcpivot.session.worker_plan import is_worker, send_calls_under_way, send_notes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from pytest_fcpivot.core.model import Action, Grade, Pivot
    from pytest_fcpivot.data.store import IndexEntry
    from pytest_fcpivot.session.asking import Asker
    from pytest_fcpivot.session.datasets import Dataset
    from pytest_fcpivot.session.deciding import Deciding
    from pytest_fcpivot.session.grading import Grading
    from pytest_fcpivot.session.judging import Judging
    from pytest_fcpivot.session.kept_calls import KeptCalls
    from pytest_fcpivot.session.ledger import Ledger
    from pytest_fcpivot.session.plan import Plan
    from pytest_fcpivot.session.queue import Queue
    from pytest_fcpivot.session.until_mixed import UntilMixed


class PivotSession:
    """Holds the parts of a session: the plan, the ledger of results, the grading, and the asker of agents.

    With pytest-xdist, each process has such an object; only the controller's ledger receives results.
    """

    def __init__(
        self,
        config: pytest.Config,
        plan: Plan,
        *,
        ledger: Ledger,
        grading: Grading,
        judging: Judging | None,
        asker: Asker,
        calls: KeptCalls,
        deciding: Deciding | None,
        mixing: UntilMixed | None,
    ) -> None:
        self.config = config
        self.plan = plan
        self.ledger = ledger
        self.grading = grading
        self.asker = asker
        self.calls = calls
        self.mixing = mixing
        self.names = TestNames(plan)
        self.closing = Closing(plan, ledger, deciding)
        self._judging = judging
        self._reports = Reports(plan, asker, is_worker=is_worker(config))
        self._session: pytest.Session | None = None
        self._short = ShortSummary()

        if mixing is not None:
            self.look_ahead_in(CollectedQueue())

    def look_ahead_in(self, queue: Queue) -> None:
        """Ask ahead of the tests in this queue, of which some may have to wait for others."""
        self.asker.take_from(queue if self.mixing is None else self.mixing.ahead(queue))

    # ---------------------------------------------------------------- the beginning

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session
        self.asker.begin()
        if not is_worker(self.config):
            try:
                self._begin_run()
            except FcPivotError as error:
                raise pytest.UsageError(on_screen(self.plan.redact(str(error)))) from error
            self.closing.begin(session)
        plugins = self.config.pluginmanager
        plugins.register(self._short, "fcpivot-short-summary")
        if self.mixing is not None:
            plugins.register(self.mixing, "fcpivot-until-mixed")
        reporter = plugins.getplugin("terminalreporter")
        if reporter is not None and self.config.getoption("durations", None) is None:
            plugins.register(ShortMemory(reporter, {dataset.label for dataset in self.plan.datasets}))
        if not is_worker(self.config):
            progress = progress_of(self.config, self.plan, self.ledger, self.asker, self.closing)
            if progress is not None:
                plugins.register(progress, "fcpivot-progress")
        if self.plan.reruns.runners and not is_worker(self.config):
            OneCaseEach.register(self.config, self.names.find)

    def _begin_run(self) -> None:
        facts, recorder = self.plan.describe(), self.ledger.recorder
        if self.plan.stored is not None and self.plan.resumes:
            self.plan.stored.refuse_another(facts)
        if recorder.path is not None:
            recorder.begin(facts | surroundings(self.config.rootpath))
        self.calls.find_again()

    def pytest_report_header(self) -> list[str]:
        return heading(self.plan, self.grading, self.ledger.recorder)

    # ---------------------------------------------------------------- collecting

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> PivotFile | None:
        dataset = self.plan.datasets.to_collect(file_path)
        return None if dataset is None else PivotFile.make(parent, file_path, dataset, self)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.ledger.uncollected.append(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if self.plan.stops_early:  # after all others, --ff too, have left tests out or put them into another order
            from pytest_fcpivot.session.deciding import arrange  # noqa: PLC0415 (only if asked for)

            arrange(session.items, self.plan.options.seed)
        # Thousands of items live until the end; scanning them in each garbage collection takes a tenth of the run.
        gc.freeze()

    def check_gradable(self, dataset: Dataset) -> None:
        """Refuse data that the grader cannot judge; raises CollectError."""
        self.grading.check_gradable(dataset)

    def cases_of_own_tests(self) -> list[tuple[str, tuple[Dataset, IndexEntry, int]]]:
        """Return the name and the case of everything that a user's own test runs over.

        Raises CollectError if there is nothing, or data that the grader cannot judge.
        """
        self.closing.runs_own_tests = True
        for dataset in self.plan.datasets:
            self.check_gradable(dataset)
        nothing = self.plan.datasets.why_nothing()
        if nothing:
            raise pytest.Collector.CollectError(on_screen(f"no pivot to run this on: {nothing}"))
        return list(self.names.of_own_tests())

    # ---------------------------------------------------------------- one test

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        self.closing.has_run = not self.plan.only_looks
        gated = self.ledger.gating is not None
        try:
            result = yield
        except pytest.Session.Failed:  # stopped by --maxfail
            if not (gated and self.closing.excuses(session)):
                raise
            return True
        except KeyboardInterrupt as error:
            deciding = self.closing.deciding
            if deciding is None or not deciding.ends(error):
                raise
            result = True
        if gated:
            self.closing.excuses(session)
        return result

    def pivot(self, node: pytest.Item, case: tuple[Dataset, IndexEntry, int] | None) -> Pivot:
        """Return the pivot of a test; `case` is the parameter of a user's own test, None for a pivot's own item."""
        if isinstance(node, PivotItem):
            return node.case().pivot
        if case is None:
            raise pytest.UsageError("the fixture pivot needs a test that takes it as an argument")
        dataset, entry, repeat = case
        pivot = dataset.store.read(entry.row)
        node.stash[CASE] = Case(pivot, repeat)
        return pivot

    def agent(self) -> Callable[..., Any]:
        """Load the agent that the options name."""
        return self.asker.agent(self._session)

    def ask(self, node: pytest.Item, pivot: Pivot, agent: Any) -> Action:
        """Return the agent's action at a pivot; without one to grade, the test's setup fails, which is an error."""
        return self.asker.action(node, pivot, agent)

    def grader_for(self, node: pytest.Item, pivot: Pivot) -> Callable[[Any], Grade]:
        """Return the function that grades a test's action."""
        return self.grading.grader_for(node, pivot)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self._reports.complete(item, call, report)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if is_worker(self.config):
            return
        trouble = self.ledger.add(report, self._session)
        if trouble is None and self._session is not None:
            trouble = self.closing.decided_by(report.nodeid, self._session)
        if trouble is not None and self._session is not None and not self._session.shouldstop:
            reason = self._session.shouldstop = stopping(trouble)
            self.asker.stop()
            if self.closing.distribution is not None:
                self.closing.distribution.stop(reason)

    def be_stopped(self, reason: str) -> None:
        """End this worker after its present test, at its controller's command; may be called by any thread."""
        self.asker.stop()
        if self._session is not None and not self._session.shouldstop:
            self._session.shouldstop = reason

    # ---------------------------------------------------------------- the end

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        interrupted = is_interrupted()
        try:
            self._close_calls()
        finally:  # a second Ctrl-C, during the wait for calls, must not prevent the results from being counted
            if not is_worker(self.config):
                self.closing.finish(session, interrupted=interrupted, judged=self._judging is not None)

    def _close_calls(self) -> None:
        under_way = 0
        if self.plan.stops_early and self._session is not None:
            from pytest_fcpivot.session.deciding import calls_under_way  # noqa: PLC0415 (only if asked for)

            under_way = calls_under_way(self._session.items)
        self.closing.calls_under_way += under_way
        self.asker.close()
        self.calls.close()
        if self._judging is not None:
            self.closing.judge_notes.update(self._judging.judge.notes)
        if is_worker(self.config):
            send_notes(self.config, self.closing.judge_notes)
            send_calls_under_way(self.config, under_way)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
        with self._short.shown(terminalreporter, self.ledger.tally):
            yield
        self.closing.summarize(terminalreporter)

    def pytest_unconfigure(self) -> None:
        self.closing.summarize_after_all(self.config.pluginmanager.getplugin("terminalreporter"))
        for dataset in self.plan.datasets:
            dataset.store.close()
