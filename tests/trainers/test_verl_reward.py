"""The reward function for verl: the evaluation's grade, and an error for every row that is not understood."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from trainer_rows import AGENTIC, NEMO_GYM, as_text, pivot_with, pivots, verl_row

from pytest_fcpivot import Action, ActionError, DataError, FcPivotError, FunctionCall, GraderError, OptionError, grade
from pytest_fcpivot.core.dialects import DIALECT_NAMES, Tools
from pytest_fcpivot.core.dialects.writing import render_action
from pytest_fcpivot.core.errors import DialectError
from pytest_fcpivot.integrations.verl import compute_score

GARBAGE = '<tool_call>\n{"na'


def answers() -> list[Action]:
    """Return answers of all kinds, right and wrong ones, none of them for a pivot in particular."""
    return [
        Action(message="I cannot say."),
        Action((FunctionCall("no_such_tool", "{}"),)),
        Action((FunctionCall("list_devices", '{"room": "kitchen"}'), FunctionCall("list_devices", "{}"))),
    ]


@pytest.mark.parametrize("grader", [NEMO_GYM, AGENTIC])
def test_the_reward_is_the_grade_of_the_evaluation(grader: dict[str, Any]) -> None:
    """For each pivot of the sample, right and wrong answers earn what `grade` gives, with the same category."""
    for number, pivot in enumerate(pivots()):
        for answer in (pivot.expected_action, answers()[number % 3]):
            score = compute_score(**verl_row(pivot, grader), solution_str=as_text(answer))
            wanted = grade(pivot, answer, grader["name"], **grader["settings"])
            assert (score["score"], score["category"]) == (wanted.reward, wanted.category)
            assert score["acc"] == float(wanted.reward == 1.0)
            assert score["message"] == float(answer.message is not None)


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_the_text_of_each_dialect(dialect: str) -> None:
    """In each dialect, as decoded without its special tokens, right answers earn 1 and wrong ones nothing."""
    tried = 0
    for pivot in pivots()[::9]:
        tools = Tools(pivot.tools)
        row = verl_row(pivot)
        row["extra_info"] = row["extra_info"] | {"dialect": dialect}
        try:
            text = render_action(pivot.expected_action, dialect, special_tokens=False, tools=tools)
        except DialectError:  # it cannot express this action
            continue
        tried += 1
        assert compute_score(**row, solution_str=text)["score"] == 1.0
        call = pivot.expected_action.calls[:1]
        if call:
            wrong = Action((FunctionCall("no_such_tool", call[0].arguments),))
            assert compute_score(**row, solution_str=render_action(wrong, dialect))["score"] == 0.0
    assert tried > 20


def test_the_settings_of_the_row_decide() -> None:
    """A row is graded with its own grader's settings, and not with the defaults."""
    pivot = pivot_with("function_call")
    expected = FunctionCall("say", json.dumps({"text": "one two three four five six seven eight"}))
    given = Action((FunctionCall("say", json.dumps({"text": "one two three four five six seven nine ten"})),))
    scores = []
    for threshold in (0.0, 0.9):
        row = verl_row(
            pivot, {"name": "nemo-gym:first-call", "settings": {"word_count_similarity_threshold": threshold}}
        )
        row["ground_truth"] = json.dumps({"type": "function_call", "name": "say", "arguments": expected.arguments})
        scores.append(compute_score(**row, solution_str=as_text(given))["score"])
    wanted = [
        grade(expected, given, "nemo-gym:first-call", word_count_similarity_threshold=threshold).reward
        for threshold in (0.0, 0.9)
    ]
    assert scores == wanted
    assert len(set(wanted)) == 2


def test_the_outcome_is_beside_a_shaped_reward() -> None:
    """Partial credit is no pass: `acc` is 0 below the pass mark, by which groups without signal are told."""
    pivot = pivot_with("function_call")
    half = as_text(Action((FunctionCall(pivot.expected_action.calls[0].name, '{"another": 1}'),)))
    score = compute_score(**verl_row(pivot, AGENTIC), solution_str=half)
    assert 0 < float(score["score"]) < 1
    assert score["acc"] == 0.0
    assert compute_score(**verl_row(pivot, AGENTIC), solution_str=half, pass_mark=0.5)["acc"] == 1.0


