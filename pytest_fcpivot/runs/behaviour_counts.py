"""Count what the answers of one run look like while its results are reported, for `summary.json`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_fcpivot.core.answer_flags import MALFORMED, UNREAD

if TYPE_CHECKING:
    from pytest_fcpivot.runs.record import CaseRecord

_CALL, _SEVERAL, _MESSAGE, _NONE = "function_call", "function_call_batch", "message", "none"


class BehaviourCounts:
    """Counts graded answers by what they are; `shares` has the figures that `behaviour.Behaviour` has of a run."""

    def __init__(self) -> None:
        self._answers = self._unread = self._misplaced = self._wanting_calls = self._tokens = self._with_tokens = 0
        self._kinds: Counter[str] = Counter()
        self._characters: Counter[str] = Counter()

    def add(self, record: CaseRecord) -> None:
        """Count one graded answer."""
        kind = record.actual or _NONE
        if MALFORMED in record.flags:
            kind = MALFORMED  # in a session, such an action counts as none
        self._answers += 1
        self._kinds[kind] += 1
        self._characters[kind] += record.length or 0
        if record.expected.startswith(_CALL):
            self._wanting_calls += 1
            self._misplaced += kind == _MESSAGE
        if record.flags:
            self._unread += not UNREAD.isdisjoint(record.flags)
        if record.usage is not None:
            self._with_tokens += 1
            self._tokens += record.usage[2]

    def shares(self) -> dict[str, float | int | None] | None:
        """Return shares of the answers and mean lengths in characters, as in `summary.json`; None without answers.

        A figure of answers that there are none of is None, and so are tokens unless all answers say theirs.
        """
        total, kinds, characters = self._answers, self._kinds, self._characters
        if not total:
            return None
        calls = kinds[_CALL] + kinds[_SEVERAL]
        return {
            "answers": total,
            "messages": kinds[_MESSAGE] / total,
            "messages_where_call_expected": _ratio(self._misplaced, self._wanting_calls),
            "calls": calls / total,
            "several_calls": kinds[_SEVERAL] / total,
            "no_action": kinds[_NONE] / total,
            "unreadable": self._unread / total,
            "message_length": _ratio(characters[_MESSAGE], kinds[_MESSAGE]),
            "arguments_length": _ratio(characters[_CALL] + characters[_SEVERAL], calls),
            "output_tokens": _ratio(self._tokens, total) if self._with_tokens == total else None,
        }


def _ratio(number: int, of: int) -> float | None:
    return number / of if of else None
