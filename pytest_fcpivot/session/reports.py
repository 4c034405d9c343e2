"""Put the record of a result on the test's report, in builtin types, which pytest-xdist can send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.jsontext import on_screen, one_line, well_formed
from pytest_fcpivot.graders import passes
from pytest_fcpivot.report.failure import last_turns
from pytest_fcpivot.runs.record import CaseRecord, shown_category
from pytest_fcpivot.session.case import CASE, EARLIER_REASONS, FIRST_GRADED
from pytest_fcpivot.session.compat import let_go_of_frames
from pytest_fcpivot.session.items import PivotItem, pivot_of

if TYPE_CHECKING:
    import pytest

    from pytest_fcpivot.core.model import Grade
    from pytest_fcpivot.session.asking import Asker
    from pytest_fcpivot.session.case import Case
    from pytest_fcpivot.session.plan import Plan

_FAILED = "Failed: "
_WIDTH = 80
_IN_DETAIL = 2  # the verbosity of pytest -vv
_TURNS = "The conversation before"


def as_error(report: pytest.TestReport) -> None:
    """Turn a failed report into an error: pytest, JUnit and CI count a failed setup as one."""
    report.when = "setup"


def put_record(report: pytest.TestReport, record: CaseRecord) -> None:
    """Attach a record to a report, from which the controller's ledger reads it."""
    report.fcpivot = record.to_builtins()  # type: ignore[attr-defined]


def is_gated(report: pytest.TestReport) -> bool:
    """Return whether an answer counts as failed although its test is skipped or xfailed: a gate decides about all."""
    return getattr(report, "fcpivot_gated", False)


class Reports:
    """Completes the reports of the tests in this process; `is_worker`: they are sent to a controller."""

    def __init__(self, plan: Plan, asker: Asker, *, is_worker: bool) -> None:
        self._plan = plan
        self._asker = asker
        self._is_worker = is_worker
        gate = plan.options.gate
        self._gated = gate is not None and gate.decides
        self._xfails = gate is not None and gate.xfails

    def complete(self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """Set a report's outcome, duration and record from the case of its pivot."""
        if CASE not in item.stash:
            self._complete_without_case(item, report)
            return
        case = item.stash[CASE]
        if report.sections or report.longrepr is not None:
            _make_sendable(report)
        if call.when == "teardown":
            del item.stash[CASE]  # the conversation is not needed any more
            self._asker.forget(case)
            if self._plan.reruns.may_follow(item):
                _remember(item, case)
            elif case.raised is not None and isinstance(item, PivotItem):
                # pytest-rerunfailures keeps those of all failures: a run in which a third failed took twice as long
                let_go_of_frames(case.raised)
            return
        case.raised = call.excinfo
        if call.when == "setup":
            # a test's duration is its call's latency, and not how long the test waited for the call
            report.duration = max(0.0, report.duration - case.waited_s) + (case.latency_s if report.failed else 0.0)
        elif case.attempts:
            report.duration = case.latency_s
        if call.when == "call" or report.outcome != "passed":
            if case.grade is None and report.failed and (case.ungraded or isinstance(item, PivotItem)):
                as_error(report)  # there is no grade, so this is not a wrong answer
            error = _error_text(report, item.name) if case.grade is None and report.failed else None
            case.before = item.stash.get(EARLIER_REASONS, None)
            self._put(report, case.record(error=error, own=isinstance(item, PivotItem)))
            if report.failed and case.grade is not None and item.config.get_verbosity() >= _IN_DETAIL:
                # a section of the terminal, which JUnit does not have: it stays small
                report.sections.insert(0, (_TURNS, last_turns(case.pivot)))
            if self._xfails and report.failed and case.grade is not None:
                self._xfail(report, case.grade)
            elif self._gated and case.grade is not None and self._hides(report, case.grade):
                # if only those that pass counted, a mark or a skip could make any agent pass the gate
                report.fcpivot_gated = True  # type: ignore[attr-defined]

    def _xfail(self, report: pytest.TestReport, grade: Grade) -> None:
        """Report a wrong answer as an xfailed test; a test of the user's own may fail for another reason."""
        if report.when == "call" and not passes(grade.reward, self._plan.options.pass_mark):
            report.outcome = "skipped"
            category = one_line(shown_category(grade.category, self._plan.redact), _WIDTH)
            report.wasxfail = f"wrong answer: reward {grade.reward:g}, {category}"
            report.fcpivot_gated = True  # type: ignore[attr-defined]

    def _hides(self, report: pytest.TestReport, grade: Grade) -> bool:
        """Return whether a graded answer would not count: its test was expected to fail, or was skipped when wrong."""
        wrong = not passes(grade.reward, self._plan.options.pass_mark)
        return report.outcome == "skipped" and (wrong or hasattr(report, "wasxfail"))

    def _complete_without_case(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Record a test that ended before it had read its pivot: it was skipped, or an earlier fixture failed."""
        over = pivot_of(item) if report.when == "setup" and report.outcome != "passed" else None
        if over is not None:
            _make_sendable(report)
            error = _error_text(report, item.name) if report.failed else None
            self._put(report, CaseRecord.of_entry(*over, error=error, own=isinstance(item, PivotItem)))

    def _put(self, report: pytest.TestReport, record: CaseRecord) -> None:
        if self._is_worker:
            record.hide_secrets(self._plan.redact)  # those that only this machine's environment has
        put_record(report, record)


def _remember(item: pytest.Item, case: Case) -> None:
    """Remember, for a test that may be run again, its first grade, or else why its attempts failed."""
    if case.grade is not None:
        item.stash.setdefault(FIRST_GRADED, case.graded())
    else:
        item.stash[EARLIER_REASONS] = case.reasons()


def _make_sendable(report: pytest.TestReport) -> None:
    """Escape the characters in captured output and skip reasons that a worker could not send."""
    if report.sections:
        report.sections = [(name, well_formed(content)) for name, content in report.sections]
    if isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = path, line, on_screen(reason)


def _error_text(report: pytest.TestReport, test: str) -> str:
    """Return a report's error text; for an exception in a user's own test, with its file and line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return str(report.longrepr)
    if crash.message.startswith(_FAILED):  # raised by pytest.fail(), whose text is complete
        return str(crash.message.removeprefix(_FAILED))
    return f"{crash.message}\n  {crash.path}:{crash.lineno} in {test.partition('[')[0]}"
