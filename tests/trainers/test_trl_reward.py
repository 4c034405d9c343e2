"""The reward function for TRL: the evaluation's grade of texts and messages, and errors for what is not understood."""

from __future__ import annotations

import pickle
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainer_rows import AGENTIC, as_message, as_text, pivot_with, pivots, trl_columns

from pytest_fcpivot import Action, ActionError, DataError, FcPivotError, FunctionCall, OptionError, grade
from pytest_fcpivot.integrations.trl import reward

WRONG = Action((FunctionCall("no_such_tool", '{"a": 1}'),))


def test_texts_and_messages_earn_the_same() -> None:
    """A completion earns what `grade` gives its action: as text, as a message's text, and as a message with calls."""
    chosen = pivots()[::3]
    actions = [pivot.expected_action if number % 2 else WRONG for number, pivot in enumerate(chosen)]
    wanted = [grade(pivot, action, "agentic").reward for pivot, action in zip(chosen, actions, strict=True)]
    assert 0.0 in wanted
    assert 1.0 in wanted
    columns = trl_columns(*chosen, grader=AGENTIC)
    texts = [as_text(action) for action in actions]
    assert reward(texts, **columns) == wanted
    assert reward([[{"role": "assistant", "content": text}] for text in texts], **columns) == wanted
    assert reward([[{"content": text}] for text in texts], **columns) == wanted
    assert reward([[as_message(action)] for action in actions], **columns) == wanted


@pytest.mark.parametrize(
    ("completion", "wanted"),
    [
        ([{"role": "assistant", "content": None}], 0.0),
        ([{"role": "assistant", "content": ""}], 0.0),
        ([{"role": "assistant", "content": "Let me see.", "tool_calls": []}], 0.0),
        ([{"role": "assistant", "content": [{"type": "text", "text": "CALL"}], "tool_calls": None}], 1.0),
        ([{"role": "assistant", "content": "CALL", "reasoning_content": "I call."}], 1.0),
        ([{"role": "assistant", "content": "CALL"}, {"role": "tool", "name": "any", "content": "42"}], 1.0),
        ("<think>I call it.</think>\nCALL", 1.0),
        ("<think>I call it, CALL", 0.0),
        (None, None),
    ],
    ids=range(9),
)
def test_completions_of_a_call(completion: Any, wanted: float | None) -> None:
    """The first message is the action, with its calls or with those in its text; of no completion, nothing is said."""
    pivot = pivot_with("function_call")
    text = as_text(pivot.expected_action)
    if isinstance(completion, str):
        completion = completion.replace("CALL", text)
    elif completion:
        first = completion[0]
        if isinstance(first["content"], list):
            first = first | {"content": [{"type": "text", "text": text}]}
        elif first["content"] == "CALL":
            first = first | {"content": text}
        completion = [first, *completion[1:]]
    assert reward([completion], **trl_columns(pivot)) == [wanted]


@pytest.mark.parametrize(
    "completion",
    [
        [],
        42,
        b"Hello.",
        {"role": "assistant", "content": "Hello."},
        ["Hello."],
        [{"role": "user", "content": "Hello."}],
        [{"role": "assistant", "content": "Hello."}, {"role": "assistant", "content": "Hello."}],
        [{"role": "assistant", "content": 42}],
        [{"role": "assistant", "tool_calls": "list_devices()"}],
    ],
    ids=range(9),
)
def test_a_completion_that_is_not_understood(completion: Any) -> None:
    """What is no text and no assistant's message is an error that names the pivot, not a reward of 0."""
    pivot = pivot_with("message")
    with pytest.raises(ActionError, match=f"completion 2 of 2, pivot {pivot.id}: "):
        reward(["Hello.", completion], **trl_columns(pivot, pivot))


