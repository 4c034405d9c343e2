"""The agentic grader: each sentence of its rules, hostile arguments, several calls, and the rules' algebra."""

from __future__ import annotations

import json
import re
import time
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from brute_force import greatest_total
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_fcpivot import Action, FunctionCall, Grade, GraderError, Message, grade
from pytest_fcpivot.graders import GRADERS, known_specs, make_grader
from pytest_fcpivot.graders.agentic import MOST_PATHS, AgenticGrader

if TYPE_CHECKING:
    from collections.abc import Sequence

PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

YES = "EXPECTED_TOOL_CALL"
BATCH = "EXPECTED_TOOL_CALL_BATCH"
NAME = "UNEXPECTED_TOOL"
VALUE = "ARGUMENT_VALUE_DIFFERENT"
KIND = "ARGUMENT_VALUE_TYPE_DIFFERENT"
KEYS = "ARGUMENT_OBJECT_KEYS_DIFFERENT"
DECODE = "ARGUMENTS_DECODE_ERROR"
NUMBER = "FUNCTION_CALL_BATCH_LENGTH_DIFFERENT"
FOUND = "EXPECTED_CHAT_MESSAGE_FOUND"
PARTLY = "CHAT_MESSAGE_PARTLY_EXPECTED"
DIFFERENT = "CHAT_MESSAGE_DIFFERENT"


def call(arguments: Any, name: str = "f") -> FunctionCall:
    """Return a call whose arguments decode to a value."""
    return FunctionCall(name, json.dumps(arguments))


def judge(expected: Any, output: Any) -> Grade:
    """Grade with agentic."""
    return grade(expected, output, "agentic")


def reward(wanted: Any, given_value: Any) -> float:
    """Return the reward for arguments under the right name."""
    return judge(call(wanted), call(given_value)).reward


# The protocol


def test_it_says_what_it_is() -> None:
    """The grader is called agentic, gives partial credit, and judges any number of calls."""
    grader = make_grader("agentic")
    assert (grader.name, grader.binary) == ("agentic", False)
    assert all(grader.accepts(calls) for calls in (0, 1, 2, 500))


@pytest.mark.parametrize("spec", ["agentik", "agentic:first-call", "agentic:", "Agentic"])
def test_unknown_names_list_all_known_ones(spec: str) -> None:
    """A name or version that there is not is refused with all that there are; a bare colon asks for no version."""
    if spec == "agentic:":
        assert make_grader(spec) == make_grader("agentic")
        return
    with pytest.raises(GraderError, match=re.escape(repr(spec))) as raised:
        make_grader(spec)
    assert "; known: nemo-gym, nemo-gym:first-call, nemo-gym:any-order, agentic; " in str(raised.value)


def test_every_known_name_makes_a_grader() -> None:
    """What an error lists as known can be used, and each registered grader is listed."""
    assert {make_grader(spec).name for spec in known_specs()} >= {"agentic", "nemo-gym:any-order"}
    assert set(GRADERS) <= set(known_specs())


def test_it_has_no_settings() -> None:
    """A setting is refused by name."""
    with pytest.raises(GraderError, match=r"agentic.*word_count"):
        make_grader("agentic", word_count_similarity_threshold=0.2)


# Which action


@pytest.mark.parametrize(
    ("expected", "output", "wanted", "category"),
    [
        (FunctionCall("f"), FunctionCall("f"), 1.0, YES),
        (FunctionCall("f"), "f()", 0.0, "NO_EXPECTED_TOOL_CALL"),
        (FunctionCall("f"), "", 0.0, "NO_EXPECTED_TOOL_CALL"),
        (FunctionCall("f"), None, 0.0, "NO_ACTION_FOUND"),
        (Message("Hi"), FunctionCall("f"), 0.0, "NO_EXPECTED_CHAT_MESSAGE"),
        (Message("Hi"), [FunctionCall("f"), Message("Hi")], 0.0, "NO_EXPECTED_CHAT_MESSAGE"),
        (Message("Hi"), None, 0.0, "NO_ACTION_FOUND"),
    ],
)
def test_wrong_kinds_of_action(expected: Any, output: Any, wanted: float, category: str) -> None:
    """The wrong type of action is 0, with the categories of nemo-gym, and has no halves or paths."""
    found = judge(expected, output)
    assert (found.reward, found.category) == (wanted, category)
    if not wanted:
        assert (found.halves, found.paths, found.pairs) == (None, (), ())
        assert found.explanation


def test_an_empty_expected_action_is_a_fault_of_the_data() -> None:
    """An expected action with neither a message nor a call is a GraderError."""
    with pytest.raises(GraderError, match="empty"):
        judge(Action(), "Hi")


