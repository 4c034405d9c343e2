"""Words that messages in several places share."""

from __future__ import annotations


def count_of(number: int, noun: str) -> str:
    """Write a number of things, in the plural unless it is 1."""
    return f"{number} {noun}{'s' * (number != 1)}"
