"""Seeded draws that give the same values on every platform and Python.

Of `random.Random` only `random()` is used: it is the one method whose sequence Python promises to keep.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_T = TypeVar("_T")
_QUANTILES = 1000
_HEX_DIGITS = 12  # as many as one draw holds with room to spare
_HEX_VALUES = 16**_HEX_DIGITS


class Draw:
    """A stream of draws from one seed."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed).random  # noqa: S311 (data for tests, nothing secret)

    def of(self, values: Sequence[_T]) -> _T:
        """Return one of the values."""
        return values[int(self.random() * len(values))]

    def chance(self, share: float) -> bool:
        """Return True in this share of the draws."""
        return self.random() < share

    def hex(self, digits: int) -> str:
        """Return a hexadecimal number of so many digits."""
        groups = -(-digits // _HEX_DIGITS)
        return "".join([f"{int(self.random() * _HEX_VALUES):012x}" for _ in range(groups)])[:digits]

    def uuid(self) -> str:
        """Return a random id in the form of a UUID of version 4."""
        text = self.hex(32)
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def weighted(weights: Mapping[int, int]) -> tuple[int, ...]:
    """Return each value as often as its weight says, to be drawn from evenly."""
    return tuple(value for value, weight in weights.items() for _ in range(weight))


def quantiles(*knots: tuple[float, int]) -> tuple[int, ...]:
    """Return a distribution to be drawn from evenly, linear between (share, value) knots from share 0 to share 1."""
    values = []
    position = 0
    for index in range(_QUANTILES):
        share = (index + 0.5) / _QUANTILES
        while knots[position + 1][0] < share:
            position += 1
        (low_share, low), (high_share, high) = knots[position], knots[position + 1]
        values.append(int(low + (high - low) * (share - low_share) / (high_share - low_share)))
    return tuple(values)
