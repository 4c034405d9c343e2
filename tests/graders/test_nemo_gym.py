"""The nemo-gym grader: each rule of the verifier, hostile arguments, and the rules' algebra."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from brute_force import left_without, most_matched
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_fcpivot import Action, FunctionCall, Grade, GraderError, Message, grade
from pytest_fcpivot.graders import make_grader

PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ANY_ORDER = "nemo-gym:any-order"

YES = "EXPECTED_TOOL_CALL"
BATCH = "EXPECTED_TOOL_CALL_BATCH"
VALUE = "ARGUMENT_VALUE_DIFFERENT"
KIND = "ARGUMENT_VALUE_TYPE_DIFFERENT"
KEYS = "ARGUMENT_OBJECT_KEYS_DIFFERENT"
LENGTH = "ARGUMENT_LIST_LENGTH_DIFFERENT"
DECODE = "ARGUMENTS_DECODE_ERROR"
NUMBER = "FUNCTION_CALL_BATCH_LENGTH_DIFFERENT"


def call(value: Any) -> FunctionCall:
    """Return a call whose arguments decode to a value."""
    return FunctionCall("f", json.dumps(value))


def category(wanted: Any, given_value: Any, **config: Any) -> str:
    """Judge one call's argument values, and check that reward and category belong together."""
    found = grade(call(wanted), call(given_value), **config)
    assert found.reward == (1.0 if found.category == YES else 0.0)
    return found.category


# Which action


@pytest.mark.parametrize("version", ["first-call", "any-order"])
@pytest.mark.parametrize(
    ("expected", "output", "reward", "wanted"),
    [
        (Message("Hi"), Message("Something else"), 1.0, "EXPECTED_CHAT_MESSAGE_FOUND"),
        (Message("Hi"), "", 1.0, "EXPECTED_CHAT_MESSAGE_FOUND"),
        (Message("Hi"), FunctionCall("f"), 0.0, "NO_EXPECTED_CHAT_MESSAGE"),
        (Message("Hi"), None, 0.0, "NO_ACTION_FOUND"),
        (FunctionCall("f"), FunctionCall("f"), 1.0, YES),
        (FunctionCall("f"), Message("f()"), 0.0, "NO_EXPECTED_TOOL_CALL"),
        (FunctionCall("f"), "", 0.0, "NO_EXPECTED_TOOL_CALL"),
        (FunctionCall("f"), None, 0.0, "NO_ACTION_FOUND"),
        (FunctionCall("f"), FunctionCall("F"), 0.0, "UNEXPECTED_TOOL"),
        (FunctionCall("f"), FunctionCall("f "), 0.0, "UNEXPECTED_TOOL"),
        (FunctionCall("f"), FunctionCall("g", "{broken"), 0.0, "UNEXPECTED_TOOL"),
    ],
)
def test_which_action(version: str, expected: Any, output: Any, reward: float, wanted: str) -> None:
    """A message answers a message, whatever it says, and a call of the same name answers a call."""
    found = grade(expected, output, f"nemo-gym:{version}")
    assert (found.reward, found.category) == (reward, wanted)


def test_a_failing_grade_explains_itself() -> None:
    """A failing grade names what was expected and what came, in short."""
    found = grade(FunctionCall("book", {"day": "Monday"}), FunctionCall("book", {"day": "Tuesday"}))
    assert found.path == "$.day"
    assert found.expected == '"Monday"'
    assert found.actual == '"Tuesday"'
    for part in ("$.day", "Monday", "Tuesday"):
        assert part in found.explanation


