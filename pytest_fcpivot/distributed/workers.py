"""The controller's side of a session with workers of pytest-xdist.

Workers may crash. Other workers run the tests that a crashed one leaves; if no worker is left, these tests are reported
as errors that name the crashed workers and their tests. So each test that was handed out gets a result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.distributed.compat import (
    active_workers,
    expect_its_death,
    has_tests_left,
    put_back,
    runs_crashed_test_again,
    units_of,
    xdist_controller,
)
from pytest_fcpivot.distributed.machines import machine_name, shares_disk
from pytest_fcpivot.distributed.scheduler import BY_US, make_scheduler
from pytest_fcpivot.distributed.stop import stop_workers
from pytest_fcpivot.report.junit import forget
from pytest_fcpivot.runs.call_log import Crashes, under_way
from pytest_fcpivot.runs.ending import INTERRUPTED
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.session.reports import as_error, put_record
from pytest_fcpivot.session.worker_plan import (
    WorkerPlan,
    own_version,
    received_calls_under_way,
    received_notes,
    send_plan,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from pytest_fcpivot.session.hooks import PivotSession

WORKER_DIED = "worker died"  # outcome of a report about a crash, which is not a result of the test that it names

_DEATHS_SHOWN = 3
_REPORTS = "fcpivot-workers-reports"


class Workers:
    """The controller's plugin object: sends workers their plan, makes their scheduler, and handles their crashes."""

    def __init__(self, session: PivotSession) -> None:
        self._session = session
        self._crashes: Crashes | None = None
        self._reported: dict[str, str] = {}
        self._collected: list[str] = []
        self._has_collected = False
        self._deaths: dict[str, str] = {}  # how each worker died, by its id
        self._suspects: set[str] = set()

    def stop(self, reason: str) -> None:
        """Make the workers end after their present tests."""
        stop_workers(self._session.config, reason)

    @property
    def distributes(self) -> bool:
        """Whether there are workers; xdist may be installed without starting any."""
        return xdist_controller(self._session.config) is not None

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Remember the node ids that the workers have collected; this process collects none."""
        self._has_collected = True
        if not self._collected:
            self._collected = ids
        elif ids != self._collected:
            self._collected = list(dict.fromkeys([*self._collected, *ids]))

    def tests(self) -> Iterable[str] | None:
        """Return the node ids of tests over pivots that workers collected; if all crashed earlier, those of the data.

        None if the session ended before a worker had collected.
        """
        if not self._has_collected:
            return self._session.names.all(self._session.config) if self._deaths else None
        return (test for test in self._collected if self._session.names.find(test) is not None)

    def all_tests(self) -> Iterable[str]:
        """Return the node ids of all tests that the workers have collected so far."""
        return self._collected

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Report tests as errors if no worker is left to run them; in a stopped session, they count as not run."""
        try:
            result = yield
        except RuntimeError:
            controller = xdist_controller(self._session.config)
            if active_workers(controller, default=True):
                raise
            result = True  # all workers have crashed or ended early, which xdist treats as an internal error
        if self._deaths:
            self._report_lost()
        return result

    def _report_lost(self) -> None:
        ledger = self._session.ledger
        lost = [test for test in ledger.ending.left(self.tests() or ()) if not ledger.is_unneeded(test)]
        if not lost:
            return
        deaths = list(self._deaths.values())
        shown = "; ".join(deaths[:_DEATHS_SHOWN])
        more = len(deaths) - _DEATHS_SHOWN
        why = f"no worker is left; {shown}" + (f"; and {more} more" if more > 0 else "")
        ledger.ending.lost, ledger.ending.why = len(lost), why
        for test in lost:
            text = f"not run, because {why}"
            if test in self._suspects:
                text += "\nThe agent's call for this test was under way when a worker died, and may be the cause."
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
        """Send a starting worker its plan, and forget the crashes of earlier sessions at the first one."""
        expect_its_death(node)
        session, plan = self._session, self._session.plan
        if not session.config.pluginmanager.has_plugin(_REPORTS):
            session.config.pluginmanager.register(WorkersReports(session.config, self._reported), _REPORTS)
        run, calls = session.ledger.recorder.path, session.calls.directory
        send_plan(
            node.workerinput,
            WorkerPlan(
                run=None if run is None else str(run),
                # on another machine, this path means nothing
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
        """Return our scheduler if data files are run; None for xdist's own."""
        plan = self._session.plan
        if not plan.datasets.are_run:
            return None
        if plan.asks_until_mixed and config.getoption("dist") in BY_US:
            from pytest_fcpivot.distributed.mixed_scheduler import make_mixed_scheduler  # noqa: PLC0415 (if asked for)

            return make_mixed_scheduler(
                config, log, plan.options.concurrency, self._session.ledger, self._session.names
            )
        return make_scheduler(config, log, plan.options.concurrency, in_order=plan.stops_early)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take over an ended worker's notes, and keep its last test from being run, and counted, a second time.

        xdist sends a test's report a moment before the message that the test is over. If a worker dies in between, a
        scheduler would hand its last test out again, so it is marked as done here, before the scheduler takes the
        worker's tests back.
        """
        output = getattr(node, "workeroutput", {})
        self._session.closing.judge_notes.update(received_notes(output))
        self._session.closing.calls_under_way += received_calls_under_way(output)
        scheduler = getattr(xdist_controller(self._session.config), "sched", None)
        if error:
            self._deaths[node.gateway.id] = f"worker {machine_name(node.gateway.spec).removesuffix(' (popen)')} died"
        elif has_tests_left(scheduler, node) and not (
            node.workeroutput["shouldfail"] or node.workeroutput["shouldstop"]
        ):
            # the worker called pytest.exit(), which xdist treats as an internal error
            code = node.workeroutput["exitstatus"]
            ended = f"worker {node.gateway.id} ended with exit code {code} before its tests had run"
            node.workeroutput["shouldstop"] = ended
        if not error and (stopped := _why_stopped(node)) is not None:
            stop_workers(self._session.config, stopped)
        last = self._reported.get(node.gateway.id, "")
        for unit in units_of(scheduler, node):
            if last in unit:
                unit[last] = True

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        """Report the test whose call crashed a worker as an error.

        As long as several calls may be the cause, all tests whose calls were in flight are asked again, one at a time.
        A single call is also tried again, because the worker may have been killed from outside. pytest-rerunfailures,
        whose hook comes first, may have put the test back already.
        """
        worker = _worker_of(report)
        self._deaths[worker] = f"{self._deaths.get(worker, f'worker {worker} died')} while running {crashitem}"
        found = self._session.names.find(crashitem)
        if found is None:
            return
        logs = self._new_logs(worker)
        suspects = {crashitem}.union(*map(under_way, logs))
        # Schedulers of groups always hand the test out again.
        runs_again = runs_crashed_test_again(sched) or report.outcome not in ("failed", WORKER_DIED)
        known = suspects == {crashitem} and self._crashes is not None and crashitem in self._crashes.suspects
        if self._reported.get(worker) == crashitem:
            suspects.discard(crashitem)  # it has a result already; only its teardown is missing
            known = False
        elif not known and not runs_again and not put_back(sched, crashitem):
            suspects, known = {crashitem}, True
        if len(suspects) > 1:
            self._deaths[worker] += f", with calls for {len(suspects) - 1} other tests in flight"
        self._suspects |= suspects
        self._record_crash(suspects, logs, guilty=known)
        if not known or runs_again:
            report.outcome = WORKER_DIED  # type: ignore[assignment]
            return
        as_error(report)
        entry, repeat, own = found
        record = CaseRecord.of_entry(entry, repeat, error=str(report.longrepr), own=own)
        put_record(report, record)

    def _new_logs(self, worker: str) -> list[Path]:
        """Return the call files of a crashed worker that have not been handled yet."""
        calls = self._session.calls.directory
        if calls is None or self._crashes is None or not worker:
            return []
        return [log for log in calls.glob(f"{worker}-*.jsonl") if log.name not in self._crashes.logs]

    def _record_crash(self, suspects: set[str], logs: list[Path], *, guilty: bool) -> None:
        if self._crashes is not None:
            self._crashes.add(suspects, logs, suspects if guilty else ())


class WorkersReports:
    """The controller's plugin object for the reports of its workers, once there are some.

    `reported` is filled with the last test that each worker reported, by the worker's id.
    """

    def __init__(self, config: pytest.Config, reported: dict[str, str]) -> None:
        self._config = config
        self._reported = reported

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Show a crash that is not a test's result as WORKER DIED."""
        return (WORKER_DIED, "W", "WORKER DIED") if report.outcome == WORKER_DIED else None

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the last test that each worker reported, and keep crashes that are not results out of JUnit."""
        if report.outcome == WORKER_DIED:
            forget(self._config, report)
        elif report.when == "call" or not report.passed:
            self._reported[getattr(report, "worker_id", "")] = report.nodeid


def _why_stopped(node: Any) -> str | None:
    """Return the reason if an ended worker has to end the whole session; None if it has not."""
    if node.workeroutput["exitstatus"] == INTERRUPTED:
        return f"{node} received keyboard-interrupt"  # xdist's own wording
    reason = node.workeroutput["shouldstop"]
    return str(reason) if reason else None


def _worker_of(report: Any) -> str:
    """Return the id of the crashed worker from xdist's report of it; an empty text if it is unknown."""
    return str(getattr(getattr(getattr(report, "node", None), "gateway", None), "id", ""))
