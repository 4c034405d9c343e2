"""Join the runs of shards, or of other disjoint parts of one data set, into one run.

Each run's results are read twice: first to find the offset of each test's last line, which is all that is held in
memory, and then to copy these lines and count them.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import OptionError, RunError
from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.data.selection import parse_shard
from pytest_fcpivot.graders import meaning_of
from pytest_fcpivot.options.table import ABOUT_THE_RUN, DEFAULT_PASS_MARK
from pytest_fcpivot.runs.damage import Damages, listed
from pytest_fcpivot.runs.described import read_with_origin
from pytest_fcpivot.runs.directory import RunDirectory, ended_early, judge_of_run
from pytest_fcpivot.runs.reader import (
    Damage,
    DamagedLineError,
    calls_in,
    line_at,
    open_regular,
    result_line,
    results_in,
)
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.tally import Tally
from pytest_fcpivot.runs.trust import Origin, find_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pytest_fcpivot.runs.trust import Key

# Runs may write these differently and mean the same; other members of run.json have their meaning, and are compared.
_BY_MEANING = frozenset(
    (
        *("fc_data", "fc_agent", "fc_grader", "fc_grader_option", "fc_pass_mark", "fc_repeats"),
        *("fc_judge", "fc_judge_base_url", "fc_judge_api"),
    )
)
_SHARD = "fc_shard"
# Each shard applies these to its own pivots, so that no single run of all data would select the same pivots.
_SELECT_IN_SHARD = ("fc_stratify", "fc_limit", "fc_sample", "fc_seed")
_OFFSET_BITS = 48
_OFFSET = (1 << _OFFSET_BITS) - 1
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Merged:
    """A run that was merged from others.

    `missing` has one line for each thing that the runs do not cover, `notes` one for each further remark. `made_here`:
    all of the runs were made here.
    """

    path: Path
    description: Mapping[str, Any]
    tally: Tally
    results: int
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    made_here: bool


@dataclass(slots=True)
class _Run:
    """One of the runs to be merged; it covers `shards` out of `count`, or is not a shard if there are none."""

    name: str
    directory: RunDirectory
    description: dict[str, Any]
    options: dict[str, Any]
    shards: tuple[int, ...]
    count: int
    made_here: bool
    damages: Damages = field(default_factory=Damages)
    calls_left_out: int = 0
    results: Counter[str | None] = field(default_factory=Counter)  # by data set; None: the user's own tests

    @classmethod
    def of(cls, path: Path, name: str, key: Key) -> _Run:
        """Read a run's description; raises RunError if the run cannot be merged."""
        description, origin = read_with_origin(path, key)
        if description.get("replays"):
            raise RunError(f"{path}: this is a replay, which asked no agent; name the run that it graded again")
        options = description["options"] | description.get("selected_by_shard", {})
        texts = [options[_SHARD]] if options.get(_SHARD) is not None else _shards_merged(description)
        try:
            shards = [parse_shard(str(text)) for text in texts]
        except OptionError as error:
            raise RunError(f"{path / 'run.json'}: not as pytest-fcpivot writes it: {error}") from error
        numbers, count = tuple(sorted({number for number, _ in shards})), shards[0][1] if shards else 0
        if len(numbers) == count:
            numbers, count = (), 0  # all shards together are the whole data set
        return cls(name, RunDirectory(path), description, options, numbers, count, made_here=origin is Origin.HERE)

    @property
    def data(self) -> dict[str, dict[str, Any]]:
        """The data sets, by name."""
        return {data["name"]: data for data in self.description["data"]}

    @property
    def sessions(self) -> list[dict[str, Any]]:
        return list(self.description.get("sessions", ()))

    @property
    def arguments(self) -> list[str]:
        """The paths that the run was given, or else those of its data."""
        return [
            str(text) for text in self.description.get("arguments") or [data["path"] for data in self.data.values()]
        ]

    def facts(self) -> dict[str, str]:
        """Return what must be the same in all runs, by name, as text for comparing and for messages."""
        options = self.options.items()
        facts = {_flag(name): json.dumps(value) for name, value in options if name in ABOUT_THE_RUN - _BY_MEANING}
        facts[_flag(_SHARD)] = f"one of {self.count}" if self.count else "not set"
        facts |= {name: json.dumps(self.description[name], sort_keys=True) for name in ("agent", "repeats")}
        facts["grader"] = json.dumps(meaning_of(self.description["grader"]), sort_keys=True)
        facts["judge"] = json.dumps(judge_of_run(self.description), sort_keys=True)
        facts["pass mark"] = json.dumps(self.description.get("pass_mark", DEFAULT_PASS_MARK))
        return facts | {f"data {name}": f"sha256 {data['sha256'][:16]}…" for name, data in self.data.items()}

    def selected(self, name: str) -> int:
        return int(self.data[name]["selected"])

    def named(self, name: str) -> bool:
        """Return whether the run ran a data set itself, and not only the user's own tests over it."""
        named = {os.path.normpath(text.partition("::")[0]) for text in self.arguments}
        return self.results[name] > 0 or not named.isdisjoint((name, os.path.normpath(self.data[name]["path"])))

    def ended_early(self) -> str | None:
        """Explain how the run's last session ended if that was early; None if it was not."""
        return ended_early(self.description)