@pytest.mark.parametrize("kind", ["message", "function_call"])
def test_a_call_that_cannot_be_read_earns_nothing(kind: str) -> None:
    """Text that attempts a call and fails is no message: it is worth 0 at each pivot, and told apart from one."""
    score = compute_score(**verl_row(pivot_with(kind)), solution_str=GARBAGE)
    assert (score["score"], score["malformed"], score["message"]) == (0.0, 1.0, 0.0)


def test_a_tool_of_the_pivot_named_submit_message() -> None:
    """A call of `submit_message` is a message, unless the row's own tools have one of that name."""
    row = verl_row(pivot_with("message"))
    told = as_text(Action((FunctionCall("submit_message", '{"message": "Hello"}'),)))
    assert compute_score(**row, solution_str=told)["message"] == 1.0
    row["extra_info"] = row["extra_info"] | {"tools_json": '[{"type": "function", "name": "submit_message"}]'}
    assert compute_score(**row, solution_str=told)["message"] == 0.0


def test_the_values_that_verl_delivers() -> None:
    """NumPy's texts and object arrays without dimensions are read as what they hold."""
    pivot = pivot_with("function_call")
    row = verl_row(pivot)
    delivered = {
        "data_source": np.array([row["data_source"]])[0],
        "ground_truth": np.str_(row["ground_truth"]),
        "extra_info": np.array(row["extra_info"] | {"num_turns": np.int32(2), "tool_rewards": []}, dtype=object),
    }
    score = compute_score(**delivered, solution_str=np.array(as_text(pivot.expected_action), dtype=object))
    assert score["score"] == 1.0
    assert {type(value) for value in score.values()} == {float, str}


def test_all_rows_have_the_same_members() -> None:
    """Right, wrong and unreadable answers have the same members: verl takes those of the first row for those of all."""
    row = verl_row(pivot_with("function_call"))
    results = [compute_score(**row, solution_str=text) for text in (GARBAGE, "", "Hello.", "<think>endless")]
    assert len({tuple(result) for result in results}) == 1


BROKEN: list[tuple[dict[str, Any], type[FcPivotError], str]] = [
    (
        {"extra_info": None},
        DataError,
        "extra_info is of type NoneType, but must be the row's object; train on the rows",
    ),
    ({"extra_info": "{}"}, DataError, "extra_info is of type str"),
    ({"tools_json": None}, DataError, "tools_json is missing"),
    ({"tools_json": b"[]"}, DataError, "tools_json is of type bytes"),
    ({"tools_json": np.array(["[]", "[]"])}, DataError, "tools_json is of type ndarray"),
    ({"tools_json": []}, DataError, "tools_json is of type list"),
    ({"tools_json": "[{]"}, DataError, "tools_json is not JSON"),
    ({"tools_json": "{}"}, DataError, "tools_json must be a list of tools"),
    ({"tools_json": '[{"type": "function", "function": {"name": "a"}}]'}, DataError, "flat function tools"),
    ({"tools_json": "[" * 100_000}, DataError, "tools_json is not JSON"),
    ({"dialect": None}, DataError, "dialect is missing"),
    ({"dialect": "esperanto"}, DataError, "dialect: .*esperanto"),
    ({"grader_json": None}, DataError, "grader_json is missing"),
    ({"grader_json": '"agentic"'}, DataError, "grader_json must be an object"),
    ({"grader_json": '{"name": "os:system", "settings": {}}'}, DataError, "'os:system', which is no bundled grader"),
    ({"grader_json": '{"name": "agentic", "settings": {"nope": 1}}'}, DataError, "no such setting"),
    ({"grader_json": '{"name": "agentic", "settings": [1]}'}, DataError, "settings as an object"),
    ({"ground_truth": None}, DataError, r"reward_model.ground_truth is missing"),
    ({"ground_truth": 3.0}, DataError, r"reward_model.ground_truth is of type float"),
    ({"ground_truth": {"type": "message", "content": "a"}}, DataError, "ground_truth is of type dict"),
    ({"ground_truth": "42"}, DataError, "must be an expected action as JSON"),
    ({"ground_truth": "The answer is 42."}, DataError, "ground_truth is not JSON"),
    ({"ground_truth": '{"type": "message"}'}, DataError, "needs its content"),
    ({"ground_truth": '{"type": "function_call", "name": "a"}'}, DataError, "lacks 'arguments'"),
    ({"ground_truth": '{"type": "function_call_batch", "calls": []}'}, DataError, "at least one call"),
    ({"ground_truth": '{"type": "rule"}'}, DataError, "unknown type 'rule'"),
    ({"solution_str": None}, DataError, "solution_str is missing"),
    ({"solution_str": b"Hello"}, DataError, "solution_str is of type bytes"),
    ({"num_turns": np.int32(4)}, ActionError, "several turns"),
    ({"gradr": "agentic"}, OptionError, "unknown reward_kwargs: gradr"),
    ({"pass_mark": 0}, OptionError, "pass_mark=0"),
    ({"pass_mark": "1"}, OptionError, "pass_mark='1'"),
    ({"settings": {"a": 1}}, OptionError, "without a grader"),
    ({"grader": "no-such"}, GraderError, "unknown grader 'no-such'"),
]


