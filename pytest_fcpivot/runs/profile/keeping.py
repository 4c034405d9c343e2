"""Writes what a profile found: the kept pivots as rows of data, and a table of all candidates."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.data.gym_rows import gym_row
from pytest_fcpivot.runs.export.files import in_one_step
from pytest_fcpivot.runs.profile.choosing import MIXED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_fcpivot.runs.profile.candidates import Candidate, Candidates, Rows
    from pytest_fcpivot.runs.profile.choosing import Chosen, Kind

# What a rollout's row has beyond the pivot: the answer, its grade, and NeMo Gym's numbers.
_OF_ROLLOUT = ("response", "reward", "category", "_ng_task_index", "_ng_rollout_index")
_GROUP = 4096


def write_kept(chosen: Chosen, rows: Rows, target: Path) -> None:
    """Write the kept pivots as JSON Lines, in one step; raises RunError if the file cannot be written.

    A row is one of NeMo Gym's, with `pass_rate`, `pass_rate_total` and `pass_rate_passed` in place of any that it had,
    and with `split` if there are splits. The rate is null where asking stopped because the pivot was mixed.
    """
    with in_one_step(target) as stream:
        for candidate in chosen.kept:
            row = gym_row(rows.read(candidate))
            for name in _OF_ROLLOUT:
                row.pop(name, None)
            row |= rates(candidate, chosen, chosen.rules.keep)
            split = chosen.split_of(candidate)
            if split is not None:
                row["split"] = split
            stream.write(json.dumps(row).encode("ascii") + b"\n")


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
    import pyarrow as pa  # noqa: PLC0415 (only for a table)
    import pyarrow.parquet as pq  # noqa: PLC0415

    number, whole, text = pa.float64(), pa.int64(), pa.string()
    info = pa.struct(
        {"rollout_id": text, "_ng_task_index": whole, "_ng_rollout_index": whole, "reward": number, "run": text}
    )
    schema = pa.schema(
        {
            "_ng_task_index": whole,
            "pivot_id": text,
            "trajectory_id": text,
            "expected": text,
            "tool": text,
            "depth": whole,
            "kind": text,
            "kept": pa.bool_(),
            "split": text,
            **{f"{name}/reward": number for name in ("mean", "max", "min", "median", "std")},
            "num_rollouts": whole,
            "expected_num_rollouts": whole,
            "missing_num_rollouts": whole,
            "pass_rate": number,
            "pass_rate_total": whole,
            "pass_rate_passed": whole,
            "suspect_matcher": text,
            "suspect_gold": text,
            "rollout_infos": pa.list_(info),
        }
    )
    with in_one_step(target) as stream, pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        group: list[dict[str, Any]] = []
        for row in _rows(candidates, chosen):
            row.update(suspects.get(candidates.pivots[row["_ng_task_index"]].place, {}))
            group.append(row)
            if len(group) == _GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        if group or not len(candidates):
            writer.write_table(pa.Table.from_pylist(group, schema))


def _rows(candidates: Candidates, chosen: Chosen) -> Iterator[dict[str, Any]]:
    kept = {candidate.place for candidate in chosen.kept}
    starts = [0]
    for source in candidates.sources:
        starts.append(starts[-1] + source.repeats)
    for task, (candidate, kind) in enumerate(zip(candidates.pivots, chosen.kinds, strict=True)):
        rewards = candidate.rewards()
        biased = is_biased(candidate, kind)
        planned = max(candidate.graded, candidate.graded + candidate.errors if biased else candidate.planned)
        yield {
            "_ng_task_index": task,
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
                    "_ng_task_index": task,
                    "_ng_rollout_index": starts[each.source] + each.repeat - 1,
                    "reward": each.reward,
                    "run": candidates.sources[each.source].path.resolve().name,
                }
                for each in candidate.rollouts
            ],
        }
