"""Count and record all results, in the process that receives them: the controller, or the only process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.graders import NemoGymGrader, passes
from pytest_fcpivot.runs.ending import Ending, exit_status, gated_status
from pytest_fcpivot.runs.own_rewards import OwnRewards
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.tally import Tally
from pytest_fcpivot.runs.until_mixed import first_test
from pytest_fcpivot.session import options
from pytest_fcpivot.session.refusals import Refusals
from pytest_fcpivot.session.reports import is_gated
from pytest_fcpivot.session.test_names import TestNames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fcpivot.runs.recorder import Recorder
    from pytest_fcpivot.session.gating import Gating
    from pytest_fcpivot.session.plan import Plan

TO_THE_END = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)


class Ledger:
    """Counts results as they are reported, and records them in the run directory.

    `complete` is set at the end of the session: whether each selected test has a result. `uncollected` has the node ids
    that pytest could not collect. `of_answers` counts failed tests that are a wrong or a missing answer. `broken`: the
    pass rate is not the mean reward, although the grader promises that.
    """

    def __init__(self, plan: Plan, recorder: Recorder, gating: Gating | None = None) -> None:
        self._plan = plan
        self.recorder = recorder
        self.gating = gating
        self.tally = Tally(plan.repeats, until_mixed=plan.options.until_mixed)
        self.ending = Ending()
        self.uncollected: list[str] = []
        self.complete = False
        self.of_answers = 0
        self.broken = False
        # Only nemo-gym is meant to give the verifier's own rewards, so only its rewards are compared.
        compares = plan.book is not None and isinstance(plan.grader, NemoGymGrader)
        self.own_rewards = OwnRewards(plan.book.own_rewards if plan.book is not None and compares else {})
        self._names = TestNames(plan) if plan.options.until_mixed else None
        self._errors: list[str] = []  # the tests that ended in errors, if repeats are asked until mixed
        self._refusals = Refusals()
        self._left: list[str] | None = None

    # ---------------------------------------------------------------- results

    def add(self, report: pytest.TestReport, session: pytest.Session | None) -> str | None:
        """Count and record the result that a report carries; returns the reason if the session has to stop, or None."""
        if getattr(report, "fcpivot", None) is None:
            if report.outcome in ("failed", "skipped") or (report.when == "call" and report.outcome == "passed"):
                self.ending.add_result(report.nodeid)  # a test without a pivot, even if its node id looks like one
            return None
        record = CaseRecord.from_builtins(report.fcpivot)
        record.hide_secrets(self._plan.redact)
        report.fcpivot = None  # type: ignore[attr-defined] # to save memory: pytest keeps the report until the end
        outcome = "failed" if is_gated(report) else report.outcome
        if outcome not in ("passed", "failed", "skipped"):
            return None  # no result yet: another plugin runs the test again
        test = report.nodeid
        self.of_answers += report.outcome == "failed" and self._is_of_answer(record, report)
        if self.ending.has_result(test):
            self.tally.repeated += 1
            return None
        graded_nothing = outcome == "passed" and record.reward is None  # a user's own test
        is_result = outcome != "skipped" and not graded_nothing
        trouble = self._record(record, test, outcome) if is_result and not record.kept else None
        self.tally.add(record, test, outcome)
        self.own_rewards.add(record)
        if self._names is not None and is_result and record.reward is None:
            self._errors.append(test)
        if self.gating is not None and is_result:
            self.gating.add(record, test)
        self.ending.add_result(test)  # last: if Ctrl-C comes before, the test counts as not run
        if trouble is None and is_result and not self.ending.lost:
            trouble = self._refusals.add(record) or self._too_many(session)
        return trouble

    def _is_of_answer(self, record: CaseRecord, report: pytest.TestReport) -> bool:
        """Return whether a failed test is a wrong answer, or has none; its own assertions may fail as well."""
        if record.reward is None:
            return report.when == "setup"
        return not passes(record.reward, self._plan.options.pass_mark)

    def _record(self, record: CaseRecord, test: str, outcome: str) -> str | None:
        """Write a result to the run directory; returns the error message if that is no longer possible, or None."""
        outcome = outcome if record.reward is not None else "error"
        price, usage = self._plan.options.price, record.usage
        cost = None if price is None or usage is None else price.of(*usage[:3])
        return self.recorder.add(record, test, outcome, cost)

    def _too_many(self, session: pytest.Session | None) -> str | None:
        """Return why the session has to stop if --fc-max-errors or --fc-max-unread is exceeded, or None."""
        chosen = self._plan.options
        for count, what, option, bound in (
            (self.tally.errors, "errors", "--fc-max-errors", chosen.max_errors),
            (self.tally.unread, "malformed, cut-off or call-like answers", "--fc-max-unread", chosen.max_unread),
        ):
            if bound is None or not count:
                continue
            total = self._expected_tests(session)
            if bound.exceeded(count, total):
                return f"{count} {what}: a run of {total} tests may have no more than {option}={bound.text}"
        return None

    def _expected_tests(self, session: pytest.Session | None) -> int:
        if session is not None and session.items:
            return len(session.items)
        # with workers, this process has no items
        return self._plan.repeats * sum(len(dataset.entries) for dataset in self._plan.datasets)

    # ---------------------------------------------------------------- the end

    def settle(self, session: pytest.Session, selected: Iterable[str] | None, *, interrupted: bool) -> None:
        """Count the tests without a result, and set the session's exit code.

        `selected` are the node ids of the selected tests, None if the session ended before they were known.
        """
        self._count_left(session, selected, interrupted=interrupted)
        self._name_uncollected(session)
        lost = self.ending.lost + len(self.ending.uncollected)
        self.broken = self._plan.grader.binary and self.tally.identity_broken()
        stopped = session.shouldstop and not self._is_decided
        self.complete = (
            session.exitstatus in TO_THE_END
            and not (interrupted or stopped or session.shouldfail)
            and self.ending.selection
            and not (lost or self.tally.not_run > self.tally.not_run_mixed)
        )
        own = int(session.exitstatus)
        session.exitstatus = exit_status(own, lost=lost, identity_broken=self.broken, interrupted=interrupted)
        if self.gating is not None:
            self._gate(session, own, interrupted=interrupted)

    def excuses(self, session: pytest.Session, selected: Iterable[str] | None) -> bool:
        """Have the gate decide; returns whether it passes and no test has failed but for wrong and missing answers.

        If so, pytest forgets that tests have failed, before it takes its exit code from that and hands it to plugins.
        Some of them, such as syrupy, would set it again.
        """
        if self.gating is None or selected is None:
            return False
        self.gating.decide(self.ending.left(selected), self.recorder)
        verdict = self.gating.verdict
        if verdict is None or verdict.fails or session.testsfailed != self.of_answers:
            return False
        session.testsfailed = self.of_answers = 0
        return True

    def _gate(self, session: pytest.Session, own: int, *, interrupted: bool) -> None:
        """Have the gate decide, and set the exit code by its verdict, unless something else decides that."""
        assert self.gating is not None  # noqa: S101 (the caller has looked)
        self.gating.decide(self._left, self.recorder)
        verdict = self.gating.verdict
        if verdict is None or interrupted or self.broken or self.ending.uncollected:
            return
        only_answers = session.testsfailed == self.of_answers
        # pytest's code for failures, without any: somebody else has set it
        of_others = own == pytest.ExitCode.TESTS_FAILED and not session.testsfailed
        session.exitstatus = gated_status(
            own, int(session.exitstatus), fails=verdict.fails, only_wrong_answers=only_answers and not of_others
        )

    def is_unneeded(self, test: str) -> bool:
        """Return whether a test need not run, because its pivot has passed and failed."""
        found = None if self._names is None else self._names.find(test)
        if found is None or found[1] == 1:
            return False
        before = self._plan.outcomes  # of a run that is resumed, also of repeats that this session does not run
        return self.tally.is_mixed(test, found[1]) or before.is_mixed(first_test(test, found[1]))

    @property
    def errors_to_ask(self) -> int:
        """How many errors a resumed run asks again: all but those that are not needed."""
        return self.tally.errors - sum(map(self.is_unneeded, self._errors))

    @property
    def _is_decided(self) -> bool:
        """Whether the gate was decided before all answers were there."""
        return self.gating is not None and self.gating.early is not None

    def close(self, status: int, *, workers_answer: bool, judged: bool) -> None:
        """Record the end of the run on disk, in an order that loses nothing if the process is killed in between.

        The files of answers are removed last, and only if each selected test has a result. `workers_answer`: workers
        may still receive answers. `judged`: a judge scored messages.
        """
        # answers that workers still receive need their directory, unless no worker could start
        waits = workers_answer and self.ending.selection and status != pytest.ExitCode.USAGE_ERROR
        self.recorder.finish(
            status,
            complete=self.complete,
            counts=self.tally.counts() if self.ending.selection else None,
            judged=self.tally.judged if judged else None,
            keep=bool(self.ending.lost) or waits,
            verdict=None if self.gating is None else self.gating.described(),
            decided=None if self.gating is None else self.gating.stopped,
        )

    def _count_left(self, session: pytest.Session, selected: Iterable[str] | None, *, interrupted: bool) -> None:
        """Count the tests without a result; they are lost, except after an interrupt, --maxfail, or a decision."""
        self.ending.selection = selected is not None
        self._left = None if selected is None else self.ending.left(selected)
        self.tally.not_run = len(self._left or ())
        self.tally.not_run_mixed = sum(map(self.is_unneeded, self._left or ()))
        left = self.tally.not_run - self.tally.not_run_mixed
        stopped_at_failures = session.shouldfail and session.config.getoption("maxfail", 0)
        wanted = stopped_at_failures or interrupted or self._is_decided
        if left and session.exitstatus in TO_THE_END and not wanted:
            self.ending.lost += left
            unknown = "the reason is unknown (a plugin or a hook of yours may have removed them)"
            self.ending.why = self.ending.why or unknown

    def _name_uncollected(self, session: pytest.Session) -> None:
        """Note the files that could not be collected, if the session ran without them, as it does with workers."""
        config, datasets = session.config, self._plan.datasets
        over_pivots = datasets.are_run or self.tally.selected or options.on_command_line(config)
        if session.exitstatus not in TO_THE_END or not over_pivots:
            return
        labels = {dataset.label for dataset in datasets}
        wanted = config.getoption("continue_on_collection_errors", False)  # does not excuse a data file
        self.ending.uncollected = [name for name in self.uncollected if name in labels or not wanted]