@pytest.mark.parametrize(("change", "kind", "message"), BROKEN, ids=range(len(BROKEN)))
def test_a_row_that_is_not_understood(change: dict[str, Any], kind: type[FcPivotError], message: str) -> None:
    """A broken row, answer or setting is an error that names the column, and never a reward."""
    row = verl_row(pivot_with("message")) | {"solution_str": "Hello."}
    for name, value in change.items():
        if name in ("tools_json", "grader_json", "dialect", "num_turns"):
            row["extra_info"] = row["extra_info"] | {name: value}
        else:
            row[name] = value
    with pytest.raises(kind, match=message):
        compute_score(**row)


def test_an_error_names_the_pivot_and_the_data() -> None:
    """Of a broken row among many, the error says which it is."""
    row = verl_row(pivot := pivot_with("message"))
    row["extra_info"] = row["extra_info"] | {"grader_json": "{}"}
    with pytest.raises(DataError, match=f"pivot {re.escape(pivot.id)} of {row['data_source']}: grader_json"):
        compute_score(**row, solution_str="Hello.")


def test_a_call_that_the_grader_cannot_judge() -> None:
    """A batch under a grader of single calls is an error, as in the evaluation, and not a reward of 0."""
    calls = (FunctionCall("list_devices", "{}"), FunctionCall("list_devices", '{"room": "kitchen"}'))
    pivot = replace(pivot_with("function_call"), expected_action=Action(calls))
    row = verl_row(pivot, {"name": "nemo-gym:first-call", "settings": {}})
    with pytest.raises(GraderError, match=rf"pivot {re.escape(pivot.id)}.*cannot judge"):
        compute_score(**row, solution_str=as_text(pivot.expected_action))


def shortest(expected: Action, actual: Action) -> float:
    """Grade by the length of the message."""
    return 0.25 if len(actual.message or "") < len(expected.message or "") else 0.0


def test_a_grader_of_ones_own() -> None:
    """A user's grader takes the place of the row's, which is not even read then."""
    row = verl_row(pivot_with("message"))
    row["extra_info"] = row["extra_info"] | {"grader_json": None}
    assert compute_score(**row, solution_str="Hi.", grader=shortest)["score"] == 0.25
    assert compute_score(**row, solution_str="Hi.", grader="agentic", settings={})["category"] != ""


def test_threads_and_processes() -> None:
    """Sixteen threads at once get the rewards that one gets, and the function can be sent to another process."""
    chosen = pivots()[:60]
    rows = [verl_row(pivot) | {"solution_str": as_text(pivot.expected_action)} for pivot in chosen]
    with ThreadPoolExecutor(16) as pool:
        scores = list(pool.map(lambda row: compute_score(**row)["score"], rows * 4))
    assert scores == [1.0] * 240
    assert pickle.loads(pickle.dumps(compute_score)) is compute_score  # noqa: S301 (made here)


def test_what_a_reward_function_imports() -> None:
    """Grading in a fresh process loads neither a trainer nor pyarrow, pytest or numpy."""
    row = verl_row(pivot_with("function_call"))
    code = (
        "import json, sys\n"
        "from pytest_fcpivot.integrations import trl, verl\n"
        "verl.compute_score(**json.load(sys.stdin), solution_str='Hello.')\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(row), capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "pytest_fcpivot" in loaded
    assert loaded.isdisjoint(("verl", "trl", "torch", "pyarrow", "pytest", "_pytest", "numpy", "openai"))