@pytest.mark.parametrize(
    ("wanted", "given_value", "path", "expected", "actual"),
    [
        ({"a": 1}, [1], "$", '{"a": 1} (object)', "[1] (array)"),
        ([1], {"a": 1}, "$", "[1] (array)", '{"a": 1} (object)'),
        ("x", 1, "$", '"x" (string)', "1 (integer)"),
        ({"a": 1.5}, {"a": True}, "$.a", "1.5 (float)", "true (boolean)"),
        (True, 1.5, "$", "true (boolean)", "1.5 (float)"),
        ([None], ["x"], "$[0]", "null (null)", '"x" (string)'),
        ([1, 2], [1], "$", "2 elements [1, 2]", "1 elements [1]"),
        ({"a": 1, "b": 2}, {"a": 1}, "$", 'keys ["a", "b"] (missing ["b"])', 'keys ["a"]'),
        ({"a": 1}, {"a": 1, "c": 2}, "$", 'keys ["a"]', 'keys ["a", "c"] (unexpected ["c"])'),
        ({"b": 1}, {"c": 2}, "$", 'keys ["b"] (missing ["b"])', 'keys ["c"] (unexpected ["c"])'),
        ({"a": "x"}, {"a": "y"}, "$.a", '"x"', '"y"'),
    ],
)
def test_what_a_failing_grade_says(wanted: Any, given_value: Any, path: str, expected: str, actual: str) -> None:
    """It shows both sides at the first difference, with what makes them differ: types, numbers, or keys."""
    found = grade(call(wanted), call(given_value))
    assert (found.path, found.expected, found.actual) == (path, expected, actual)
    assert found.explanation == f"at {path}: expected {expected}, got {actual}"


def test_a_wrong_name_is_said() -> None:
    """Another tool is shown beside the expected one; its arguments have no part in that."""
    found = grade(FunctionCall("find", {"a": 1}), FunctionCall("book", {"a": 2}))
    assert found == Grade(0.0, "UNEXPECTED_TOOL", "expected find, got book", None, "find", "book")


@pytest.mark.parametrize(
    ("text", "explanation"),
    [
        ("", "the arguments are empty, which is not JSON: the server sent no arguments"),
        ("[" * 100_000, "the arguments are nested too deep"),
        ("{} {}", "the arguments are not JSON: Extra data: line 1 column 4 (char 3)"),
    ],
)
def test_why_arguments_did_not_decode(text: str, explanation: str) -> None:
    """A decode error says what is wrong with the text, at the root of the arguments."""
    assert grade(FunctionCall("f"), FunctionCall("f", text)) == Grade(0.0, DECODE, explanation, "$")


# Values


@pytest.mark.parametrize(
    ("wanted", "given_value", "expected"),
    [
        (1, 1, YES),
        (1, 2, VALUE),
        (1, 1.0, KIND),
        (1.0, 1, KIND),
        (1, True, YES),
        (0, False, YES),
        (1, False, VALUE),
        (True, 1, KIND),
        (True, False, VALUE),
        (1.0, True, KIND),
        (None, None, YES),
        (None, 0, KIND),
        (0, None, KIND),
        ("1", 1, KIND),
        ({}, [], KIND),
        ([], {}, KIND),
        ({}, {}, YES),
        ([], [], YES),
        ([1, 2], [1], LENGTH),
        ([1, 2], [2, 1], VALUE),
        ({"a": 1}, {"a": 1, "b": 2}, KEYS),
        ({"a": 1, "b": 2}, {"a": 1}, KEYS),
        ({"a": 1}, {"b": 1}, KEYS),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, VALUE),
        ({"a": "x", "b": 2, "c": [3]}, {"a": "x", "b": 2, "c": [4]}, VALUE),
        (10**40, 10**40, YES),
        (10**40, 10**40 + 1, VALUE),
        (0.1 + 0.2, 0.3, YES),
        (1.5, 1.5000009, YES),
        (1.5, 1.500002, VALUE),
        (0.0, 0.000001, VALUE),
        (float("nan"), float("nan"), VALUE),
        (float("inf"), float("inf"), VALUE),
        ([[[0]]], [[["0"]]], KIND),
    ],
)
def test_values(wanted: Any, given_value: Any, expected: str) -> None:
    """Values are compared by type, then keys or length, then value, at the root and inside an object or array."""
    assert category(wanted, given_value) == expected
    assert category({"k": wanted}, {"k": given_value}) == expected
    assert category([wanted], [given_value]) == expected


