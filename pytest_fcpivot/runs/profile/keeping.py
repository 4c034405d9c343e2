"""Writes what a profile found: the kept pivots as rows of data, and a table of all candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pytest_fcpivot.core.jsontext import compact, quoted
from pytest_fcpivot.data.gym_rows import gym_members
from pytest_fcpivot.data.jsonparts import decoded, joined
from pytest_fcpivot.data.repeated import ROLLOUT_INDEX
from pytest_fcpivot.data.rows import OWN, SPLIT
from pytest_fcpivot.runs.export.files import Layout, write_lines, write_rows
from pytest_fcpivot.runs.export.gym import OF_ROLLOUTS, RESPONSE, TASK_INDEX
from pytest_fcpivot.runs.profile.choosing import MIXED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.runs.profile.candidates import Candidate, Candidates, Rows
    from pytest_fcpivot.runs.profile.choosing import Chosen, Kind

_NUMBER, _WHOLE, _TEXT = pa.float64(), pa.int64(), pa.string()
_INFO = pa.struct({"rollout_id": _TEXT, TASK_INDEX: _WHOLE, ROLLOUT_INDEX: _WHOLE, "reward": _NUMBER, "run": _TEXT})
TABLE = pa.schema(
    {
        TASK_INDEX: _WHOLE,
        "pivot_id": _TEXT,
        "trajectory_id": _TEXT,
        "expected": _TEXT,
        "tool": _TEXT,
        "depth": _WHOLE,
        "kind": _TEXT,
        "kept": pa.bool_(),
        "split": _TEXT,
        **{f"{name}/reward": _NUMBER for name in ("mean", "max", "min", "median", "std")},
        "num_rollouts": _WHOLE,
        "expected_num_rollouts": _WHOLE,
        "missing_num_rollouts": _WHOLE,
        "pass_rate": _NUMBER,
        "pass_rate_total": _WHOLE,
        "pass_rate_passed": _WHOLE,
        "suspect_matcher": _TEXT,
        "suspect_gold": _TEXT,
        "rollout_infos": pa.list_(_INFO),
    }
)
_REPEATED = ("expected", "tool", "kind", "split", "suspect_matcher")


def write_kept(chosen: Chosen, rows: Rows, target: Path) -> None:
    """Write the kept pivots as JSON Lines, in one step.

    A row is one of NeMo Gym's, with `pass_rate`, `pass_rate_total` and `pass_rate_passed` in place of any that it had,
    and with `split` if there are splits. The rate is null where asking stopped because the pivot was mixed. Raises
    RunError if the file cannot be written, and DataError as `gym_members` does.
    """
    write_lines((_row(rows.read(each), each, chosen) for each in chosen.kept), target)


def _row(pivot: Pivot, candidate: Candidate, chosen: Chosen) -> bytes:
    members = gym_members(pivot)
    if RESPONSE in members:
        members = {key: value for key, value in members.items() if key not in OF_ROLLOUTS}
    for name, value in rates(candidate, chosen, chosen.rules.keep).items():
        members[name] = compact(value).encode()
    split = chosen.split_of(candidate)
    if split is not None:
        members[SPLIT] = quoted(split).encode()
        own = decoded(members.pop(OWN, b"{}"))
        own.pop(SPLIT, None)  # that of the source, which would count in place of the new one
        if own:
            members[OWN] = compact(own).encode()
    return joined(members)


def rates(candidate: Candidate, chosen: Chosen, kind: Kind) -> dict[str, Any]:
    """Return the share of a pivot's graded rollouts that passed, and its parts, under the published sets' names."""
    passed = candidate.passed(chosen.rules.outcome_mark)
    rate = None if not candidate.graded or is_biased(candidate, kind) else passed / candidate.graded
    return {"pass_rate": rate, "pass_rate_total": candidate.graded, "pass_rate_passed": passed}


def is_biased(candidate: Candidate, kind: Kind) -> bool:
    """Return whether asking stopped because the pivot was mixed, so that its mean says little of its pass rate."""
    return candidate.stopped and kind == MIXED


def write_table(
    candidates: Candidates, chosen: Chosen, target: Path, suspects: Mapping[tuple[int, int], Mapping[str, Any]]
) -> None:
    """Write a row for each candidate as Parquet, in one step; `suspects` has more of their columns, by place.

    The figures have the names and formulas of NeMo Gym's reward profile. Raises RunError if the file cannot be written.
    """
    rows = (row | dict(suspects.get(place, {})) for place, row in _rows(candidates, chosen))
    write_rows(rows, Layout(TABLE, _REPEATED), target, "parquet")


def _rows(candidates: Candidates, chosen: Chosen) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    kept = {candidate.place for candidate in chosen.kept}
    names = [source.path.resolve().name for source in candidates.sources]
    starts = [0]
    for source in candidates.sources:
        starts.append(starts[-1] + source.repeats)
    for task, (candidate, kind) in enumerate(zip(candidates.pivots, chosen.kinds, strict=True)):
        rewards = candidate.rewards()
        biased = is_biased(candidate, kind)
        planned = max(candidate.graded, candidate.graded + candidate.errors if biased else candidate.planned)
        yield (
            candidate.place,
            {
                TASK_INDEX: task,
                "pivot_id": candidate.pivot_id,
                "trajectory_id": candidate.trajectory_id,
                "expected": candidate.expected,
                "tool": candidate.tool,
                "depth": candidate.depth,
                "kind": kind,
                "kept": candidate.place in kept,
                "split": chosen.split_of(candidate) if candidate.place in kept else None,
                "mean/reward": None if biased else candidate.mean(),
                "max/reward": max(rewards, default=None),
                "min/reward": min(rewards, default=None),
                "median/reward": None if biased else candidate.median(),
                "std/reward": None if biased else candidate.deviation(),
                "num_rollouts": candidate.graded,
                "expected_num_rollouts": planned,
                "missing_num_rollouts": planned - candidate.graded,
                **rates(candidate, chosen, kind),
                "suspect_matcher": None,
                "suspect_gold": None,
                "rollout_infos": [
                    {
                        "rollout_id": f"{task}:{starts[each.source] + each.repeat - 1}",
                        TASK_INDEX: task,
                        ROLLOUT_INDEX: starts[each.source] + each.repeat - 1,
                        "reward": each.reward,
                        "run": names[each.source],
                    }
                    for each in candidate.rollouts
                ],
            },
        )
