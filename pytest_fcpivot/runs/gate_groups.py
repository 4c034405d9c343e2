"""Find the pivots that a mark of the gate is for, and refuse a group that names nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol

from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.options.gate import TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from pytest_fcpivot.data.selection import Condition
    from pytest_fcpivot.data.store import IndexEntry, PivotStore
    from pytest_fcpivot.options.gate import GateOptions, Group, Kind
    from pytest_fcpivot.runs.rewards import PivotRewards

_CALL = "function_call"
_SHOWN = 8
_WIDTH = 200
_NUMBER_OF_DATA = re.compile(r"[\[-]@(\d+)(?=[\]-])")


class Data(Protocol):
    """A data file with its selected pivots."""

    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def store(self) -> PivotStore: ...  # noqa: D102
    @property
    def entries(self) -> Sequence[IndexEntry]: ...  # noqa: D102


@dataclass(slots=True)
class Known:
    """What groups may name: expected tools, expected types, and data files.

    `data` are the opened data files, None if only results are known.
    """

    tools: set[str] = field(default_factory=set)
    types: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    data: Sequence[Data] | None = None
    _ids: dict[str, frozenset[str]] = field(default_factory=dict)

    def ids(self) -> dict[str, frozenset[str]]:
        """Return the ids of the selected pivots, by data file."""
        if not self._ids:
            self._ids = {data.label: frozenset(entry.id for entry in data.entries) for data in self.data or ()}
        return self._ids

    def label_of(self, pivot: PivotRewards) -> str:
        """Return the data file of a pivot, also if a test of the user's own ran it; "" if that is unknown.

        Such tests name a second data file that has a pivot of the same id by its number, as in @2.
        """
        data = self.data or ()
        if any(each.label == pivot.place for each in data):
            return pivot.place
        number = _NUMBER_OF_DATA.search(pivot.place)
        if number is not None and int(number[1]) <= len(data):
            return data[int(number[1]) - 1].label
        return next((label for label, ids in self.ids().items() if pivot.pivot_id in ids), "")

    @classmethod
    def of_data(cls, data: Iterable[Data]) -> Known:
        """Return what the selected pivots of data files have."""
        found = cls(data=tuple(data))
        for each in found.data or ():
            if each.entries:
                found.names.add(each.label)
            for entry in each.entries:
                found.types.add(entry.expected_type)
                if entry.expected_names:
                    found.tools.add(entry.expected_names[0])
        return found

    @classmethod
    def of_results(cls, pivots: Iterable[PivotRewards], data: Iterable[Data] | None = None) -> Known:
        """Return what the results of a run have; only groups by a condition need the `data`."""
        found = cls(data=None if data is None else tuple(data))
        for pivot in pivots:
            found.names.add(pivot.place)
            found.types.add(pivot.expected)
            if pivot.tool is not None:
                found.tools.add(pivot.tool)
        return found


def find_groups(gate: GateOptions, known: Known) -> dict[str, Callable[[PivotRewards], bool]]:
    """Return what tells the pivots of each group, by the group's text.

    Raises OptionError for a group that names nothing that there is, or several things.
    """
    found: dict[str, Callable[[PivotRewards], bool]] = {}
    for mark in gate.marks:
        if mark.group.kind not in ("all", "pass"):
            source = f"{gate.marks_from}={mark.text}"
            found[mark.group.text] = _holds(mark.group, known, source)
    return found


def _holds(group: Group, known: Known, source: str) -> Callable[[PivotRewards], bool]:
    if group.condition is not None:
        return _meets(group.condition, known, source)
    kind, value = group.kind, group.value
    if kind == "named":
        kind = _kind_of(value, known, source)
    if kind == "tool":
        _refuse_unknown(value, known.tools, "expects a call of the tool", source)
        return lambda pivot: pivot.tool == value
    if kind == "type":
        if not any(_is_of_type(each, value) for each in known.types):
            raise OptionError(f"{source}: no selected pivot is of the type {value}")
        return lambda pivot: _is_of_type(pivot.expected, value)
    _refuse_unknown(value, known.names, "is of the data file", source)
    return lambda pivot: pivot.place == value or known.label_of(pivot) == value


def _is_of_type(expected: str, wanted: str) -> bool:
    return expected.startswith(_CALL) if wanted == "call" else expected == wanted


def _kind_of(name: str, known: Known, source: str) -> Kind:
    """Return what a bare name is the name of: a tool, a type or a data file."""
    there: tuple[tuple[Kind, Collection[str]], ...] = (
        *(("tool", known.tools), ("type", TYPES), ("data", known.names)),
    )
    kinds = [kind for kind, names in there if name in names]
    if len(kinds) > 1:
        forms = " or ".join(f"{kind}={name}" for kind in kinds)
        raise OptionError(f"{source}: this may be {forms}; write which one")
    if not kinds:
        raise OptionError(
            f"{source}: no selected pivot has a tool, a type or a data file of this name"
            f"{_others(name, {*known.tools, *TYPES, *known.names})}"
        )
    return kinds[0]


def _refuse_unknown(name: str, there: set[str], what: str, source: str) -> None:
    if name not in there:
        raise OptionError(f"{source}: no selected pivot {what} {one_line(name, _WIDTH)}{_others(name, there)}")


def _others(name: str, there: set[str]) -> str:
    if not there:
        return ""
    near = get_close_matches(name, there, n=1)
    if near:
        return f"; did you mean {one_line(near[0], _WIDTH)}?"
    some = ", ".join(one_line(each, _WIDTH) for each in sorted(there)[:_SHOWN])
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return f"; there are {some}{more}"


def _meets(condition: Condition, known: Known, source: str) -> Callable[[PivotRewards], bool]:
    if known.data is None:
        raise OptionError(f"{source}: a condition needs the data of the run; name the file with --data=FILE")
    meeting: dict[str, frozenset[str]] = {}
    for data in known.data:
        met = bytearray(map(condition.met_by, data.store.each(condition.column)))
        meeting[data.label] = frozenset(entry.id for entry in data.entries if met[entry.row])
    if not any(meeting.values()):
        told = "; ".join(
            condition.values_among([entry.row for entry in data.entries], data.store) for data in known.data
        )
        raise OptionError(f"{source}: no selected pivot meets this condition; {told}")
    return lambda pivot: pivot.pivot_id in meeting.get(known.label_of(pivot), ())
