"""Build the report of a run: read it, write its first screen and its payload, and put the page together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.report.html import payload
from pytest_fcpivot.report.html.details import DetailsOf
from pytest_fcpivot.report.html.first_screen import first_screen, title_of
from pytest_fcpivot.report.html.model import screen_of
from pytest_fcpivot.report.html.page import page, script, style_sheet
from pytest_fcpivot.report.html.parts import Parts, packed
from pytest_fcpivot.report.html.reading import read_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_fcpivot.report.html.reading import RunRead
    from pytest_fcpivot.report.html.results import Entry

MAX_SIZE = 25_000_000  # bytes
_PER_ROW = 4  # characters that a row's place in the parts takes in the index


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the report is of: the run, its name, data files that the user gives, and the size that it may have."""

    run: Path
    name: str
    data: Sequence[str] = ()
    allow_damaged: bool = False
    max_size: int = MAX_SIZE


def build(asked: Asked) -> Iterator[str]:
    """Yield the texts of the page. Raises RunError and DataError as `read_run` does."""
    run = read_run(asked.run, asked.name, asked.data, allow_damaged=asked.allow_damaged)
    try:
        redact = Redactor()
        screen = screen_of(run, redact)
        written = first_screen(screen)
        entries = run.entries
        causes = {cause.signature: number for number, cause in enumerate(screen.figures.causes)}
        strings, filled = payload.columns(entries, causes, _steady(entries))
        others = {
            "signatures": screen.signatures_as_builtins(),
            "bins": payload.bins(),
            "run": {"name": run.name, "path": str(run.path), "show": f"fcpivot show {run.path}", "base": None},
            "runs": [run.name],
        }
        bare = packed(payload.index(strings, filled, [(-1, -1)] * len(entries), others))
        room = asked.max_size - len(written) - len(style_sheet()) - len(script()) - len(bare) - _PER_ROW * len(entries)
        places, parts = _details(run, entries, room, redact)
        index = packed(payload.index(strings, filled, places, others))
        left_out = sum(part < 0 for part, _ in places)
        meta = payload.meta(rows=len(entries), parts=len(parts), left_out=left_out)
    finally:
        run.close()
    yield from page(title_of(screen), written, meta, index, parts)


def _steady(entries: Sequence[Entry]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return the passed and the graded repeats of each pivot that has several."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for entry in entries:
        key = entry.place, entry.pivot_id
        passed, graded = found.get(key, (0, 0))
        found[key] = passed + (entry.outcome == 0), graded + (entry.reward is not None)
    return {key: counts for key, counts in found.items() if counts[1] > 1}


def _details(
    run: RunRead, entries: Sequence[Entry], room: int, redact: Redactor
) -> tuple[list[tuple[int, int]], list[tuple[int, str]]]:
    """Return the place of each entry in the parts, and the parts."""
    pivots: dict[tuple[str, str], list[int]] = {}
    for number, entry in enumerate(entries):
        pivots.setdefault((entry.place, entry.pivot_id), []).append(number)
    trajectories: dict[tuple[int, str], list[list[int]]] = {}
    for numbers in pivots.values():
        entry = entries[numbers[0]]
        trajectories.setdefault((entry.data, entry.trajectory_id), []).append(numbers)
    parts = Parts(room, redact.answer)
    with DetailsOf(run) as details:
        for those in trajectories.values():
            found = [details.of(numbers[0], [entries[number] for number in numbers]) for numbers in those]
            if not parts.add(found):
                break
    texts = parts.finish()
    places = [(-1, -1)] * len(entries)
    for numbers in pivots.values():
        place = parts.places.get(numbers[0])
        if place is not None:
            for number in numbers:
                places[number] = place
    return places, texts
