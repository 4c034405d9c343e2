"""Decide about a stored run, by the gate that the user names or the run's own."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.audit.run_data import RunData
from pytest_fcpivot.core.errors import OptionError, RunError
from pytest_fcpivot.options.gate import GateOptions, read_gate
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK, FROM_RUN, OF_GATES
from pytest_fcpivot.runs.comparing import Side, compare
from pytest_fcpivot.runs.described import DECIDED, REPLAYS_UNFINISHED, read_with_origin
from pytest_fcpivot.runs.directory import ended_early
from pytest_fcpivot.runs.gate import Evidence, Verdict, decide, verdict_from
from pytest_fcpivot.runs.gate_baseline import read_baselines, refuse_incomparable
from pytest_fcpivot.runs.gate_groups import Known, find_groups
from pytest_fcpivot.runs.rewards import rewards_of_run
from pytest_fcpivot.runs.trust import Origin, find_key
from pytest_fcpivot.runs.unfinished import absent_shards, tests_without_result
from pytest_fcpivot.runs.until_mixed import refuse_until_mixed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_fcpivot.data.store import IndexEntry, PivotStore
    from pytest_fcpivot.runs.comparing import Comparison
    from pytest_fcpivot.runs.rewards import Rewards

# Those of a session alone: how its tests are reported, what it saves, and when it stops.
_OF_SESSIONS = frozenset(("fc_gated_cases", "fc_save_baseline", "fc_allow_errors", "fc_stop_when_decided"))
OF_STORED = tuple(dest for dest in OF_GATES if dest not in _OF_SESSIONS)
_LISTS = ("fc_fail_under", "fc_baseline")


@dataclass(frozen=True, slots=True)
class _OpenedData:
    label: str
    store: PivotStore
    entries: Sequence[IndexEntry]


@dataclass(frozen=True, slots=True)
class Decided:
    """The verdict about a stored run, and its comparison with the baseline, if there is one."""

    verdict: Verdict
    comparison: Comparison | None
    notes: tuple[str, ...]


def decide_stored(
    path: Path, given: Mapping[str, Any], data: Sequence[str] = (), *, allow_damaged: bool = False
) -> Decided:
    """Decide about a run by the options `given` (by their names in an ini file) and those of the run, if made here.

    `data` are files to use in place of the run's own, which only groups by a condition need. Raises OptionError for
    options that cannot be used, and RunError for a run about which nothing can be decided.
    """
    description, origin = read_with_origin(path, find_key())
    made_here = origin is Origin.HERE
    refuse_until_mixed(description, str(path), "a gate")
    if description.get(DECIDED):
        return Decided(_as_recorded(path, description, given, made_here=made_here), None, ())
    gate = _gate(given, description.get("options") or {}, made_here=made_here)
    found = rewards_of_run(path, allow_damaged=allow_damaged)
    rewards = found.rewards
    not_run = _not_run(path, description, rewards)
    opened = None
    if any(mark.group.condition is not None for mark in gate.marks):
        stores = RunData(path, description, made_here=made_here).open(data)
        opened = [_OpenedData(label, store, store.index()) for label, store in stores]
    elif data:
        raise OptionError(f"--data={data[0]}: only a group by a condition (where:COLUMN=VALUE) needs the data")
    holds = find_groups(gate, Known.of_results(rewards, opened)) if gate.marks else {}
    comparison = None
    if gate.baselines:
        new = Side(str(path), path, description, rewards)
        base = read_baselines(gate.baselines, Path.cwd(), gate.baselines_from, allow_damaged=allow_damaged)
        refuse_incomparable(base, new, (pivot.pivot_id for pivot in rewards), gate.baselines_from)
        comparison = compare(base, new, gate.alpha)
    evidence = Evidence(
        rewards=rewards,
        pass_mark=float(description.get("pass_mark", DEFAULT_PASS_MARK)),
        holds=holds,
        comparison=comparison,
        not_run=not_run,
        settle=_how_to_settle(path, description),
        unfinished=(ended_early(description) or "") if description.get(REPLAYS_UNFINISHED) else "",
    )
    notes = [f"left out: {found.damages.losses()}"] if found.damages else []
    if given.get("fc_baseline") and gate.max_drop is None:
        notes.append("--baseline decides nothing without --max-drop; fcpivot compare shows what has changed")
    return Decided(decide(gate, evidence), comparison, tuple(notes))


def _gate(given: Mapping[str, Any], recorded: Mapping[str, Any], *, made_here: bool) -> GateOptions:
    values: dict[str, tuple[Any, str]] = {}
    for dest in OF_GATES:
        flag = f"--{dest.removeprefix('fc_').replace('_', '-')}"
        if given.get(dest) is not None:
            values[dest] = given[dest], flag
        else:
            value = recorded.get(dest) if made_here and dest in OF_STORED else None
            values[dest] = _as_given(value), FROM_RUN
    lists = {dest: _as_list(*values[dest]) for dest in _LISTS}
    gate = read_gate(values, lists)
    if gate is None or not gate.decides:
        asks = "" if made_here else " (those of a run that was not made here are not used)"
        raise OptionError(
            f"say what decides: --fail-under=MARK, or --baseline=RUN with --max-drop=DROP; the run has no such "
            f"options{asks}"
        )
    return gate


def _as_given(value: Any) -> Any:
    """Return a recorded value as it is typed; a number was set by the user's code."""
    return str(value) if type(value) in (int, float) else value or None


def _as_recorded(path: Path, description: Mapping[str, Any], given: Mapping[str, Any], *, made_here: bool) -> Verdict:
    """Return the verdict for which a run was stopped; raises RunError if it is asked for another, or cannot be trusted.

    Of the trajectories that were not run it is known that they do not change that verdict, and nothing else.
    """
    recorded = description.get("verdict")
    asked = [f"--{dest.removeprefix('fc_').replace('_', '-')}" for dest in OF_STORED if given.get(dest) is not None]
    if asked or not made_here or not recorded:
        if asked:
            what = f"no other can be given: leave {asked[0]} out to see it, or"
        else:
            what = "it cannot be taken from a run that was not made here;"
        raise RunError(
            f"{path}: this run was stopped when its verdict was certain, and {what} complete it with "
            f"--fc-resume={path}, without --fc-stop-when-decided"
        )
    return verdict_from(recorded)


def _as_list(value: Any, where: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [str(each) for each in value]
    try:
        return shlex.split(value)
    except ValueError as error:
        raise OptionError(f"{where}={value}: {error}") from None


def _not_run(path: Path, description: Mapping[str, Any], rewards: Rewards) -> int:
    """Return how many selected tests have no result; raises RunError if that is not known."""
    absent = absent_shards(description)
    if absent is not None:
        raise RunError(f"{path}: merged without {absent}; merge all shards before anything is decided")
    end, counts = ended_early(description), description.get("counts")
    if counts is None or "selected" not in counts:
        raise RunError(f"{path}: nothing can be decided about this run: {end}; complete it with --fc-resume={path}")
    left = tests_without_result(description, sum(len(pivot.rewards) + len(pivot.missing) for pivot in rewards))
    if left is None:
        raise RunError(
            f"{path}: its last session ran a part of its tests, so it is not known how many have no result; resume the "
            f"whole run: --fc-resume={path}"
        )
    return left


def _how_to_settle(path: Path, description: Mapping[str, Any]) -> str:
    if description.get("selected_by_shard"):
        return "resume the runs of the shards, and merge them again"
    if description.get("replays"):
        return "resume the run that was replayed, and replay it again"
    return f"pytest --fc-resume={shlex.quote(str(path))} asks for them"