# One call


@pytest.mark.parametrize(
    ("expected", "output", "halves", "category", "paths"),
    [
        (call({"a": 1, "b": 2}), call({"b": 2, "a": 1}), (0.5, 0.5), YES, ()),
        (call({"a": 1, "b": 2}), call({"a": 1, "b": 3}), (0.5, 0.25), VALUE, ("$.b",)),
        (call({"a": 1, "b": 2}), call({"a": 0, "b": 3}), (0.5, 0.0), VALUE, ("$.a", "$.b")),
        (call({"a": 1, "b": 2}), call({"a": 1}), (0.5, 0.25), KEYS, ("$.b",)),
        (call({"a": 1}), call({"a": 1, "b": 2}), (0.5, 0.25), KEYS, ("$.b",)),
        (call({"a": 1}), call({"b": 1}), (0.5, 0.0), KEYS, ("$.a", "$.b")),
        (call({"a": 1, "b": 2, "c": 3}), call({"a": 9, "b": 2, "d": 4}), (0.5, 0.125), KEYS, ("$.c", "$.d", "$.a")),
        (call({}), call({}), (0.5, 0.5), YES, ()),
        (call({}), call({"a": 1}), (0.5, 0.0), KEYS, ("$.a",)),
        (call({"a": 1}), call({}), (0.5, 0.0), KEYS, ("$.a",)),
        (call({"a": 1}, "f"), call({"a": 1}, "g"), (0.0, 0.5), NAME, ()),
        (call({"a": 1, "b": 2}, "f"), call({"a": 1, "b": 3}, "g"), (0.0, 0.25), NAME, ("$.b",)),
        (call({"a": 1}, "f"), call({"a": 2}, "g"), (0.0, 0.0), NAME, ("$.a",)),
        (call({}, "f"), call({}, "g"), (0.0, 0.5), NAME, ()),
        (call({}, "f"), call({}, "F"), (0.0, 0.5), NAME, ()),
        (call({"odd key": 1}), call({"odd key": 2}), (0.5, 0.0), VALUE, ('$["odd key"]',)),
        (call({"a": {"b": [1, 2]}}), call({"a": {"b": [1, 3]}}), (0.5, 0.0), VALUE, ("$.a",)),
    ],
)
def test_one_call(
    expected: FunctionCall, output: FunctionCall, halves: tuple[float, float], category: str, paths: tuple[str, ...]
) -> None:
    """Half for the name, half for the share of matching keys among those of both sides, each on its own."""
    found = judge(expected, output)
    assert found.reward == pytest.approx(sum(halves))
    assert found.halves == pytest.approx(halves)
    assert (found.category, found.paths) == (category, paths)
    assert found.path == (paths[0] if paths else None)
    assert (found.further_paths, found.pairs) == (0, ())


@pytest.mark.parametrize(
    ("wanted", "given_value", "matches"),
    [
        (1, 1, True),
        (1, 2, False),
        (1, 1.0, True),
        (1.0, 1, True),
        (0.1, 0.1, True),
        (0.1 + 0.2, 0.3, False),
        (1, True, False),
        (True, 1, False),
        (1.0, True, False),
        (0, False, False),
        (True, True, True),
        (True, False, False),
        (None, None, True),
        (None, 0, False),
        (None, "", False),
        (None, "null", False),
        (1, "1", False),
        (True, "true", False),
        (10**40, 10**40, True),
        (10**40, 10**40 + 1, False),
        (10**16, 1e16, True),
        (float("nan"), float("nan"), True),
        (float("nan"), 1.0, False),
        (float("inf"), float("inf"), True),
        (float("inf"), -float("inf"), False),
        ({}, {}, True),
        ([], [], True),
        ({}, [], False),
        ([], None, False),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ([1, 2], [1, 2, 3], False),
        ([1, 2], [1], False),
        ({"x": 1, "y": 2}, {"y": 2, "x": 1}, True),
        ({"x": 1}, {"x": 1, "y": 2}, False),
        ({"x": 1, "y": 2}, {"x": 1}, False),
        ({"x": [1, {"y": None}]}, {"x": [1.0, {"y": None}]}, True),
        ({"x": [1, {"y": 1}]}, {"x": [1, {"y": True}]}, False),
        ([1], [True], False),
        ([0.0], [False], False),
        ([float("nan")], [float("nan")], True),
        ([[], [[]]], [[], [[]]], True),
        ([[], [[]]], [[[]], []], False),
    ],
)
def test_values(wanted: Any, given_value: Any, matches: bool) -> None:
    """Values match when they are the same JSON: 1 is 1.0 but not true, NaN is NaN, nested ones as a whole."""
    assert reward({"k": wanted}, {"k": given_value}) == (1.0 if matches else 0.5)
    assert reward({"k": [wanted]}, {"k": [given_value]}) == (1.0 if matches else 0.5)
    assert reward({"k": {"n": wanted}}, {"k": {"n": given_value}}) == (1.0 if matches else 0.5)


