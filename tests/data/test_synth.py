"""The generator of both source shapes: the same bytes for a seed, exact counts, published proportions, every quirk."""

from __future__ import annotations

import io
import json
import statistics
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_fcpivot.core.errors import DataError
from pytest_fcpivot.core.model import Action, FunctionCall
from pytest_fcpivot.data import synth
from pytest_fcpivot.data.rows import pivot_from_row
from pytest_fcpivot.schema.toolset import tool_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIVOTS = 5_000
Split = Literal["interactive_agent", "tool_calling"]


@dataclass
class Facts:
    """What was counted in one generated file."""

    rows: int = 0
    size: int = 0
    largest: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    lengths: list[int] = field(default_factory=list)
    messages: Counter[int] = field(default_factory=Counter)
    tools: Counter[int] = field(default_factory=Counter)
    ids: Counter[Any] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def fc() -> Facts:
    """Count a file of FC-Pivot rows."""
    facts = Facts()
    for line in synth.fc_pivot_lines(PIVOTS):
        _note_size(facts, line)
        row = json.loads(line)
        assert list(row) == ["trajectory_id", "info", "responses_create_params", "expected_action", "agent_ref"]
        facts.ids[row["trajectory_id"]] += 1
        expected = row["expected_action"]
        facts.counts[expected["type"]] += 1
        if expected["type"] == "message":
            facts.lengths.append(len(expected["content"]))
        else:
            facts.counts["empty arguments"] += expected["arguments"] == "{}"
            facts.counts["number as string"] += any(_is_number(v) for v in json.loads(expected["arguments"]).values())
        params = row["responses_create_params"]
        _count_items(facts.counts, params["input"])
        _count_flat_tools(facts.counts, params["tools"])
        facts.counts["not ASCII"] += b"\\u" in line
    return facts


@pytest.fixture(scope="module")
def interactive() -> Facts:
    """Count a file of interactive_agent conversations."""
    return _conversation_facts("interactive_agent")


@pytest.fixture(scope="module")
def calling() -> Facts:
    """Count a file of tool_calling conversations."""
    return _conversation_facts("tool_calling")


def _note_size(facts: Facts, line: bytes) -> None:
    facts.rows += 1
    facts.size += len(line)
    facts.largest = max(facts.largest, len(line))


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and value.replace(".", "", 1).isdigit()


def _count_items(counts: Counter[str], items: list[dict[str, Any]]) -> None:
    calls = {item["call_id"] for item in items if item.get("type") == "function_call"}
    for before, item in zip([{}, *items], items, strict=False):
        kind = item.get("type", item.get("role"))
        if kind == "reasoning":
            counts["reasoning"] += item["encrypted_content"] is None and bool(item["summary"][0]["text"])
        elif kind == "function_call":
            assert item["id"] == item["call_id"]
            counts["empty text before call"] += before.get("type") == "message" and before["content"][0]["text"] == ""
        elif kind == "function_call_output":
            counts["orphan result"] += item["call_id"] not in calls
            counts[f"output {type(item['output']).__name__}"] += 1
        elif kind == "user":
            counts[f"user {type(item['content']).__name__}"] += 1
        elif kind == "system":
            counts["empty system"] += item["content"] == ""


def _count_flat_tools(counts: Counter[str], tools: list[dict[str, Any]]) -> None:
    for tool in tools:
        schema = tool["parameters"]
        counts["strict on a schema that is not"] += tool["strict"] and schema.get("additionalProperties") is not False
        counts["null description"] += tool["description"] is None
        counts["free-form schema"] += "properties" not in schema
        counts["dotted name"] += "." in tool["name"]


def _conversation_facts(split: Split) -> Facts:
    facts = Facts()
    for line in synth.agentic_lines(PIVOTS, split=split):
        _note_size(facts, line)
        row = json.loads(line)
        assert row["used_in"] == [split]
        assert ("reasoning" in row) is (split == "interactive_agent")
        facts.ids[row["uuid"]] += 1
        facts.messages[len(row["messages"])] += 1
        facts.tools[len(row["tools"])] += 1
        facts.counts["empty system"] += row["messages"][0] == {"role": "system", "content": ""}
        _count_nested_tools(facts.counts, row["tools"])
        _count_turns(facts.counts, row)
    return facts


