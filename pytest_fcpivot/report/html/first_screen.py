"""Write the first screen: plain HTML and SVG that can be read without the script and without the style sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.report.html.escape import Markup, element, join

if TYPE_CHECKING:
    from pytest_fcpivot.report.html.model import Screen


def title_of(screen: Screen) -> str:
    return f"{screen.name} – pytest-fcpivot"


def first_screen(screen: Screen) -> Markup:
    figures = screen.figures
    interval = figures.interval
    items = []
    for number, cause in enumerate(figures.causes):
        entry = screen.examples[cause.example]
        items.append(
            element(
                "li",
                element(
                    "details",
                    element(
                        "summary",
                        element("span", cause.signature.label, class_="label"),
                        " ",
                        element("span", cause.count, class_="count"),
                    ),
                    element(
                        "dl",
                        element("dt", "expected"),
                        element("dd", entry.expected or ""),
                        element("dt", "actual"),
                        element("dd", entry.actual),
                    ),
                    class_="signature",
                    data_signature=number,
                    data_filter=f"signature={number}",
                ),
            )
        )
    return join(
        element(
            "main",
            element("section", element("h2", "Verdict"), element("p", "no gate"), id="verdict"),
            element(
                "section",
                element("h2", "Figures"),
                element("p", "mean reward ", "–" if interval is None else f"{interval.mean:.4f}"),
                id="figures",
            ),
            element("section", element("h2", "Where the reward went"), element("ol", *items), id="signatures"),
            id="first-screen",
        ),
        element(
            "section",
            element("p", "The table of all results needs the script of this page.", class_="needs-script"),
            id="results",
        ),
        element("section", id="pivot", hidden=True),
    )