@pytest.mark.parametrize(
    ("wanted", "given_value", "matches"),
    [
        ("Oslo", "Oslo", True),
        ("Oslo", "  oSLO\n", True),
        ("Oslo", "Oslo, Norway", True),
        ("Oslo, Norway", "oslo", True),
        ("Straße", "STRASSE 5", True),
        ("Oslo", "Bergen", False),
        ("Oslo", "", False),
        ("", "Oslo", False),
        ("Oslo", "  ", False),
        ("", "", True),
        ("", " \t", True),
        ("a b", "a  b", False),
        ("2025-01-01", "2025-01-01T10:00:00", True),
    ],
)
def test_texts(wanted: str, given_value: str, matches: bool) -> None:
    """Strings match when, stripped and case-folded, they are equal or one holds the other, and neither is empty."""
    assert reward({"k": wanted}, {"k": given_value}) == (1.0 if matches else 0.5)


def test_nested_texts_are_compared_exactly() -> None:
    """A string inside an array or object is part of a value that is compared whole."""
    assert reward({"k": ["Oslo"]}, {"k": ["Oslo"]}) == 1.0
    assert reward({"k": ["Oslo"]}, {"k": ["oslo"]}) == 0.5
    assert reward({"k": {"city": "Oslo"}}, {"k": {"city": "Oslo, Norway"}}) == 0.5


@pytest.mark.parametrize(
    ("text", "wanted", "category"),
    [
        (' {"n"\n: 1} ', 1.0, YES),
        ('{"n": 5, "n": 1}', 1.0, YES),
        ('{"n": 1, "n": 5}', 0.5, VALUE),
        ('{"\\u006e": 1.0}', 1.0, YES),
        ('{"n": NaN}', 0.5, VALUE),
        ("", 0.5, DECODE),
        ('\ufeff{"n": 1}', 0.5, DECODE),
        ('{"n": 1} ok', 0.5, DECODE),
        ("{'n': 1}", 0.5, DECODE),
        ('{"n": 1', 0.5, DECODE),
        ("null", 0.5, KIND),
        ("[]", 0.5, KIND),
        ('[["n", 1]]', 0.5, KIND),
        ('"{\\"n\\": 1}"', 0.5, KIND),
        ("1", 0.5, KIND),
    ],
)
def test_decoding(text: str, wanted: float, category: str) -> None:
    """Arguments decode as by `json.loads`; what does not decode, or is no object, matches no pair."""
    found = judge(call({"n": 1}), FunctionCall("f", text))
    assert (found.reward, found.category) == (wanted, category)
    if category in (DECODE, KIND):
        assert found.paths == ("$",)
    assert judge(call({}), FunctionCall("f", text)).reward == 0.5  # not even where no argument is expected
    assert judge(call({"n": 1}), FunctionCall("g", text)).category == NAME


@pytest.mark.parametrize(
    ("wanted", "given_value", "score"),
    [
        ([], [], 1.0),
        (["", {}], ["", {}], 1.0),
        ([1], [1.0], 1.0),
        ([1], [True], 0.5),
        ([1], [2], 0.5),
        ([], {}, 0.5),
        ([], None, 0.5),
        (None, None, 1.0),
        ("a", "a", 1.0),
        ("a", "A", 0.5),
        (0, False, 0.5),
    ],
)
def test_expected_arguments_that_are_no_object(wanted: Any, given_value: Any, score: float) -> None:
    """Expected arguments without keys, as a list, match as a whole or not at all, so that a perfect answer is 1."""
    found = judge(call(wanted), call(given_value))
    assert (found.reward, found.paths) == (score, () if score == 1.0 else ("$",))
    assert judge(call(wanted), FunctionCall("f", "[")).category == DECODE


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 5_000, "{} {}"])
def test_broken_expected_arguments_are_a_fault_of_the_data(text: str) -> None:
    """Expected arguments that do not decode raise GraderError, alone and in a batch, whatever the agent called."""
    broken = FunctionCall("find", text)
    for expected in (Action((broken,)), Action((FunctionCall("f"), broken))):
        for output in (broken, [FunctionCall("g"), FunctionCall("h")]):
            with pytest.raises(GraderError, match=r"expected arguments of 'find'.*not JSON.*fault of the data"):
                judge(expected, output)


