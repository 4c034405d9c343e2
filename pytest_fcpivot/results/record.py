"""The record of one case, as it travels from a worker to the controller: builtins only, and text UTF-8 can hold."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.jsontext import well_formed

if TYPE_CHECKING:
    from pytest_fcpivot.data.store import IndexEntry
    from pytest_fcpivot.model import Action, Grade, Pivot, SchemaVerdict


@dataclass(slots=True)
class CaseRecord:
    """One pivot's result; `reward` is None when there was no answer to grade, and `error` then says why.

    `own` tells a pivot's own item from a user's test that took the `pivot` fixture.
    """

    pivot_id: str
    trajectory_id: str
    expected: str
    tool: str | None
    actual: str | None = None
    reward: float | None = None
    category: str | None = None
    path: str | None = None
    schema: str | None = None
    latency_s: float = 0.0
    error: str | None = None
    own: bool = True

    @classmethod
    def of_case(
        cls,
        pivot: Pivot,
        action: Action | None,
        grade: Grade | None,
        verdict: SchemaVerdict | None,
        *,
        latency_s: float,
        error: str | None,
        own: bool,
    ) -> CaseRecord:
        """Make the record of a case that ran."""
        expected = pivot.expected_action
        return cls(
            pivot_id=pivot.id,
            trajectory_id=pivot.trajectory_id,
            expected=expected.kind,
            tool=expected.calls[0].name if expected.calls else None,
            actual=None if action is None else action.kind,
            reward=None if grade is None else grade.reward,
            category=None if grade is None else grade.category,
            path=None if grade is None else grade.path,
            schema=None if verdict is None else verdict.status,
            latency_s=latency_s,
            error=error,
            own=own,
        )

    @classmethod
    def of_entry(cls, entry: IndexEntry, error: str) -> CaseRecord:
        """Make the record of a case whose process died."""
        tool = entry.expected_names[0] if entry.expected_names else None
        return cls(
            pivot_id=entry.id,
            trajectory_id=entry.trajectory_id,
            expected=entry.expected_type,
            tool=tool,
            error=error,
        )

    def to_builtins(self) -> tuple[Any, ...]:
        """Write the record as a tuple that crosses processes."""
        values: tuple[Any, ...] = _all_fields(self)
        if self.error is None and self.path is None and self.trajectory_id.isascii() and (self.tool or "").isascii():
            return values  # nothing in it that UTF-8 cannot hold
        return tuple(well_formed(value) if isinstance(value, str) else value for value in values)

    @classmethod
    def from_builtins(cls, values: tuple[Any, ...]) -> CaseRecord:
        """Read what `to_builtins` wrote."""
        return cls(*values)


_all_fields = attrgetter(*(field.name for field in fields(CaseRecord)))
