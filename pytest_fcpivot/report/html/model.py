"""All that the first screen of the report shows, as immutable values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.report.behaviour_text import Watched
    from pytest_fcpivot.report.summary import Figures, Subject
    from pytest_fcpivot.runs.comparing import Comparison
    from pytest_fcpivot.runs.gate import Verdict
    from pytest_fcpivot.runs.signatures import Cause
    from pytest_fcpivot.stats.interval import Interval


class Mark(NamedTuple):
    """A mark on the axis of the mean reward: what it is, its name, and its value."""

    kind: str
    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run of the same data, for the strip."""

    name: str
    started: str
    agent: str
    interval: Interval
    is_subject: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One answer of a signature: what was expected and what came, the first difference, and the command to see it."""

    test: str
    expected: str
    actual: str
    difference: str
    show: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signature with its number in the index; `state` is new, same, gone, or "" without a baseline."""

    number: int
    cause: Cause
    state: str
    example: Example | None


class Count(NamedTuple):
    """How many answers there are, and the reward that they lost."""

    n: int
    lost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRow:
    """An expected tool: its answers, and how many of them called what; the columns are in the confusion."""

    tool: str
    n: int
    lost: float
    counts: tuple[int, ...]


class Called(NamedTuple):
    """A column of the confusion of tools: its heading and the filter of its cells; no filter for all others."""

    label: str
    filter: tuple[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """The expected tools that lost the most reward, and what was called; `more` counts further such tools."""

    columns: tuple[Called, ...]
    rows: tuple[ToolRow, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """The mean reward under one comparator of the audit's ladder."""

    name: str
    rule: str
    mean: float | None
    passed: int
    judged: int
    is_own: bool


class Faults(NamedTuple):
    """Whose the recorded failures are: `matcher` pass under the comparator lenient, `model` fail there too.

    `messages` are those that only the run's own grader scores.
    """

    matcher: int
    model: int
    messages: int


class Bar(NamedTuple):
    """The answers of one bin with their mean reward; None without any."""

    key: str
    label: str
    n: int
    interval: Interval | None


class Slice(NamedTuple):
    """The reward by one fact of the pivots; `unknown` counts answers of which the fact is not known."""

    kind: str
    title: str
    bars: tuple[Bar, ...]
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """The first screen of the report of a run.

    `early` says how the run ended if that was early, and `no_data` why its data are not at hand; `notes` are remarks on
    what was left out. `before` has the baseline's signatures, if they can be counted against those of the run. `matrix`
    counts the answers by the cell, as in `call/right tool`. `schema` counts calls by whether they fit their tool's
    schema and whether they passed; `unchecked` are calls whose schema could not be used. `strip_note` says which runs
    the strip leaves out. `watched` has the run beside those it is compared with. `provenance` has terms and
    their texts.
    """

    name: str
    subject: Subject
    description: Mapping[str, Any]
    figures: Figures
    verdict: Verdict | None
    early: str | None
    no_data: str | None
    notes: tuple[str, ...]
    marks: tuple[Mark, ...]
    comparison: Comparison | None
    signatures: tuple[Signed, ...]
    gone: tuple[Cause, ...]
    before: tuple[Cause, ...] | None
    matrix: Mapping[str, Count]
    confusion: Confusion
    schema: Mapping[tuple[bool, bool], int]
    unchecked: int
    ladder: tuple[Rung, ...]
    faults: Faults
    slices: tuple[Slice, ...]
    strip: tuple[PastRun, ...]
    strip_note: str
    watched: Watched | None
    provenance: tuple[tuple[str, str], ...]
