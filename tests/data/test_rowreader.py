"""Rows read by what rows before them were like: the same as if each stood alone, whatever comes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.data import synth
from pytest_fcpivot.data.conversations import SkippedTurn
from pytest_fcpivot.data.rowreader import RowReader
from pytest_fcpivot.data.rows import StoredPivot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fcpivot.core.model import Pivot

Json = dict[str, Any]
Shape = Literal["auto", "fc-pivot", "conversation"]

ROWS = Path(__file__).resolve().parents[2] / "fixtures" / "rows"
PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TOOL: Json = {
    "type": "function",
    "function": {"name": "f", "description": "Find.", "parameters": {"type": "object", "properties": {}}},
}
TALK: Json = {
    "uuid": "u",
    "license": "CC-BY-4.0",
    "used_in": ["x"],
    "messages": [
        {"role": "system", "content": ""},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1.5}}}]},
        {"role": "tool", "content": [{"type": "text", "text": "one"}]},
        {"role": "assistant", "content": "Done.", "tool_calls": None},
    ],
    "tools": [TOOL],
}
PIVOT: Json = {
    "trajectory_id": 7,
    "info": {"turn": 0, "step": 0, "depth": 0},
    "responses_create_params": {
        "input": [{"role": "user", "content": "Hello"}],
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "parallel_tool_calls": False,
    },
    "expected_action": {"type": "function_call", "name": "f", "arguments": "{}"},
    "agent_ref": {"type": "agents", "name": "x"},
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.just(1.5) | st.sampled_from(["", "f", "\ud800", "é", "user"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["role", "name", "type", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = [
    "uuid",
    "id",
    "messages",
    "tools",
    "content",
    "role",
    "responses_create_params",
    "input",
    "required",
    "a b",
    "x",
]


def told(reader: RowReader, raw: bytes, line: int) -> Any:
    """Return all that a reader says of a row, in a form that can be compared."""
    try:
        read = reader.read(raw, line)
    except RowProblem as problem:
        return problem.reason
    if isinstance(read, StoredPivot):
        return facts(read.pivot())
    turns = [turn if isinstance(turn, SkippedTurn) else facts(turn.pivot()) for turn in read.turns()]
    return turns, sorted(read.flags)


def facts(pivot: Pivot) -> Json:
    """Return all of a pivot, to the letter; the order of its metadata and settings says nothing."""
    found = {name: getattr(pivot, name) for name in pivot.__slots__ if name.endswith(("_json", "_id", "id", "th"))}
    decoded = {name: json.loads(found[name]) for name in ("metadata_json", "params_json")}
    return found | decoded | {"expected": pivot.expected_action, "line": pivot.source_line}


def check(rows: Iterable[bytes], shape: Shape = "auto") -> list[Any]:
    """Check that rows read one after the other are what each is when it stands alone; return what they are."""
    reader = RowReader(shape)
    found = []
    for line, row in enumerate(rows, 1):
        found.append(told(reader, row, line))
        assert found[-1] == told(RowReader(shape), row, line)
    return found


def lines(*rows: Json) -> list[bytes]:
    """Write rows as lines."""
    return [json.dumps(row).encode() for row in rows]


@pytest.mark.parametrize("kind", synth.KINDS)
def test_generated_rows(kind: Literal["fc-pivot", "agentic"], tmp_path: Path) -> None:
    """Rows of the published shapes with all their quirks; each with an id of its own, none broken."""
    with (tmp_path / "rows.jsonl").open("wb") as stream:
        synth.write(kind, 600, 3, stream)
    found = check((tmp_path / "rows.jsonl").read_bytes().splitlines())
    assert len(found) > 100
    assert not any(isinstance(each, str) for each in found)


def test_every_variation() -> None:
    """All variations of rows in one file, twice over, so that each comes after every other."""
    rows = (ROWS / "variations.jsonl").read_bytes().splitlines()
    found = check(rows * 2)
    assert [each | {"line": 0} for each in found[: len(rows)]] == [each | {"line": 0} for each in found[len(rows) :]]


@pytest.mark.parametrize("shape", ["auto", "fc-pivot", "conversation"])
def test_rows_of_both_shapes(shape: Shape) -> None:
    """Rows, conversations, and rows that are both take turns; a shape that is told is kept to."""
    both = {**PIVOT, **TALK}
    without = {key: value for key, value in both.items() if key != "expected_action"}
    found = check(lines(TALK, PIVOT, both, without) * 3, shape)
    assert [isinstance(each, str) for each in found[:4]] == {
        "auto": [False, False, False, False],
        "fc-pivot": [True, False, False, True],
        "conversation": [False, True, False, False],
    }[shape]


def test_a_conversation_without_an_id() -> None:
    """It has one of its content, the same wherever it stands; another content has another."""
    anonymous = {key: value for key, value in TALK.items() if key != "uuid"}
    other = {**anonymous, "tools": []}
    first, second, third = (turns[0]["id"] for turns, _ in check(lines(TALK, anonymous, anonymous, other))[1:])
    assert first == second != third
    assert first.startswith("c-")


def test_a_file_whose_rows_are_not_of_the_published_shape() -> None:
    """Many rows in a row that depart from it, and then some that do not, are all read right."""
    flat = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    odd = {**TALK, "tools": flat}
    odder = copy.deepcopy(odd)
    odder["messages"][1]["content"] = ["Hello"]
    odder["messages"][0]["tool_call_id"] = 1.5
    found = check(lines(*[odd] * 150, *[odder] * 150, *[TALK] * 5))
    assert {turns[0]["tools_json"] for turns, _ in found} == {
        '[{"type":"function","name":"f","parameters":{"type": "object"}}]',
        '[{"type":"function","name":"f","description":"Find.","parameters":{"type": "object", "properties": {}}}]',
    }


def test_a_file_whose_rows_have_ever_other_members() -> None:
    """Names that are no identifiers, and more of them than are worth knowing, are kept all the same."""
    names = [f"k{n}" for n in range(200)] + ["class", "a b", "__x", "", "é", "\ud800"]
    found = check(lines(*({**TALK, name: n} for n, name in enumerate(names)), TALK))
    assert [turns[0]["metadata_json"].get(name) for (turns, _), name in zip(found, names, strict=False)] == list(
        range(len(names))
    )


def test_tools_that_say_more_keep_their_spelling() -> None:
    """What the published tools do not have stays as it was written, and so does the rest of its tool."""
    text = json.dumps({**TALK, "tools": [{"function": {**TOOL["function"], "returns": {"n": "N"}, "required": []}}]})
    ((turns, flags),) = check([text.replace('"N"', "1.10").encode()])
    assert json.loads(turns[0]["tools_json"])[0]["parameters"]["required"] == []
    assert '"returns":{"n": 1.10}' in turns[0]["tools_json"]
    assert flags == ["required-beside-parameters"]


@PROPERTY
@given(st.data())
def test_rows_with_a_member_changed(data: st.DataObject) -> None:
    """Whatever stands where, a row is the same, or broken for the same reason, after others as alone."""
    rows: list[Json] = [TALK, PIVOT]
    for _ in range(4):
        row = copy.deepcopy(data.draw(st.sampled_from([TALK, PIVOT])))
        place: Any = row
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = (
                data.draw(st.sampled_from(keys + KEYS)) if isinstance(place, dict) else data.draw(st.sampled_from(keys))
            )
            if key in keys and isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
                place = place[key]
                continue
            place[key] = data.draw(VALUES)
            break
        rows.append(row)
    check(lines(*rows, *rows))
