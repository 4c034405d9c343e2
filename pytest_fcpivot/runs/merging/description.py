"""Describes the merged run for its run.json, by what its parts say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.options.table import flag_of
from pytest_fcpivot.runs.described import DECIDED
from pytest_fcpivot.runs.merging.part import BY_MEANING, SHARD, selected_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fcpivot.runs.merging.part import Part

# Each shard applies these to its own pivots, so that no single run of all data would select the same pivots.
_SELECT_IN_SHARD = ("fc_stratify", "fc_limit", "fc_sample", "fc_seed")
_MERGED_KEYS = frozenset(
    (
        *("data", "arguments", "options", "merged", "started", "ended", "sessions", "selected_by_shard"),
        *("grader", "judge", "judged", "counts", "verdict", DECIDED),
    )
)


def describe(parts: Sequence[Part]) -> tuple[dict[str, Any], list[str]]:
    """Return the merged run's description for run.json, and remarks on harmless differences between the runs."""
    first = parts[0].description
    keys = dict.fromkeys(key for part in parts for key in part.description)
    alike = {key: first[key] for key in keys if all(part.description.get(key, ...) == first.get(key) for part in parts)}
    options, own_choice, differing = _options(parts)
    apart = [key for key in keys if key not in alike and key not in _MERGED_KEYS]
    notes = [f"the runs had different values of {flag_of(name)}, and the merged run has none" for name in differing]
    if apart:
        notes.append(f"the runs differ in {', '.join(apart)}: run.json has each one's, under merged")
    if own_choice:
        given = ", ".join(f"{flag_of(name)}={value}" for name, value in own_choice.items())
        notes.append(
            f"{given} selected from each shard separately, which a single run cannot do: do not resume the merged run"
        )
    sessions = sorted((session for part in parts for session in part.sessions), key=lambda s: str(s.get("started")))
    described = {
        "data": _data(parts),
        "arguments": _arguments(parts),
        "options": options,
        "merged": [
            {
                "run": part.name,
                "shards": [f"{shard}/{part.count}" for shard in part.shards],
                "results": 0,
                "sessions": part.sessions,
                **{key: part.description.get(key) for key in apart},
            }
            for part in parts
        ],
        "started": min((str(session["started"]) for session in sessions if session.get("started")), default=None),
        "ended": max((str(session["ended"]) for session in sessions if session.get("ended")), default=None),
        "sessions": sessions,
    }
    alike.pop("selected_by_shard", None)
    for name in ("counts", "verdict", DECIDED):  # each is of one session
        alike.pop(name, None)
    # These mean the same in all runs, even if they are written differently.
    described |= {name: first[name] for name in ("grader", "judge") if name in first}
    return alike | described | ({"selected_by_shard": own_choice} if own_choice else {}), notes


def _options(parts: Sequence[Part]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Return the merged run's options, those that each shard applied to itself, and the names of those that differ."""
    options: dict[str, Any] = {}
    differing = []
    for name in dict.fromkeys(name for part in parts for name in part.options if name != SHARD):
        values = [part.options.get(name) for part in parts]
        if name in BY_MEANING:
            options[name] = next((value for value in values if value is not None), None)
        elif all(value == values[0] for value in values):
            options[name] = values[0]
        else:
            differing.append(name)
    own_choice = {}
    of_shards = parts[0].count or "selected_by_shard" in parts[0].description
    if of_shards and ("fc_limit" in options or "fc_sample" in options):
        own_choice = {name: options.pop(name) for name in _SELECT_IN_SHARD if name in options}
    return options, own_choice, differing


def _data(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """Describe the data for run.json, preferring a path that exists on this machine."""
    described = []
    for name, data in parts[0].data.items():
        paths = [part.data[name]["path"] for part in parts]
        # Paths in runs that were not made here are not even checked for existence.
        here = (part.data[name]["path"] for part in parts if part.made_here)
        path = next(filter(_is_there, here), paths[0])
        described.append(data | {"path": path, "selected": selected_by(parts, name)})
    return described


def _arguments(parts: Sequence[Part]) -> list[str] | None:
    """Return the paths of all runs together, or None if all ran the data alone."""
    given = [part.description.get("arguments") for part in parts]
    if all(arguments == given[0] for arguments in given):
        return given[0] if given[0] is None else list(given[0])
    together = list(dict.fromkeys(text for part in parts for text in part.arguments))
    if not all(part.made_here for part in parts):
        return together
    return [text for text in together if _is_there(text.partition("::")[0])] or together


def _is_there(path: str) -> bool:
    """Return whether a path exists; False if this user may not look."""
    try:
        return Path(path).exists()
    except OSError:
        return False