HOSTILE = {
    "nested arrays": "[" * 100_000 + "]" * 100_000,
    "nested objects": '{"n":' * 100_000 + "1" + "}" * 100_000,
    "open brackets": "[" * 100_000,
    "nested inside a key": '{"n":' + "[" * 100_000 + "]" * 100_000 + "}",
    "long integer": '{"n": ' + "9" * 5_000 + "}",
    "raw control character": '{"n": "\x00"}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arguments_that_do_not_decode(name: str) -> None:
    """Arguments that no decoder survives match nothing, alone and beside other calls; the name still counts."""
    hostile = FunctionCall("f", HOSTILE[name])
    found = judge(call({"n": 1}), hostile)
    assert (found.reward, found.category, found.halves) == (0.5, DECODE, (0.5, 0.0))
    assert len(found.explanation) < 1_000
    assert judge(call({"n": 1}), [hostile, hostile]).reward == 0.25


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"n": "x" * 500_000}, id="half a MB in one word"),
        pytest.param({"n": "x y " * 100_000}, id="half a MB in many words"),
        pytest.param({"n": [0] * 100_000}, id="many elements"),
        pytest.param({str(n): n for n in range(10_000)}, id="many keys"),
        pytest.param({"\ud800\x00": "\udfff\x1b[31m"}, id="not printable"),
        pytest.param({"k" * 100_000: 1}, id="long key"),
        pytest.param({"n": 10**4_000}, id="long integer"),
    ],
)
def test_hostile_arguments_that_decode(value: Any) -> None:
    """Huge and odd values get a verdict whose texts are short, printable and encodable."""
    found = judge(call({"n": "plain"}), call(value))
    assert found.reward == 0.5
    assert found.paths
    for shown in (found.explanation, found.path, found.expected, found.actual, *found.paths):
        if shown is not None:
            assert len(shown) < 2_000
            assert not re.search(r"[\x00-\x08\x1b]", shown)
            shown.encode()


def test_deep_values_are_compared_in_full() -> None:
    """Values as deep as the decoder takes them are compared without recursion: the same ones match, others do not."""
    depth = 300
    deep, other = (FunctionCall("f", '{"n": ' + "[" * depth + end + "]" * depth + "}") for end in ("1", "2"))
    spaced = FunctionCall("f", deep.arguments.replace("[", "[ "))
    assert judge(deep, spaced).reward == 1.0
    assert judge(deep, other).reward == 0.5


def test_paths_are_bounded() -> None:
    """Twenty paths are listed, and the further ones counted."""
    found = judge(call({f"k{n}": n for n in range(30)}), call({f"k{n}": -1 for n in range(30)}))
    assert found.paths == tuple(f"$.k{n}" for n in range(20))
    assert (found.path, found.further_paths) == ("$.k0", 10)


@pytest.mark.parametrize(
    ("wanted", "output", "explanation", "there"),
    [
        (
            {"day": "Mon", "n": 1},
            call({"day": "Tue", "n": 1}),
            'at $.day: expected "Mon", got "Tue" (1 of 2 arguments match)',
            ('"Mon"', '"Tue"'),
        ),
        ({"n": 1}, call({}), "at $.n: expected 1, got nothing (0 of 1 arguments match)", ("1", None)),
        ({}, call({"n": 1}), "at $.n: expected nothing, got 1 (0 of 1 arguments match)", (None, "1")),
        ({}, call({}, "g"), "expected f, got g", ("f", "g")),
        (
            {"n": 1, "m": 1},
            call({"n": 2, "m": 1}, "g"),
            "expected f, got g; at $.n: expected 1, got 2 (1 of 2 arguments match)",
            ("1", "2"),
        ),
        ({"n": 1}, call([2]), 'at $: expected {"n": 1}, got [2]', ('{"n": 1}', "[2]")),
        ([1], call([2]), "at $: expected [1], got [2]", ("[1]", "[2]")),
        (
            {"n": 1},
            FunctionCall("f", ""),
            "the arguments are empty, which is not JSON: the server sent no arguments",
            (None, None),
        ),
        (
            {"n": 1},
            FunctionCall("g", "[" * 100_000),
            "expected f, got g; the arguments are nested too deep",
            (None, None),
        ),
    ],
)
def test_explanations(
    wanted: Any, output: FunctionCall, explanation: str, there: tuple[str | None, str | None]
) -> None:
    """A grade under 1 names the first difference, the values there, and how many arguments match."""
    found = judge(call(wanted), output)
    assert (found.explanation, (found.expected, found.actual)) == (explanation, there)


# Several calls


def numbered(*numbers: int) -> list[FunctionCall]:
    """Return calls of `f`, of which two with different numbers earn 0.75 against each other."""
    return [call({"n": number, "same": True}) for number in numbers]


