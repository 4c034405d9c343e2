"""Rows to pivots: every variation seen in published sets, and every way in which a row can be broken."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_fcpivot import Action, FunctionCall, Pivot
from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.data.files import read_rows
from pytest_fcpivot.data.rows import pivot_from_row

ROWS = Path(__file__).resolve().parents[2] / "fixtures" / "rows"
CASES = {row["case"]: row for _, row in read_rows(ROWS / "variations.jsonl")}
SAFE_ID = re.compile(r"[A-Za-z0-9_.-]+")


def pivot(case: str) -> Pivot:
    """Read the row of this name."""
    return Pivot.from_row(CASES[case])


@pytest.mark.parametrize("case", CASES)
def test_every_variation_is_a_pivot(case: str) -> None:
    """A row as published is read whole: its items, tools and answer as they are, its id safe for a command line."""
    row, found = CASES[case], pivot(case)
    params, expected = row["responses_create_params"], row["expected_action"]
    if isinstance(params["input"], list):
        assert found.input[-len(params["input"]) :] == params["input"]
    assert found.tools == (params["tools"] or [])
    assert SAFE_ID.fullmatch(found.id)
    assert found.expected_action.kind in {expected["type"], "function_call"}
    if expected["type"] == "function_call":
        assert found.expected_action.calls == (FunctionCall(expected["name"], expected["arguments"]),)
    if expected["type"] == "message":
        assert found.expected_action == Action(message=expected["content"])
    view = found.view()
    assert isinstance(view.messages, list)
    assert len(view.chat_tools) == len(found.tools)


@pytest.mark.parametrize(
    ("case", "id_", "trajectory_id", "place"),
    [
        ("published", "t4711-d0", "4711", (0, 0, 0)),
        ("same trajectory", "t4711-d1", "4711", (0, 1, 1)),
        ("no agent_ref", "t4712-d5", "4712", (2, 0, 5)),
        ("info without depth", "t4714-t3s1", "4714", (3, 1, None)),
        ("no trajectory_id but uuid", *["6f0e2a54-7d0c-4b8e-9c6f-3f1b5a0c9d21"] * 2, (None, None, None)),
    ],
)
def test_ids(case: str, id_: str, trajectory_id: str, place: tuple[int | None, ...]) -> None:
    """An id says which trajectory and which depth, and is the row's own where it has one."""
    found = pivot(case)
    assert (found.id, found.trajectory_id, (found.turn, found.step, found.depth)) == (id_, trajectory_id, place)


def test_ids_without_any() -> None:
    """A row without ids is known by its content: the same row has the same id, another one another."""
    row = CASES["no trajectory_id"]
    found = pivot("no trajectory_id")
    assert found.trajectory_id == found.id == Pivot.from_row(json.loads(json.dumps(row)), 99).id
    changed = json.loads(json.dumps(row))
    changed["expected_action"]["content"] += "!"
    assert Pivot.from_row(changed).id != found.id


def test_ids_that_had_to_change_stay_apart() -> None:
    """Ids that look alike once they are made safe are told apart."""
    row = CASES["no trajectory_id"]
    ids = {
        Pivot.from_row({**row, "id": own}).id for own in ("a b", "a/b", "a::b", "a-b", "a?b", "[a]b", "東京", "京都")
    }
    assert len(ids) == 8
    assert all(SAFE_ID.fullmatch(id_) for id_ in ids)
    long = {Pivot.from_row({**row, "id": "x" * 500 + str(n)}).id for n in range(5)}
    assert len(long) == 5
    assert max(map(len, long)) < 80


def test_unknown_fields_are_kept_as_metadata() -> None:
    """Extra fields survive, and no agent sees them."""
    found = pivot("extra fields")
    assert found.metadata["meta_info"] == {"source": "harbour", "tags": ["x"]}
    assert found.metadata["pass_rate"] == 0.4375
    assert found.metadata["scenario"] == "late boat"
    assert found.metadata["verdicts"] == [1, None, True]
    assert not hasattr(found.view(), "metadata")


@pytest.mark.parametrize(
    ("case", "params"),
    [
        ("published", {"parallel_tool_calls": False}),
        ("23 keys, most of them null", {"parallel_tool_calls": False, "tool_choice": "auto"}),
        ("settings that are set", {"parallel_tool_calls": True, "tool_choice": "required", "temperature": 0.2}),
    ],
)
def test_params(case: str, params: dict[str, Any]) -> None:
    """The agent sees the request's settings that are set, and none of the nulls."""
    assert pivot(case).view().params == params


def test_the_dump_of_a_request_has_23_keys() -> None:
    """The fixture is what recorders dump."""
    params = CASES["23 keys, most of them null"]["responses_create_params"]
    assert len(params) == 23
    assert sum(value is None for value in params.values()) == 19


@pytest.mark.parametrize(
    ("case", "roles"),
    [
        ("input is text", ["system", "user"]),
        ("input is text without instructions", ["user"]),
        ("instructions and items", ["system", "user"]),
    ],
)
def test_instructions(case: str, roles: list[str]) -> None:
    """A string input is the user's message, and instructions are a system message before it."""
    found = pivot(case).input
    assert [item["role"] for item in found] == roles
    assert found[-1]["content"] == "Is there a boat to Elba tonight?"
    if len(roles) == 2:
        assert found[0]["content"] == "You sell ferry tickets."


