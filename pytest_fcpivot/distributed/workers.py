"""pytest-xdist: what a worker has in its queue, and how the controller fills it.

A worker can ask ahead only at pivots that stand in its own queue, and a pivot that was taken back would be asked twice.
So queues are kept long enough for the calls that may be under way, and nothing is taken back; xdist's own scheduler
lets a queue run down to two tests near the end.

Workers die. Whatever they leave is run by others or, where none is left, reported as errors that say who died, and at
which test: a test that was handed out is never without a result.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.distributed.machines import machine_name, own_version, shares_disk
from pytest_fcpivot.report.failure import as_error
from pytest_fcpivot.report.junit import forget
from pytest_fcpivot.runs.call_log import Crashes, under_way
from pytest_fcpivot.runs.ending import INTERRUPTED
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.session.own_tests import NOT_TOLD
from pytest_fcpivot.session.peers import xdist_controller

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path

    from xdist.scheduler import Scheduling

    from pytest_fcpivot.session.hooks import PivotSession

WORKER_DIED = "worker died"  # the outcome of a report that tells of it, and is no result of the test that it names

_BY_US = ("load", "worksteal")
_BY_GROUPS = {
    "loadscope": "LoadScopeScheduling",
    "loadfile": "LoadFileScheduling",
    "loadgroup": "LoadGroupScheduling",
}
_DEATHS_SHOWN = 3
_LEAST_QUEUE = 2
_STOP = "fcpivot_stop"  # a command to a worker
# How many pivots may be asked ahead of the one that runs, in calls that may be under way at once. Latencies have long
# tails: while the slowest of a thousand calls is waited for, the others go on, and their answers have to be held. With
# 2, a slow head stalled its worker, and a run with log-normal latencies took 2.4 times as long.
_WINDOW_IN_CALLS = 16
# At least so many, refilled when half is used up, so that neither thread wakes the other for every pivot: with an agent
# that answers at once, 16 made a session of pivots a tenth slower. An agent that takes longer than pytest takes for a
# test never gets this far ahead.
_LEAST_WINDOW = 128


def window(config: pytest.Config, concurrency: int) -> int:
    """Return how far a process may look ahead; one that stops at failures keeps its calls under way, and no more."""
    if config.getoption("maxfail", 0):
        return concurrency
    return max(_LEAST_WINDOW, _WINDOW_IN_CALLS * concurrency)


def queued_items(config: pytest.Config, session: pytest.Session) -> list[pytest.Item] | None:
    """Return the items in this worker's queue, in order; None if this process is no worker.

    Nothing public gives the queue; without it, a worker looks no further than its own item.
    """
    if not hasattr(config, "workerinput"):
        return None
    interactor = _interactor(config)
    queue = getattr(interactor, "torun", None)
    if queue is None or not hasattr(queue, "lock"):
        return []
    following = getattr(interactor, "nextitem_index", None)
    with queue.lock() as waiting:
        indices = [following, *waiting]
    return [session.items[index] for index in indices if isinstance(index, int)]


def make_scheduler(config: pytest.Config, log: Any, concurrency: int) -> Scheduling | None:
    """Return a scheduler for a session of pivots; None for a kind of distribution that is left to xdist as it is."""
    dist = config.getoption("dist")
    if dist in _BY_GROUPS:
        return _group_scheduler(config, log, _BY_GROUPS[dist])
    if dist not in _BY_US:
        return None
    from xdist.scheduler import LoadScheduling  # noqa: PLC0415 (xdist asks for it)

    enough = window(config, concurrency) + _LEAST_QUEUE

    class PivotScheduling(LoadScheduling):  # type: ignore[misc] # xdist is not typed
        """Keeps enough pivots in every worker's queue, and hands the last ones out evenly."""

        def __init__(self) -> None:
            super().__init__(config, log)
            if config.getoption("maxfail", 0):
                self.maxschedchunk: int | None = min(config.getoption("maxschedchunk") or enough, enough)

        def check_schedule(self, node: Any, duration: float = 0) -> None:  # noqa: ARG002 (its own signature)
            if node.shutting_down:
                return
            if not self.pending:
                node.shutdown()
                return
            outstanding = len(self.pending) + sum(map(len, self.node2pending.values()))
            fair = -(-outstanding // max(1, len(self.node2pending)))
            wanted = max(_LEAST_QUEUE, min(enough, fair))
            present = len(self.node2pending[node])
            if present <= max(_LEAST_QUEUE, wanted * 3 // 4):
                self._send_tests(node, max(wanted, _LEAST_QUEUE) - present)

        def schedule(self) -> None:
            super().schedule()
            for node in self.nodes:
                if self.pending:
                    self.check_schedule(node)

    scheduler: Scheduling = PivotScheduling()
    return scheduler


def _group_scheduler(config: pytest.Config, log: Any, name: str) -> Scheduling:
    """Return xdist's scheduler that keeps groups of tests together, mended for workers that die.

    As it is, a worker that takes the place of a dead one is given one group of what came back, and waits for ever for a
    second one or the end if that is a single test; groups that were done are handed out again, and waited for; and when
    two workers die at a time, the session ends with an internal error.
    """
    from xdist import scheduler as xdist_schedulers  # noqa: PLC0415 (xdist asks for it)

    class GroupScheduling(getattr(xdist_schedulers, name)):  # type: ignore[misc] # xdist is not typed
        """Hands out what a dead worker left, and nothing else, to workers that know their tests."""

        def remove_node(self, node: Any) -> str | None:
            work = self.assigned_work[node]
            for group in [group for group, tests in work.items() if all(tests.values())]:
                del work[group]
            crashed: str | None = super().remove_node(node)
            return crashed

        def _reschedule(self, node: Any) -> None:
            waiting = None
            while node in self.registered_collections and not node.shutting_down and waiting != len(self.workqueue):
                waiting = len(self.workqueue)
                super()._reschedule(node)

    scheduler: Scheduling = GroupScheduling(config, log)
    return scheduler


def _interactor(config: pytest.Config) -> Any | None:
    """Return the plugin by which pytest-xdist runs a worker."""
    return next((plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "torun")), None)


def stop_workers(config: pytest.Config, reason: str) -> None:
    """Let the controller end the run, and its workers at once; in a session without workers, pytest itself does.

    To end, xdist has every worker run first what is in its queue, which may be a large part of the run.
    """
    controller = xdist_controller(config)
    if controller is None:
        return
    if hasattr(controller, "shouldstop"):
        controller.shouldstop = controller.shouldstop or reason
    for node in list(getattr(controller, "_active_nodes", ())):
        with suppress(Exception):  # whatever keeps it from hearing: it has ended, or does
            node.sendcommand(_STOP, reason=reason)


def listen_for_stop(config: pytest.Config, stop: Callable[[str], None]) -> None:
    """Have `stop` called in a worker, by a thread of its own, when the controller wants it to end.

    There is no hook for it: the command comes in the channel that xdist has, which passes over what it does not know.
    """
    interactor = _interactor(config)
    handle = getattr(interactor, "handle_command", None)
    if interactor is None or handle is None:
        return

    def handle_command(command: Any) -> None:
        if isinstance(command, tuple) and command[0] == _STOP:
            stop(command[1]["reason"])
        else:
            handle(command)

    interactor.handle_command = handle_command


class Untold:
    """Stops a session whose controller does not know that its workers have pivots: exit code 1 is for results."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Have the worker tell its controller, which it does when it has collected: a worker that ends is replaced."""
        session.shouldstop = f"fcpivot: {NOT_TOLD}"


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

    @property
    def distribute(self) -> bool:
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
            return self._session.all_tests() if self._deaths else None
        return (test for test in self._collected if self._session.find_test(test) is not None)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Make errors of the tests that nobody is left to run; those of a session that was stopped are not run."""
        try:
            result = yield
        except RuntimeError:
            controller = xdist_controller(self._session.config)
            if getattr(controller, "_active_nodes", True):
                raise
            result = True  # all have died, or ended before their time: that is an internal error to xdist
        if self._deaths:
            self._report_lost()
        return result

    def _report_lost(self) -> None:
        lost = self._session.ending.left(self.tests() or ())
        if not lost:
            return
        deaths = list(self._deaths.values())
        shown = "; ".join(deaths[:_DEATHS_SHOWN])
        more = len(deaths) - _DEATHS_SHOWN
        why = f"no worker is left; {shown}" + (f"; and {more} more" if more > 0 else "")
        self._session.ending.lost, self._session.ending.why = len(lost), why
        for test in lost:
            text = f"not run, for {why}"
            if test in self._suspects:
                text += "\nThe agent was being asked at this test when a worker died: it may be the one that ends it."
            place, _, name = test.partition("::")
            report = pytest.TestReport(test, (place, None, name), {}, "failed", text, "setup")
            found = self._session.find_test(test)
            assert found is not None  # noqa: S101 (`tests` has looked)
            entry, repeat, own = found
            record = CaseRecord.of_entry(entry, repeat, error=text, own=own)
            report.fcpivot = record.to_builtins()  # type: ignore[attr-defined]
            self._session.config.hook.pytest_runtest_logreport(report=report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker what is run, and where the run is recorded."""
        run, calls = self._session.recorder.path, self._session.calls
        node.workerinput["fcpivot"] = {
            "run": None if run is None else str(run),
            # of no use on another machine, where it would be made anew
            "calls": str(calls) if calls is not None and shares_disk(node.gateway.spec) else None,
            "options": self._session.raw_options,
            "data": [dataset.describe() for dataset in self._session.datasets],
            "grader": self._session.described_grader,
            "version": own_version(),
            "judge": self._session.judge,
        }
        if self._crashes is None and calls is not None:
            self._crashes = Crashes(calls)
            self._crashes.forget()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Bring the scheduler of pivots."""
        return (
            make_scheduler(config, log, self._session.options.concurrency) if self._session.datasets.are_run else None
        )

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take a worker's notes, and mark as complete its last test, where a scheduler would give it out again.

        The report comes a moment before the word that the test is over; a worker that dies between the two would have
        its last test counted twice. This comes before the scheduler takes the worker's tests back.
        """
        self._session.judge_notes.update(getattr(node, "workeroutput", {}).get("fcpivot", ()))
        scheduler = getattr(xdist_controller(self._session.config), "sched", None)
        if error:
            self._deaths[node.gateway.id] = f"worker {machine_name(node.gateway.spec).removesuffix(' (popen)')} died"
        elif _has_tests(scheduler, node) and not (node.workeroutput["shouldfail"] or node.workeroutput["shouldstop"]):
            # pytest.exit in the worker, which is an internal error to xdist
            code = node.workeroutput["exitstatus"]
            node.workeroutput["shouldstop"] = f"worker {node.gateway.id} ended with exit code {code} before its tests"
        if not error and (stopped := _why_stopped(node)) is not None:
            stop_workers(self._session.config, stopped)
        last = self._reported.get(node.gateway.id, "")
        for unit in getattr(scheduler, "assigned_work", {}).get(node, {}).values():
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
        found = self._session.find_test(crashitem)
        if found is None:
            return
        logs = self._new_logs(worker)
        suspects = {crashitem}.union(*map(under_way, logs))
        # The kinds that group tests give it out again, whatever happens.
        runs_again = hasattr(sched, "workqueue") or report.outcome not in ("failed", WORKER_DIED)
        known = suspects == {crashitem} and self._crashes is not None and crashitem in self._crashes.suspects
        if self._reported.get(worker) == crashitem:
            suspects.discard(crashitem)  # it was over, but for its teardown
            known = False
        elif not known and not runs_again and not _put_back(sched, crashitem):
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
        report.fcpivot = record.to_builtins()  # type: ignore[attr-defined]

    def _new_logs(self, worker: str) -> list[Path]:
        """Return the call files of a worker that has died."""
        calls = self._session.calls
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


def _has_tests(scheduler: Any, node: Any) -> bool:
    """Tell whether a worker was given tests that it has not run."""
    groups = getattr(scheduler, "assigned_work", {}).get(node, {}).values()
    return bool(getattr(scheduler, "node2pending", {}).get(node)) or not all(all(group.values()) for group in groups)


def _worker_of(report: Any) -> str:
    """Return the id of the worker that died, of the report that xdist makes of it."""
    return str(getattr(getattr(getattr(report, "node", None), "gateway", None), "id", ""))


def _put_back(scheduler: Any, test: str) -> bool:
    """Have a test run again; False if this kind of distribution cannot."""
    try:
        scheduler.mark_test_pending(test)
    except NotImplementedError:
        return False
    return True