def merge(runs: Sequence[Path], target: Path, *, allow_damaged: bool = False) -> Merged:
    """Join runs into a new one at `target`, which appears complete or not at all.

    The last line of each test counts. Lines are in the order of the shards, and within a run in the run's order. Raises
    RunError if the runs overlap or are about different things, if `target` is not new or empty, or if lines are damaged
    and `allow_damaged` is false.
    """
    key = find_key()
    parts = _open(runs, target, key)
    _refuse_mixed(parts)
    places = _places(parts)
    if not allow_damaged:
        _refuse_damaged(parts)
    labels = list(parts[0].data)
    tally = Tally(parts[0].description["repeats"])
    description, notes = _describe(parts)
    with _in_one_step(target) as directory:
        _copy(parts, places, directory.results, labels, tally)
        _copy_calls(parts, directory.calls)
        for part, entry in zip(parts, description["merged"], strict=True):
            entry["results"] = part.results.total()
            if part.damages:
                entry["damaged"] = len(part.damages)
        _count_missing(parts, tally)
        description["counts"] = tally.counts()
        if tally.judged:
            description["judged"] = dict(sorted(tally.judged.items()))
        strangers = [part.name for part in parts if not part.made_here]
        # The merged run names what its parts name, so it counts as made here only if all of them do.
        directory.write_description(description, None if strangers else key)
    if strangers:
        notes.append(
            f"not made here, or not marked so: {_several(strangers)}; so the merged run is not marked either, and to "
            "resume or replay it, its agent, data and addresses have to be given again"
        )
    told = *_left_out(parts), *notes
    return Merged(target, description, tally, len(places), tuple(_missing(parts)), told, made_here=not strangers)


# -------------------------------------------------------------------- what can be merged


def _open(runs: Sequence[Path], target: Path, key: Key) -> list[_Run]:
    """Read the runs' descriptions, in the order of their shards; raises one RunError that lists all troubles."""
    if not runs:
        raise RunError("no runs to merge: name their directories")
    try:
        taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
    except OSError as error:
        raise RunError(f"{target}: the runs cannot be merged there: {error.strerror or error}") from error
    if taken:
        raise RunError(f"{target}: exists already; name a directory that is new or empty")
    seen: dict[Path, Path] = {}
    troubles, parts = [], []
    names = Counter(path.resolve().name for path in runs)
    for path in runs:
        place = path.resolve()
        if place in seen:
            troubles.append(f"{path}: named twice" + ("" if path == seen[place] else f", as {seen[place]} too"))
            continue
        seen[place] = path
        try:
            parts.append(_Run.of(path, place.name if names[place.name] == 1 else str(path), key))
        except RunError as error:
            troubles.append(str(error))
    if troubles:
        raise RunError("\n".join(troubles))
    return sorted(parts, key=lambda part: part.shards)