def test_batches() -> None:
    """A batch has its calls in order, with or without a type; a batch of one is one call."""
    assert [call.arguments for call in pivot("batch").expected_action.calls] == [
        '{"from": "Piombino", "to": "Elba"}',
        '{"from": "Livorno", "to": "Elba"}',
    ]
    assert pivot("batch").expected_action.kind == "function_call_batch"
    assert pivot("batch of one").expected_action.kind == "function_call"


def test_arguments_keep_their_text() -> None:
    """Expected arguments are not written anew: order, spaces and numbers as text stay."""
    (call,) = pivot("numbers as text").expected_action.calls
    assert call.arguments == '{"cars": "2", "from": "Piombino", "to": "Elba"}'


# What is wrong with each line of the file of broken rows.
BROKEN = {
    2: ["not JSON"],
    3: ["object", "array"],
    4: ["object", "string"],
    5: ["object", "null"],
    6: ["object", "number"],
    7: ["responses_create_params"],
    8: ["responses_create_params"],
    9: ["responses_create_params.input"],
    10: ["responses_create_params.input", "empty"],
    11: ["responses_create_params.input"],
    12: ["responses_create_params.input", "object"],
    13: ["responses_create_params.tools", "list"],
    14: ["responses_create_params.tools", "object"],
    15: ["expected_action"],
    16: ["expected_action", "object"],
    17: ["expected_action", "None", "function_call_batch"],
    18: ["expected_action", "'handoff'", "message, function_call"],
    19: ["expected_action", "content", "string"],
    20: ["expected_action", "content", "string"],
    21: ["expected_action", "name"],
    22: ["expected_action", "name", "string"],
    23: ["expected_action", "arguments", "JSON string"],
    24: ["expected_action", "arguments", "JSON string", "object"],
    25: ["expected_action", "'find'", "not JSON"],
    26: ["expected_action", "'f'", "not JSON"],
    27: ["function_call_batch", "calls"],
    28: ["function_call_batch", "calls"],
    29: ["expected_action.calls[1]", "arguments"],
    30: ["expected_action.calls[1]", "not JSON"],
    32: ["not JSON"],
}


@pytest.mark.parametrize("line", BROKEN)
def test_broken_rows(line: int) -> None:
    """A broken row is a RowProblem with its line and what is wrong, in one line."""
    row = dict(read_rows(ROWS / "broken.jsonl"))[line]
    if not isinstance(row, RowProblem):
        with pytest.raises(RowProblem) as raised:
            pivot_from_row(row, line)
        row = raised.value
    assert row.line == line
    assert str(row).startswith(f"line {line}: ")
    assert "\n" not in row.reason
    for part in BROKEN[line]:
        assert part in row.reason


@pytest.mark.parametrize(
    "expected_action",
    [
        {"type": "function_call", "name": "f", "arguments": "[" * 100_000},
        {"type": "function_call", "name": "f", "arguments": "9" * 5_000},
    ],
    ids=["deep", "long integer"],
)
def test_hostile_expected_arguments(expected_action: dict[str, Any]) -> None:
    """Expected arguments that no decoder survives make a broken row, not a crash."""
    row = {"responses_create_params": {"input": "Hi"}, "expected_action": expected_action}
    with pytest.raises(RowProblem, match="'f' are not JSON") as raised:
        Pivot.from_row(row, 5)
    assert len(str(raised.value)) < 1_000


@pytest.mark.parametrize("content", [["x" * 100_000], {"text": "x" * 100_000}])
def test_reasons_are_short(content: Any) -> None:
    """A reason does not repeat a huge value."""
    row = {"responses_create_params": {"input": "Hi"}, "expected_action": {"type": "message", "content": content}}
    with pytest.raises(RowProblem) as raised:
        Pivot.from_row(row)
    assert len(str(raised.value)) < 1_000


anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.text(max_size=3),
        st.sampled_from(["message", "function_call", "function_call_batch", "{}"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["type", "content", "name", "arguments", "calls", "input", "tools", "turn", "depth"]),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=10,
)
sloppy_rows = st.fixed_dictionaries(
    {},
    optional={
        "responses_create_params": st.one_of(st.just({"input": "Hi"}), anything),
        "expected_action": st.one_of(st.just({"type": "message", "content": ""}), anything),
        "info": anything,
        "trajectory_id": anything,
        "id": anything,
        "uuid": anything,
    },
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sloppy_rows)
def test_any_row_is_a_pivot_or_a_problem(row: Any) -> None:
    """Whatever JSON a row is, it becomes a pivot with a safe id, or a problem that names the line."""
    try:
        found = pivot_from_row(row, 7)
    except RowProblem as problem:
        assert problem.line == 7  # noqa: PT017
        return
    assert SAFE_ID.fullmatch(found.id)
    assert found.trajectory_id
    assert isinstance(found.view().input, list)
