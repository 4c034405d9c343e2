"""Write the command that shows one test in the terminal, such that it can be copied into a shell."""

from __future__ import annotations

import shlex


def show_command(*names: str) -> str:
    """Return the command for a run, a test, or both; names that begin with a hyphen are not taken for options."""
    apart = ["--"] if any(name.startswith("-") for name in names) else []
    return shlex.join(["fcpivot", "show", *apart, *names])
