"""The public `grade` and `make_grader`: shapes of the expected action, settings, and errors."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import Action, ActionError, FunctionCall, Grade, GraderError, Message, Pivot, grade, load_pivots
from pytest_fcpivot.core.actions import SUBMIT_MESSAGE
from pytest_fcpivot.graders import (
    AgenticGrader,
    NemoGymGrader,
    bundled_grader,
    describe_grader,
    expected_to_action,
    find_grader,
    graders_of,
    is_binary,
    is_bundled,
    known_specs,
    make_grader,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fcpivot import Grader

CALL = {"type": "function_call", "name": "find", "arguments": '{"n": 1}'}
OTHER = {"type": "function_call", "name": "find", "arguments": '{"n": 2}'}


@pytest.mark.parametrize(
    ("expected", "output", "category"),
    [
        (CALL, CALL, "EXPECTED_TOOL_CALL"),
        (FunctionCall("find", {"n": 1}), CALL, "EXPECTED_TOOL_CALL"),
        (Action((FunctionCall("find", '{"n":1}'),)), [CALL], "EXPECTED_TOOL_CALL"),
        ({"type": "message", "content": "Hi"}, "Hello", "EXPECTED_CHAT_MESSAGE_FOUND"),
        ({"type": "message", "content": ""}, "Hello", "EXPECTED_CHAT_MESSAGE_FOUND"),
        (Message("Hi"), Message(""), "EXPECTED_CHAT_MESSAGE_FOUND"),
        (Action(message="Hi"), None, "NO_ACTION_FOUND"),
        ({"type": "function_call_batch", "calls": [CALL, OTHER]}, [OTHER, CALL], "EXPECTED_TOOL_CALL_BATCH"),
        ({"type": "function_call_batch", "calls": [CALL]}, CALL, "EXPECTED_TOOL_CALL"),
        (
            Action((FunctionCall("find", {"n": 1}), FunctionCall("find", {"n": 2}))),
            [OTHER],
            "FUNCTION_CALL_BATCH_LENGTH_DIFFERENT",
        ),
    ],
)
def test_expected_actions(expected: Any, output: Any, category: str) -> None:
    """The expected action may be a dict of the data sets or one of our types."""
    assert grade(expected, output, "nemo-gym:any-order").category == category


@pytest.mark.parametrize(
    ("expected", "parts"),
    [
        ({}, ["None", "message", "function_call", "function_call_batch"]),
        ({"type": "tool_use"}, ["tool_use", "function_call_batch"]),
        ({"type": "message"}, ["message", "content"]),
        ({"type": "function_call", "arguments": "{}"}, ["function_call", "name"]),
        ({"type": "function_call", "name": "find"}, ["function_call", "arguments"]),
        ({"type": "function_call_batch"}, ["function_call_batch", "calls"]),
        ({"type": "function_call_batch", "calls": [{"name": "find"}]}, ["function_call_batch", "arguments"]),
        ({"type": "function_call_batch", "calls": []}, ["empty"]),
        (Action(), ["empty", "neither a message nor a call"]),
        ("Hi", ["expected action", "str"]),
        (None, ["expected action", "NoneType"]),
        ([CALL], ["expected action", "list"]),
        ({"type": "function_call", "name": "find", "arguments": "{oops"}, ["'find'", "not JSON", "fault of the data"]),
    ],
)
def test_faulty_expected_actions(expected: Any, parts: list[str]) -> None:
    """An expected action that cannot be read is a GraderError that says what is wrong with it."""
    with pytest.raises(GraderError) as raised:
        grade(expected, CALL, "nemo-gym:any-order")
    for part in parts:
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("spec", "config", "parts"),
    [
        ("nemo", {}, ["'nemo'", "nemo-gym:first-call", "nemo-gym:any-order"]),
        ("", {}, ["''", "nemo-gym"]),
        ("Nemo-Gym", {}, ["Nemo-Gym", "nemo-gym"]),
        ("nemo-gym:newest", {}, ["unknown version 'newest' of grader nemo-gym; known: first-call, any-order"]),
        ("nemo-gym", {"treshold": 0.2}, ["nemo-gym", "treshold"]),
        (
            "nemo-gym:any-order",
            {"parallel_tool_call_reward_mode": "harmonic"},
            ["parallel_tool_call_reward_mode 'harmonic'; known: binary_strict, fractional, f1"],
        ),
        *(
            ("nemo-gym:any-order", {switch: "yes"}, [f"{switch} must be true or false, not 'yes'"])
            for switch in ("parallel_tool_call_rewarding", "allow_subset", "allow_superset")
        ),
        ("nemo-gym", {"word_count_similarity_threshold": True}, ["must be a number, not True"]),
        (
            "nemo-gym:first-call",
            {"parallel_tool_call_rewarding": True},
            ["the switches on parallel calls need nemo-gym:any-order; first-call has none"],
        ),
        ("nemo-gym", {"allow_subset": True}, ["any-order", "first-call"]),
        ("nemo-gym", {"allow_superset": True}, ["any-order", "first-call"]),
        ("nemo-gym", {"word_count_similarity_threshold": "high"}, ["word_count_similarity_threshold", "high"]),
        ("nemo-gym", {"word_count_similarity_threshold": None}, ["word_count_similarity_threshold", "None"]),
        ("nemo-gym", {"word_count_similarity_threshold": float("nan")}, ["word_count_similarity_threshold", "nan"]),
        ("nemo-gym", {"word_count_similarity_threshold": [0.1]}, ["word_count_similarity_threshold"]),
    ],
)
def test_faulty_settings(spec: str, config: dict[str, Any], parts: list[str]) -> None:
    """An unknown grader or setting is a GraderError that names it and what is known, before anything is graded."""
    with pytest.raises(GraderError) as raised:
        make_grader(spec, **config)
    for part in parts:
        assert part in str(raised.value)
    with pytest.raises(GraderError):
        grade(CALL, CALL, spec, **config)


def test_first_call_refuses_batches() -> None:
    """A batch under first-call is refused with the version that can judge it, and `accepts` says so beforehand."""
    expected = {"type": "function_call_batch", "calls": [CALL, OTHER]}
    said = "the expected action has 2 calls, which nemo-gym:first-call cannot judge; use --fc-grader=nemo-gym:any-order"
    with pytest.raises(GraderError, match=f"^{said}$"):
        grade(expected, [CALL, OTHER])
    assert not make_grader("nemo-gym:first-call").accepts(2)
    assert make_grader("nemo-gym:any-order").accepts(2)
    assert make_grader("nemo-gym:first-call").accepts(0)


@pytest.mark.parametrize(
    ("spec", "config", "name", "binary"),
    [
        ("nemo-gym", {}, "nemo-gym:first-call", True),
        ("nemo-gym:any-order", {}, "nemo-gym:any-order", True),
        ("nemo-gym:any-order", {"parallel_tool_call_reward_mode": "f1"}, "nemo-gym:any-order", True),
        (
            "nemo-gym:any-order",
            {"parallel_tool_call_rewarding": True, "parallel_tool_call_reward_mode": "f1"},
            "nemo-gym:any-order",
            False,
        ),
        ("nemo-gym:any-order", {"parallel_tool_call_rewarding": True}, "nemo-gym:any-order", True),
    ],
)
def test_graders_say_what_they_are(spec: str, config: dict[str, Any], name: str, binary: bool) -> None:
    """A grader records its name with the version, and tells whether its rewards are 0 or 1."""
    grader = make_grader(spec, **config)
    assert (grader.name, grader.binary) == (name, binary)


def test_settings_do_not_leak_between_graders() -> None:
    """Each combination of settings judges on its own, in whatever order graders are made."""
    expected, output = FunctionCall("f", {"t": "one two"}), FunctionCall("f", {"t": "three four"})
    for threshold, reward in ((0.1, 0.0), (0.0, 1.0), (0.1, 0.0), (0, 1.0)):
        assert grade(expected, output, word_count_similarity_threshold=threshold).reward == reward


def test_an_own_grader_can_be_passed() -> None:
    """An object with the grader protocol is used as it is."""

    class Polite:
        name = "polite"
        binary = True

        def accepts(self, calls: int) -> bool:
            return calls == 0

        def grade(self, expected: Action, actual: Action) -> Grade:
            return Grade(float((expected.message or "") in (actual.message or "")), "POLITE")

    assert grade(Message("please"), "please wait", Polite()).reward == 1.0
    assert grade(Message("please"), "wait", Polite()).reward == 0.0


@pytest.mark.parametrize(
    ("expected", "arguments", "category"),
    [
        ({"type": "message", "content": "Hi"}, '{"message": "Hello"}', "EXPECTED_CHAT_MESSAGE_FOUND"),
        (CALL, '{"message": "Hello"}', "NO_EXPECTED_TOOL_CALL"),
        ({"type": "function_call", "name": "submit_message", "arguments": "{}"}, "{}", "EXPECTED_TOOL_CALL"),
    ],
)
def test_submit_message(expected: Any, arguments: str, category: str) -> None:
    """The shared message tool counts as a message unless the expected action calls a tool of that name."""
    assert grade(expected, FunctionCall("submit_message", arguments)).category == category


def test_an_output_of_no_known_shape_raises() -> None:
    """An output that is no action is an error of the caller, not a wrong answer."""
    with pytest.raises(ActionError, match="int"):
        grade(CALL, 42)


def test_a_grade_is_plain_frozen_data() -> None:
    """A grade holds builtins only and cannot be changed."""
    found = grade(CALL, OTHER)
    assert [type(part) for part in (found.reward, found.category, found.explanation, found.path)] == [
        float,
        str,
        str,
        str,
    ]
    assert json.loads(found.expected or "") == 1
    assert json.loads(found.actual or "") == 2
    with pytest.raises(FrozenInstanceError):
        found.reward = 1.0  # type: ignore[misc]


def test_grading_changes_nothing() -> None:
    """Neither the expected action nor the output is modified."""
    expected, output = json.loads(json.dumps(CALL)), [json.loads(json.dumps(OTHER))]
    grade(expected, output)
    assert (expected, output) == (CALL, [OTHER])


def _renamed(pivot: Pivot, name: str) -> Pivot:
    """Return a pivot with one of its tools under the name `submit_message`."""
    tools = [{**tool, "name": SUBMIT_MESSAGE} if tool["name"] == name else tool for tool in pivot.tools]
    return replace(pivot, tools_json=json.dumps(tools), expected_action=_with_name(pivot.expected_action, name))


def _with_name(action: Action, name: str) -> Action:
    calls = [FunctionCall(SUBMIT_MESSAGE, call.arguments) if call.name == name else call for call in action.calls]
    return replace(action, calls=tuple(calls))


def test_a_tool_of_the_pivots_own() -> None:
    """Each tool of the sample, named `submit_message`, is graded as under its own name."""
    seen: set[str] = set()
    for pivot in load_pivots():
        for name in sorted({tool["name"] for tool in pivot.tools} - seen):
            seen.add(name)
            renamed = _renamed(pivot, name)
            called = Action((FunctionCall(name, "{}"), *pivot.expected_action.calls))
            answers = [pivot.expected_action, Action((FunctionCall(name, '{"message": "Hi"}'),)), called]
            answers += [Action(message="Hi"), Action()]
            for answer in answers:
                wanted, found = grade(pivot, answer), grade(renamed, _with_name(answer, name))
                assert (found.reward, found.category) == (wanted.reward, wanted.category)
    for pivot in load_pivots():
        for call in pivot.expected_action.calls:
            assert grade(_renamed(pivot, call.name), FunctionCall(SUBMIT_MESSAGE, call.arguments)).reward == 1.0
    assert len(seen) > 50


def test_a_pivot_and_its_action() -> None:
    """A pivot is graded like its expected action, where no tool has the shared name."""
    for pivot in load_pivots()[:40]:
        for output in (pivot.expected_action, "Hello", None, FunctionCall(SUBMIT_MESSAGE, '{"message": "Hi"}')):
            assert grade(pivot, output) == grade(pivot.expected_action, output)


@pytest.mark.parametrize(
    ("agent", "reward"), [("single_step_tool_use_with_argument_comparison_swe", 1.0), ("mine", 0.0)]
)
def test_settings_of_the_pivots_agent(agent: str, reward: float) -> None:
    """The verifier's settings are those of the agent that the pivot's row names, unless others are given."""
    call = {"type": "function_call", "name": "find", "arguments": '{"text": "book a room"}'}
    other = FunctionCall("find", {"text": "call my bank"})
    row = {"responses_create_params": {"input": "Hi"}, "expected_action": call, "agent_ref": {"name": agent}}
    pivot = Pivot.from_row(row)
    assert grade(pivot, other).reward == grade(pivot, other, "nemo-gym:any-order").reward == reward
    assert grade(pivot, other, word_count_similarity_threshold=0.3).reward == 0.0
    assert grade(pivot, other, "agentic").reward == 0.5
    assert grade(pivot.expected_action, other).reward == 0.0


def test_what_is_no_expected_action() -> None:
    """The view that an agent gets, and a row of the data, are refused with what to pass instead."""
    pivot = Pivot("p", "t", Action(message="Hi"), "[]")
    for expected, part in ((pivot.view(), "holds no expected action"), ({"expected_action": CALL}, "Pivot.from_row")):
        with pytest.raises(GraderError, match=part):
            grade(expected, "Hello")


def test_empty_arguments_are_text_or_an_object() -> None:
    """They are read as the text "", or as an object without fields; another word for how to read them is refused."""
    expected, output = FunctionCall("f", "{}"), FunctionCall("f", "")
    assert grade(expected, output).category == "ARGUMENTS_DECODE_ERROR"
    assert grade(expected, output, empty_arguments="text").reward == 0.0
    assert grade(expected, output, empty_arguments="object").reward == 1.0
    with pytest.raises(GraderError, match=r"^empty_arguments='null': choose text or object$"):
        grade(CALL, OTHER, empty_arguments="null")


@pytest.mark.parametrize(
    ("provenance", "names"),
    [
        ({}, {"nemo-gym"}),
        ({"audit": None}, {"nemo-gym"}),
        ({"audit": {"pivot_rows": 3}}, {"nemo-gym"}),
        ({"audit": {"conversations": 3}}, {"agentic"}),
        ({"audit": {"conversations": 3, "pivot_rows": 0}}, {"agentic"}),
        ({"audit": {"conversations": 3, "pivot_rows": 2}}, {"agentic", "nemo-gym"}),
        ({"audit": {"conversations": 0, "pivot_rows": 2}}, {"nemo-gym"}),
    ],
)
def test_which_graders_data_are_judged_by(provenance: dict[str, Any], names: set[str]) -> None:
    """Turns of conversations are judged by agentic, rows that were pivots by nemo-gym, mixed data by both."""
    assert graders_of(provenance) == names


RECORDED = [
    ({"name": "nemo-gym:first-call", "settings": {}}, NemoGymGrader()),
    (
        {"name": "nemo-gym:any-order", "settings": {"allow_subset": True}},
        NemoGymGrader(version="any-order", allow_subset=True),
    ),
    ({"name": "nemo-gym"}, NemoGymGrader()),
    ({"name": "agentic", "settings": None}, AgenticGrader()),
    ({"name": "agentic", "spec": "agentic"}, AgenticGrader()),
    ({"name": "agentic", "spec": "mine:agentic"}, None),
    ({"name": "agentic:new"}, None),
    ({"name": "json:loads"}, None),
    ({"name": "half"}, None),
]


@pytest.mark.parametrize(("described", "grader"), RECORDED)
def test_the_grader_that_a_run_names(described: dict[str, Any], grader: Grader | None) -> None:
    """A bundled grader is made anew from what a run recorded; nothing else is looked for, or loaded."""
    assert bundled_grader(described) == grader


def test_settings_that_a_run_cannot_have() -> None:
    """A bundled grader with a setting that it has not is refused."""
    with pytest.raises(GraderError, match="grader agentic has no such setting"):
        bundled_grader({"name": "agentic", "settings": {"weight": 1}})


COUNTED = {"parallel_tool_call_rewarding": True, "parallel_tool_call_reward_mode": "f1"}


@pytest.mark.parametrize(
    ("described", "binary"),
    [
        ({"name": "nemo-gym:first-call", "settings": {}}, True),
        ({"name": "nemo-gym:any-order", "settings": COUNTED}, False),
        ({"name": "agentic"}, False),
        ({"name": "mine:close", "binary": True}, True),
        ({"name": "mine:close", "binary": False}, False),
        ({"name": "mine:close", "binary": 1}, True),
        ({"name": "mine:close"}, False),
        ({"name": "agentic", "settings": {"weight": 1}}, False),
    ],
)
def test_whether_recorded_rewards_are_0_and_1(described: dict[str, Any], binary: bool) -> None:
    """A run's grader is binary if it is recorded so, or a bundled one that is; what is not known is not."""
    assert is_binary(described) is binary


