"""How a session ends: which of its tests have a result, and the exit code that says whether they are the whole."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The exit code of a session whose figures are not those of the selected tests: some were lost, or something changed
# outcomes. Whoever takes 1 for "results, with failures among them" is not to take this for results. pytest has 0 to 6,
# pytest-rerunfailures 7, and it is odd because syrupy sets the lowest bit of whatever it finds.
UNTRUSTED = 9
INTERRUPTED = 2  # pytest's own
_WITH_RESULTS = (0, 1)


class Ending:
    """Follows which tests have a result.

    `lost` counts those that will have none though nobody stopped the session, and `why` says how that came about;
    `uncollected` names the files whose tests are not even known, in a session that went on without them. `selection`
    tells whether it is known which tests were to be run: a session that ends before cannot say that none is left.
    """

    def __init__(self) -> None:
        self._reported: set[str] = set()
        self.selection = False
        self.lost = 0
        self.why = ""
        self.uncollected: list[str] = []

    def has_result(self, test: str) -> bool:
        """Return whether a test has a result, beside which no other is counted."""
        return test in self._reported

    def add_result(self, test: str) -> None:
        """Take note that a test has a result: as the last thing that is done with it, so that it has one on disk."""
        self._reported.add(test)

    def left(self, tests: Iterable[str]) -> list[str]:
        """Return those of some tests that have no result, each once."""
        return [test for test in dict.fromkeys(tests) if test not in self._reported]


def is_interrupted() -> bool:
    """Tell, in a hook that ends the session, whether it ends by a Ctrl-C of which pytest's exit status says nothing.

    pytest notes the first one after its hooks have heard of it. If a second one comes meanwhile, the session has the
    status that it began with, 0.
    """
    return isinstance(sys.exception(), KeyboardInterrupt)


def exit_status(status: int, *, lost: int, identity_broken: bool, interrupted: bool = False) -> int:
    """Return the session's exit code: `status`, unless it would pass off as results what is none."""
    if status not in _WITH_RESULTS:
        return status
    if interrupted:
        return INTERRUPTED
    return UNTRUSTED if lost or identity_broken else status


def joined_parts(parameters: str) -> Iterator[str]:
    """Yield what may be one parameter's part of the brackets of a test's id, the longest first.

    pytest joins them with hyphens, which a pivot's id may have, too.
    """
    parts = parameters.split("-")
    for length in range(len(parts), 0, -1):
        for start in range(len(parts) - length + 1):
            yield "-".join(parts[start : start + length])
