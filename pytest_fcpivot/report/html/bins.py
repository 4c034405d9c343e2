"""Fixed bins of a pivot's depth, its number of tools and the length of its conversation, the same in every report."""

from __future__ import annotations

from typing import NamedTuple


class Bin(NamedTuple):
    """A range of whole numbers from `low` to `high`, both included; `high` is None where there is no end."""

    key: str
    label: str
    low: int
    high: int | None


def _bins(*starts: int, thousands: bool = False) -> tuple[Bin, ...]:
    found = []
    for number, low in enumerate(starts):
        high = starts[number + 1] - 1 if number + 1 < len(starts) else None
        key = f"{low}-" if high is None else str(low) if high == low else f"{low}-{high}"
        if thousands:
            top = f"{(low or 1000) // 1000}k"
            label = f"{top} or more" if high is None else "under 1k" if low == 0 else f"{top} to {(high + 1) // 1000}k"
        else:
            label = f"{low} or more" if high is None else str(low) if high == low else f"{low} to {high}"
        found.append(Bin(key, label, low, high))
    return tuple(found)


# The first two are the bands of a comparison's groups (`runs.groups`).
BINS: dict[str, tuple[Bin, ...]] = {
    "depth": _bins(0, 1, 2, 4, 8, 16, 32),
    "tools": _bins(0, 1, 2, 4, 8, 16, 32),
    "context": _bins(0, 1000, 4000, 16_000, 64_000, 256_000, thousands=True),
}
TYPES = {"message": "message", "function_call": "one call", "function_call_batch": "several calls", "none": "nothing"}


def bin_of(kind: str, number: int) -> Bin:
    """Return the bin that a number falls into."""
    return next(each for each in BINS[kind] if each.high is None or number <= each.high)