def test_what_run_json_has_of_a_grader() -> None:
    """Its name and settings, why it has them if that belongs to the data, and of a user's own grader more."""
    grader = NemoGymGrader(word_count_similarity_threshold=0.0)
    settings = {"word_count_similarity_threshold": 0.0}
    assert describe_grader(grader, settings) == {"name": "nemo-gym:first-call", "settings": settings}
    assert describe_grader(grader, settings, "set x") == {
        "name": "nemo-gym:first-call",
        "settings": settings,
        "cause": "set x",
    }
    own = describe_grader(make_grader(max), {}, "set x")
    assert own == {
        "name": "builtins:max",
        "settings": {},
        "cause": "set x",
        "binary": False,
        "spec": "builtins:max",
        "source_sha256": None,
    }


def test_bundled_names() -> None:
    """A spec means a bundled grader by its name, in whatever version, and by no other name."""
    assert [
        spec for spec in ("nemo-gym", "nemo-gym:x", "agentic", "agentic:", "nemo", "", "x:agentic") if is_bundled(spec)
    ] == [
        *("nemo-gym", "nemo-gym:x", "agentic", "agentic:"),
    ]
    assert known_specs() == ["nemo-gym", "nemo-gym:first-call", "nemo-gym:any-order", "agentic"]
    assert isinstance(make_grader(), NemoGymGrader)
    with pytest.raises(GraderError) as raised:
        make_grader("nemo")
    assert str(raised.value) == (
        "unknown grader 'nemo'; known: nemo-gym, nemo-gym:first-call, nemo-gym:any-order, agentic; for one of your "
        "own, write module:function, as in my_graders:close"
    )


