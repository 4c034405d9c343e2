"""Checks which runs can be merged, and refuses the others with the reason."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.damage import listed
from pytest_fcpivot.runs.merging.part import Part
from pytest_fcpivot.runs.merging.words import several

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_fcpivot.runs.trust import Key


def open_parts(runs: Sequence[Path], target: Path, key: Key) -> list[Part]:
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
            parts.append(Part.of(path, place.name if names[place.name] == 1 else str(path), key))
        except RunError as error:
            troubles.append(str(error))
    if troubles:
        raise RunError("\n".join(troubles))
    return sorted(parts, key=lambda part: part.shards)


def refuse_mixed(parts: Sequence[Part]) -> None:
    """Raise RunError, with the value of each run, if the runs are about different things."""
    facts = [part.facts() for part in parts]
    differences = []
    for what in sorted({what for of_run in facts for what in of_run}):
        values: dict[str, list[str]] = {}
        for part, of_run in zip(parts, facts, strict=True):
            values.setdefault(of_run.get(what, "not set"), []).append(part.name)
        if len(values) > 1:
            differences.append(f"  {what}:")
            differences += [f"    {value} in {several(names)}" for value, names in values.items()]
    covered: dict[int, Part] = {}
    for part in parts if not differences else ():
        for shard in part.shards:
            other = covered.setdefault(shard, part)
            if other.shards != part.shards:
                differences.append(f"  shard {shard} is in {other.name}, and together with other shards in {part.name}")
    if differences:
        shown = "\n".join(differences)
        raise RunError(
            f"these runs are about different things, and would be mixed:\n{shown}\n"
            "merge runs that differ in nothing but --fc-shard"
        )


def refuse_damaged(parts: Sequence[Part]) -> None:
    """Raise RunError for runs with damaged lines, because the merged run would lack their results."""
    damaged = [part for part in parts if part.damages]
    if damaged:
        found = [f"  {part.name}: {part.damages.losses()}" for part in damaged]
        found += [f"    {line}" for line in listed(part.damages for part in damaged)]
        shown = "\n".join(found)
        raise RunError(
            f"these runs have lines that cannot be read, whose results would be missing:\n{shown}\nresume these runs, "
            "which runs the tests of these lines again (pytest --fc-resume=DIR), and then merge them; or leave the "
            "lines out with --allow-damaged"
        )
