"""A pytest plugin of the sessions that mutation.py starts: each begins as in a process of its own.

They are forked from a process that has run the tests already, with the code as it is. What that left in caches, and
what test modules made when they were imported, would hide a change.
"""

from __future__ import annotations

import sys


def pytest_sessionstart() -> None:
    """Empty the package's caches, and have the test modules imported anew, and what has a child process."""
    sys.modules.pop("pytest_fcpivot.schema.process", None)  # two forks would read each other's answers
    for name, module in list(sys.modules.items()):
        if name.startswith("pytest_fcpivot"):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
                elif isinstance(value, dict) and type(value).__module__ == name:
                    value.clear()
        elif "/mutants/tests/" in (getattr(module, "__file__", None) or ""):
            del sys.modules[name]
