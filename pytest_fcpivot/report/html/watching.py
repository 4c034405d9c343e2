"""Set the run of a report beside the runs that it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.report.behaviour_text import Watched, watch
from pytest_fcpivot.runs.behaviour import RunAnswers, names_of, read_answers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_fcpivot.report.html.reading import BaseRead, RunRead
    from pytest_fcpivot.runs.behaviour import Answers


def watched_runs(run: RunRead, base: BaseRead | None, others: Sequence[Path], *, allow_damaged: bool) -> Watched | None:
    """Return how the run answered beside its baseline and `others`, in their order; None without any of them.

    A baseline that is not among the others comes first; a saved one has no answers, and is not there. Only runs that
    were not read for the report are read here. Raises RunError as `read_answers` and `side_by_side` do.
    """
    if run.results.answers is None:
        return None
    paths = list(others)
    known: dict[Path, Answers] = {}  # by the path without links: what was read for the report
    if base is not None and base.path is not None and base.results is not None and base.results.answers is not None:
        known[base.path.resolve()] = base.results.answers
        if base.path.resolve() not in {each.resolve() for each in paths}:
            paths.insert(0, base.path)
    if not paths:
        return None
    names = names_of([*paths, run.path])
    beside = []
    for path, name in zip(paths, names[:-1], strict=True):
        answers = known.get(path.resolve())
        if answers is not None and base is not None:
            beside.append(RunAnswers(name, path, base.side.description, answers))
        else:
            beside.append(read_answers(path, name, allow_damaged=allow_damaged))
    return watch([*beside, RunAnswers(names[-1], run.path, run.description, run.results.answers)])
