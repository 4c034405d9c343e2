"""What a reader of results should know about the data: what was left out and why, and which answers are doubtful.

These counts are made while data are prepared, stored with them under the key `told`, and shown by `prepare`, `info`,
`lint` and the summary of a run.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.data.rows import expected_action_from_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_fcpivot.data.rows import StoredPivot

KEY = "told"  # the name in the provenance of prepared files
NO_TOOLS = "no-tool-on-offer"
ENCODED_TWICE = "arguments-encoded-twice"
FLOATS = "arguments-float-for-integer"
UNEQUAL = "repeated-unequally"
NULLS = "arguments-null-without-parameter"
_NOTES = {
    NO_TOOLS: "expect calls, with no tool on offer",
    ENCODED_TWICE: "expect arguments that are JSON encoded twice, which no call matches",
    NULLS: "expect arguments that are null, of parameters that the tools do not have (columns of Arrow add such nulls)",
    FLOATS: "expect arguments such as 3.0 for parameters that are integers (columns of Arrow make such numbers)",
    UNEQUAL: "come several times, others less often: each is run once, or as often as --fc-repeats says",
}
_QUOTED = b'"arguments":"\\"'
_VARIES = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\d+")
_MOST_KINDS = 200
_OTHER = "other reasons"
_SHOWN = 5
_WIDTH = 140


@dataclass(slots=True)
class Remarks:
    """Counts of rows by shape, of refused rows and left-out turns by reason, and of doubtful pivots by kind of doubt.

    `first` maps each reason to the file and line of the first row that it applies to.
    """

    shapes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def refuse(self, reason: str, where: str) -> None:
        """Count a row that was refused."""
        self._count(self.refused, reason, where)

    def leave_out(self, reason: str, where: str) -> None:
        """Count a turn that did not become a pivot."""
        self._count(self.left_out, reason, where)

    def _count(self, counts: Counter[str], reason: str, where: str) -> None:
        kind = kind_of(reason)
        if kind not in counts and len(counts) >= _MOST_KINDS:
            kind = _OTHER
        counts[kind] += 1
        self.first.setdefault(kind, where)

    def to_builtins(self) -> dict[str, Any]:
        """Return the counts as builtins."""
        counts = {name: dict(getattr(self, name).most_common()) for name in _COUNTS}
        return counts | {"first": dict(self.first)}

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Remarks:
        """Read the counts from a store's provenance; all are empty if an earlier version prepared the store."""
        stored = provenance.get(KEY)
        if not isinstance(stored, dict):
            return cls()
        counts: dict[str, Any] = {name: Counter(stored.get(name) or {}) for name in _COUNTS}
        return cls(**counts, first=dict(stored.get("first") or {}))

    def lines(self) -> Iterator[str]:
        """Format the counts as lines: the shapes, then each reason with its count and its first place."""
        shapes = ", ".join(f"{count} {shape}" for shape, count in self.shapes.most_common())
        refused = f"{'; ' if shapes else ''}{self.refused.total()} refused" if self.refused else ""
        if shapes or refused:
            yield f"read as: {shapes}{refused}"
        yield from self._reasons("refused", self.refused)
        yield from self._reasons("turns left out", self.left_out)
        for name, count in self.doubtful.most_common():
            yield f"  {count:>9}  pivots that {_NOTES.get(name, name)}"

    def _reasons(self, title: str, counts: Counter[str]) -> Iterator[str]:
        for kind, count in counts.most_common(_SHOWN):
            yield f"  {count:>9}  {title}: {one_line(kind, _WIDTH)} (first: {self.first.get(kind, '?')})"
        if len(counts) > _SHOWN:
            yield f"  {sum(counts.values()) - sum(n for _, n in counts.most_common(_SHOWN)):>9}  {title}: other reasons"

    def note(self) -> str | None:
        """Return one line with what a reader of a run's results should know; None if there is nothing."""
        parts = [
            f"{counts.total()} {what} ({_in_words(counts)})"
            for counts, what in ((self.refused, "rows refused"), (self.left_out, "assistant turns left out"))
            if counts
        ]
        parts += [f"{count} pivots {_NOTES.get(name, name)}" for name, count in self.doubtful.most_common()]
        return "; ".join(parts) or None


_COUNTS = ("shapes", "refused", "left_out", "doubtful")


def _in_words(counts: Counter[str]) -> str:
    shown = [f"{one_line(kind, 80)}: {count}" for kind, count in counts.most_common(2)]
    return ", ".join(shown) + (", …" if len(counts) > len(shown) else "")


@lru_cache(maxsize=1024)
def kind_of(reason: str) -> str:
    """Return a reason with "…" in place of what differs from row to row: quoted texts and numbers."""
    return _VARIES.sub("…", reason)


def may_be_doubtful(pivot: StoredPivot) -> bool:
    """Return whether `doubts_of` could find anything: a cheap test that rules out most pivots."""
    expected = pivot.expected_action
    if isinstance(expected, str):
        expected = expected.encode()
    return not pivot.n_tools or b"null" in expected or b".0" in expected or _QUOTED in expected


def doubts_of(pivot: StoredPivot) -> Iterator[str]:
    """Yield the kinds of doubt about a pivot's expected calls."""
    if not pivot.n_tools:
        yield NO_TOOLS
    text = pivot.expected_action if isinstance(pivot.expected_action, str) else pivot.expected_action.decode()
    calls = expected_action_from_json(text).calls
    if any(is_json_in_json(call.arguments) for call in calls):
        yield ENCODED_TWICE
    if "null" in text or ".0" in text:
        parameters = _parameters_of(pivot.tools)
        if any(_has_strange_nulls(call.arguments, parameters.get(call.name)) for call in calls):
            yield NULLS
        if any(_has_strange_floats(call.arguments, parameters.get(call.name)) for call in calls):
            yield FLOATS


def _parameters_of(tools: bytes | str) -> dict[str, dict[str, Any]]:
    """Return each tool's parameters with their schemas, by tool name; tools without `properties` are left out."""
    found: dict[str, dict[str, Any]] = {}
    for tool in json.loads(tools):
        schema = tool.get("parameters")
        properties = schema.get("properties") if isinstance(schema, dict) else None
        if isinstance(properties, dict) and isinstance(tool.get("name"), str):
            known = {key: value for key, value in properties.items() if value is not None}
            found[tool["name"]] = found.get(tool["name"], {}) | known
    return found


def _has_strange_nulls(arguments: str, parameters: Mapping[str, Any] | None) -> bool:
    """Return whether arguments contain a null for a parameter that the tool does not have."""
    value = json.loads(arguments)
    if parameters is None or not isinstance(value, dict):
        return False
    return any(each is None and key not in parameters for key, each in value.items())


def _has_strange_floats(arguments: str, parameters: Mapping[str, Any] | None) -> bool:
    """Return whether arguments have a whole float for an integer parameter: to NeMo Gym's verifier, 3 is not 3.0."""
    value = json.loads(arguments)
    if parameters is None or not isinstance(value, dict):
        return False
    schemas = ((each, parameters.get(key)) for key, each in value.items() if isinstance(each, float))
    return any(
        each.is_integer() and isinstance(schema, dict) and schema.get("type") == "integer" for each, schema in schemas
    )


def is_json_in_json(arguments: str) -> bool:
    """Return whether arguments decode to a string that itself contains an object or a list as JSON."""
    try:
        inner = json.loads(arguments)
        return isinstance(inner, str) and isinstance(json.loads(inner), dict | list)
    except (ValueError, RecursionError):
        return False
