"""The controller's part in a session with workers of pytest-xdist.

Workers die. Whatever they leave is run by others or, where none is left, reported as errors that say who died, and at
which test: a test that was handed out is never without a result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.distributed.compat import (
    active_workers,
    has_tests_left,
    put_back,
    runs_crashed_test_again,
    units_of,
    xdist_controller,
)
from pytest_fcpivot.distributed.machines import machine_name, shares_disk
from pytest_fcpivot.distributed.scheduler import make_scheduler
from pytest_fcpivot.distributed.stop import stop_workers
from pytest_fcpivot.report.junit import forget
from pytest_fcpivot.runs.call_log import Crashes, under_way
from pytest_fcpivot.runs.ending import INTERRUPTED
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.session.reports import as_error, put_record
from pytest_fcpivot.session.worker_plan import WorkerPlan, notes_from, own_version, tell

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from pytest_fcpivot.session.hooks import PivotSession

WORKER_DIED = "worker died"  # the outcome of a report that tells of it, and is no result of the test that it names

_DEATHS_SHOWN = 3


class Workers:
    """The controller's part in a session with workers: what they are told, what they are given, and their deaths."""

    def __init__(self, session: PivotSession) -> None:
        self._session = session
        self._crashes: Crashes | None = None
        self._reported: dict[str, str] = {}
        self._collected: list[str] = []
        self._has_collected = False
        self._deaths: dict[str, str] = {}  # how each worker died, by its id
        self._suspects: set[str] = set()

    def stop(self, reason: str) -> None:
        """Have the workers end at once."""
        stop_workers(self._session.config, reason)

    @property
    def distributes(self) -> bool:
        """Whether there are any; without gateways, xdist is installed and does nothing."""
        return xdist_controller(self._session.config) is not None

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Remember what is to be run, of which this process has nothing but names."""
        self._has_collected = True
        if not self._collected:
            self._collected = ids
        elif ids != self._collected:
            self._collected = list(dict.fromkeys([*self._collected, *ids]))

    def tests(self) -> Iterable[str] | None:
        """Return the tests over pivots that the workers have collected; where all died before, those of the data.

        None if the session ended before any had.
        """
        if not self._has_collected:
            return self._session.names.all(self._session.config) if self._deaths else None
        return (test for test in self._collected if self._session.names.find(test) is not None)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Make errors of the tests that nobody is left to run; those of a session that was stopped are not run."""
        try:
            result = yield
        except RuntimeError:
            controller = xdist_controller(self._session.config)
            if active_workers(controller, default=True):
                raise
            result = True  # all have died, or ended before their time: that is an internal error to xdist
        if self._deaths:
            self._report_lost()
        return result

    def _report_lost(self) -> None:
        lost = self._session.ledger.ending.left(self.tests() or ())
        if not lost:
            return
        deaths = list(self._deaths.values())
        shown = "; ".join(deaths[:_DEATHS_SHOWN])
        more = len(deaths) - _DEATHS_SHOWN
        why = f"no worker is left; {shown}" + (f"; and {more} more" if more > 0 else "")
        self._session.ledger.ending.lost, self._session.ledger.ending.why = len(lost), why
        for test in lost:
            text = f"not run, for {why}"
            if test in self._suspects:
                text += "\nThe agent was being asked at this test when a worker died: it may be the one that ends it."
            place, _, name = test.partition("::")
            report = pytest.TestReport(test, (place, None, name), {}, "failed", text, "setup")
            found = self._session.names.find(test)
            assert found is not None  # noqa: S101 (`tests` has looked)
            entry, repeat, own = found
            record = CaseRecord.of_entry(entry, repeat, error=text, own=own)
            put_record(report, record)
            self._session.config.hook.pytest_runtest_logreport(report=report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker what is run, and where the run is recorded."""
        session, plan = self._session, self._session.plan
        run, calls = session.ledger.recorder.path, session.calls.directory
        tell(
            node.workerinput,
            WorkerPlan(
                run=None if run is None else str(run),
                # of no use on another machine, where it would be made anew
                calls=str(calls) if calls is not None and shares_disk(node.gateway.spec) else None,
                options=plan.raw_options,
                data=[dataset.describe() for dataset in plan.datasets],
                grader=plan.described_grader,
                judge=plan.judge,
                version=own_version(),
            ),
        )
        if self._crashes is None and calls is not None:
            self._crashes = Crashes(calls)
            self._crashes.forget()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Bring the scheduler of pivots."""
        plan = self._session.plan
        return make_scheduler(config, log, plan.options.concurrency) if plan.datasets.are_run else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take a worker's notes, and mark as complete its last test, where a scheduler would give it out again.

        The report comes a moment before the word that the test is over; a worker that dies between the two would have
        its last test counted twice. This comes before the scheduler takes the worker's tests back.
        """
        self._session.closing.judge_notes.update(notes_from(getattr(node, "workeroutput", {})))
        scheduler = getattr(xdist_controller(self._session.config), "sched", None)
        if error:
            self._deaths[node.gateway.id] = f"worker {machine_name(node.gateway.spec).removesuffix(' (popen)')} died"
        elif has_tests_left(scheduler, node) and not (
            node.workeroutput["shouldfail"] or node.workeroutput["shouldstop"]
        ):
            # pytest.exit in the worker, which is an internal error to xdist
            code = node.workeroutput["exitstatus"]
            node.workeroutput["shouldstop"] = f"worker {node.gateway.id} ended with exit code {code} before its tests"
        if not error and (stopped := _why_stopped(node)) is not None:
            stop_workers(self._session.config, stopped)
        last = self._reported.get(node.gateway.id, "")
        for unit in units_of(scheduler, node):
            if last in unit:
                unit[last] = True

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        """Make the test whose call ended a worker an error.

        While it is not known which, all that were under way are asked again, alone; and so is one that was alone by
        chance, for a worker may be ended from outside. pytest-rerunfailures, which is asked first, may have put the
        test back already.
        """
        worker = _worker_of(report)
        self._deaths[worker] = f"{self._deaths.get(worker, f'worker {worker} died')} while running {crashitem}"
        found = self._session.names.find(crashitem)
        if found is None:
            return
        logs = self._new_logs(worker)
        suspects = {crashitem}.union(*map(under_way, logs))
        # The kinds that group tests give it out again, whatever happens.
        runs_again = runs_crashed_test_again(sched) or report.outcome not in ("failed", WORKER_DIED)
        known = suspects == {crashitem} and self._crashes is not None and crashitem in self._crashes.suspects
        if self._reported.get(worker) == crashitem:
            suspects.discard(crashitem)  # it was over, but for its teardown
            known = False
        elif not known and not runs_again and not put_back(sched, crashitem):
            suspects, known = {crashitem}, True
        if len(suspects) > 1:
            self._deaths[worker] += f", with calls at {len(suspects) - 1} more under way"
        self._suspects |= suspects
        self._tell(suspects, logs, guilty=known)
        if not known or runs_again:
            report.outcome = WORKER_DIED  # type: ignore[assignment]
            return
        as_error(report)
        entry, repeat, own = found
        record = CaseRecord.of_entry(entry, repeat, error=str(report.longrepr), own=own)
        put_record(report, record)

    def _new_logs(self, worker: str) -> list[Path]:
        """Return the call files of a worker that has died."""
        calls = self._session.calls.directory
        if calls is None or self._crashes is None or not worker:
            return []
        return [log for log in calls.glob(f"{worker}-*.jsonl") if log.name not in self._crashes.logs]

    def _tell(self, suspects: set[str], logs: list[Path], *, guilty: bool) -> None:
        if self._crashes is not None:
            self._crashes.add(suspects, logs, suspects if guilty else ())

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Show that a worker died, where that is no result of a test."""
        return (WORKER_DIED, "W", "WORKER DIED") if report.outcome == WORKER_DIED else None

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember what each worker reported last, and keep what is no result out of JUnit."""
        if report.outcome == WORKER_DIED:
            forget(self._session.config, report)
        elif report.when == "call" or not report.passed:
            self._reported[getattr(report, "worker_id", "")] = report.nodeid


def _why_stopped(node: Any) -> str | None:
    """Say why a worker that has ended ends the whole session; None if it does not."""
    if node.workeroutput["exitstatus"] == INTERRUPTED:
        return f"{node} received keyboard-interrupt"  # as xdist calls it
    reason = node.workeroutput["shouldstop"]
    return str(reason) if reason else None


def _worker_of(report: Any) -> str:
    """Return the id of the worker that died, of the report that xdist makes of it."""
    return str(getattr(getattr(getattr(report, "node", None), "gateway", None), "id", ""))
