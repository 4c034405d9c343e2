"""The names of options that a run may have without being known to this version."""

from __future__ import annotations


def flag_of(dest: str) -> str:
    """Return an option's name on the command line."""
    return "--" + dest.replace("_", "-")
