"""The baseline of a gate: the runs that are named, checked and put together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.options.table import LATEST
from pytest_fcpivot.runs.baseline import newest, read_side
from pytest_fcpivot.runs.comparing import pool, refuse_different
from pytest_fcpivot.runs.described import DECIDED
from pytest_fcpivot.runs.directory import ended_early
from pytest_fcpivot.runs.unfinished import absent_shards

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pytest_fcpivot.runs.comparing import Side


def read_baselines(names: Sequence[str], root: Path, where: str, *, allow_damaged: bool = False) -> Side:
    """Read the runs that are compared with, as repeats of one; `root` is where baselines are saved.

    Raises RunError, which begins with `where` they were named, for one that cannot be read, that ended early, or that
    cannot be put together with the others.
    """
    sides = []
    for name in names:
        try:
            last = newest(root) if name == LATEST else None
            side = read_side(name if last is None else last, root, allow_damaged=allow_damaged)
        except RunError as error:
            raise RunError(f"{where}={name}: {str(error).removeprefix(f'{name}: ')}") from error
        _refuse_unfinished(side, f"{where}={name}")
        sides.append(side if last is None else replace(side, name=last.stem))
    return pool(sides)


def _refuse_unfinished(side: Side, named: str) -> None:
    if side.description.get(DECIDED):
        raise RunError(
            f"{named}: this run was stopped when its verdict was certain, so that its mean is biased; complete it with "
            f"--fc-resume={side.path}, without --fc-stop-when-decided"
        )
    end = None if side.is_baseline else ended_early(side.description)
    if end is None and (absent := absent_shards(side.description)) is not None:
        end = f"it was merged without {absent}"
    if end is not None:
        raise RunError(f"{named}: this run is not complete, so it is no baseline: {end}; --fc-resume={side.path}")


def refuse_incomparable(base: Side, new: Side, ids: Iterable[str], where: str) -> None:
    """Raise RunError if a run cannot be compared with its baseline; `ids` are those of its pivots."""
    try:
        refuse_different(base, new)
    except RunError as error:
        raise RunError(f"{where}: {error}") from error
    known = {pivot.pivot_id for pivot in base.rewards}
    if known.isdisjoint(ids):
        raise RunError(f"{where}: {base.name} has none of the selected pivots, so there is nothing to compare")