ADD, FIND, BOOK = call({"a": 1}, "add"), call({"q": "x"}, "find"), call({"city": "Oslo"}, "book")


@pytest.mark.parametrize(
    ("expected", "output", "wanted", "category", "paths"),
    [
        (numbered(1, 2), numbered(1, 2), 1.0, BATCH, ()),
        (numbered(1, 2), numbered(2, 1), 1.0, BATCH, ()),
        (numbered(1, 2), numbered(1, 3), 1.75 / 2, VALUE, ("$.calls[1].arguments.n",)),
        (numbered(1, 2), numbered(2, 3), 1.75 / 2, VALUE, ("$.calls[0].arguments.n",)),
        (numbered(1, 2), numbered(1), 1 / 2, NUMBER, ("$.calls[1]",)),
        (numbered(1, 2), numbered(2), 1 / 2, NUMBER, ("$.calls[0]",)),
        (numbered(1), numbered(1, 2), 1 / 2, NUMBER, ()),
        (numbered(1), numbered(3, 2), 0.75 / 2, VALUE, ("$.n",)),
        (numbered(1, 2), numbered(1, 2, 3), 2 / 3, NUMBER, ()),
        (numbered(1, 2), numbered(4, 5, 6), 1.5 / 3, VALUE, ("$.calls[0].arguments.n", "$.calls[1].arguments.n")),
        (numbered(1, 1), numbered(1, 1), 1.0, BATCH, ()),
        ([ADD, FIND], [FIND, BOOK], 1 / 2, NAME, ("$.calls[0]",)),
        ([ADD, FIND], [BOOK], 0.0, NAME, ("$.calls[0]", "$.calls[1]")),
        ([ADD, FIND], [call({"a": 1}, "plus"), FIND], 1.5 / 2, NAME, ("$.calls[0].name",)),
        ([ADD, FIND], [FunctionCall("add", "{"), FIND], 1.5 / 2, DECODE, ("$.calls[0].arguments",)),
        ([FIND], [FunctionCall("find", "{"), ADD], 0.5 / 2, DECODE, ("$",)),
        ([FIND], [call({"q": "x"}, "search"), ADD], 0.5 / 2, NAME, ()),
        ([call([]), ADD], [ADD, call([])], 1.0, BATCH, ()),
        ([call([]), ADD], [ADD, call({})], 1.5 / 2, VALUE, ("$.calls[0].arguments",)),
    ],
)
def test_several_calls(
    expected: list[FunctionCall], output: list[FunctionCall], wanted: float, category: str, paths: tuple[str, ...]
) -> None:
    """Calls are paired one to one for the best sum, which is divided by the greater number of calls."""
    found = judge(Action(tuple(expected)), output)
    assert found.reward == pytest.approx(wanted)
    assert (found.category, found.paths) == (category, paths)
    assert found.path == (paths[0] if paths else None)
    assert found.halves is not None
    assert sum(found.halves) == pytest.approx(wanted)
    assert max(found.halves) <= 0.5


@pytest.mark.parametrize(
    ("expected", "output", "pairs"),
    [
        (numbered(1, 2), numbered(2, 1), [(0, 1, 1.0), (1, 0, 1.0)]),
        (numbered(1, 2), numbered(2, 9), [(0, 1, 0.75), (1, 0, 1.0)]),
        (numbered(1, 2, 3), numbered(3), [(0, None, 0.0), (1, None, 0.0), (2, 0, 1.0)]),
        (numbered(2), numbered(1, 2, 3), [(0, 1, 1.0), (None, 0, 0.0), (None, 2, 0.0)]),
        ([ADD, FIND], [FIND, BOOK], [(0, None, 0.0), (1, 0, 1.0), (None, 1, 0.0)]),
        ([ADD], [BOOK, FIND], [(0, None, 0.0), (None, 0, 0.0), (None, 1, 0.0)]),
    ],
)
def test_pairs(
    expected: list[FunctionCall], output: list[FunctionCall], pairs: list[tuple[int | None, int | None, float]]
) -> None:
    """The pairs tell who was paired for what reward, and who was left on both sides; nobody is paired for nothing."""
    found = judge(Action(tuple(expected)), output)
    assert [(pair.expected, pair.actual, pair.reward) for pair in found.pairs] == pairs


def test_pairing_is_not_greedy() -> None:
    """A call that could serve two expected ones in full is left to the one that has no other."""
    expected = Action((call({"t": "red wine"}), call({"t": "wine list"})))
    assert judge(expected, [call({"t": "red wine list"}), call({"t": "the red wine"})]).reward == 1.0


