"""Write the runs of the same data: a small picture for each figure, from the first run to the last, and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.report.behaviour_text import (
    arrow_of,
    columns_of,
    hint_in_words,
    pivots_in_words,
    short_name,
    sure_changes,
    value_of,
    written,
)
from pytest_fcpivot.report.html import svg
from pytest_fcpivot.report.html.escape import Markup, element
from pytest_fcpivot.report.html.tables import table
from pytest_fcpivot.runs.behaviour import MESSAGE
from pytest_fcpivot.runs.drift import (
    ARGUMENTS_LENGTH,
    LENGTHS,
    MESSAGE_LENGTH,
    MESSAGES,
    MISPLACED,
    REWARD,
    UNREAD,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_fcpivot.report.behaviour_text import Watched
    from pytest_fcpivot.report.html.model import PastRun, Screen
    from pytest_fcpivot.runs.behaviour import SideBySide
    from pytest_fcpivot.runs.drift import Drift

_SMALL = 0.1

# The figures that have a picture; the table has all.
_PICTURES = {
    REWARD: "Mean reward",
    MESSAGES: "Messages",
    MISPLACED: "Messages for calls",
    UNREAD: "Unreadable",
    MESSAGE_LENGTH: "Message length",
    ARGUMENTS_LENGTH: "Arguments length",
}


def history(screen: Screen) -> Iterator[Markup]:
    """Write what is known of other runs of the same data."""
    past, watched = screen.strip, screen.watched
    drift = None if watched is None else watched.drift
    if watched is not None and drift is not None:
        last = watched.runs.runs[-1].name
        yield from (element("p", _capital(hint_in_words(hint, last)), ".", class_="warning") for hint in drift.hints)
    pictures: list[Markup] = []
    if watched is None or drift is None or len(past) > len(watched.runs.runs):
        pictures += _means(past)
    if watched is not None and drift is not None:
        pictures += _figures(watched.runs, drift)
    if pictures:
        yield element("div", *pictures, class_="trends")
    else:
        yield element("p", "There is no other run of the same data beside this one.")
    if watched is not None:
        yield from _told(watched)
    tables = list(_tables(past, watched))
    if tables:
        yield element("details", element("summary", "the runs as a table"), *tables)
    if screen.strip_note:
        yield element("p", f"{screen.strip_note}.", class_="hint")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _picture(
    heading: str, values: str, points: Sequence[svg.Point], top: float = 1.0, mark: float | None = None
) -> Markup:
    label = f"{heading}: {'; '.join(point.text for point in points)}"
    return element("div", element("h3", heading), element("p", values), svg.trend(points, label, top=top, mark=mark))


def _means(past: Sequence[PastRun]) -> Iterator[Markup]:
    """Yield the picture of the mean rewards of all runs, each over all that it answered."""
    if len(past) > 1:
        points = [
            svg.Point(
                run.interval.mean,
                f"{run.name} {run.interval.mean:.4f}, {run.agent}",
                (run.interval.low, run.interval.high),
                run.is_subject,
            )
            for run in past
        ]
        values = f"{_short(REWARD, past[0].interval.mean)} → {_short(REWARD, past[-1].interval.mean)}"
        yield _picture(f"Reward, {len(past)} runs", values, points)


def _figures(beside: SideBySide, drift: Drift) -> Iterator[Markup]:
    """Yield the pictures of the runs that are set side by side."""
    runs = beside.runs
    for figure, heading in _PICTURES.items():
        values = [value_of(run, figure) for run in runs]
        if all(value is None for value in values):
            continue
        points = [
            svg.Point(
                value,
                f"{run.name} {written(figure, value)}",
                (run.reward.low, run.reward.high) if figure == REWARD else None,
                run is runs[-1],
            )
            for run, value in zip(runs, values, strict=True)
        ]
        arrow = arrow_of(drift.since_first.get(figure), values[0], values[-1])
        told = f"{_short(figure, values[0])} → {_short(figure, values[-1])} {arrow}".rstrip()
        top = max(1.0, *(value or 0.0 for value in values)) if figure in LENGTHS else 1.0
        yield _picture(heading, told, points, top, beside.expect[MESSAGE] if figure == MESSAGES else None)


def _told(watched: Watched) -> Iterator[Markup]:
    """Yield what the pictures are of, and which runs are not in them."""
    runs, drift = watched.runs, watched.drift
    if drift is not None:
        sure = any(change.is_sure for change in drift.since_first.values())
        chance = "↑ and ↓ mark what changed" if sure else "Nothing changed"
        yield element(
            "p",
            f"{_capital(pivots_in_words(runs))} (dashed). {chance} by more than chance alone would make. Scales begin "
            "at 0, and end at 1 or the longest.",
            class_="hint",
        )
    yield from (element("p", f"{_capital(note)}.", class_="hint") for note in runs.notes)


def _short(figure: str, value: float | None) -> str:
    """Write a figure with three digits at most, for the little room beside a picture."""
    if value is None or figure in LENGTHS:
        return written(figure, value)
    return f"{value:.3f}" if figure == REWARD else f"{100 * value:.{1 if 0 < value < _SMALL else 0}f} %"


def _tables(past: Sequence[PastRun], watched: Watched | None) -> Iterator[Markup]:
    """Yield the tables of all figures, and what changed beyond chance."""
    if watched is not None and watched.drift is not None:
        yield _wide(_behaviours(watched.runs), "how the runs answered")
        sure = [element("li", text) for text in sure_changes(watched.drift)]
        if sure:
            first, last = (short_name(run.name) for run in (watched.runs.runs[0], watched.runs.runs[-1]))
            yield element("p", f"Changed from {first} to {last} by more than chance alone would make:")
            yield element("ul", *sure)
    if len(past) > 1:
        yield _wide(_past(past), "runs of the same data")


def _behaviours(runs: SideBySide) -> Markup:
    columns = columns_of(runs.runs)
    medians = [(figure, heading) for figure, heading in columns if figure in LENGTHS]
    head = ["run", "agent", "answers", *(heading for _, heading in columns)]
    head += [f"{heading}, median" for _, heading in medians]
    rows = []
    for run in runs.runs:
        figures = [written(figure, value_of(run, figure)) for figure, _ in columns]
        lengths = [getattr(run, figure) for figure, _ in medians]
        figures += [
            written(figure, None if length is None else length.median)
            for (figure, _), length in zip(medians, lengths, strict=True)
        ]
        rows.append((run.name, run.agent, f"{run.n:,}", *figures))
    return table(head, rows, "runs")


def _past(past: Sequence[PastRun]) -> Markup:
    rows = [
        (
            run.name + (" (this run)" if run.is_subject else ""),
            run.started[:16].replace("T", " "),
            run.agent,
            f"{run.interval.mean:.4f}",
            f"{run.interval.low:.4f} to {run.interval.high:.4f}",
            f"{run.interval.n:,}",
        )
        for run in past
    ]
    return table(("run", "started", "agent", "mean reward", "95 % interval", "answers"), rows, "runs")


def _wide(content: Markup, label: str) -> Markup:
    """Return a table that scrolls sideways where it has no room, also by the keys."""
    return element("div", content, class_="wide", tabindex=0, role="region", aria_label=label)
