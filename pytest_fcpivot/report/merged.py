"""Write the summary of a merged run: what `fcpivot merge` prints, as a session shows it, and the run's summary.json."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.data import SAMPLE
from pytest_fcpivot.graders import is_binary, is_bundled
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK
from pytest_fcpivot.options.values import Price
from pytest_fcpivot.report.summary import Figures, Recorded, Subject, Summary
from pytest_fcpivot.report.summary_json import written
from pytest_fcpivot.report.terminal import (
    RESULT,
    detail_lines,
    figure_lines,
    how_to_go_on,
    how_to_look,
    identity_line,
    summary_title,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_fcpivot.runs.merging.merge import Merged

_WIDTH, _LEAST_WIDTH = 80, 40  # columns: the width if it is unknown, and the least that is believed, as in pytest


def merged_lines(merged: Merged) -> Iterator[str]:
    """Yield the lines of the summary, and then those about the merge."""
    description, figures = merged.description, Figures.of(merged.tally)
    if figures.graded or figures.errors:
        subject = subject_of_run(description)
        yield _heading(summary_title(subject))
        yield from detail_lines(subject, figures)
        yield _heading(RESULT, "-")
        yield from figure_lines(subject, figures)
        identity = identity_line(subject, figures)
        if identity is not None:
            yield identity
    else:
        yield "fcpivot: no pivot was run"
    yield f"run recorded in {merged.path}"
    look = how_to_look(str(merged.path), figures)
    if look is not None:
        yield look
    if merged.missing or figures.errors:
        yield (
            how_to_go_on(str(merged.path), marked=merged.made_here)
            if "selected_by_shard" not in description
            else "to run the tests that are missing or ended in an error, resume the shards' runs, and merge them again"
        )
    yield f"merged: {count_of(len(description['merged']), 'run')}, {count_of(merged.results, 'result')}"
    yield from (f"note: {line}" for line in merged.notes)
    yield from (f"missing: {line}" for line in merged.missing)


def summary_file(merged: Merged) -> bytes:
    """Return the content of the merged run's `summary.json`."""
    figures = Figures.of(merged.tally)
    summary = Summary(
        subject=subject_of_run(merged.description),
        figures=figures,
        recorded=Recorded(path=str(merged.path), trouble=None, marked=merged.made_here),
        to_complete=_can_be_completed(merged, figures),
        notes=(*merged.notes, *(f"missing: {line}" for line in merged.missing)),
    )
    return written(summary, Redactor())


def _can_be_completed(merged: Merged, figures: Figures) -> bool:
    """Return whether a resume of the merged run itself asks for what is missing in it."""
    return bool(merged.missing or figures.errors) and "selected_by_shard" not in merged.description


def subject_of_run(description: Mapping[str, Any]) -> Subject:
    """Return the Subject of a run, from its description in run.json."""
    redact = Redactor()
    grader = description["grader"]
    return Subject(
        # without data, the user's own tests run over the sample
        data={data["name"]: None for data in description["data"]} or {SAMPLE: None},
        agent=redact(description["agent"]),
        grader=grader if is_bundled(str(grader["name"])) else redact.within(grader),
        judge=redact.within(description.get("judge")),
        mark=None if is_binary(grader) else description.get("pass_mark", DEFAULT_PASS_MARK),
        price=price_of(description["options"]),
    )


def price_of(options: Mapping[str, Any]) -> Price | None:
    """Return the prices of tokens among a run's options; None if there are none."""
    try:
        return Price.of_text(str(options["fc_price"]))
    except (KeyError, ValueError):
        return None


def _heading(title: str, sign: str = "=") -> str:
    """Write a title line that fills the terminal's width, as pytest does."""
    width = shutil.get_terminal_size((_WIDTH, 0)).columns
    width = width if width >= _LEAST_WIDTH else _WIDTH
    side = sign * max((width - len(title) - 2) // 2, 1)
    return f"{side} {title} {side}".ljust(width, sign)
