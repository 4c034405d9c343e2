"""Make the Summary of a session at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.report.summary import Figures, Recorded, Subject, Summary
from pytest_fcpivot.session.nothing_ran import why_nothing_ran
from pytest_fcpivot.session.rerun import rerun_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from pytest_fcpivot.session.ledger import Ledger
    from pytest_fcpivot.session.plan import Plan


def subject_of(plan: Plan) -> Subject:
    """Return the Subject of a session: its data, agent, grader and judge."""
    return Subject(
        data={dataset.label: dataset.note for dataset in plan.datasets},
        agent=plan.agent_name,
        grader=plan.shown_grader,
        judge=plan.shown_judge,
        mark=plan.mark,
        price=plan.options.price,
    )


def summary_of(
    config: pytest.Config,
    plan: Plan,
    ledger: Ledger,
    *,
    status: int,
    runs_own_tests: bool,
    judge_notes: Iterable[str],
) -> Summary:
    """Return a session's Summary; `status` is its exit code, `runs_own_tests`: a user's own tests run over the data."""
    figures, recorder, ending, book = Figures.of(ledger.tally), ledger.recorder, ledger.ending, plan.book
    path = None if recorder.path is None else plan.shown_path(recorder.path)
    nothing_ran = not figures.selected and not figures.skipped
    left_out = book.damages.losses() if plan.replays and book is not None and book.damages else None
    return Summary(
        subject=subject_of(plan),
        figures=figures,
        recorded=Recorded(path=path, trouble=recorder.trouble, marked=recorder.unmarked is None),
        nothing=why_nothing_ran(config, plan, status, runs_own_tests=runs_own_tests) if nothing_ran else "",
        notes=(*(plan.redact(note) for note in sorted(judge_notes)), *ledger.own_rewards.lines()),
        left_out=left_out,
        reruns=plan.reruns.asked,
        lost=ending.lost,
        why_lost=ending.why,
        uncollected=tuple(ending.uncollected),
        to_complete=not plan.replays and (not ledger.complete or figures.errors > 0),
        rerun=rerun_line(config, plan, recorder.path) if figures.failed or figures.errors else None,
    )