def test_where_a_grader_is_looked_for(tmp_path: Path) -> None:
    """A grader of a module is found in the directories that are given, and errors begin with where it was asked for."""
    (tmp_path / "searched_grader.py").write_text("def close(expected, actual):\n    return 0.5\n", encoding="utf-8")
    grader = find_grader("searched_grader:close", search=[tmp_path])
    assert grader.grade(Action(), Action()).reward == 0.5
    with pytest.raises(GraderError, match=r"^--fc-grader=searched_grader:far: "):
        find_grader("searched_grader:far", search=[tmp_path], where="--fc-grader")
    with pytest.raises(GraderError, match=r"^grader=no_such_module:far: "):
        find_grader("no_such_module:far")


@pytest.mark.parametrize(
    ("expected", "action"),
    [
        (CALL, Action((FunctionCall("find", '{"n": 1}'),))),
        ({**CALL, "arguments": {"n": 1}}, Action((FunctionCall("find", '{"n": 1}'),))),
        ({"type": "message", "content": "Hi"}, Action(message="Hi")),
        ({"type": "message", "content": None}, Action(message="")),
        (
            {"type": "function_call_batch", "calls": [CALL, OTHER]},
            Action((FunctionCall("find", '{"n": 1}'), FunctionCall("find", '{"n": 2}'))),
        ),
        (Action(message="Hi"), Action(message="Hi")),
        (Message("Hi"), Action(message="Hi")),
        (FunctionCall("f"), Action((FunctionCall("f"),))),
    ],
)
def test_expected_actions_as_ours(expected: Any, action: Action) -> None:
    """What the data sets write of an expected action becomes one of ours."""
    assert expected_to_action(expected) == action


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (
            {"expected_action": CALL},
            "this is a row of the data, not its expected action; make a pivot of it: Pivot.from_row(row)",
        ),
        ({"type": "message"}, "the expected action of type 'message' lacks 'content'"),
        (
            {"type": "tool"},
            "unknown type 'tool' of an expected action; known: message, function_call, function_call_batch",
        ),
        ({**CALL, "name": 7}, "the name of an expected call must be a string, not int"),
        (7, "cannot read an expected action from int"),
        (
            Pivot("p", "t", Action(message="Hi"), "[]").view(),
            "a PivotView, which the agent gets, holds no expected action; grade against the Pivot itself",
        ),
    ],
)
def test_what_is_said_of_no_expected_action(expected: Any, message: str) -> None:
    """What cannot be read is told, with what to pass instead."""
    with pytest.raises(GraderError, match=f"^{re.escape(message)}$"):
        expected_to_action(expected)