@pytest.mark.parametrize(
    ("wanted", "given_value", "threshold", "matches"),
    [
        ("Oslo", "Oslo", 0.1, True),
        ("Oslo", "oslo", 0.1, False),
        ("Oslo", " Oslo", 0.1, False),
        ("Oslo", "Oslo central", 0.0, False),
        ("Oslo central", "Oslo", 0.0, False),
        ("", "", 0.9, True),
        ("Oslo", "Oslo", 0.9, True),
        ("Oslo Central", "oslo   CENTRAL", 0.5, True),
        ("Oslo Central", "Oslo Central", 0.5, True),
        ("Oslo Central", "Oslo Central", 0.51, False),
        ("one two", "three four", 0.0, True),
        ("one two", "three four", 0.01, False),
        ("a b c d e", "a v w x y", 0.1, True),
        ("a b c d e f", "a v w x y", 0.1, False),
        ("go go go go", "go stop", 0.16, True),
        ("go go go go", "go stop", 0.17, False),
        ("go go", "go go", 0.5, True),
        ("go go now", "go go go", 0.33, True),
        ("go go now", "go go go", 0.34, False),
    ],
)
def test_texts(wanted: str, given_value: str, threshold: float, matches: bool) -> None:
    """Texts of two words and more are compared by their share of common words, shorter ones exactly."""
    expected = YES if matches else VALUE
    assert category({"q": wanted}, {"q": given_value}, word_count_similarity_threshold=threshold) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"n": 1}', YES),
        (' \t\r\n{"n"\n:\n1} ', YES),
        ('{"n": 5, "n": 1}', YES),
        ('{"n": 1, "n": 5}', VALUE),
        ('{"\\u006e": 1}', YES),
        ('{"n": -Infinity}', KIND),
        ("", DECODE),
        (" ", DECODE),
        ('\ufeff{"n": 1}', DECODE),
        ('{"n": 1} ok', DECODE),
        ('{"n": 1}{', DECODE),
        ("{'n': 1}", DECODE),
        ('{"n": 01}', DECODE),
        ('{"n": 1', DECODE),
        ("{n: 1}", DECODE),
        ('\u00a0{"n": 1}', DECODE),
        ("```json\n{}\n```", DECODE),
        ("undefined", DECODE),
        ("null", KIND),
        ('"{}"', KIND),
    ],
)
def test_decoding(text: str, expected: str) -> None:
    """The model's arguments are decoded as `json.loads` does it, and what it refuses is a verdict."""
    assert grade(call({"n": 1}), FunctionCall("f", text)).category == expected


@pytest.mark.parametrize(
    ("wanted", "given_value", "path"),
    [
        ({"a": 1}, {"a": 2}, "$.a"),
        ({"a": {"b": [0, {"c": 1}]}}, {"a": {"b": [0, {"c": 2}]}}, "$.a.b[1].c"),
        ({"a": {"b": 1}}, {"a": {"d": 1}}, "$.a"),
        ({"a": [[1], [1, 2]]}, {"a": [[1], [1]]}, "$.a[1]"),
        ({"z": 1, "a": 1}, {"a": 2, "z": 2}, "$.z"),
        ({"a": 1, "z": 1}, {"z": 2, "a": 2}, "$.a"),
        ({"odd key": 1}, {"odd key": 2}, '$["odd key"]'),
        (1, 2, "$"),
    ],
)
def test_path(wanted: Any, given_value: Any, path: str) -> None:
    """The path leads to the first difference in the expected value's own order."""
    assert grade(call(wanted), call(given_value)).path == path


# Hostile arguments


HOSTILE = {
    "nested arrays": "[" * 100_000 + "]" * 100_000,
    "nested objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "open brackets": "[" * 100_000,
    "nested inside a key": '{"n":' + "[" * 100_000 + "]" * 100_000 + "}",
    "long integer": '{"n": ' + "9" * 5_000 + "}",
    "long integer at the root": "9" * 5_000,
    "raw control character": '{"n": "\x00"}',
}


@pytest.mark.parametrize("version", ["first-call", "any-order"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arguments_that_do_not_decode(version: str, name: str) -> None:
    """Arguments that no decoder survives are 0 with a decode error, alone and beside other calls."""
    hostile = FunctionCall("f", HOSTILE[name])
    for output in (hostile, [hostile, hostile]):
        found = grade(FunctionCall("f", {"n": 1}), output, f"nemo-gym:{version}")
        assert (found.reward, found.category) == (0.0, DECODE)
        assert len(found.explanation) < 1_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(json.dumps({"n": "x" * 1_000_000}), VALUE, id="1 MB in one word"),
        pytest.param(json.dumps({"n": "x y " * 250_000}), VALUE, id="1 MB in many words"),
        pytest.param(json.dumps({"n": [0] * 300_000}), KIND, id="1 MB of elements"),
        pytest.param('{"n": "\\ud800"}', VALUE, id="escaped lone surrogate"),
        pytest.param('{"n": "\udfff"}', VALUE, id="raw lone surrogate"),
        pytest.param('{"n": "\\u0000"}', VALUE, id="NUL"),
        pytest.param('{"\\u0000\\ud800": 1}', KEYS, id="odd key"),
        pytest.param('{"n": "' + "\\u001b[31m" * 50 + '"}', VALUE, id="terminal codes"),
    ],
)
def test_hostile_arguments_that_decode(text: str, expected: str) -> None:
    """Huge and odd values get a verdict whose texts are short, printable and encodable."""
    found = grade(FunctionCall("f", {"n": "plain"}), FunctionCall("f", text))
    assert (found.reward, found.category) == (0.0, expected)
    for shown in (found.explanation, found.path, found.expected, found.actual):
        assert shown is not None
        assert len(shown) < 2_000
        assert not re.search(r"[\x00-\x08\x1b]", shown)
        shown.encode()


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 5_000, "{} {}"])
def test_broken_expected_arguments_are_a_fault_of_the_data(text: str) -> None:
    """Expected arguments that do not decode raise GraderError and are never held against the agent."""
    with pytest.raises(GraderError, match=r"expected arguments of 'find'.*not JSON.*fault of the data"):
        grade(FunctionCall("find", text), FunctionCall("find", "{}"))


