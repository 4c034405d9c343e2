"""All that the first screen of the report shows, as immutable values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.report.summary import Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_fcpivot.report.html.reading import RunRead
    from pytest_fcpivot.report.html.results import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    name: str
    description: Mapping[str, Any]
    figures: Figures
    examples: Mapping[str, Entry]

    def signatures_as_builtins(self) -> list[dict[str, Any]]:
        return [
            {
                "label": cause.signature.label,
                "category": cause.signature.category,
                "expected": cause.signature.expected,
                "answered": cause.signature.answered,
                "path": cause.signature.path,
                "n": cause.count,
                "lost": cause.lost,
                "failed": cause.failed,
                "state": "",
            }
            for cause in self.figures.causes
        ]


def screen_of(run: RunRead, redact: Callable[[str], str]) -> Screen:
    figures = Figures.of(run.results.tally)
    return Screen(
        name=run.name,
        description=run.description,
        figures=figures,
        examples={cause.example: run.results.entries[cause.example] for cause in figures.causes},
    )
