"""Write numbers and tables as all of the page's are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.report.html.escape import Markup, element

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def many(number: int, noun: str, plural: str | None = None) -> str:
    """Write a number of things as all numbers of this page are written."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]], kind: str | None = None) -> Markup:
    """Write a table with a head; `kind` is its class."""
    return element(
        "table",
        element("thead", element("tr", *(element("th", name, scope="col") for name in head))),
        element("tbody", *(element("tr", *(element("td", cell) for cell in row)) for row in rows)),
        class_=kind,
    )
