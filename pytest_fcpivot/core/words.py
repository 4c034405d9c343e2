"""Words that messages in several places share."""

from __future__ import annotations


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """Write a number of things, in the plural unless it is 1; the plural has an s at its end unless it is given."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def trajectories(number: int) -> str:
    """Write a number of trajectories."""
    return count_of(number, "trajectory", "trajectories")