def _shards_merged(description: Mapping[str, Any]) -> list[str]:
    """Return the shards from which a run was merged; [] for other runs."""
    return [text for run in description.get("merged", ()) for text in run["shards"]]


def _refuse_mixed(parts: Sequence[_Run]) -> None:
    """Raise RunError, with the value of each run, if the runs are about different things."""
    facts = [part.facts() for part in parts]
    differences = []
    for what in sorted({what for of_run in facts for what in of_run}):
        values: dict[str, list[str]] = {}
        for part, of_run in zip(parts, facts, strict=True):
            values.setdefault(of_run.get(what, "not set"), []).append(part.name)
        if len(values) > 1:
            differences.append(f"  {what}:")
            differences += [f"    {value} in {_several(names)}" for value, names in values.items()]
    covered: dict[int, _Run] = {}
    for part in parts if not differences else ():
        for shard in part.shards:
            other = covered.setdefault(shard, part)
            if other.shards != part.shards:
                differences.append(f"  shard {shard} is in {other.name}, and together with other shards in {part.name}")
    if differences:
        listed = "\n".join(differences)
        raise RunError(
            f"these runs are about different things, and would be mixed:\n{listed}\n"
            "merge runs that differ in nothing but --fc-shard"
        )


def _places(parts: Sequence[_Run]) -> dict[str, int]:
    """Return where each test's last line is: run number and offset in one integer; raises RunError for overlaps."""
    places: dict[str, int] = {}
    shared: dict[tuple[int, int], dict[str, None]] = {}
    for position, part in enumerate(parts):
        for offset, line in part.damages.watch(results_in(part.directory.results)):
            test = line.test
            if test is None:
                continue
            before = places.get(test, -1) >> _OFFSET_BITS
            if before not in (-1, position):
                shared.setdefault((before, position), {})[test] = None
            elif isinstance(line, Damage):
                places.pop(test, None)
            else:
                places[test] = position << _OFFSET_BITS | offset
    if shared:
        listed = []
        for (first, second), tests in shared.items():
            few = ", ".join(list(tests)[:_SHOWN]) + (", …" if len(tests) > _SHOWN else "")
            listed.append(f"  {count_of(len(tests), 'test')} in {parts[first].name} and {parts[second].name}: {few}")
        raise RunError("these runs overlap:\n" + "\n".join(listed) + "\nname each part of the data once")
    return places


def _refuse_damaged(parts: Sequence[_Run]) -> None:
    """Raise RunError for runs with damaged lines, because the merged run would lack their results."""
    damaged = [part for part in parts if part.damages]
    if damaged:
        found = [f"  {part.name}: {part.damages.losses()}" for part in damaged]
        found += [f"    {line}" for line in listed(part.damages for part in damaged)]
        told = "\n".join(found)
        raise RunError(
            f"these runs have lines that cannot be read, whose results would be missing:\n{told}\nresume these runs, "
            "which asks again at the tests of the lines (pytest --fc-resume=DIR), and then merge them; or leave the "
            "lines out with --allow-damaged"
        )


# -------------------------------------------------------------------- the new run