def _count_nested_tools(counts: Counter[str], tools: list[dict[str, Any]]) -> None:
    for tool in tools:
        assert tool["type"] == "function"
        schema = tool["function"]["parameters"]
        counts["required beside parameters"] += "required" in tool["function"]
        counts["empty parameters"] += schema == {}
        counts["type string"] += schema.get("type") == "string"
        counts["type missing"] += bool(schema) and "type" not in schema
        for part in schema.get("properties", {}).values():
            counts["enum without type"] += "enum" in part and "type" not in part
            counts["array without items"] += part.get("type") == "array" and "items" not in part
    named = {(tool["function"]["name"], json.dumps(tool)) for tool in tools}
    counts["name twice"] += len({name for name, _ in named}) < len(named)


def _count_turns(counts: Counter[str], row: dict[str, Any]) -> None:
    messages = row["messages"]
    tools = tool_set(json.dumps([tool["function"] for tool in row["tools"]]))
    for place, message in enumerate(messages):
        if message["role"] == "tool":
            counts[f"result {type(message['content']).__name__}"] += 1
            counts["tool_call_id"] += "tool_call_id" in message
        if message["role"] != "assistant":
            continue
        calls = message.get("tool_calls")
        counts["turns"] += 1
        counts["no reasoning"] += "reasoning_content" not in message
        if not calls:
            counts["text turns"] += bool(message["content"])
            counts["empty turns"] += not message["content"]
            counts["tool_calls: null"] += "tool_calls" in message
            continue
        counts["call turns"] += 1
        counts["several calls"] += len(calls) > 1
        results = next((n for n, m in enumerate(messages[place + 1 :]) if m["role"] != "tool"), None)
        if results is not None:  # the last conversation may be cut behind its call
            counts["fewer results"] += results < len(calls)
            counts["more results"] += results > len(calls)
        for call in calls:
            arguments = call["function"]["arguments"]
            counts["calls"] += 1
            counts[f"arguments {type(arguments).__name__}"] += 1
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            counts[tools.check(Action((FunctionCall(call["function"]["name"], text),))).status] += 1


def _share(facts: Facts, part: str, whole: str) -> float:
    return facts.counts[part] / facts.counts[whole]


def _mean(counts: Counter[int]) -> float:
    return sum(value * count for value, count in counts.items()) / counts.total()


def test_same_bytes_everywhere() -> None:
    """A seed gives the same bytes on every platform and Python, so figures on generated data can be compared."""
    digests = [
        sha256(b"".join(lines)).hexdigest()[:16] for lines in (synth.fc_pivot_lines(40, 7), synth.agentic_lines(200, 7))
    ]
    assert digests == ["4a347eeaf243bd58", "62c58edad779cb0f"]


@pytest.mark.parametrize("lines", [synth.fc_pivot_lines, synth.agentic_lines])
def test_seeds_differ(lines: Callable[..., Iterator[bytes]]) -> None:
    """Every seed, negative ones too, gives other data."""
    first = {next(lines(20, seed=seed)) for seed in (-1, 0, 1, 2**40)}
    assert len(first) == 4


def test_larger_files_start_like_smaller_ones() -> None:
    """A larger file has the rows of a smaller one first; only the conversation that was cut is longer."""
    assert list(synth.fc_pivot_lines(30)) == list(islice(synth.fc_pivot_lines(90), 30))
    small = list(synth.agentic_lines(100))
    assert small[:-1] == list(islice(synth.agentic_lines(300), len(small) - 1))


@pytest.mark.parametrize("pivots", [0, 1, 2, 3, 5, 8, 13, 333])
@pytest.mark.parametrize("split", [None, "interactive_agent", "tool_calling"])
def test_exact_number_of_pivots(pivots: int, split: Split | None) -> None:
    """Either shape has exactly as many pivots as asked for, and ends with the last of them."""
    assert sum(1 for _ in synth.fc_pivot_lines(pivots)) == pivots
    rows = [json.loads(line) for line in synth.agentic_lines(pivots, split=split)]
    turns = [
        message
        for row in rows
        for message in row["messages"]
        if message["role"] == "assistant" and (message["content"] or message.get("tool_calls"))
    ]
    assert len(turns) == pivots
    assert all(row["messages"][-1]["role"] == "assistant" for row in rows)