@pytest.mark.parametrize(
    ("expected", "output", "explanation"),
    [
        (Message("Hi"), [FunctionCall("f"), FunctionCall("g h")], 'expected a message, got a call of f, "g h"'),
        (Message("Hi"), [FunctionCall(name) for name in "abcd"], "expected a message, got a call of a, b, c, d"),
        (Message("Hi"), [FunctionCall(name) for name in "abcde"], "expected a message, got a call of a, b, c, d, …"),
        (FunctionCall("f"), "Hi", "expected a call of f, got a message"),
        (FunctionCall("f"), None, "the agent neither called a function nor wrote a message"),
        (
            FunctionCall("f"),
            Action(malformed="<f>"),
            'the server, or openai-prompt, could not parse what the model wrote: "<f>"',
        ),
        (
            Message("Hi"),
            Action(malformed=""),
            "the server, or openai-prompt, could not parse what the model wrote: the server does not show it",
        ),
    ],
)
@pytest.mark.parametrize("grader", ["nemo-gym", "agentic"])
def test_what_is_said_of_the_wrong_kind(grader: str, expected: Any, output: Any, explanation: str) -> None:
    """An action of another kind than the expected one is 0, and told by what it was."""
    found = grade(expected, output, grader)
    assert (found.reward, found.explanation, found.path) == (0.0, explanation, None)
