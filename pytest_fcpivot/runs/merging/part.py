"""One of the runs that are merged: what it says of itself, and what is found in it."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import OptionError, RunError
from pytest_fcpivot.data.selection import parse_shard
from pytest_fcpivot.graders import meaning_of
from pytest_fcpivot.options.table import ABOUT_THE_RUN, DEFAULT_PASS_MARK, flag_of
from pytest_fcpivot.runs.damage import Damages
from pytest_fcpivot.runs.described import read_with_origin
from pytest_fcpivot.runs.directory import COMPARED_BY_MEANING, RunDirectory, ended_early, judge_of_run
from pytest_fcpivot.runs.trust import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pytest_fcpivot.runs.trust import Key

# run.json has the number of repeats apart, even if the option was not given.
BY_MEANING = COMPARED_BY_MEANING | {"fc_repeats"}
SHARD = "fc_shard"


@dataclass(slots=True)
class Part:
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
    unneeded: Counter[str | None] = field(default_factory=Counter)  # tests of mixed pivots, which were not run

    @classmethod
    def of(cls, path: Path, name: str, key: Key) -> Part:
        """Read a run's description; raises RunError if the run cannot be merged."""
        description, origin = read_with_origin(path, key)
        if description.get("replays"):
            raise RunError(f"{path}: this is a replay, which asked no agent; name the run that it graded again")
        options = description["options"] | description.get("selected_by_shard", {})
        texts = [options[SHARD]] if options.get(SHARD) is not None else _shards_merged(description)
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
        """The sessions of the run, as in its run.json."""
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
        facts = {flag_of(name): json.dumps(value) for name, value in options if name in ABOUT_THE_RUN - BY_MEANING}
        facts[flag_of(SHARD)] = f"one of {self.count}" if self.count else "not set"
        facts |= {name: json.dumps(self.description[name], sort_keys=True) for name in ("agent", "repeats")}
        facts["grader"] = json.dumps(meaning_of(self.description["grader"]), sort_keys=True)
        facts["judge"] = json.dumps(judge_of_run(self.description), sort_keys=True)
        facts["pass mark"] = json.dumps(self.description.get("pass_mark", DEFAULT_PASS_MARK))
        return facts | {f"data {name}": f"sha256 {data['sha256'][:16]}…" for name, data in self.data.items()}

    def selected(self, name: str) -> int:
        """Return how many pivots of a data set the run selected."""
        return int(self.data[name]["selected"])

    def named(self, name: str) -> bool:
        """Return whether the run ran a data set itself, and not only the user's own tests over it."""
        named = {os.path.normpath(text.partition("::")[0]) for text in self.arguments}
        return self.results[name] > 0 or not named.isdisjoint((name, os.path.normpath(self.data[name]["path"])))

    def ended_early(self) -> str | None:
        """Explain how the run's last session ended if that was early; None if it was not."""
        return ended_early(self.description)


def by_shard(parts: Iterable[Part]) -> Iterable[list[Part]]:
    """Group the runs by the shards that they cover."""
    together: dict[tuple[int, ...], list[Part]] = {}
    for part in parts:
        together.setdefault(part.shards, []).append(part)
    return together.values()


def _shards_merged(description: Mapping[str, Any]) -> list[str]:
    """Return the shards from which a run was merged; [] for other runs."""
    return [text for run in description.get("merged", ()) for text in run["shards"]]


def selected_by(parts: Sequence[Part], name: str) -> int:
    """Add up how many pivots the shards selected; several runs of one shard selected the same."""
    return sum({part.shards: part.selected(name) for part in parts}.values())
