"""How NVIDIA configures its verifier for each data set: settings that belong to the set, known by exact names alone.

A row names the agent that it is for (`agent_ref.name`), and a file that was prepared from the Hub knows its set. Where
neither name is known the default is taken, which most sets have, and reports say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import GraderError
from pytest_fcpivot.data.agent_refs import agent_of
from pytest_fcpivot.data.sources import KNOWN
from pytest_fcpivot.graders.nemo_gym import THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from pytest_fcpivot.core.model import Pivot

Settings = dict[str, Any]

# The setting that names one of the configurations in place of its settings; it is not the grader's own.
SET = "set"
FIRST: Mapping[str, Any] = {THRESHOLD: 0.1}

# NVIDIA's configurations, by the names that `set` may have.
CONFIGURATIONS: Mapping[str, Mapping[str, Any]] = {
    "toolcall_schema": FIRST,
    "swe": {THRESHOLD: 0.0},
    "droid": {THRESHOLD: 0.0},
    "search": {THRESHOLD: 0.3},
    "parallel": {
        THRESHOLD: 0.1,
        "version": "any-order",
        "parallel_tool_call_rewarding": True,
        "allow_subset": True,
        "allow_superset": True,
        "parallel_tool_call_reward_mode": "f1",
    },
}
# Names in data, each with its configuration. Of the others no name is known that a row or a set has.
_AGENTS = {
    "toolcall_schema_single_step_tool_use_with_argument_comparison_agent": "toolcall_schema",
    "single_step_tool_use_with_argument_comparison_swe": "swe",
}
_SETS = {
    "nvidia/Nemotron-RL-Agentic-Function-Calling-Pivot-v1": "toolcall_schema",
    "nvidia/Nemotron-RL-Agentic-Conversational-Tool-Use-Pivot-v1": "toolcall_schema",
    "nvidia/Nemotron-RL-Agentic-SWE-Pivot-v1": "swe",
}
# A file of a set is known wherever it is, if its hash is.
_BY_HASH = {digest: known.repo for known in KNOWN.values() for digest in known.sha256.values() if known.repo in _SETS}
_SHOWN = 3


def settings_for(name: str) -> Settings | None:
    """Return the verifier's settings for an `agent_ref.name` or for a data set of the Hub (`owner/name`).

    Names must be exact; None for one that is not known, for which the default is taken.
    """
    configuration = _AGENTS.get(name) or _SETS.get(name)
    return None if configuration is None else dict(CONFIGURATIONS[configuration])


def settings_of_pivot(pivot: Pivot) -> Settings:
    """Return the verifier's settings for a pivot by the agent that its row names, or the default.

    The data set that it comes from is not known of a pivot alone.
    """
    name = agent_of(pivot.metadata_json.encode())
    return (None if name is None else settings_for(name)) or dict(FIRST)


def settings_of_set(name: Any) -> Settings:
    """Return the settings that `set` stands for: one of the configurations, or an exact name.

    Raises GraderError for another.
    """
    found = CONFIGURATIONS.get(name) if isinstance(name, str) else None
    settings = settings_for(str(name)) if found is None else dict(found)
    if settings is None:
        known = ", ".join([*CONFIGURATIONS, *_SETS, *_AGENTS])
        raise GraderError(f"{SET}={name}: no settings of the verifier are known for it; known: {known}")
    return settings


@dataclass(frozen=True, slots=True)
class Asked:
    """The settings that pivots of one data file ask for, and why; `pivots` is their number."""

    settings: Settings
    cause: str
    pivots: int


def asked_by(agents: Mapping[str | None, int], sources: Iterable[Mapping[str, Any]]) -> list[Asked]:
    """Return the settings that the pivots of a data file ask for.

    `agents` counts them by the agent that they name, `sources` are those that the file was prepared from. A known agent
    decides, being the row's own; else the set that the file comes from. If it comes from several, such pivots may be of
    any: their number is that of all.
    """
    by_agent, others = [], 0
    unknown: list[str] = []
    for name, count in agents.items():
        settings = None if name is None else settings_for(name)
        if settings is not None:
            by_agent.append(Asked(settings, f"agent_ref {name}", count))
            continue
        others += count
        if name is not None:
            unknown.append(name)
    if not others:
        return by_agent
    names = {source.get("repo") or _BY_HASH.get(str(source.get("sha256"))) for source in sources} or {None}
    known = {name: settings_for(name) for name in names if isinstance(name, str)}
    by_set = [Asked(found, f"set {name}", others) for name, found in known.items() if found is not None]
    strangers = sorted(name for name, found in known.items() if found is None)
    if len(by_set) < len(names):
        by_set.append(Asked(dict(FIRST), _why_first(sorted(unknown), strangers), others))
    return by_agent + by_set


def _why_first(agents: list[str], sets: list[str]) -> str:
    named = [*(f"agent_ref {name}" for name in agents), *(f"set {name}" for name in sets)]
    return f"the default: no settings are known for {listed(named, 'or')}" if named else NO_SET


NO_SET = "the default: the data name no set"


def listed(names: Collection[str], conjunction: str) -> str:
    """Write a few names and how many more there are."""
    some = list(names)[:_SHOWN]
    if len(names) > _SHOWN:
        return f"{', '.join(some)} {conjunction} {len(names) - _SHOWN} more"
    return f" {conjunction} ".join(filter(None, [", ".join(some[:-1]), some[-1]]))