def test_a_fault_of_the_data_is_told_in_short() -> None:
    """A tool's name that is too long for a line is shortened."""
    with pytest.raises(GraderError, match=r"^the expected arguments of 'x{59}…x{20}' are not JSON \(.*\): a fault"):
        grade(FunctionCall("x" * 500, "{"), FunctionCall("x" * 500))


# Several calls


@pytest.mark.parametrize(
    ("outputs", "first_call", "any_order"),
    [
        (["right"], YES, YES),
        (["right", "wrong"], YES, YES),
        (["wrong", "right"], VALUE, YES),
        (["other", "right"], "UNEXPECTED_TOOL", YES),
        (["other", "wrong"], "UNEXPECTED_TOOL", VALUE),
        (["other", "other"], "UNEXPECTED_TOOL", "UNEXPECTED_TOOL"),
        (["broken", "right"], DECODE, YES),
        (["broken", "wrong"], DECODE, DECODE),
        (["wrong", "broken"], VALUE, VALUE),
    ],
)
def test_the_two_versions(outputs: list[str], first_call: str, any_order: str) -> None:
    """One version judges the first call alone, the other takes any call that matches."""
    calls = {
        "right": FunctionCall("f", {"n": 1}),
        "wrong": FunctionCall("f", {"n": 2}),
        "other": FunctionCall("g"),
        "broken": FunctionCall("f", "{"),
    }
    output = [calls[name] for name in outputs]
    assert grade(calls["right"], output, "nemo-gym:first-call").category == first_call
    assert grade(calls["right"], output, ANY_ORDER).category == any_order


def test_the_default_is_first_call() -> None:
    """Without a version, only the first call counts, as in the environments of March 2026."""
    assert make_grader("nemo-gym").name == "nemo-gym:first-call"
    assert grade(FunctionCall("f"), [FunctionCall("g"), FunctionCall("f")]).reward == 0.0


def numbered(*numbers: int) -> Action:
    """Return an action that calls `f` with each number."""
    return Action(tuple(FunctionCall("f", {"n": number}) for number in numbers))