@pytest.mark.parametrize(
    "function",
    [
        {"name": "list_devices", "parameters": {"room": "kitchen"}, "arguments": {}},
        {"name": ["list_devices"], "arguments": {}},
        {"arguments": {}},
        {},
    ],
    ids=range(4),
)
def test_a_call_that_a_template_read_by_halves(function: dict[str, Any]) -> None:
    """What the model wrote in place of a call is its own fault: a call that cannot be read, worth 0, and no error."""
    metrics: dict[str, float] = {}
    pivot = replace(pivot_with("function_call"), expected_action=Action((FunctionCall("list_devices", "{}"),)))
    completion = [{"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}]
    assert reward([completion], **trl_columns(pivot), log_metric=metrics.__setitem__) == [0.0]
    assert metrics["fcpivot/malformed"] == 1.0


NAMES = ("role", "content", "tool_calls", "function", "name", "arguments", "type", "text", "id")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["list_devices", "assistant"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@given(
    JSON
    | st.lists(st.fixed_dictionaries({"role": st.just("assistant")}, optional={"tool_calls": JSON, "content": JSON}))
)
def test_any_completion(completion: Any) -> None:
    """Whatever a completion is, it has a reward from 0 to 1, or none, or is refused as not understood."""
    with suppress(ActionError):
        (found,) = reward([completion], **trl_columns(pivot_with("function_call")))
        assert found is None or 0 <= found <= 1
        assert (found is None) == (completion is None)


def test_rows_of_another_task() -> None:
    """In mixed data, a row in which all columns of a pivot are empty has no reward, as TRL expects."""
    pivot = pivot_with("function_call")
    columns: dict[str, Any] = {name: [*values, None] for name, values in trl_columns(pivot).items()}
    assert reward([as_text(pivot.expected_action), "42"], **columns, solution=[None, "42"]) == [1.0, None]


BROKEN: list[tuple[dict[str, Any], type[FcPivotError], str]] = [
    ({"tools_json": [None]}, DataError, "completion 1 of 1, pivot .*: tools_json is missing; train on the rows"),
    ({"expected_action": [{"type": "message"}]}, DataError, "expected_action is of type dict"),
    ({"expected_action": ["{}"]}, DataError, "expected_action: unknown type None"),
    ({"grader_json": ['{"name": "mine"}']}, DataError, "no bundled grader"),
    ({"dialect": ["esperanto"]}, DataError, "dialect: .*esperanto"),
    ({"dialect": "hermes"}, DataError, "the column dialect is of type str, but must be a list"),
    ({"dialect": ["hermes"] * 2}, DataError, "the column dialect has 2 values for 1 completions"),
    ({"pass_mark": 2}, OptionError, "pass_mark=2"),
]


@pytest.mark.parametrize(("change", "kind", "message"), BROKEN, ids=range(len(BROKEN)))
def test_a_row_that_is_not_understood(change: dict[str, Any], kind: type[FcPivotError], message: str) -> None:
    """A broken column is an error that names it and the pivot, and never a reward."""
    with pytest.raises(kind, match=message):
        reward(["Hello."], **(trl_columns(pivot_with("message")) | change))


@pytest.mark.parametrize("name", ["expected_action", "tools_json", "grader_json", "dialect"])
def test_a_column_that_is_not_there(name: str) -> None:
    """Without one of the columns, the error names it, and the option of TRL that may have removed it."""
    columns = trl_columns(pivot_with("message"))
    del columns[name]
    with pytest.raises(DataError, match=rf"no column {name}.*remove_unused_columns=False"):
        reward(["Hello."], **columns)


def never(expected: Action, actual: Action) -> bool:
    """Let nothing pass."""
    return False


def test_a_grader_of_ones_own() -> None:
    """`functools.partial` fixes a grader, its settings and the pass mark, whatever the rows name; it can be pickled."""
    pivot = pivot_with("function_call")
    columns, text = trl_columns(pivot), as_text(pivot.expected_action)
    fixed = pickle.loads(pickle.dumps(partial(reward, grader=never)))  # noqa: S301 (made here)
    assert fixed([text], **columns) == [0.0]
    del columns["grader_json"]
    assert partial(reward, grader="agentic", settings={}, pass_mark=0.5)([text], **columns) == [1.0]


def test_what_is_logged() -> None:
    """Categories and outcomes are logged for each completion, and shares over those that have a reward."""
    call, message = pivot_with("function_call"), pivot_with("message")
    columns = trl_columns(call, call, call, message)
    extra: dict[str, list[Any]] = {}
    metrics: dict[str, float] = {}
    texts = [as_text(call.expected_action), "<tool_call>{", None, "Hello."]
    rewards = reward(texts, **columns, log_extra=extra.__setitem__, log_metric=metrics.__setitem__)
    assert rewards == [1.0, 0.0, None, 1.0]
    assert extra["passed"] == [True, False, None, True]
    assert extra["category"][2] is None
    assert extra["category"][0] == "EXPECTED_TOOL_CALL"
    third = {"fcpivot/calls": 1 / 3, "fcpivot/message": 1 / 3, "fcpivot/malformed": 1 / 3}
    assert metrics == pytest.approx({"fcpivot/passed": 2 / 3, **third})


def test_nothing_to_log() -> None:
    """Without any reward in a batch, no share is logged, since it would be one of nothing."""
    metrics: dict[str, float] = {}
    assert reward([None], **trl_columns(pivot_with("message")), log_metric=metrics.__setitem__) == [None]
    assert metrics == {}
