"""Rows for verl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.core.model import Pivot

SCHEMA = pa.schema([])


def row(pivot: Pivot, *, dialect: str, grader: Mapping[str, Any], index: int, split: str | None) -> dict[str, Any]:
    """Return the row of a pivot."""
    raise NotImplementedError
