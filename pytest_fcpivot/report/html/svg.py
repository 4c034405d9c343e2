"""Draw the small pictures of the first screen as SVG, with presentation attributes that do without a style sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_fcpivot.report.html.escape import Markup, element

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fcpivot.report.html.model import Mark
    from pytest_fcpivot.stats.interval import Interval

INK, PALE, ACCENT, BAD = "#1f2328", "#8c959f", "#0969da", "#b3261e"
_AXIS, _EDGE = 560, 20
_TREND, _RING, _STEP = (176, 40), 7, 40


class Point(NamedTuple):
    """A run's value in a trend with its text; `ends` are those of its interval. No value: there is a gap."""

    value: float | None
    text: str
    ends: tuple[float, float] | None = None
    is_subject: bool = False


def _svg(width: int, height: int, label: str, *children: Markup) -> Markup:
    """Return a picture with a text in its place for those who cannot see it."""
    return element(
        "svg",
        element("title", label),
        *children,
        width=width,
        height=height,
        viewbox=f"0 0 {width} {height}",
        role="img",
        aria_label=label,
    )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def axis(interval: Interval, marks: Sequence[Mark], label: str) -> Markup:
    """Draw a mean reward with its interval on an axis from 0 to 1, and marks on the same axis."""

    def at(value: float) -> float:
        return _EDGE + value * _AXIS

    shapes = [
        element("line", x1=_EDGE, x2=_EDGE + _AXIS, y1=34, y2=34, stroke=PALE, stroke_width=1, class_="axis"),
        *(
            element(
                "text",
                f"{tick / 10:g}",
                x=_n(at(tick / 10)),
                y=52,
                font_size=11,
                text_anchor="middle",
                fill=INK,
                class_="tick",
            )
            for tick in (0, 2, 4, 6, 8, 10)
        ),
        element(
            "rect",
            x=_n(at(interval.low)),
            y=27,
            width=_n(max(1.0, (interval.high - interval.low) * _AXIS)),
            height=14,
            fill=ACCENT,
            fill_opacity="0.35",
            class_="interval",
        ),
        element("circle", cx=_n(at(interval.mean)), cy=34, r=5, fill=ACCENT, class_="mean"),
    ]
    for number, mark in enumerate(marks):
        x = _n(at(min(1.0, max(0.0, mark.value))))
        y = 10 if number % 2 == 0 else 22
        colour = BAD if mark.kind == "gate" else INK
        dashes = None if mark.kind == "gate" else "3 2"
        shapes.append(
            element(
                "line",
                x1=x,
                x2=x,
                y1=y,
                y2=44,
                stroke=colour,
                stroke_width=2,
                stroke_dasharray=dashes,
                class_=f"mark {mark.kind}",
            )
        )
        end = mark.value > 0.5  # noqa: PLR2004 (the half of the axis)
        shapes.append(
            element(
                "text",
                _short(mark.name),
                x=_n(at(mark.value) + (-4 if end else 4)),
                y=y + 4,
                font_size=11,
                text_anchor="end" if end else "start",
                fill=INK,
                class_="mark-name",
            )
        )
    return _svg(_AXIS + 2 * _EDGE, 58, label, *shapes)


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"  # noqa: PLR2004 (characters beside a mark)


def bar(share: float, label: str, width: int = 240) -> Markup:
    """Draw a bar whose length is a share of the width."""
    return _svg(
        width,
        12,
        label,
        element("rect", x=0, y=0, width=width, height=12, fill=PALE, fill_opacity="0.15", class_="ground"),
        element("rect", x=0, y=0, width=_n(max(1.0, share * width)), height=12, fill=BAD, class_="lost"),
    )


def whiskers(interval: Interval, label: str, *, pale: bool, width: int = 160) -> Markup:
    """Draw a mean with its interval on a short axis from 0 to 1; pale if there are few answers behind it."""
    opacity = "0.4" if pale else None
    return _svg(
        width,
        14,
        label,
        element("rect", x=0, y=6, width=width, height=2, fill=PALE, fill_opacity="0.3", class_="ground"),
        element(
            "rect",
            x=_n(interval.low * width),
            y=4,
            width=_n(max(1.0, (interval.high - interval.low) * width)),
            height=6,
            fill=ACCENT,
            fill_opacity="0.15" if pale else "0.4",
            class_="interval",
        ),
        element("circle", cx=_n(interval.mean * width), cy=7, r=4, fill=ACCENT, fill_opacity=opacity, class_="mean"),
    )


def trend(points: Sequence[Point], label: str, *, top: float = 1.0, mark: float | None = None) -> Markup:
    """Draw a figure of several runs from the first to the last, on a scale from 0 to `top`.

    The subject has a ring. A dashed line is at `mark`.
    """

    def y(value: float) -> str:
        return _n(_RING + (1 - min(1.0, value / top)) * (_TREND[1] - 2 * _RING))

    width = _TREND[0]
    step = min(_STEP, (width - 2 * _RING) / max(1, len(points) - 1))
    places = [(_n(_RING + step * at), point) for at, point in enumerate(points) if point.value is not None]
    shapes = [
        element("line", x1=0, x2=width, y1=y(tick * top), y2=y(tick * top), stroke=PALE, stroke_opacity="0.3")
        for tick in (0.0, 1.0)
    ]
    if mark is not None:
        shapes.append(
            element("line", x1=0, x2=width, y1=y(mark), y2=y(mark), stroke=INK, stroke_dasharray="3 3", class_="mark")
        )
    drawn = " ".join(f"{'L' if at else 'M'}{x} {y(point.value or 0.0)}" for at, (x, point) in enumerate(places))
    if len(places) > 1:
        shapes.append(element("path", d=drawn, fill="none", stroke=ACCENT, stroke_width=1.5, class_="trend"))
    for x, point in places:
        at = y(point.value or 0.0)
        low, high = point.ends or (None, None)
        bar = ring = None
        if low is not None and high is not None:
            bar = element(
                "line", x1=x, x2=x, y1=y(low), y2=y(high), stroke=ACCENT, stroke_opacity="0.45", stroke_width=5
            )
        if point.is_subject:
            ring = element("circle", cx=x, cy=at, r=6, fill="none", stroke=INK, stroke_width=1.5, class_="ring")
        dot = element("circle", cx=x, cy=at, r=2.5, fill=ACCENT, class_="mean")
        shapes.append(element("g", element("title", point.text), bar, dot, ring, class_="run"))
    return _svg(*_TREND, label, *shapes)
