"""Finds what is missing in a merged run: shards, tests without a result, and lines that cannot be read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_fcpivot.runs.damage import listed
from pytest_fcpivot.runs.merging.part import by_shard, selected_by
from pytest_fcpivot.runs.merging.words import several

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_fcpivot.runs.merging.part import Part
    from pytest_fcpivot.runs.tally import Tally


def missing(parts: Sequence[Part]) -> Iterator[str]:
    """Yield the missing shards, and the runs that have, or may have, fewer results than tests."""
    count, data = parts[0].count, parts[0].data
    absent = sorted(set(range(1, count + 1)) - {shard for part in parts for shard in part.shards})
    covered = bool(data) and all(selected_by(parts, name) == data[name]["pivots"] for name in data)
    if absent and not covered:  # a missing shard may be an empty one, whose session leaves no run
        yield f"shard{'s' * (len(absent) > 1)} {several(list(map(str, absent)))} of {count}"
    for runs in by_shard(parts):
        yield from _missing_in(runs)
    for part in parts:
        if part.damages.torn is not None:
            yield f"{part.name}: its last line is incomplete ({part.damages.torn.size} bytes) and is left out"


def _missing_in(runs: Sequence[Part]) -> Iterator[str]:
    """Yield what is missing in the runs of one shard; how many tests of the user's own there are is unknown."""
    names = several([run.name for run in runs])
    ends = [f"{run.name}: {end}" if len(runs) > 1 else end for run in runs if (end := run.ended_early()) is not None]
    short = False
    for name in runs[0].data:
        wanted, found = _wanted_and_found(runs, name)
        if found < wanted:
            short = True
            yield "; ".join([f"{names}: {found} of {wanted} tests of {name} have a result", *ends])
    if ends and not short and not all(_only_data(run) for run in runs):
        yield "; ".join([f"{names}: there may be tests without a result", *ends])


def _wanted_and_found(runs: Sequence[Part], name: str) -> tuple[int, int]:
    """Return how many tests of a data file the runs of one shard should have, and how many have a result.

    Tests that were not run because their pivots were mixed count as if they had one.
    """
    found = sum(run.results[name] + run.unneeded[name] for run in runs)
    if not any(run.named(name) for run in runs):
        return found, found  # only the user's own tests read it, whose number is unknown
    return runs[0].selected(name) * runs[0].description["repeats"], found


def count_missing(parts: Sequence[Part], tally: Tally) -> None:
    """Count the skipped tests of the runs, and the other tests of their shards without a result."""
    for part in parts:
        counts = part.description.get("counts")  # a run that was killed, or is of an earlier version, has none
        tally.skipped += 0 if counts is None else counts.get("skipped", 0)
    short = 0
    for runs in by_shard(parts):
        for name in runs[0].data:
            wanted, found = _wanted_and_found(runs, name)
            short += max(0, wanted - found)
    tally.not_run_mixed = sum(part.unneeded.total() for part in parts)
    tally.not_run = max(0, short - tally.skipped) + tally.not_run_mixed


def _only_data(run: Part) -> bool:
    """Return whether a run ran only data files, so that its number of tests is known."""
    paths = {os.path.normpath(data["path"]) for data in run.data.values()} | set(run.data)
    return all(os.path.normpath(text.partition("::")[0]) in paths for text in run.arguments)


def left_out(parts: Sequence[Part]) -> Iterator[str]:
    """Yield remarks on the damaged lines of the runs, which are not in the merged run."""
    for part in parts:
        if part.damages:
            yield f"{part.name}: left out: {part.damages.losses()}"
        if part.damages.made_up:
            made_up = part.damages.made_up
            yield f"{part.name}: damaged lines that lose nothing, because their tests have later results: {made_up}"
        if part.calls_left_out:
            number = part.calls_left_out
            yield f"{part.name}: damaged lines in calls/ are left out: {number}; a resumed run asks the agent again"
    yield from (f"  {line}" for line in listed(part.damages for part in parts))
