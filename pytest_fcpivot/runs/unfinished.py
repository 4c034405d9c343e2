"""Whether a stored run has a result of each of its tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.data.selection import parse_shard
from pytest_fcpivot.runs.directory import ended_early
from pytest_fcpivot.runs.until_mixed import unneeded

if TYPE_CHECKING:
    from collections.abc import Mapping


def why_unfinished(description: Mapping[str, Any], results: int) -> str | None:
    """Explain why a run with so many results (errors too) is not complete; None if it is."""
    ended, absent = ended_early(description), absent_shards(description)
    if ended is not None:
        return ended
    if absent is not None:
        return f"it was merged without {absent}"
    left = tests_without_result(description, results)
    if left is None:
        return "it is not known how many of its tests have no result"
    return f"{count_of(left, 'test')} without a result" if left else None


def tests_without_result(description: Mapping[str, Any], results: int) -> int | None:
    """Return how many selected tests of a run with so many results have none; None if that is not known."""
    counts: Mapping[str, int] = description.get("counts") or {}
    if "selected" not in counts:
        return None
    selected, left = (number - unneeded(description) for number in (counts["selected"], counts.get("not_run", 0)))
    if results <= selected - left:
        return selected - results
    # the last session resumed a part of the run, and its counts are of that part
    if not only_data(description):
        return None
    wanted: int = sum(data["selected"] for data in description["data"]) * description["repeats"]
    return max(left, wanted - results)


def absent_shards(description: Mapping[str, Any]) -> str | None:
    """Return which shards a merged run was merged without; None if it has all, or is not merged from shards.

    How many pivots those have is unknown.
    """
    shards = [parse_shard(text) for run in description.get("merged") or () for text in run["shards"]]
    count = max((count for _, count in shards), default=0)
    absent = sorted(set(range(1, count + 1)) - {number for number, _ in shards})
    if not absent or all(data["selected"] >= data["pivots"] for data in description["data"]):
        return None
    which = f"shard {absent[0]}" if len(absent) == 1 else f"{len(absent)} shards (such as {absent[0]})"
    return f"{which} of {count}"


def only_data(description: Mapping[str, Any]) -> bool:
    """Return whether the run had no tests but those of its data files, so that their number is known."""
    paths = {os.path.normpath(data["path"]) for data in description["data"]}
    arguments: list[str] = description.get("arguments") or []
    return all(os.path.normpath(text.partition("::")[0]) in paths for text in arguments)