@pytest.mark.parametrize(
    ("mode", "switches", "given_numbers", "reward", "expected"),
    [
        (None, "", (2, 1), 1.0, BATCH),
        (None, "", (3, 2, 1), 1.0, BATCH),
        (None, "", (1,), 0.0, NUMBER),
        (None, "", (1, 1), 0.0, VALUE),
        (None, "", (1, 3), 0.0, VALUE),
        (None, "subset", (1,), 0.0, NUMBER),
        (None, "superset", (1,), 0.0, NUMBER),
        ("binary_strict", "", (2, 1), 1.0, BATCH),
        ("binary_strict", "", (2, 1, 3), 0.0, NUMBER),
        ("binary_strict", "superset", (2, 1, 3), 1.0, BATCH),
        ("binary_strict", "", (1,), 0.0, NUMBER),
        ("binary_strict", "subset", (1,), 1.0, BATCH),
        ("binary_strict", "subset", (3,), 0.0, VALUE),
        ("binary_strict", "subset", (1, 2, 3), 0.0, NUMBER),
        ("fractional", "", (1, 3), 0.5, VALUE),
        ("fractional", "", (3, 4), 0.0, VALUE),
        ("fractional", "", (1, 2, 3), 0.0, NUMBER),
        ("fractional", "superset", (3, 4, 1), 0.5, VALUE),
        ("fractional", "superset", (3, 2, 1), 1.0, BATCH),
        ("fractional", "subset", (1,), 1.0, BATCH),
        ("f1", "", (1, 2), 1.0, BATCH),
        ("f1", "", (1, 3), 0.5, VALUE),
        ("f1", "superset", (1, 2, 3, 4), 2 / 3, NUMBER),
        ("f1", "superset", (1, 3, 4), 0.4, VALUE),
        ("f1", "subset", (1,), 2 / 3, NUMBER),
        ("f1", "subset", (), 0.0, "NO_ACTION_FOUND"),
    ],
)
def test_batches(mode: str | None, switches: str, given_numbers: tuple[int, ...], reward: float, expected: str) -> None:
    """The count costs nothing by default; with the switch on, mode and tolerances decide."""
    config: dict[str, Any] = (
        {"parallel_tool_call_rewarding": True, "parallel_tool_call_reward_mode": mode} if mode else {}
    )
    config |= {f"allow_{switches}": True} if switches else {}
    found = grade(numbered(1, 2), numbered(*given_numbers), ANY_ORDER, **config)
    assert found.reward == pytest.approx(reward)
    assert found.category == expected


def test_pairing_is_not_greedy() -> None:
    """A call that could serve two expected ones is left to the one that has no other."""
    expected = [FunctionCall("f", {"t": text}) for text in ("red blue", "red green")]
    output = [FunctionCall("f", {"t": text}) for text in ("red one", "blue two")]
    found = grade(Action(tuple(expected)), output, ANY_ORDER)
    assert (found.reward, found.category) == (1.0, BATCH)


def test_a_batch_names_the_first_unmatched_call() -> None:
    """A failing batch says which expected call found no match, and where the nearest call differs."""
    found = grade(numbered(1, 2, 3), numbered(3, 9, 1), ANY_ORDER)
    assert (found.category, found.path, found.expected, found.actual) == (VALUE, "$.n", "2", "3")
    assert found.explanation == "expected call 2 of 3 has no match: at $.n: expected 2, got 3"


def test_a_wrong_name_explains_a_batch_only_if_nothing_else_does() -> None:
    """Of the reasons why a call found no match, one past a wrong name comes first."""
    expected = Action((FunctionCall("f", {"n": 1}), FunctionCall("g")))
    other, near = FunctionCall("h"), FunctionCall("f", {"n": 2})
    found = grade(expected, [other, near], ANY_ORDER)
    assert (found.category, found.path, found.expected, found.actual) == (VALUE, "$.n", "1", "2")
    found = grade(expected, [other, FunctionCall("f", {"n": 1})], ANY_ORDER)
    assert (found.category, found.path, found.expected, found.actual) == ("UNEXPECTED_TOOL", None, "g", "h")
    assert found.explanation == "expected call 2 of 2 has no match: expected g, got h"


@pytest.mark.parametrize(
    ("numbers", "given_numbers", "explanation"),
    [
        ((1, 2), (1,), "expected 2 calls, got 1"),
        ((1, 2), (1, 2, 3), "expected 2 calls, got 3"),
        ((1,), (1, 2), "expected 1 call, got 2"),
    ],
)
def test_a_wrong_number_is_said(numbers: tuple[int, ...], given_numbers: tuple[int, ...], explanation: str) -> None:
    """A number of calls that is wrong is told in words, and as what was expected and what came."""
    found = grade(numbered(*numbers), numbered(*given_numbers), ANY_ORDER, parallel_tool_call_rewarding=True)
    assert (found.reward, found.category, found.explanation, found.path) == (0.0, NUMBER, explanation, None)
    assert (found.expected, found.actual) == (str(len(numbers)), str(len(given_numbers)))


@pytest.mark.parametrize("n", range(4))
def test_what_the_versions_accept(n: int) -> None:
    """First-call knows no batches: it accepts messages and single calls; any-order accepts everything."""
    assert make_grader("nemo-gym:first-call").accepts(n) == (n <= 1)
    assert make_grader(ANY_ORDER).accepts(n)