@contextmanager
def _in_one_step(target: Path) -> Iterator[RunDirectory]:
    """Yield a temporary directory that is renamed to the target at the end, or removed if there is an error."""
    final = target.resolve()
    partial = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
    try:
        partial.mkdir(parents=True)
        yield RunDirectory(partial)
        if final.exists():
            final.rmdir()  # it is empty
        partial.rename(final)
    except OSError as error:
        raise RunError(f"{target}: the runs cannot be merged there: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy(parts: Sequence[_Run], places: Mapping[str, int], path: Path, labels: Sequence[str], tally: Tally) -> None:
    """Copy the last line of each test, and count these results."""
    prefixes = [(f"{label}::", label) for label in labels]
    redact = Redactor()
    ordered = iter(sorted(places.values()))
    place = next(ordered, None)
    with path.open("wb") as target:
        for position, part in enumerate(parts):
            with open_regular(part.directory.results) as source:
                while place is not None and place >> _OFFSET_BITS == position:
                    data = line_at(source, place & _OFFSET)
                    target.write(data if data.endswith(b"\n") else data + b"\n")
                    try:
                        line = result_line(data)
                    except DamagedLineError as error:
                        raise RunError(f"{part.directory.results}: changed while it was read: {error}") from error
                    label = next((label for prefix, label in prefixes if line.test.startswith(prefix)), None)
                    part.results[label] += 1
                    record = CaseRecord.of_line(line, own=label is not None)
                    record.hide_secrets(redact)  # only in what is shown; the line itself is copied unchanged
                    tally.count(record, line.test, passed=line.outcome == "passed")
                    place = next(ordered, None)


def _copy_calls(parts: Sequence[_Run], target: Path) -> None:
    """Copy the answers whose tests have not run, so that a resumed run does not ask for them again."""
    for position, part in enumerate(parts):
        damages = Damages()
        for path in sorted(part.directory.calls.glob("*.jsonl")):
            target.mkdir(exist_ok=True)
            with open_regular(path) as source, (target / f"{position}-{path.name}").open("xb") as copy:
                for offset, line in damages.watch(calls_in(path)):
                    if not isinstance(line, Damage) and line.has_output:
                        data = line_at(source, offset)
                        copy.write(data if data.endswith(b"\n") else data + b"\n")
        part.calls_left_out = len(damages)


def _describe(parts: Sequence[_Run]) -> tuple[dict[str, Any], list[str]]:
    """Return the merged run's description for run.json, and remarks on harmless differences between the runs."""
    first = parts[0].description
    keys = dict.fromkeys(key for part in parts for key in part.description)
    alike = {key: first[key] for key in keys if all(part.description.get(key, ...) == first.get(key) for part in parts)}
    options, own_choice, differing = _options(parts)
    apart = [key for key in keys if key not in alike and key not in _MERGED_KEYS]
    notes = [f"the runs had different values of {_flag(name)}, and the merged run has none" for name in differing]
    if apart:
        notes.append(f"the runs differ in {', '.join(apart)}: run.json has each one's, under merged")
    if own_choice:
        given = ", ".join(f"{_flag(name)}={value}" for name, value in own_choice.items())
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
    alike.pop("counts", None)  # each is of one session
    # These mean the same in all runs, even if they are written differently.
    described |= {name: first[name] for name in ("grader", "judge") if name in first}
    return alike | described | ({"selected_by_shard": own_choice} if own_choice else {}), notes


_MERGED_KEYS = frozenset(
    (
        *("data", "arguments", "options", "merged", "started", "ended", "sessions", "selected_by_shard"),
        *("grader", "judge", "judged", "counts"),
    )
)


def _options(parts: Sequence[_Run]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Return the merged run's options, those that each shard applied to itself, and the names of those that differ."""
    options: dict[str, Any] = {}
    differing = []
    for name in dict.fromkeys(name for part in parts for name in part.options if name != _SHARD):
        values = [part.options.get(name) for part in parts]
        if name in _BY_MEANING:
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


def _data(parts: Sequence[_Run]) -> list[dict[str, Any]]:
    """Describe the data for run.json, preferring a path that exists on this machine."""
    described = []
    for name, data in parts[0].data.items():
        paths = [part.data[name]["path"] for part in parts]
        # Paths in runs that were not made here are not even checked for existence.
        here = (part.data[name]["path"] for part in parts if part.made_here)
        path = next(filter(_is_there, here), paths[0])
        described.append(data | {"path": path, "selected": _selected(parts, name)})
    return described


def _selected(parts: Sequence[_Run], name: str) -> int:
    """Add up how many pivots the shards selected; several runs of one shard selected the same."""
    return sum({part.shards: part.selected(name) for part in parts}.values())


def _arguments(parts: Sequence[_Run]) -> list[str] | None:
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


# -------------------------------------------------------------------- what is not there


def _missing(parts: Sequence[_Run]) -> Iterator[str]:
    """Yield the missing shards, and the runs that have, or may have, fewer results than tests."""
    count, data = parts[0].count, parts[0].data
    absent = sorted(set(range(1, count + 1)) - {shard for part in parts for shard in part.shards})
    covered = bool(data) and all(_selected(parts, name) == data[name]["pivots"] for name in data)
    if absent and not covered:  # a missing shard may be an empty one, whose session leaves no run
        yield f"shard{'s' * (len(absent) > 1)} {_several(list(map(str, absent)))} of {count}"
    for runs in _by_shard(parts):
        yield from _missing_in(runs)
    for part in parts:
        if part.damages.torn is not None:
            yield f"{part.name}: its last line is incomplete ({part.damages.torn.size} bytes) and is left out"


def _missing_in(runs: Sequence[_Run]) -> Iterator[str]:
    """Yield what is missing in the runs of one shard; how many tests of the user's own there are is unknown."""
    names = _several([run.name for run in runs])
    ends = [f"{run.name}: {end}" if len(runs) > 1 else end for run in runs if (end := run.ended_early()) is not None]
    short = False
    for name in runs[0].data:
        wanted, found = _wanted_and_found(runs, name)
        if found < wanted:
            short = True
            yield "; ".join([f"{names}: {found} of {wanted} tests of {name} have a result", *ends])
    if ends and not short and not all(_only_data(run) for run in runs):
        yield "; ".join([f"{names}: there may be tests without a result", *ends])


def _wanted_and_found(runs: Sequence[_Run], name: str) -> tuple[int, int]:
    """Return how many tests of a data file the runs of one shard should have, and how many have a result."""
    found = sum(run.results[name] for run in runs)
    if not any(run.named(name) for run in runs):
        return found, found  # only the user's own tests read it, whose number is unknown
    return runs[0].selected(name) * runs[0].description["repeats"], found


def _count_missing(parts: Sequence[_Run], tally: Tally) -> None:
    """Count the skipped tests of the runs, and the other tests of their shards without a result."""
    for part in parts:
        counts = part.description.get("counts")  # a run that was killed, or is of an earlier version, has none
        tally.skipped += 0 if counts is None else counts.get("skipped", 0)
    short = 0
    for runs in _by_shard(parts):
        for name in runs[0].data:
            wanted, found = _wanted_and_found(runs, name)
            short += max(0, wanted - found)
    tally.not_run = max(0, short - tally.skipped)


def _by_shard(parts: Iterable[_Run]) -> Iterable[list[_Run]]:
    together: dict[tuple[int, ...], list[_Run]] = {}
    for part in parts:
        together.setdefault(part.shards, []).append(part)
    return together.values()


def _only_data(run: _Run) -> bool:
    """Return whether a run ran only data files, so that its number of tests is known."""
    paths = {os.path.normpath(data["path"]) for data in run.data.values()} | set(run.data)
    return all(os.path.normpath(text.partition("::")[0]) in paths for text in run.arguments)


def _left_out(parts: Sequence[_Run]) -> Iterator[str]:
    for part in parts:
        if part.damages:
            yield f"{part.name}: left out: {part.damages.losses()}"
        if part.damages.made_up:
            made_up = part.damages.made_up
            yield f"{part.name}: damaged lines without a loss, since their tests have later results: {made_up}"
        if part.calls_left_out:
            yield f"{part.name}: damaged lines in calls/ are left out: {part.calls_left_out}; a resumed run asks again"
    yield from (f"  {line}" for line in listed(part.damages for part in parts))


# -------------------------------------------------------------------- words


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")


def _several(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN * 2
    return ", ".join(names[: _SHOWN * 2]) + (f" and {more} more" if more > 0 else "")


def count_of(number: int, noun: str) -> str:
    """Write a number of things, in the plural unless it is 1."""
    return f"{number} {noun}{'s' * (number != 1)}"