@pytest.mark.parametrize(("near", "far"), [(2, 1), (3, 2), (1, 0)])
def test_pairing_goes_by_the_share_of_arguments(near: int, far: int) -> None:
    """Of two calls of the same name the one with more matching arguments is paired, whichever comes first."""
    wanted = {"a": 1, "b": 2, "c": 3}

    def with_right(right: int) -> FunctionCall:
        return call({key: value if n < right else 0 for n, (key, value) in enumerate(wanted.items())})

    for output in ([with_right(near), with_right(far)], [with_right(far), with_right(near)]):
        assert judge(call(wanted), output).reward == pytest.approx((0.5 + 0.5 * near / 3) / 2)


def test_a_batch_explains_its_first_difference() -> None:
    """The explanation names the first expected call that did not match, and what is wrong with it or the number."""
    assert judge(Action(tuple(numbered(1, 2))), numbered(1, 3)).explanation == (
        "expected call 2 of 2: at $.n: expected 2, got 3 (1 of 2 arguments match)"
    )
    assert judge(Action((ADD, FIND)), [FIND, BOOK]).explanation == (
        "expected call 1 of 2 has no match: expected add, got book"
    )
    assert judge(Action((ADD, FIND)), [FIND]).explanation == "expected 2 calls, got 1"
    assert judge(ADD, [ADD, FIND]).explanation == "expected 1 call, got 2"
    found = judge(Action((ADD, FIND)), [FIND])
    assert (found.expected, found.actual) == ("2", "1")
    found = judge(Action((ADD, FIND)), [BOOK, call({"q": "y"}, "look"), FIND])
    assert (found.explanation, found.expected, found.actual) == (
        "expected call 1 of 2 has no match: expected add, got book",
        "add",
        "book",
    )


@pytest.mark.parametrize("kind", ["identical", "shuffled", "all different", "half as many", "nothing in common"])
def test_a_hundred_calls(kind: str) -> None:
    """A hundred parallel calls are graded within seconds, whatever they have in common."""
    many = [call({"id": n, "city": f"town {n}", "list": [n, {"n": n}]}, f"tool{n % 7}") for n in range(100)]
    output = {
        "identical": many,
        "shuffled": many[::-1],
        "all different": [call({"id": n + 1, "city": f"TOWN {n // 3}"}, f"tool{n % 5}") for n in range(100)],
        "half as many": many[25:75],
        "nothing in common": [call({"x": n}, "other") for n in range(100)],
    }[kind]
    start = time.process_time()
    found = judge(Action(tuple(many)), output)
    assert time.process_time() - start < 10
    wanted = {"identical": 1.0, "shuffled": 1.0, "half as many": 0.5, "nothing in common": 0.0}
    assert found.reward == wanted.get(kind, found.reward)
    assert 0.0 <= found.reward <= 1.0
    assert len(found.paths) <= MOST_PATHS
    assert len({pair.expected for pair in found.pairs} - {None}) == 100


# Messages


@pytest.mark.parametrize(
    ("expected", "answer", "wanted", "category"),
    [
        ("Your refund is on its way.", "The refund is on the way!", 1.0, FOUND),
        ("Your refund is on its way.", "A refund?", 0.5, PARTLY),
        ("Your refund is on its way.", "No.", 0.0, DIFFERENT),
        ("Your refund is on its way.", " \n", 0.0, DIFFERENT),
        ("Is it?", "Anything at all", 1.0, FOUND),
        ("Is it?", "", 0.0, DIFFERENT),
        ("", "Anything at all", 1.0, FOUND),
        ("", "", 0.0, DIFFERENT),
    ],
)
def test_messages(expected: str, answer: str, wanted: float, category: str) -> None:
    """A message earns the share of the expected keywords that it has; the category tells all, some or none."""
    found = judge(Message(expected), answer)
    assert (found.reward, found.category) == (wanted, category)
    assert (found.halves, found.path, found.pairs) == (None, None, ())


def test_a_message_explains_what_is_missing() -> None:
    """The explanation counts the keywords and names some that are missing; a blank message is called so."""
    found = judge(Message("Your refund of order 12 arrives Monday morning."), "Refund: order 12.")
    assert found.explanation == "3 of 6 keywords of the expected message found; missing: arrives, monday, morning"
    assert judge(Message("Refund"), "").explanation == "the message is blank"
    assert judge(Message("Is it?"), "No").explanation == "the expected message has no keywords"
    assert judge(Message("Refund sent"), "sent refund").explanation == "2 of 2 keywords of the expected message found"
    assert judge(Message("a1 b2 c3 d4 e5"), "no").explanation.endswith("; missing: a1, b2, c3, d4, e5")
    assert judge(Message("a1 b2 c3 d4 e5 f6"), "no").explanation.endswith("; missing: a1, b2, c3, d4, e5, …")
    found = judge(Message("Refund sent"), "refund")
    assert (found.expected, found.actual) == ('"Refund sent"', '"refund"')
    long = judge(Message(" ".join(f"word{n}" * 20 for n in range(50))), "no")
    assert long.explanation.endswith(", …")
    assert len(long.explanation) < 400