@pytest.mark.parametrize(
    ("given_numbers", "pairs"),
    [
        ((2, 1), {(0, 1, 1.0), (1, 0, 1.0)}),
        ((9, 2), {(0, None, 0.0), (1, 1, 1.0), (None, 0, 0.0)}),
        ((2,), {(0, None, 0.0), (1, 0, 1.0)}),
        ((1, 7, 2), {(0, 0, 1.0), (1, 2, 1.0), (None, 1, 0.0)}),
    ],
)
def test_a_batch_tells_its_pairs(
    given_numbers: tuple[int, ...], pairs: set[tuple[int | None, int | None, float]]
) -> None:
    """A grade of several calls says which were paired, and what is left on both sides, whatever the reward."""
    configs: tuple[dict[str, Any], ...] = ({}, {"parallel_tool_call_rewarding": True})
    for config in configs:
        found = grade(numbered(1, 2), numbered(*given_numbers), ANY_ORDER, **config)
        assert {(pair.expected, pair.actual, pair.reward) for pair in found.pairs} == pairs


def test_single_calls_have_no_pairs() -> None:
    """One call against one, and several under first-call, of which one is judged, tell no pairs, paths or halves."""
    for found in (
        grade(numbered(1), numbered(2), ANY_ORDER),
        grade(numbered(1), numbered(1), ANY_ORDER),
        grade(numbered(1), numbered(2, 1)),
    ):
        assert (found.pairs, found.paths, found.halves) == ((), (), None)


def test_many_calls() -> None:
    """A batch of 100 calls in reverse order is matched in full."""
    assert grade(numbered(*range(100)), numbered(*reversed(range(100))), ANY_ORDER).reward == 1.0


def test_long_augmenting_paths() -> None:
    """Texts that match two neighbours each, so that every choice moves the others, still find all partners."""
    expected = Action(tuple(FunctionCall("f", {"t": f"w{i} w{i + 1}"}) for i in range(80)))
    output = [FunctionCall("f", {"t": f"w{i + 1} only{i}"}) for i in range(80)]
    assert grade(expected, output, ANY_ORDER).reward == 1.0


# Algebra


keys = st.sampled_from(["a", "b", "c-d", "e f", "é", '"', "]", "'", "", "0", "\\"])
texts = st.one_of(
    st.text(max_size=6),
    st.lists(st.sampled_from(["go", "Go", "stop", "now", "é"]), max_size=5).map(" ".join),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts, st.integers(0, 2)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)
thresholds = st.floats(0.0, 1.0)
modes = st.sampled_from(["binary_strict", "fractional", "f1"])
any_settings = st.fixed_dictionaries(
    {
        "word_count_similarity_threshold": thresholds,
        "parallel_tool_call_rewarding": st.booleans(),
        "parallel_tool_call_reward_mode": modes,
        "allow_subset": st.booleans(),
        "allow_superset": st.booleans(),
    }
)
CATEGORIES = {
    *(YES, BATCH, VALUE, KIND, KEYS, LENGTH, DECODE, NUMBER, "UNEXPECTED_TOOL"),
    *("NO_ACTION_FOUND", "EXPECTED_CHAT_MESSAGE_FOUND", "NO_EXPECTED_CHAT_MESSAGE", "NO_EXPECTED_TOOL_CALL"),
}


def pairs() -> st.SearchStrategy[tuple[Any, Any]]:
    """Values that agree in most places: both sides grow together."""
    leaves = st.one_of(scalars.map(lambda value: (value, value)), st.tuples(scalars, scalars))
    both = st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4).map(lambda found: ([a for a, _ in found], [b for _, b in found])),
            st.dictionaries(keys, inner, max_size=4).map(
                lambda found: ({k: a for k, (a, _) in found.items()}, {k: b for k, (_, b) in found.items()})
            ),
        ),
        max_leaves=12,
    )
    return st.one_of(both, st.tuples(values, values))


calls = st.builds(
    FunctionCall,
    st.sampled_from(["f", "f", "f", "g"]),
    st.one_of(
        st.builds(lambda words: {"t": " ".join(words)}, st.lists(st.sampled_from("abc"), min_size=2, max_size=3)),
        st.sampled_from(["{", "{}", '{"t": 1}']),
    ),
)
good_calls = calls.filter(lambda found: found.arguments != "{")
batches = st.lists(good_calls, min_size=1, max_size=5).map(lambda found: Action(tuple(found)))
answers = st.lists(calls, min_size=1, max_size=5).map(lambda found: Action(tuple(found)))


