"""Generated data of both source shapes, at any size, with the published proportions and quirks.

Everything is invented. The same seed gives the same bytes on every platform, and a larger file starts with the rows of
a smaller one (in the agentic shape all but the last, which is cut so that the number of pivots is exact).

Proportions are the published ones, where there are any. What is rarer than one in a few thousand there comes more often
here, so that a file of 5,000 pivots has every quirk: see `RAISED`. An agentic row names its split in `used_in`.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, Literal

from pytest_fcpivot.core.errors import DataError
from pytest_fcpivot.data.synth import agentic, fc_pivot
from pytest_fcpivot.data.synth.agentic import RAISED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["KINDS", "RAISED", "agentic_lines", "fc_pivot_lines", "write", "write_file"]

KINDS = ("fc-pivot", "agentic")
_SPLITS = (None, "interactive_agent", "tool_calling")


def fc_pivot_lines(pivots: int, seed: int = 0) -> Iterator[bytes]:
    """Return the lines of so many rows, one pivot each, in the FC-Pivot shape."""
    _check(pivots)
    return islice(fc_pivot.rows(seed), pivots)


def agentic_lines(
    pivots: int, seed: int = 0, split: Literal["interactive_agent", "tool_calling"] | None = None
) -> Iterator[bytes]:
    """Return the lines of as many conversations as have so many pivots; without a split, both in their proportion."""
    _check(pivots)
    if split not in _SPLITS:
        raise DataError(f"no split {split!r} to generate; there are interactive_agent and tool_calling")
    return agentic.rows(seed, split, pivots)


def write(kind: str, pivots: int, seed: int, out: BinaryIO) -> int:
    """Write the lines of a kind, one of `KINDS`, to a file; returns the number of rows."""
    if kind not in KINDS:
        raise DataError(f"no kind {kind!r} of data to generate; there are {' and '.join(KINDS)}")
    rows = 0
    for line in fc_pivot_lines(pivots, seed) if kind == "fc-pivot" else agentic_lines(pivots, seed):
        out.write(line)
        rows += 1
    return rows


def _check(pivots: int) -> None:
    if pivots < 0:
        raise DataError(f"cannot generate {pivots} pivots: give 0 or more")


def write_file(kind: str, pivots: int, seed: int, target: Path) -> int:
    """Write rows into a file, which is there whole or not at all; returns how many there are."""
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("wb") as stream:
            rows = write(kind, pivots, seed, stream)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return rows