def test_a_score_from_elsewhere() -> None:
    """Who scores messages in another way gets the grade for a score, by the same categories."""
    grader = AgenticGrader()
    found = grader.grade_message("The refund is on its way", "Money is coming", 0.8, "the same, in other words")
    assert (found.reward, found.category, found.explanation) == (0.8, PARTLY, "the same, in other words")
    assert (found.expected, found.actual) == ('"The refund is on its way"', '"Money is coming"')
    assert grader.grade_message("a", "b", 1, "").category == FOUND
    assert grader.grade_message("a", "b", 0.0, "").category == DIFFERENT
    blank = grader.grade_message("a", " ", 1.0, "well said")
    assert (blank.reward, blank.category) == (0.0, DIFFERENT)


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_score_out_of_range(score: float) -> None:
    """A score outside of 0 to 1 is no reward."""
    with pytest.raises(GraderError, match="from 0 to 1"):
        AgenticGrader().grade_message("a", "b", score, "")


# Algebra


keys = st.sampled_from(["a", "b", "c-d", "é", '"', "", "0", "\\"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.integers(),
    st.floats(),
    st.sampled_from(["", " ", "Oslo", "oslo ", "Oslo, Norway", "x"]),
    st.text(max_size=4),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=5)
names = st.sampled_from(["f", "g", "h"])
calls = st.builds(call, objects, names)
small_calls = st.builds(call, st.dictionaries(st.sampled_from("abc"), st.integers(0, 1), max_size=3), names)
odd_calls = st.builds(FunctionCall, names, st.one_of(st.text(max_size=5), st.sampled_from(["{", "[]", "null", "NaN"])))


def batches(calls: st.SearchStrategy[FunctionCall], fewest: int = 1, most: int = 4) -> st.SearchStrategy[Action]:
    """Actions of some calls."""
    return st.lists(calls, min_size=fewest, max_size=most).map(tuple).map(Action)


actions = st.one_of(
    batches(st.one_of(calls, odd_calls)),
    st.builds(Action, message=st.one_of(st.text(max_size=20), st.just("Your refund is on its way"))),
    st.just(Action()),
)


@PROPERTY
@given(st.one_of(batches(calls), st.builds(Action, message=st.text(max_size=20))), actions)
def test_rewards_are_shares(expected: Action, actual: Action) -> None:
    """Whatever is compared, reward and halves are in range and agree, and the grade is made of builtins."""
    found = judge(expected, actual)
    assert type(found.reward) is float
    assert 0.0 <= found.reward <= 1.0
    assert (found.category in (YES, BATCH, FOUND)) == (found.reward == 1.0)
    if found.halves is not None:
        assert all(type(half) is float and 0.0 <= half <= 0.5 for half in found.halves)
        assert sum(found.halves) == pytest.approx(found.reward)
    assert found.path == (found.paths[0] if found.paths else None)
    assert all(type(path) is str for path in found.paths)
    assert len(found.paths) <= MOST_PATHS


@PROPERTY
@given(st.lists(st.one_of(calls, st.builds(call, values)), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_a_perfect_answer_scores_1(expected: list[FunctionCall], order: Any) -> None:
    """The expected calls themselves earn 1, in any order and formatting, whatever JSON their arguments are."""
    answer = [FunctionCall(one.name, json.dumps(json.loads(one.arguments), indent=1)) for one in expected]
    order.shuffle(answer)
    found = judge(Action(tuple(expected)), answer)
    assert found.reward == 1.0
    assert (found.paths, found.halves) == ((), (0.5, 0.5))
    assert found.category == (YES if len(expected) == 1 else BATCH)


@PROPERTY
@given(batches(st.one_of(calls, st.builds(call, values))), batches(st.one_of(calls, st.builds(call, values))))
def test_calls_are_judged_alike_from_both_sides(one: Action, other: Action) -> None:
    """Which of two batches is the expected one does not change the reward, where all arguments decode."""
    assert judge(one, other).reward == judge(other, one).reward


@PROPERTY
@given(batches(calls), batches(calls), st.integers(0, 3), values)
def test_an_invented_argument_never_helps(expected: Action, actual: Action, place: int, value: Any) -> None:
    """An argument that no expected call has cannot raise the reward."""
    place %= len(actual.calls)
    changed = actual.calls[place]
    more = call({**json.loads(changed.arguments), "invented": value}, changed.name)
    calls = (*actual.calls[:place], more, *actual.calls[place + 1 :])
    assert judge(expected, Action(calls)).reward <= judge(expected, actual).reward


@PROPERTY
@given(objects, objects)
def test_an_invented_argument_costs_what_a_missing_one_does(
    wanted: dict[str, Any], given_value: dict[str, Any]
) -> None:
    """One key more than expected and one key fewer than expected give the same reward."""
    more = {**wanted, "invented": 1}
    assert reward(wanted, more) == reward(more, wanted)
    assert reward({**given_value, "invented": 1}, given_value) == reward(given_value, {**given_value, "invented": 1})


@PROPERTY
@given(batches(st.one_of(small_calls, odd_calls), 2), st.randoms(use_true_random=False), batches(small_calls))
def test_the_order_of_calls_does_not_matter(actual: Action, order: Any, expected: Action) -> None:
    """However the calls on either side are ordered, reward and halves' sum are exactly the same."""

    def shuffled(action: Action) -> Action:
        found = list(action.calls)
        order.shuffle(found)
        return Action(tuple(found))

    assert judge(expected, actual).reward == judge(shuffled(expected), shuffled(actual)).reward


def rewards(expected: Action, actual: Action) -> list[list[float]]:
    """Grade every expected call alone against every actual one."""
    return [[judge(one, other).reward for other in actual.calls] for one in expected.calls]


@PROPERTY
@given(batches(small_calls), batches(st.one_of(small_calls, odd_calls)))
def test_calls_are_paired_as_well_as_possible(expected: Action, actual: Action) -> None:
    """The reward is that of the best of all pairings, found by trying them all, over the greater number of calls."""
    best = greatest_total(rewards(expected, actual))
    assert judge(expected, actual).reward == pytest.approx(best / max(len(expected.calls), len(actual.calls)))


@PROPERTY
@given(batches(calls, most=5), batches(calls, most=5))
def test_no_greedy_pairing_is_better(expected: Action, actual: Action) -> None:
    """Taking the best call that is left, for the expected calls in any order, never earns more."""
    scores = rewards(expected, actual)
    size = max(len(expected.calls), len(actual.calls))
    found = judge(expected, actual).reward
    for order in permutations(range(len(expected.calls))):
        left, earned = set(range(len(actual.calls))), 0.0
        for row in order:
            if left:
                column = max(left, key=scores[row].__getitem__)
                left.discard(column)
                earned += scores[row][column]
        assert found >= earned / size - 1e-9


@PROPERTY
@given(batches(small_calls), batches(st.one_of(small_calls, odd_calls)))
def test_pairs_add_up(expected: Action, actual: Action) -> None:
    """The pairs name each call of both sides once, their rewards are those of single calls, and add up."""
    found = judge(expected, actual)
    if len(expected.calls) == len(actual.calls) == 1:
        assert found.pairs == ()
        return
    named: Sequence[Sequence[int | None]] = (
        [pair.expected for pair in found.pairs],
        [pair.actual for pair in found.pairs],
    )
    for side, action in zip(named, (expected, actual), strict=True):
        assert sorted(n for n in side if n is not None) == list(range(len(action.calls)))
    scores = rewards(expected, actual)
    for pair in found.pairs:
        paired = pair.expected is not None and pair.actual is not None
        assert paired == (pair.reward > 0)
        if pair.expected is not None and pair.actual is not None:
            assert pair.reward == scores[pair.expected][pair.actual]
    size = max(len(expected.calls), len(actual.calls))
    assert found.reward == pytest.approx(sum(pair.reward for pair in found.pairs) / size)


@PROPERTY
@given(objects, objects, names)
def test_the_halves_are_independent(wanted: dict[str, Any], given_value: dict[str, Any], name: str) -> None:
    """The arguments earn the same under the right name and a wrong one, and the name the same for any arguments."""
    found = judge(call(wanted), call(given_value, name))
    right = judge(call(wanted), call(given_value))
    assert found.halves is not None
    assert right.halves is not None
    assert found.halves == (0.5 if name == "f" else 0.0, right.halves[1])


@PROPERTY
@given(objects, objects)
def test_paths_lead_to_what_differs(wanted: dict[str, Any], given_value: dict[str, Any]) -> None:
    """There is one path for each key of both sides that does not match, and so they account for the share."""
    found = judge(call(wanted), call(given_value))
    assert found.halves is not None
    keys = len({*wanted, *given_value})
    assert len(set(found.paths)) == len(found.paths)
    assert found.halves[1] == pytest.approx(0.5 * (1 - len(found.paths) / keys) if keys else 0.5)