@PROPERTY
@given(values, st.floats(0.0, 0.5), st.sampled_from(["first-call", "any-order"]))
def test_a_perfect_answer_scores_one(value: Any, threshold: float, version: str) -> None:
    """Repeating the expected arguments earns 1 at any threshold up to 0.5."""
    found = grade(call(value), call(value), f"nemo-gym:{version}", word_count_similarity_threshold=threshold)
    assert (found.reward, found.category) == (1.0, YES)


@PROPERTY
@given(batches, answers, any_settings)
def test_rewards_are_in_range(expected: Action, actual: Action, config: dict[str, Any]) -> None:
    """Every reward is in [0, 1], only 0 or 1 from a binary grader, and 1 exactly for a matching category."""
    grader = make_grader(ANY_ORDER, **config)
    found = grader.grade(expected, actual)
    assert 0.0 <= found.reward <= 1.0
    assert found.category in CATEGORIES
    assert (found.reward == 1.0) == (found.category in {YES, BATCH})
    if grader.binary:
        assert found.reward in {0.0, 1.0}


@PROPERTY
@given(pairs(), thresholds)
def test_the_path_leads_to_a_difference(pair: tuple[Any, Any], threshold: float) -> None:
    """The path of a failing grade resolves on both sides, and what stands there differs as the category says."""
    wanted, given_value = (json.loads(json.dumps(side)) for side in pair)
    found = grade(call(wanted), call(given_value), word_count_similarity_threshold=threshold)
    if found.reward == 1.0:
        assert found.path is None
        return
    assert found.path is not None
    expected, actual = follow(found.path, wanted), follow(found.path, given_value)
    if found.category == KEYS:
        assert expected.keys() != actual.keys()
    elif found.category == LENGTH:
        assert len(expected) != len(actual)
    elif found.category == KIND:
        assert type(expected) is not type(actual)
    else:
        assert found.category == VALUE
        assert expected != actual or (isinstance(expected, str) and threshold > 0.5)


def follow(path: str, value: Any) -> Any:
    """Resolve a JSON path."""
    step = re.compile(r'\.([A-Za-z_][\w-]*)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]', re.ASCII)
    assert path.startswith("$")
    position = 1
    while position < len(path):
        found = step.match(path, position)
        assert found, path
        name, index, quoted = found.groups()
        key: int | str = int(index) if index is not None else name or json.loads(quoted)
        value = value[key]
        position = found.end()
    return value


