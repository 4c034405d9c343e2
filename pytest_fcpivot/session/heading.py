"""Write the lines of pytest's heading that describe a session over pivots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.jsontext import on_screen
from pytest_fcpivot.graders.settings_text import settings_line
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK
from pytest_fcpivot.session.first_grades import about_kept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.runs.recorder import Recorder
    from pytest_fcpivot.session.datasets import Dataset
    from pytest_fcpivot.session.grading import Grading
    from pytest_fcpivot.session.plan import Plan


def heading(plan: Plan, grading: Grading, recorder: Recorder) -> list[str]:
    """Write the lines of pytest's heading."""
    return [on_screen(f"fcpivot: {line}") for line in _lines(plan, grading, recorder)]


def _lines(plan: Plan, grading: Grading, recorder: Recorder) -> Iterator[str]:
    data = ", ".join(_described(dataset) for dataset in plan.datasets) or "no data"
    mark = "" if plan.mark in (None, DEFAULT_PASS_MARK) else f", pass mark {plan.mark:.12g}"
    grader, stored, book = plan.shown_grader, plan.stored, plan.book
    yield f"{data}; agent {plan.agent_name}; grader {grader['name']}{mark}"
    settings = settings_line(grader)
    if settings is not None:
        yield settings
    if plan.stops_early:
        yield f"stops when the gate is decided; trajectories in the random order of seed {plan.options.seed}"
    if plan.asks_until_mixed:
        yield f"asks at a pivot up to {plan.repeats} times, until it has passed and failed"
    yield from (f"{dataset.label}: {dataset.note}" for dataset in plan.datasets if dataset.note is not None)
    if stored is not None and book is not None:
        yield f"{'replays' if plan.replays else 'resumes'} {plan.shown_path(stored.path)}, {len(book)} answers kept"
        yield from stored.remarks(book)
        if book.redacted:
            yield about_kept(book.redacted, grading.differing)
    if recorder.repaired:
        yield (
            f"the last line of results.jsonl was incomplete ({recorder.repaired} bytes, as if the process was killed); "
            "its test runs again"
        )
    if recorder.trouble:
        yield recorder.trouble
    elif recorder.path is not None and recorder.path != getattr(stored, "path", None):
        yield f"run recorded in {plan.shown_path(recorder.path)}"
    if recorder.unmarked is not None:
        yield recorder.unmarked


def _described(dataset: Dataset) -> str:
    total, chosen = len(dataset.store), len(dataset.entries)
    skipped = dataset.store.provenance.get("bad_rows", 0)
    note = f", {skipped} broken rows skipped" if skipped else ""
    part = f"{chosen} of " if chosen != total or note else ""
    return f"{dataset.label} ({part}{total} pivots{note})"
