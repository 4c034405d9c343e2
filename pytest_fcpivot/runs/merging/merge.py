"""Join the runs of shards, or of other disjoint parts of one data set, into one run.

Each run's results are read twice: first to find the offset of each test's last line, which is all that is held in
memory, and then to copy these lines and count them.
"""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.runs.damage import Damages
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.merging.description import describe
from pytest_fcpivot.runs.merging.gaps import count_missing, left_out, missing
from pytest_fcpivot.runs.merging.mergeable import open_parts, refuse_damaged, refuse_mixed
from pytest_fcpivot.runs.merging.words import several
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
from pytest_fcpivot.runs.trust import find_key
from pytest_fcpivot.runs.until_mixed import first_test, is_until_mixed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_fcpivot.runs.merging.part import Part

_OFFSET_BITS = 48
_OFFSET = (1 << _OFFSET_BITS) - 1
_SHOWN = 5
_NO_LINES = (0, None, 0)


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


def merge(
    runs: Sequence[Path],
    target: Path,
    *,
    allow_damaged: bool = False,
    summarize: Callable[[Merged], bytes] | None = None,
) -> Merged:
    """Join runs into a new one at `target`, which appears complete or not at all.

    The last line of each test counts. Lines are in the order of the shards, and within a run in the run's order. What
    `summarize` makes of the merged run becomes its `summary.json`. Raises RunError if the runs overlap or are about
    different things, if `target` is not new or empty, or if lines are damaged and `allow_damaged` is false.
    """
    key = find_key()
    parts = open_parts(runs, target, key)
    refuse_mixed(parts)
    places = _places(parts)
    if not allow_damaged:
        refuse_damaged(parts)
    labels = list(parts[0].data)
    about = parts[0].description
    tally = Tally(about["repeats"], until_mixed=is_until_mixed(about))
    description, notes = describe(parts)
    with _in_one_step(target) as directory:
        _copy(parts, places, directory.results, labels, tally)
        _copy_calls(parts, directory.calls)
        for part, entry in zip(parts, description["merged"], strict=True):
            entry["results"] = part.results.total()
            if part.damages:
                entry["damaged"] = len(part.damages)
        count_missing(parts, tally)
        description["counts"] = tally.counts()
        if tally.judged:
            description["judged"] = dict(sorted(tally.judged.items()))
        strangers = [part.name for part in parts if not part.made_here]
        # The merged run names what its parts name, so it counts as made here only if all of them do.
        directory.write_description(description, None if strangers else key)
        if strangers:
            notes.append(
                f"these runs are not marked as made here: {several(strangers)}; so the merged run is not marked "
                "either, and to resume or replay it, its agent, data and addresses have to be given again"
            )
        remarks, made_here = (*left_out(parts), *notes), not strangers
        gaps = tuple(missing(parts))
        merged = Merged(target, description, tally, len(places), gaps, remarks, made_here=made_here)
        if summarize is not None:
            directory.write_summary(summarize(merged))
    return merged


def _places(parts: Sequence[Part]) -> dict[str, int]:
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
        shown = []
        for (first, second), tests in shared.items():
            few = ", ".join(list(tests)[:_SHOWN]) + (", …" if len(tests) > _SHOWN else "")
            shown.append(f"  {count_of(len(tests), 'test')} in {parts[first].name} and {parts[second].name}: {few}")
        raise RunError("these runs overlap:\n" + "\n".join(shown) + "\nname each part of the data once")
    return places


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


def _copy(parts: Sequence[Part], places: Mapping[str, int], path: Path, labels: Sequence[str], tally: Tally) -> None:
    """Copy the last line of each test, and count these results."""
    prefixes = [(f"{label}::", label) for label in labels]
    redact = Redactor()
    of_pivot: dict[str, tuple[int, str | None, int]] = {}  # the run, the data and the number of lines
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
                    if tally.until_mixed:
                        pivot = first_test(line.test, line.repeat)
                        of_pivot[pivot] = position, label, of_pivot.get(pivot, _NO_LINES)[2] + 1
                    place = next(ordered, None)
    for pivot, (position, label, lines) in of_pivot.items():
        if tally.is_mixed(pivot, 1):
            parts[position].unneeded[label] += max(0, tally.repeats - lines)


def _copy_calls(parts: Sequence[Part], target: Path) -> None:
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
