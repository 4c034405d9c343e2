"""Build the report of a run: read it, write its first screen and its payload, and put the page together."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.report.html import payload
from pytest_fcpivot.report.html.details import DetailsOf
from pytest_fcpivot.report.html.filling import EXAMPLES, screen_of
from pytest_fcpivot.report.html.first_screen import first_screen, title_of
from pytest_fcpivot.report.html.ladder import climb
from pytest_fcpivot.report.html.page import page, script, style_sheet
from pytest_fcpivot.report.html.parts import Parts, packed
from pytest_fcpivot.report.html.reading import BaseRead, read_base, read_run, side_of
from pytest_fcpivot.report.html.results import NOT_RUN
from pytest_fcpivot.report.html.room import MOST_ROWS, Order, order_of
from pytest_fcpivot.report.html.strip import strip_of
from pytest_fcpivot.report.html.watching import watched_runs
from pytest_fcpivot.report.show_command import show_command
from pytest_fcpivot.runs.comparing import compare
from pytest_fcpivot.runs.signatures import Changed, Signatures, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.report.behaviour_text import Watched
    from pytest_fcpivot.report.html.reading import RunRead
    from pytest_fcpivot.report.html.results import Results
    from pytest_fcpivot.runs.comparing import Side
    from pytest_fcpivot.runs.signatures import Cause, Keys

MAX_SIZE = 25_000_000  # bytes
_PER_ROW = 4  # characters that a row's place in the parts takes in the index
_PER_PART = 64  # characters of the element around a part
_FRAME = 4096  # characters of the page that are in none of its other parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the report is of: the run, its name, data files that the user gives, and the size that it may have.

    `path` is the run's path as a user would type it. `stores` are the run's data by name if they are open already,
    which they stay. The table has at most `most_rows` rows, and the comparators are asked
    about as many answers. `base` is what the run is compared with. `others` are the runs that are set beside it,
    in their order; they may have `base` among them.
    """

    run: Path
    name: str
    path: str
    data: Sequence[str] = ()
    allow_damaged: bool = False
    max_size: int = MAX_SIZE
    most_rows: int = MOST_ROWS
    base: Side | None = None
    others: Sequence[Path] = ()
    stores: Sequence[tuple[str, PivotStore]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The page as texts, and what is told about it.

    `rows` counts the tests in the table, `not_run` those of them without a result, `left_out` those without their
    details, and `unlisted` the tests that are not in the table. `no_data` says why the data of the run are not at hand.
    `watched` has the run beside those it is compared with, if there are any.
    """

    texts: Iterable[str]
    rows: int
    not_run: int
    left_out: int
    unlisted: int
    no_data: str | None = None
    watched: Watched | None = None


def build(asked: Asked) -> Built:
    """Make the page.

    Raises RunError and DataError as `read_run` does, RunError as `compare` does, and RunError if not even the table
    fits into the size that the page may have.
    """
    collects = gc.isenabled()
    gc.disable()  # there are many small objects and no cycles, so that looking for these takes a third of the time
    try:
        return _read_and_built(asked)
    finally:
        if collects:
            gc.enable()


def _read_and_built(asked: Asked) -> Built:
    run = read_run(
        asked.run,
        asked.name,
        asked.path,
        asked.data,
        asked.stores,
        allow_damaged=asked.allow_damaged,
        with_answers=bool(asked.base is not None or asked.others),
    )
    try:
        return _built(asked, run)
    finally:
        if asked.stores is None:
            run.close()


def _built(asked: Asked, run: RunRead) -> Built:
    redact = Redactor()
    base, comparison, changed, before_causes = None, None, None, None
    causes = run.results.tally.signatures.ranked()
    if asked.base is not None:
        base = read_base(asked.base, run.results.rewards.places)
        comparison = compare(asked.base, side_of(run))
        before = {(pair.new.place, pair.new.pivot_id): pair.base.mean for pair in comparison.pairs}
        flips = {(each.pair.new.place, each.pair.new.pivot_id): -1 for each in comparison.lost}
        flips |= {(each.pair.new.place, each.pair.new.pivot_id): 1 for each in comparison.won}
        for entry in run.results.entries.values():
            key = entry.place, entry.pivot_id
            entry.before, entry.flip = before.get(key), flips.get(key, 0)
        if base.results is not None:
            causes_of_base = base.results.tally.signatures.ranked()
            changed = Changed.between(
                causes_of_base,
                causes,
                in_both_before=_on(base.results, keys_of(pair.base for pair in comparison.pairs)),
                in_both_now=_on(run.results, keys_of(pair.new for pair in comparison.pairs)),
            )
            same_tests = len(base.results.entries) == len(run.results.entries)
            if same_tests and not comparison.only_base and not comparison.only_new:  # else the numbers tell nothing
                before_causes = causes_of_base
    ladder, faults = climb(run, asked.most_rows)
    past, note = strip_of(run.path, run.description, run.results.tally.mean_reward(), asked.others)
    watched = watched_runs(run, base, asked.others, allow_damaged=asked.allow_damaged)
    order = order_of(run.entries, {cause.example for cause in causes[:EXAMPLES]}, asked.most_rows)
    rows = len(order.entries)
    unlisted = len(run.results.entries) - rows
    screen = screen_of(
        run,
        redact,
        comparison=comparison,
        changed=changed,
        before=before_causes,
        ladder=ladder,
        faults=faults,
        strip=past,
        strip_note=note,
        watched=watched,
        unlisted=unlisted,
    )
    written = first_screen(screen)
    signatures = {each.cause.signature: each.number for each in screen.signatures}
    strings, filled = payload.columns(order.entries, signatures, order.steady)
    about = payload.about(screen, run.shown, show_command(run.shown))
    bare = packed(payload.index(strings, filled, [(-1, -1)] * rows, about))
    assets = len(style_sheet().encode()) + len(script().encode())
    needed = len(written.encode()) + assets + len(bare) + _PER_ROW * rows + _FRAME
    if needed > asked.max_size:
        raise RunError(
            f"{run.name}: the first screen and the table of {rows} results take {needed / 1e6:.1f} MB, more than the "
            f"{asked.max_size / 1e6:g} MB that the report may have; allow more with --max-size"
        )
    places, parts = _details(run, base, order, asked.max_size - needed, redact)
    index = packed(payload.index(strings, filled, places, about))
    left_out = sum(part < 0 for part, _ in places)
    meta = payload.meta(rows=rows, parts=len(parts), left_out=left_out)
    texts = page(title_of(screen), written, meta, index, parts)
    not_run = sum(entry.outcome == NOT_RUN for entry in order.entries)
    return Built(
        texts=texts,
        rows=rows,
        not_run=not_run,
        left_out=left_out,
        unlisted=unlisted,
        no_data=screen.no_data,
        watched=watched,
    )


def _on(results: Results, pivots: Keys) -> tuple[Cause, ...]:
    """Return the causes of a run on some of its pivots."""
    found = Signatures()
    for entry in results.entries.values():
        if entry.signature is not None and (entry.place, entry.pivot_id) in pivots:
            found.count(entry.signature, entry.reward or 0.0, entry.test, passed=entry.outcome == 0)
    return found.ranked()


def _details(
    run: RunRead, base: BaseRead | None, order: Order, room: int, redact: Redactor
) -> tuple[list[tuple[int, int]], list[tuple[int, str]]]:
    """Return the place of each entry in the parts, and the parts."""
    places = [(-1, -1)] * len(order.entries)
    if not order.entries:
        return places, []
    parts = Parts(room, redact.answer, _PER_PART)
    with DetailsOf(run, base) as details:
        for pivots in order.rounds(room):
            found = [details.of(numbers[0], [order.entries[number] for number in numbers]) for numbers in pivots]
            if not parts.add(found):
                break
    texts = parts.finish()
    for first, place in parts.places.items():
        for number in order.repeats[first]:
            places[number] = place
    return places, texts