def test_every_fc_row_can_be_read() -> None:
    """The project's own reader takes every row, ids are distinct, and contexts grow along a trajectory."""
    context: dict[str, str] = {}
    ids = set()
    statuses = Counter[str]()
    for line_number, line in enumerate(synth.fc_pivot_lines(900, seed=3), 1):
        pivot = pivot_from_row(json.loads(line), line_number)
        ids.add(pivot.id)
        before = context.get(pivot.trajectory_id, "[]")
        assert pivot.input_json.startswith(before[:-1])
        assert len(pivot.input_json) > len(before)
        context[pivot.trajectory_id] = pivot.input_json
        statuses[tool_set(pivot.tools_json).check(pivot.expected_action).status] += 1
    assert len(ids) == 900
    assert 0.9 < statuses["valid"] / (900 - statuses["no-call"]) < 1
    assert statuses["invalid"]


def test_fc_proportions(fc: Facts) -> None:
    """Types, trajectories, answers and sizes are close to the published ones."""
    assert fc.counts["message"] / PIVOTS == pytest.approx(4_701 / 9_620, abs=0.03)
    assert len(fc.ids) / PIVOTS == pytest.approx(3_800 / 9_620, rel=0.06)
    assert statistics.median(fc.lengths) == pytest.approx(2_300, rel=0.06)
    assert fc.size / fc.rows == pytest.approx(285e6 / 9_620, rel=0.06)
    assert 95_000 < fc.largest <= 111_000


@pytest.mark.parametrize(
    "quirk",
    [
        "empty arguments",
        "number as string",
        "reasoning",
        "empty text before call",
        "orphan result",
        "output str",
        "output dict",
        "output list",
        "output NoneType",
        "output bool",
        "output int",
        "user str",
        "user list",
        "empty system",
        "not ASCII",
        "strict on a schema that is not",
        "null description",
        "free-form schema",
        "dotted name",
    ],
)
def test_fc_quirks(fc: Facts, quirk: str) -> None:
    """Every quirk of the published rows occurs in 5,000."""
    assert fc.counts[quirk] > 0


def test_interactive_agent_proportions(interactive: Facts) -> None:
    """Turns, calls, messages and sizes are close to the published ones."""
    assert PIVOTS / interactive.rows == pytest.approx(70_794 / 19_028, rel=0.05)
    assert interactive.counts["call turns"] / PIVOTS == pytest.approx(0.424, abs=0.03)
    assert interactive.size / interactive.rows == pytest.approx(448_570_455 / 19_028, rel=0.07)


def test_tool_calling_proportions(calling: Facts) -> None:
    """Turns, calls, batches, messages, tools and sizes are close to the published ones."""
    assert PIVOTS / calling.rows == pytest.approx(1_127_102 / 316_094, rel=0.05)
    assert calling.counts["call turns"] / PIVOTS == pytest.approx(0.507, abs=0.03)
    assert calling.size / calling.rows == pytest.approx(5_338_348_607 / 316_094, rel=0.07)
    assert _share(calling, "several calls", "call turns") == pytest.approx(60_466 / 571_000, abs=0.025)
    unbalanced = calling.counts["fewer results"] + calling.counts["more results"]
    assert unbalanced / calling.counts["call turns"] == pytest.approx(6_846 / 571_000, abs=0.01)


@pytest.mark.parametrize("split", ["interactive", "calling"])
def test_conversation_sizes(split: str, request: pytest.FixtureRequest) -> None:
    """Conversations have 3 to 75 messages and 0 to 372 tools, with the published means."""
    facts: Facts = request.getfixturevalue(split)
    assert (min(facts.messages), max(facts.messages)) == (3, 75)
    assert _mean(facts.messages) == pytest.approx(8.4, rel=0.05)
    assert (min(facts.tools), max(facts.tools)) == (0, 372)
    assert facts.tools[0] / facts.rows == pytest.approx(3_637 / 335_122, abs=0.01)
    assert _mean(facts.tools) == pytest.approx(6.2 if split == "calling" else 7.9, rel=0.12)
    assert len(facts.ids) == facts.rows


