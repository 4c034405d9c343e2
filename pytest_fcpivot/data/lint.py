"""Checks a dataset for faults of its own, by rule: pivots that no agent can answer rightly, doubtful and odd ones.

Rows are read one by one, and each rule counts a pivot at most once, with the first fault it finds there. Only a 64-bit
hash of each pivot is kept in memory, to detect duplicates.
"""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

from pytest_fcpivot.core.chat import content_text
from pytest_fcpivot.core.jsontext import one_line, quoted, shown
from pytest_fcpivot.core.model import Action
from pytest_fcpivot.data import open_store, resolve_data
from pytest_fcpivot.data.progress import no_progress
from pytest_fcpivot.data.remarks import Remarks
from pytest_fcpivot.data.rows import expected_action_json
from pytest_fcpivot.schema.accept import make_acceptor
from pytest_fcpivot.schema.toolset import check_arguments, tool_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.data.progress import Reached
    from pytest_fcpivot.data.store import PivotStore

Severity = Literal["error", "warning", "note"]
FailOn = Literal["error", "warning", "note", "never"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
FAIL_ON: tuple[FailOn, ...] = (*SEVERITIES, "never")
SHORTEST_ANSWER = 40  # characters; a shorter message may appear in its context by chance
_IDS_SHOWN = 3
_TOOL_LISTS_KEPT = 256
_SCHEMAS_KEPT = 4096
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DUPLICATE = "duplicate id "
_REASON = re.compile(r"(line \d+): (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of fault."""

    id: str
    severity: Severity
    meaning: str


RULES = {
    rule.id: rule
    for rule in (
        Rule("broken-row", "error", "the row cannot be read, so what it holds is not in the data"),
        Rule("duplicate-id", "error", "the row has the id of an earlier row, and is left out"),
        Rule("unknown-tool", "error", "the expected call is of a tool that is not on offer"),
        Rule("arguments-not-object", "error", "the expected arguments are not a JSON object"),
        Rule("arguments-break-schema", "error", "the expected arguments break the tool's schema"),
        Rule("empty-message", "error", "the expected message has no text to compare an answer with"),
        Rule("unusable-schema", "warning", "a tool's schema is not a valid one, so calls cannot be checked against it"),
        Rule("unreadable-turn", "warning", "the arguments of an expected call cannot be read; the turn was left out"),
        Rule("tool-form", "warning", "a tool is not a flat function with parameters of type object"),
        Rule("duplicate-tool-names", "warning", "two tools on offer have the same name"),
        Rule("result-without-call", "warning", "a result in the context answers no call before it"),
        Rule("call-without-result", "warning", "a call in the context has no result, though the conversation went on"),
        Rule("repeated-call-id", "warning", "two calls in the context have the same call_id"),
        Rule("answer-in-context", "warning", "the expected message stands word for word in what the agent is shown"),
        Rule("duplicate-pivot", "warning", "the pivot has the input, tools and expected action of an earlier one"),
        Rule("call-made-before", "note", "an expected call was made before, word for word, since the user last spoke"),
        Rule("left-out-turn", "note", "an assistant turn is no pivot, for the reason that is given"),
        Rule("refused-name", "note", "a tool's name is one that OpenAI's endpoints refuse"),
    )
}


_OF_ROWS = ("broken-row", "duplicate-id", "unreadable-turn", "left-out-turn")


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of one pivot, or of a row that gave no pivot; `id` then names the row's line.

    All turns that were left out for the same reason are one finding, placed at the first of them.
    """

    rule: str
    severity: Severity
    id: str
    detail: str
    trajectory_id: str | None = None
    split: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        text = f"{self.id}: {self.severity}: {self.rule}"
        return f"{text}: {self.detail}" if self.detail else text

    def json(self) -> str:
        """Write the finding as one line of JSON."""
        return json.dumps(asdict(self))


@dataclass(slots=True)
class Findings:
    """The findings of a file by rule: the number of pivots, and the first few of their ids."""

    file: str
    pivots: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    ids: dict[str, list[str]] = field(default_factory=dict)

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding."""
        found = {RULES[rule].severity for rule in self.counts}
        return next((severity for severity in SEVERITIES if severity in found), None)

    def exit_code(self, fail_on: FailOn = "error") -> int:
        """Return 1 if any finding is at least as severe as `fail_on`, else 0."""
        if self.worst is None or fail_on == "never":
            return 0
        return int(SEVERITIES.index(self.worst) <= SEVERITIES.index(fail_on))

    def table(self) -> list[str]:
        """Format the counts as lines of text, the worst rules first."""
        if not self.counts:
            return [f"{self.file}: {self.pivots} pivots, nothing found"]
        lines = [f"{self.file}: {self.pivots} pivots"]
        for rule in self._rules():
            count, ids = self.counts[rule.id], self.ids[rule.id]
            share = self._share(rule)
            shown_share = "" if share is None else f"{share:.2%}"
            lines.append(f"{rule.severity:8} {rule.id:22} {count:>8} {shown_share:>8}  {rule.meaning}")
            more = f" … and {count - len(ids)} more" if count > len(ids) else ""
            lines.append(f"{'':9}{', '.join(ids)}{more}")
        totals = Counter[str]()
        for rule in self._rules():
            totals[rule.severity] += self.counts[rule.id]
        lines.append(", ".join(f"{severity}s: {totals[severity]}" for severity in SEVERITIES))
        return lines

    def summary(self) -> dict[str, Any]:
        """Return the counts as builtins."""
        rules = {
            rule.id: {
                "severity": rule.severity,
                "count": self.counts[rule.id],
                "share": self._share(rule),
                "ids": self.ids[rule.id],
                "meaning": rule.meaning,
            }
            for rule in self._rules()
        }
        return {"file": self.file, "pivots": self.pivots, "worst": self.worst, "rules": rules}

    def _share(self, rule: Rule) -> float | None:
        """Return the share of the pivots that break a rule; None if the rule is about rows that gave no pivot."""
        return None if rule.id in _OF_ROWS else self.counts[rule.id] / self.pivots

    def _rules(self) -> list[Rule]:
        """Return the rules that found something, the worst first, which is the order of RULES."""
        return [rule for rule in RULES.values() if self.counts[rule.id]]


def lint(
    name: str | Path,
    *,
    say: Callable[[Finding], None] = lambda _finding: None,
    ids_shown: int = _IDS_SHOWN,
    progress: Reached = no_progress,
) -> Findings:
    """Check a data file, given by its name, for faults.

    `say` is called with each finding as it is made; duplicates come last. Broken rows are findings if the name is that
    of a source file; in a prepared store they were left out before. `progress` is as in `prepare`.
    Raises DataError if the file cannot be used.
    """
    path = resolve_data(str(name))
    store = open_store(path, bad_rows="skip", progress=progress)
    found = Findings(str(name), len(store))
    try:
        if store.path != path:
            _count_unnamed(found, store.provenance)
            findings = _broken_rows(store.provenance)
        else:
            findings = iter(())
        for finding, count in _left_out(store.provenance):
            found.counts[finding.rule] += count
            found.ids.setdefault(finding.rule, []).append(finding.id)
            say(finding)
        for some in (findings, _each(store)):
            for finding in some:
                found.counts[finding.rule] += 1
                ids = found.ids.setdefault(finding.rule, [])
                if len(ids) < ids_shown:
                    ids.append(finding.id)
                say(finding)
    finally:
        store.close()
    return found


def _finding(rule: str, detail: str, pivot: Pivot) -> Finding:
    severity = RULES[rule].severity
    return Finding(rule, severity, pivot.id, detail, pivot.trajectory_id, pivot.split, pivot.source_line)


def _broken_rows(provenance: Mapping[str, Any]) -> Iterator[Finding]:
    for reason in provenance.get("bad_row_reasons", ()):
        where, why = _split_reason(reason)
        rule = "duplicate-id" if why.startswith(_DUPLICATE) else "broken-row"
        line = int(where[5:]) if where else None
        yield Finding(rule, RULES[rule].severity, where, one_line(why), line=line)


def _split_reason(reason: str) -> tuple[str, str]:
    """Split a reason into the part "line N", empty if it has none, and the rest."""
    parts = _REASON.fullmatch(reason)
    return (parts[1], parts[2]) if parts else ("", reason)


def _left_out(provenance: Mapping[str, Any]) -> Iterator[tuple[Finding, int]]:
    """Yield one finding for each reason for which turns were left out, with the number of these turns."""
    remarks = Remarks.of(provenance)
    for reason, count in remarks.left_out.most_common():
        rule = "unreadable-turn" if "arguments" in reason else "left-out-turn"
        times = "" if count == 1 else f" (and {count - 1} more)"
        where = remarks.first.get(reason, "")
        yield Finding(rule, RULES[rule].severity, where, one_line(reason) + times), count


def _count_unnamed(found: Findings, provenance: Mapping[str, Any]) -> None:
    """Count the broken rows beyond the first ones, whose reasons the store lists one by one.

    The store's counts of all reasons show how many of the others have the id of an earlier row.
    """
    reasons = provenance.get("bad_row_reasons", ())
    unnamed = provenance.get("bad_rows", 0) - len(reasons)
    if unnamed <= 0:
        return
    refused = Remarks.of(provenance).refused
    repeated = sum(count for kind, count in refused.items() if kind.startswith(_DUPLICATE))
    repeated -= sum(_split_reason(reason)[1].startswith(_DUPLICATE) for reason in reasons)
    for rule, count in (("duplicate-id", repeated), ("broken-row", unnamed - repeated)):
        if count > 0:
            found.counts[rule] += count
            found.ids.setdefault(rule, [])


def _each(store: PivotStore) -> Iterator[Finding]:
    """Check every pivot on its own, then look for duplicates among all."""
    items_of = _ItemsReader()
    hashes = array("Q")
    for row in range(len(store)):
        pivot = store.read(row)
        hashes.append(_content_hash(pivot))
        for rule, detail in _faults(pivot, items_of(pivot.input_json)):
            yield _finding(rule, detail, pivot)
    yield from _duplicates(store, hashes)


def _content_hash(pivot: Pivot) -> int:
    digest = blake2b(digest_size=8)
    for text in (pivot.input_json, pivot.tools_json, expected_action_json(pivot.expected_action)):
        digest.update(text.encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    return int.from_bytes(digest.digest())


def _duplicates(store: PivotStore, hashes: array[int]) -> Iterator[Finding]:
    """Find the rows with the same content as an earlier row."""
    import pyarrow as pa  # noqa: PLC0415 (it is heavy, and loaded already where it is needed)
    import pyarrow.compute as pc  # noqa: PLC0415

    counts = pc.value_counts(pa.Array.from_buffers(pa.uint64(), len(hashes), [None, pa.py_buffer(hashes)]))
    repeated = set(counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist())
    if not repeated:
        return
    rows = [row for row, value in enumerate(hashes) if value in repeated]
    first: dict[int, str] = {}
    severity = RULES["duplicate-pivot"].severity
    for entry in store.index(rows):
        original = first.setdefault(hashes[entry.row], entry.id)
        if original is not entry.id:
            yield Finding("duplicate-pivot", severity, entry.id, f"same as {original}", entry.trajectory_id)


class _ItemsReader:
    """Decodes inputs; if one continues the previous input, only the new items are decoded."""

    def __init__(self) -> None:
        self._text = "[]"
        self._items: list[Any] = []

    def __call__(self, text: str) -> list[Any]:
        known = len(self._text) - 1
        if self._items and text[known : known + 1] == "," and text.startswith(self._text[:-1]):
            self._items += json.loads(f"[{text[known + 1 :]}")
        else:
            self._items = json.loads(text)
        self._text = text
        return self._items


def _faults(pivot: Pivot, items: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield the rules that a pivot breaks, each once, with a description of the fault."""
    yield from tool_faults(pivot.tools_json)
    yield from _result_faults(items)
    action = pivot.expected_action
    if action.calls:
        yield from _call_faults(action, pivot.tools_json)
        yield from _made_before(action, items)
        return
    text = (action.message or "").strip()
    if not text:
        yield "empty-message", ""
    # The input's JSON escapes strings as `quoted` does, so a text that is not in the JSON is in none of its strings.
    elif len(text) >= SHORTEST_ANSWER and quoted(text)[1:-1] in pivot.input_json:
        place = _place_of(text, items)
        if place is not None:
            yield "answer-in-context", f"in input[{place}]"


def _call_faults(action: Action, tools_json: str) -> Iterator[tuple[str, str]]:
    tools = tool_set(tools_json)
    found: dict[str, str] = {}
    for number, call in enumerate(action.calls):
        where = (
            f"{one_line(call.name, 60)}: "
            if len(action.calls) == 1
            else f"call {number + 1}, {one_line(call.name, 60)}: "
        )
        verdict = tools.check(Action((call,)))
        if verdict.status == "unknown-tool":
            found.setdefault("unknown-tool", verdict.explanation)
        problem = _not_object(call.arguments)
        if problem is not None:
            found.setdefault("arguments-not-object", where + problem)
        elif verdict.status == "invalid":
            broken = f"{verdict.path} ({verdict.keyword}): {verdict.explanation}"
            found.setdefault("arguments-break-schema", where + broken)
    yield from found.items()


def _not_object(arguments: str) -> str | None:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {one_line(str(error))}"
    return None if isinstance(value, dict) else f"{shown(value)} is not an object"


def _made_before(action: Action, items: list[Any]) -> Iterator[tuple[str, str]]:
    """Look for the expected calls among those since the last user message, word for word."""
    wanted = {(call.name, call.arguments) for call in action.calls}
    for place in range(len(items) - 1, -1, -1):
        item = items[place]
        if item.get("role") == "user":
            return
        if item.get("type") == "function_call" and (item.get("name"), item.get("arguments")) in wanted:
            yield "call-made-before", f"{one_line(item['name'], 60)}: input[{place}]"
            return


def _place_of(text: str, items: list[Any]) -> int | None:
    """Return the index of an item that contains a text: the last user message, or the assistant's text or reasoning."""
    user_seen = False
    for place in range(len(items) - 1, -1, -1):
        item = items[place]
        role, kind = item.get("role"), item.get("type")
        if kind == "reasoning":
            if text in content_text(item.get("summary")) or text in content_text(item.get("content")):
                return place
        elif role == "assistant" or (role == "user" and not user_seen):
            user_seen = user_seen or role == "user"
            if text in content_text(item.get("content")):
                return place
    return None


def _result_faults(items: list[Any]) -> Iterator[tuple[str, str]]:
    """Pair results with earlier calls by id, and yield the faults found."""
    open_calls: dict[str, list[int]] = {}
    seen: set[str] = set()
    stray = twice = None
    for place, item in enumerate(items):
        kind = item.get("type")
        if kind == "function_call":
            call_id = item.get("call_id") or item.get("id")
            identifier = str(call_id)
            if call_id and identifier in seen and twice is None:
                twice = f"input[{place}]: {shown(call_id)}"
            seen.add(identifier)
            open_calls.setdefault(identifier, []).append(place)
        elif kind == "function_call_output":
            call_id = item.get("call_id") or item.get("id")
            waiting = open_calls.get(str(call_id))
            if waiting:
                waiting.pop(0)
            elif stray is None:
                stray = f"input[{place}]: {shown(call_id)}"
    if stray is not None:
        yield "result-without-call", stray
    if twice is not None:
        yield "repeated-call-id", twice
    first = min((places[0] for places in open_calls.values() if places), default=None)
    if first is not None:
        call = items[first]
        yield "call-without-result", f"input[{first}]: {shown(call.get('call_id') or call.get('id'))}"


@lru_cache(maxsize=_TOOL_LISTS_KEPT)
def tool_faults(tools_json: str) -> tuple[tuple[str, str], ...]:
    """Return the rules that a list of tools breaks, each once, with a description of the fault.

    `tools_json` is the list as JSON; the result is cached, because many pivots share their tools.
    """
    found: dict[str, str] = {}
    first: dict[str, Any] = {}
    for number, tool in enumerate(json.loads(tools_json)):
        name = tool.get("name") if isinstance(tool, dict) else None
        where = f"tools[{number}] {shown(name, 60)}" if isinstance(name, str) else f"tools[{number}]"
        for rule, problem in _tool_faults(tool):
            found.setdefault(rule, f"{where}: {problem}")
        if isinstance(name, str):
            if name in first and "duplicate-tool-names" not in found:
                alike = "the same" if first[name] == tool else "another"
                found["duplicate-tool-names"] = f"{where}: {alike} definition of an earlier tool's name"
            first.setdefault(name, tool)
    return tuple(found.items())


def _tool_faults(tool: Any) -> Iterable[tuple[str, str]]:
    if not isinstance(tool, dict):
        yield "tool-form", f"{shown(tool)} is not an object"
        return
    problem = _form_problem(tool)
    if problem:
        yield "tool-form", problem
    name = tool.get("name")
    if isinstance(name, str) and name and not _NAME.fullmatch(name):
        yield "refused-name", "more than 64 characters, or other ones than letters, digits, _ and -"
    parameters = tool.get("parameters")
    if parameters is not None:
        problem = _schema_problem(json.dumps(parameters, sort_keys=True))
        if problem:
            yield "unusable-schema", problem


def _form_problem(tool: Mapping[str, Any]) -> str | None:
    if tool.get("type") != "function":
        return f"its type is {shown(tool.get('type'))}, not function"
    if not isinstance(tool.get("name"), str) or not tool["name"]:
        return "no name"
    parameters = tool.get("parameters")
    if not parameters:
        return "no parameters" if parameters is None else f"parameters are {shown(parameters)}"
    if not isinstance(parameters, dict):
        return f"parameters are {shown(parameters)}"
    if parameters.get("type") != "object":
        return f"the type of its parameters is {shown(parameters.get('type'))}, not object"
    properties = parameters.get("properties", {})
    return None if isinstance(properties, dict) else f"parameters.properties are {shown(properties)}"


@lru_cache(maxsize=_SCHEMAS_KEPT)
def _schema_problem(schema_json: str) -> str | None:
    """Return why a schema cannot be used; None if it can. Whatever `make_acceptor` compiles is well-formed."""
    if make_acceptor(json.loads(schema_json)) is not None:
        return None
    verdict = check_arguments(schema_json, "{}")
    return verdict.explanation if verdict.status == "unusable-schema" else None
