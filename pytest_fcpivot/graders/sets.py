"""NVIDIA's verifier settings for each of its datasets, selected by exact names only.

The name is that of the agent in a row (`agent_ref.name`), or that of the dataset if a file was prepared from the Hub.
If neither is known, the default is used, which is right for most datasets, and reports mention it.
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

# A pseudo-setting that selects one of the configurations; it is replaced by its settings before the grader is made.
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
# Names that occur in data, with their configurations; the names for the other configurations are not known.
_OF_TOOLCALLS = "toolcall_schema_single_step_tool_use_with_argument_comparison_agent"
_OF_SWE = "single_step_tool_use_with_argument_comparison_swe"
_AGENTS = {_OF_TOOLCALLS: "toolcall_schema", _OF_SWE: "swe"}
_SETS = {
    "nvidia/Nemotron-RL-Agentic-Function-Calling-Pivot-v1": "toolcall_schema",
    "nvidia/Nemotron-RL-Agentic-Conversational-Tool-Use-Pivot-v1": "toolcall_schema",
    "nvidia/Nemotron-RL-Agentic-SWE-Pivot-v1": "swe",
}
# The agents that the rows of a data set name themselves, which rows of it that lost them may have again.
_AGENTS_OF_SETS = {
    "nvidia/Nemotron-RL-Agentic-Function-Calling-Pivot-v1": _OF_TOOLCALLS,
    "nvidia/Nemotron-RL-Agentic-SWE-Pivot-v1": _OF_SWE,
}
# Files of published datasets that are recognised by their hash, wherever they are.
_BY_HASH = {digest: known.repo for known in KNOWN.values() for digest in known.sha256.values() if known.repo in _SETS}
_SHOWN = 3


def settings_for(name: str) -> Settings | None:
    """Return the verifier's settings for an `agent_ref.name` or for a dataset of the Hub (`owner/name`).

    Names must match exactly; None for an unknown name, for which the caller uses the default.
    """
    configuration = _AGENTS.get(name) or _SETS.get(name)
    return None if configuration is None else dict(CONFIGURATIONS[configuration])


def set_of(sources: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the published data set that all sources of a file are of; None if it is none, or not known."""
    names = {source.get("repo") or _BY_HASH.get(str(source.get("sha256"))) for source in sources}
    return str(names.pop()) if len(names) == 1 and None not in names else None


def agent_of_set(name: str | None) -> str | None:
    """Return the agent of NeMo Gym that a published data set is for; None if it is not known exactly."""
    return _AGENTS_OF_SETS.get(name or "")


def settings_of_pivot(pivot: Pivot) -> Settings:
    """Return the verifier's settings for the agent that a pivot's row names, else the default.

    A pivot alone does not tell which dataset it comes from.
    """
    name = agent_of(pivot.metadata_json.encode())
    return (None if name is None else settings_for(name)) or dict(FIRST)


def with_those_of_set(given: Mapping[str, Any]) -> Settings:
    """Return settings in which a value of `set` is replaced by what it stands for; what is given beside it wins.

    Raises GraderError for an unknown name.
    """
    rest = {key: value for key, value in given.items() if key != SET}
    return settings_of_set(given[SET]) | rest if SET in given else rest


def settings_of_set(name: Any) -> Settings:
    """Return the settings that a value of `set` stands for: the name of a configuration, an agent or a dataset.

    Raises GraderError for an unknown name.
    """
    found = CONFIGURATIONS.get(name) if isinstance(name, str) else None
    settings = settings_for(str(name)) if found is None else dict(found)
    if settings is None:
        known = ", ".join([*CONFIGURATIONS, *_SETS, *_AGENTS])
        raise GraderError(f"{SET}={name}: no settings of the verifier are known for it; known: {known}")
    return settings


@dataclass(frozen=True, slots=True)
class Asked:
    """The settings that some pivots of a data file need, the reason, and the number of these pivots."""

    settings: Settings
    cause: str
    pivots: int


def asked_by(agents: Mapping[str | None, int], sources: Iterable[Mapping[str, Any]]) -> list[Asked]:
    """Return the settings that the pivots of a data file need.

    `agents` counts the pivots by the agent that they name; `sources` are the sources from which the file was prepared.
    If the agent is known, it decides, because it is the row's own; else the dataset decides that the file comes from.
    If there are several datasets, it is not known which pivots come from which, so each entry counts all of them.
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
    """Join the first few names, and the number of further ones, with the conjunction before the last part."""
    some = list(names)[:_SHOWN]
    if len(names) > _SHOWN:
        return f"{', '.join(some)} {conjunction} {len(names) - _SHOWN} more"
    return f" {conjunction} ".join(filter(None, [", ".join(some[:-1]), some[-1]]))
