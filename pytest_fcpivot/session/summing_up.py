"""Make the Summary of a session at its end."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.report.summary import Figures, Recorded, Subject, Summary
from pytest_fcpivot.session.nothing_ran import why_nothing_ran
from pytest_fcpivot.session.rerun import rerun_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_fcpivot.runs.gate import Verdict
    from pytest_fcpivot.session.gating import Gating
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
    calls_under_way: int,
    known: Summary | None = None,
) -> Summary:
    """Return a session's Summary; `status` is its exit code, `runs_own_tests`: a user's own tests run over the data.

    `calls_under_way` counts the calls for tests that were not run. The figures and the comparison of a Summary that is
    `known`, from earlier in the session's end, are taken over; other plugins, and workers that end late, may have
    changed the rest.
    """
    recorder, ending, book = ledger.recorder, ledger.ending, plan.book
    gating, verdict = ledger.gating, None if ledger.gating is None else ledger.gating.verdict
    path = None if recorder.path is None else plan.shown_path(recorder.path)
    if known is None:
        figures = Figures.of(ledger.tally)
        changed = None if gating is None else gating.changed(figures.causes, recorder.path)
        compared = _comparison(plan, gating, path)
    else:
        figures, changed = known.figures, known.changed
        compared = known.comparison, known.comparison_page, known.comparison_figures
    nothing_ran = not figures.selected and not figures.skipped
    xfails = gating is not None and gating.options.xfails  # pytest does not remember these as failures
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
        to_complete=not plan.replays and (not ledger.complete or ledger.errors_to_ask > 0),
        rerun=rerun_line(config, plan, recorder.path) if figures.errors or (figures.failed and not xfails) else None,
        verdict=None if verdict is None else hidden(plan, verdict),
        calls_under_way=calls_under_way,
        exit_note=None if verdict is None else _exit_note(verdict, status),
        saved=None if gating is None else gating.saved,
        changed=changed,
        comparison=compared[0],
        comparison_page=compared[1],
        comparison_figures=compared[2],
        not_saved=None if gating is None or gating.trouble is None else plan.redact(gating.trouble),
    )


def _comparison(
    plan: Plan, gating: Gating | None, run: str | None
) -> tuple[tuple[str, ...], tuple[str, ...], Mapping[str, Any] | None]:
    """Return the comparison with the baseline: its lines as text and in Markdown, and its figures; none without one.

    `run` is where the session is recorded.
    """
    report = None if gating is None else gating.report()
    if report is None:
        return (), (), None
    from pytest_fcpivot.report.comparison import as_figures, lines, markdown  # noqa: PLC0415 (only for a comparison)

    more = []
    if run is not None and gating is not None and len(gating.options.baselines) == 1:
        runs = shlex.join(["fcpivot", "compare", report.found.base.name, run])
        more = [f"all flips and groups:  {runs} --show-flips --verbose"]
    text = (*lines(report), *more)
    return tuple(map(plan.redact, text)), tuple(map(plan.redact, markdown([report]))), as_figures(report)


def _exit_note(verdict: Verdict, status: int) -> str | None:
    """Return why the exit code is not that of the verdict; None if it is."""
    if status == int(verdict.fails):
        return None
    if status == pytest.ExitCode.TESTS_FAILED:
        return f"the exit code is {status}, since tests failed for other reasons than wrong or missing answers"
    return f"the exit code is {status}, whatever the verdict"


def hidden(plan: Plan, verdict: Verdict) -> Verdict:
    """Return a verdict without secrets, which names of tools and paths may have in them."""
    rules = [replace(each, rule=plan.redact(each.rule), sentence=plan.redact(each.sentence)) for each in verdict.rules]
    return replace(verdict, sentence=plan.redact(verdict.sentence), rules=tuple(rules))