@pytest.mark.parametrize("split", ["interactive", "calling"])
def test_expert_calls_mostly_fit(split: str, request: pytest.FixtureRequest) -> None:
    """About 2 % of the expected calls break their schema, and about 0.3 % call a tool that is not offered."""
    facts: Facts = request.getfixturevalue(split)
    assert _share(facts, "invalid", "calls") == pytest.approx(0.02, abs=0.012)
    assert 0 < _share(facts, "unknown-tool", "calls") < 0.01
    assert _share(facts, "valid", "calls") > 0.95


def test_interactive_agent_shape(interactive: Facts) -> None:
    """Arguments are strings, a turn has one call, results name their call, and a text turn has no `tool_calls`."""
    counts = interactive.counts
    assert counts["arguments str"] == counts["calls"] == counts["call turns"]
    assert counts["result str"] == counts["tool_call_id"] > 0
    assert counts["tool_calls: null"] == 0


def test_tool_calling_shape(calling: Facts) -> None:
    """Arguments are objects and a few lists, results of four types name no call, text turns say `tool_calls: null`."""
    counts = calling.counts
    assert counts["arguments dict"] + counts["arguments list"] == counts["calls"]
    assert 2 <= counts["arguments list"] <= 8
    assert all(counts[f"result {kind}"] for kind in ("str", "dict", "list", "bool"))
    assert counts["tool_call_id"] == 0
    assert counts["tool_calls: null"] == counts["text turns"] + counts["empty turns"]
    assert counts["fewer results"] > 0
    assert counts["more results"] > 0


@pytest.mark.parametrize("split", ["interactive", "calling"])
@pytest.mark.parametrize(
    "quirk",
    [
        "empty turns",
        "empty system",
        "no reasoning",
        "required beside parameters",
        "type string",
        "type missing",
        "empty parameters",
        "enum without type",
        "array without items",
        "name twice",
    ],
)
def test_agentic_quirks(split: str, quirk: str, request: pytest.FixtureRequest) -> None:
    """Every quirk of the published conversations occurs among 5,000 pivots."""
    facts: Facts = request.getfixturevalue(split)
    assert facts.counts[quirk] > 0


def test_reasoning_is_nearly_everywhere(calling: Facts) -> None:
    """One assistant turn in a hundred has no reasoning."""
    assert _share(calling, "no reasoning", "turns") == pytest.approx(0.01, abs=0.008)


def test_splits_are_mixed_in_proportion() -> None:
    """Without a split, both occur as often as in the published set, and `used_in` tells them apart."""
    splits = Counter(line.rpartition(b'"used_in": ["')[2].partition(b'"')[0] for line in synth.agentic_lines(PIVOTS))
    assert splits.keys() == {b"interactive_agent", b"tool_calling"}
    assert splits[b"interactive_agent"] / splits.total() == pytest.approx(19_028 / 335_122, abs=0.025)


@pytest.mark.parametrize("lines", [synth.fc_pivot_lines, synth.agentic_lines])
def test_streams(lines: Callable[..., Iterator[bytes]]) -> None:
    """Rows are made one at a time: an endless file can be started, and memory does not grow with it."""
    stream = lines(10**12)
    next(stream)
    tracemalloc.start()
    try:
        for _ in islice(stream, 200):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000


@pytest.mark.parametrize("kind", synth.KINDS)
def test_write(kind: str) -> None:
    """Writing gives the lines of the kind and counts rows, each a JSON object on a line of its own."""
    out = io.BytesIO()
    rows = synth.write(kind, 50, 5, out)
    lines = out.getvalue().splitlines(keepends=True)
    assert rows == len(lines)
    assert lines == list((synth.fc_pivot_lines if kind == "fc-pivot" else synth.agentic_lines)(50, 5))
    assert all(line.endswith(b"}\n") and isinstance(json.loads(line), dict) for line in lines)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: synth.write("parquet", 1, 0, io.BytesIO()), "'parquet'.*fc-pivot and agentic"),
        (lambda: synth.fc_pivot_lines(-1), "-1 pivots.*0 or more"),
        (lambda: synth.agentic_lines(-5), "-5 pivots.*0 or more"),
        (lambda: synth.agentic_lines(1, split="train"), "'train'.*interactive_agent and tool_calling"),  # type: ignore[arg-type]
    ],
)
def test_refuses(call: Callable[[], object], message: str) -> None:
    """What cannot be generated is refused at once, with what can."""
    with pytest.raises(DataError, match=message):
        call()
