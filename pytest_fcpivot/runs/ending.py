"""How a session ends: which tests have a result, and the exit code, which shows whether tests are missing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The exit code of a session whose figures cannot be trusted: tests were lost, or outcomes were changed. It must differ
# from 1, which CI jobs read as "results with failures". pytest uses 0 to 6, pytest-rerunfailures uses 7; and the code
# has to be odd, because syrupy sets the lowest bit of an exit code.
UNTRUSTED = 9
INTERRUPTED = 2  # pytest's own
_WITH_RESULTS = (0, 1)


class Ending:
    """Keeps track of which tests have a result.

    `lost` counts tests that will have none although nobody stopped the session, and `why` is the reason. `uncollected`
    has the files that could not be collected, in a session that ran without them. `selection`: the selected tests are
    known; a session that ends earlier cannot tell how many are left.
    """

    def __init__(self) -> None:
        self._reported: set[str] = set()
        self.selection = False
        self.lost = 0
        self.why = ""
        self.uncollected: list[str] = []

    def has_result(self, test: str) -> bool:
        """Return whether a test has a result; further results of it are not counted."""
        return test in self._reported

    def add_result(self, test: str) -> None:
        """Note that a test has a result; call it after the result was written to disk."""
        self._reported.add(test)

    def left(self, tests: Iterable[str]) -> list[str]:
        """Return the tests without a result, each once."""
        return [test for test in dict.fromkeys(tests) if test not in self._reported]


def is_interrupted() -> bool:
    """Return whether a session ends by Ctrl-C, in a hook of its end; the exit status may not show it.

    pytest sets the status after its hooks for the first Ctrl-C have run. If a second Ctrl-C interrupts these, the
    session still has its initial status, 0.
    """
    return isinstance(sys.exception(), KeyboardInterrupt)


def exit_status(status: int, *, lost: int, identity_broken: bool, interrupted: bool = False) -> int:
    """Return the session's exit code: `status`, unless that stands for results although they cannot be trusted."""
    if status not in _WITH_RESULTS:
        return status
    if interrupted:
        return INTERRUPTED
    return UNTRUSTED if lost or identity_broken else status


def gated_status(own: int, settled: int, *, fails: bool, only_wrong_answers: bool) -> int:
    """Return the exit code of a session with a gate: its verdict's, if nothing else decides.

    `own` is pytest's exit code, and `settled` that of `exit_status`. `only_wrong_answers`: each failed test is a wrong
    or missing answer, which the verdict takes into account.
    """
    if own not in _WITH_RESULTS or not only_wrong_answers:
        return settled
    return int(fails)


def joined_parts(parameters: str) -> Iterator[str]:
    """Yield all texts between the brackets of a node id that may be one parameter, the longest first.

    pytest joins parameters with hyphens, which a pivot's id may contain as well.
    """
    parts = parameters.split("-")
    for length in range(len(parts), 0, -1):
        for start in range(len(parts) - length + 1):
            yield "-".join(parts[start : start + length])