@PROPERTY
@given(pairs(), st.randoms(use_true_random=False))
def test_key_order_does_not_matter(pair: tuple[Any, Any], random: Any) -> None:
    """Another order of the model's keys gives the same grade."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffled(inner) for inner in value]
        if isinstance(value, dict):
            items = [(key, shuffled(inner)) for key, inner in value.items()]
            random.shuffle(items)
            return dict(items)
        return value

    wanted, given_value = pair
    first = grade(call(wanted), call(given_value))
    second = grade(call(wanted), call(shuffled(given_value)))
    assert (first.reward, first.category, first.path) == (second.reward, second.category, second.path)


@PROPERTY
@given(pairs(), st.sampled_from([None, 0, 3]), st.sampled_from(["", " ", "\n\t "]), st.booleans())
def test_white_space_and_escapes_do_not_matter(
    pair: tuple[Any, Any], indent: int | None, outer: str, ascii_: bool
) -> None:
    """However the model formats the same JSON, the grade is the same."""
    wanted, given_value = pair
    formatted = outer + json.dumps(given_value, indent=indent, ensure_ascii=ascii_) + outer
    plain = json.dumps(given_value, separators=(",", ":"))
    assert grade(call(wanted), FunctionCall("f", formatted)) == grade(call(wanted), FunctionCall("f", plain))


@PROPERTY
@given(st.integers(-(2**53), 2**53), st.booleans())
def test_integers_never_match_floats(number: int, swap: bool) -> None:
    """An integer and the float of the same value differ in type, in either direction."""
    wanted, given_value = (float(number), number) if swap else (number, float(number))
    assert category({"n": wanted}, {"n": given_value}) == KIND


@PROPERTY
@given(texts, texts, thresholds)
def test_texts_match_both_ways_or_not_at_all(one: str, other: str, threshold: float) -> None:
    """Comparing two texts does not depend on which of them is the expected one."""
    config = {"word_count_similarity_threshold": threshold}
    assert category({"t": one}, {"t": other}, **config) == category({"t": other}, {"t": one}, **config)


@PROPERTY
@given(pairs(), thresholds, thresholds)
def test_a_higher_threshold_is_never_kinder(pair: tuple[Any, Any], one: float, other: float) -> None:
    """What passes at a threshold passes at every lower one."""
    low, high = sorted((one, other))
    strict = category(*pair, word_count_similarity_threshold=high)
    if strict == YES:
        assert category(*pair, word_count_similarity_threshold=low) == YES


@PROPERTY
@given(batches, answers, st.randoms(use_true_random=False), modes, thresholds)
def test_the_order_of_calls_does_not_matter(
    expected: Action, actual: Action, random: Any, mode: str, threshold: float
) -> None:
    """Under any-order, reordering calls on either side keeps the reward."""
    config: dict[str, Any] = {
        "word_count_similarity_threshold": threshold,
        "parallel_tool_call_rewarding": True,
        "allow_subset": True,
        "allow_superset": True,
        "parallel_tool_call_reward_mode": mode,
    }

    def shuffled(action: Action) -> Action:
        found = list(action.calls)
        random.shuffle(found)
        return Action(tuple(found))

    assert (
        grade(expected, actual, ANY_ORDER, **config).reward
        == grade(shuffled(expected), shuffled(actual), ANY_ORDER, **config).reward
    )


@PROPERTY
@given(batches, answers, thresholds)
def test_a_batch_is_paired_as_well_as_possible(expected: Action, actual: Action, threshold: float) -> None:
    """The fractional reward is that of the best of all pairings, found by trying them all."""
    config: dict[str, Any] = {"word_count_similarity_threshold": threshold}
    rows = [[grade(e, a, **config).reward == 1.0 for a in actual.calls] for e in expected.calls]
    best = most_matched([[j for j, good in enumerate(row) if good] for row in rows], len(actual.calls))
    found = grade(
        expected,
        actual,
        ANY_ORDER,
        parallel_tool_call_rewarding=True,
        allow_superset=True,
        allow_subset=True,
        parallel_tool_call_reward_mode="f1",
        **config,
    )
    if len(expected.calls) == len(actual.calls) == 1:
        assert found.reward == best
    else:
        assert found.reward == pytest.approx(2 * best / (len(expected.calls) + len(actual.calls)))


@PROPERTY
@given(batches, answers, thresholds)
def test_the_category_of_a_failed_batch(expected: Action, actual: Action, threshold: float) -> None:
    """It is the reason of the first call that the verifier's own choice among the best pairings leaves unmatched."""
    table = [[grade(e, a, word_count_similarity_threshold=threshold) for a in actual.calls] for e in expected.calls]
    edges = [[j for j, found in enumerate(row) if found.reward == 1.0] for row in table]
    without = left_without(edges, len(actual.calls))
    found = grade(expected, actual, ANY_ORDER, word_count_similarity_threshold=threshold)
    if len(expected.calls) == len(actual.calls) == 1 or not without:
        return
    if len(expected.calls) - len(without) == len(actual.calls):
        assert found.category == NUMBER
        return
    reasons = [verdict.category for verdict in table[without[0]] if verdict.reward < 1.0]
    assert found.category == next((reason for reason in reasons if reason != "UNEXPECTED_TOOL"), "UNEXPECTED_TOOL")


@PROPERTY
@given(batches, answers, calls)
def test_a_surplus_call_never_costs_by_default(expected: Action, actual: Action, surplus: FunctionCall) -> None:
    """Without rewarding of parallel calls, one more call of the model cannot lower the reward."""
    more = Action((*actual.calls, surplus))
    assert grade(expected, more, ANY_ORDER).reward >= grade(expected, actual, ANY_ORDER).reward


@PROPERTY
@given(st.text(), st.sampled_from([{}, {"a": 1}, [], "x", 0]))
def test_any_text_as_arguments_is_a_verdict(text: str, wanted: Any) -> None:
    """Whatever text a model writes as arguments, there is a grade, and 1 only if it decodes."""
    found = grade(FunctionCall("f", json.dumps(wanted)), FunctionCall("f", text))
    if found.reward == 1.0:
        json.loads(text)
    else:
        assert found.category in {DECODE, KIND, KEYS, LENGTH, VALUE}
