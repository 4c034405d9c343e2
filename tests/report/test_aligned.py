"""The comparison of two actions as rows: what differs, what the grader accepts, what it named, and in which order."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot import Action, FunctionCall, Grade
from pytest_fcpivot.graders import AgenticGrader, NemoGymGrader
from pytest_fcpivot.graders.arguments import same_json
from pytest_fcpivot.graders.own import given_grader
from pytest_fcpivot.report.aligned import Aligned, Row, align, align_values

if TYPE_CHECKING:
    from pytest_fcpivot.graders import Grader

FIRST_CALL, AGENTIC = NemoGymGrader(), AgenticGrader()
ANY_ORDER = NemoGymGrader(version="any-order")
COUNTED = NemoGymGrader(version="any-order", parallel_tool_call_rewarding=True)

PROPERTY = settings(deadline=None)
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=True) | st.text(max_size=8)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
UNLIKE = ("differs", "missing", "surplus")


def call(name: str, **arguments: Any) -> FunctionCall:
    """Return a call."""
    return FunctionCall(name, arguments)


def calls(*given_calls: FunctionCall) -> Action:
    """Return an action of calls."""
    return Action(given_calls)


def compared(expected: Action, actual: Action, grader: Grader = FIRST_CALL) -> Aligned:
    """Compare two actions as the grader grades them."""
    return align(expected, actual, grader.grade(expected, actual), grader)


def states(aligned: Aligned) -> dict[str, str]:
    """Return the states of the rows by their paths."""
    return {row.path: row.state for row in aligned.rows}


def row(aligned: Aligned, path: str) -> Row:
    """Return the one row at a path."""
    (found,) = [each for each in aligned.rows if each.path == path]
    return found


def leaves(value: Any) -> int:
    """Count the scalars and the empty objects and arrays in a value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(leaves, inner)) or 1


def test_what_differs_comes_first() -> None:
    """The name is above the arguments; among these, what differs comes before what is equal."""
    expected = calls(call("book", seats=2, city="Oslo", filters={"a": 1, "b": [1, 2]}))
    actual = calls(call("book", seats=2, city="Rome", filters={"a": 1, "b": [1, 3]}))
    aligned = compared(expected, actual)
    assert [(each.depth, each.key, each.expected, each.actual, each.state) for each in aligned.rows] == [
        (0, "name", "book", "book", "equal"),
        (0, "arguments", "3 keys", "3 keys", "differs"),
        (1, "city", '"Oslo"', '"Rome"', "differs"),
        (1, "filters", "2 keys", "2 keys", "differs"),
        (2, "b", "2 elements", "2 elements", "differs"),
        (3, "[1]", "2", "3", "differs"),
        (3, "[0]", "1", "1", "equal"),
        (2, "a", "1", "1", "equal"),
        (1, "seats", "2", "2", "equal"),
    ]


def test_keys_of_one_side() -> None:
    """A key that only one side has is missing or surplus, with all that is in it."""
    aligned = compared(calls(call("f", both=1, wanted={"x": [1]})), calls(call("f", both=1, given=[2])))
    of = "$.calls[0].arguments"
    assert states(aligned) == {
        "$.calls[0].name": "equal",
        of: "differs",
        f"{of}.wanted": "missing",
        f"{of}.wanted.x": "missing",
        f"{of}.wanted.x[0]": "missing",
        f"{of}.given": "surplus",
        f"{of}.given[0]": "surplus",
        f"{of}.both": "equal",
    }
    assert (row(aligned, f"{of}.wanted.x[0]").expected, row(aligned, f"{of}.wanted.x[0]").actual) == ("1", None)
    assert row(aligned, of).named  # the grade's path leads to the object whose keys differ


@pytest.mark.parametrize(
    ("wanted", "actual", "nemo_gym", "agentic"),
    [
        (5, 5.0, "differs", "equal"),
        (1, True, "accepted", "differs"),
        (1.0, 1.0000001, "accepted", "differs"),
        ("flights to Oslo", "the flights to Rome", "accepted", "differs"),
        ("Oslo", "oslo", "differs", "accepted"),
        ("Oslo", "Oslo, Norway", "differs", "accepted"),
        ("Oslo", "Rome", "differs", "differs"),
        ([1, 2], [2, 1], "differs", "differs"),
        ({}, [], "differs", "differs"),
    ],
)
def test_the_grader_decides(wanted: Any, actual: Any, nemo_gym: str, agentic: str) -> None:
    """A difference that the grader accepts is not shown as one; each grader is asked by its own rules."""
    for grader, state in ((FIRST_CALL, nemo_gym), (AGENTIC, agentic)):
        expected, answer = calls(call("f", x=wanted)), calls(call("f", x=actual))
        aligned = compared(expected, answer, grader)
        assert row(aligned, "$.calls[0].arguments.x").state == state
        assert (row(aligned, "$.calls[0].arguments").state in UNLIKE) == (grader.grade(expected, answer).reward < 1)


def test_texts_inside_of_values() -> None:
    """The agentic grader lets texts contain each other as arguments, but not deeper inside of them."""
    aligned = compared(calls(call("f", a="x", b=["x"])), calls(call("f", a="xy", b=["xy"])), AGENTIC)
    assert states(aligned)["$.calls[0].arguments.a"] == "accepted"
    assert states(aligned)["$.calls[0].arguments.b[0]"] == "differs"


def test_even_the_same_text_may_differ() -> None:
    """With a threshold that no text reaches, even the same text differs, and the row says that this is so."""
    strict = NemoGymGrader(word_count_similarity_threshold=0.9)
    both = calls(call("f", x="two words"))
    found = row(compared(both, both, strict), "$.calls[0].arguments.x")
    assert (found.state, found.named) == ("differs", True)
    assert "by its settings" in found.remark


def test_another_tool() -> None:
    """Names that differ are shown with the arguments of both calls."""
    aligned = compared(calls(call("book", city="Oslo")), calls(call("Book", city="Oslo")))
    assert row(aligned, "$.calls[0].name") == Row(
        0, "name", "$.calls[0].name", "book", "Book", "differs", remark="(they differ only in case)"
    )
    assert row(aligned, "$.calls[0].arguments").folded


@pytest.mark.parametrize(
    ("arguments", "text", "remark"),
    [
        ('{"x": 1', '{"x": 1', "actual: the arguments are not JSON"),
        ("", "", "actual: the arguments are empty"),
        ("a\x1b[31m", "a\\u001b[31m", "actual: the arguments are not JSON"),
    ],
)
def test_arguments_that_are_not_json(arguments: str, text: str, remark: str) -> None:
    """Arguments that cannot be decoded are shown as they are, escaped, with the reason."""
    aligned = compared(calls(call("f", x=1)), calls(FunctionCall("f", arguments)))
    found = row(aligned, "$.calls[0].arguments")
    assert (found.expected, found.actual, found.state, found.named) == ('{"x": 1}', text, "differs", True)
    assert found.remark.startswith(remark)


def test_damaged_expected_arguments() -> None:
    """Expected arguments that are not JSON are shown as text too; no grader judges them."""
    found = row(align(calls(FunctionCall("f", "{")), calls(call("f"))), "$.calls[0].arguments")
    assert (found.expected, found.actual, found.state) == ("{", "{}", "differs")
    assert found.remark.startswith("expected: the arguments are not JSON")


def test_calls_are_paired_as_the_grader_paired_them() -> None:
    """Calls in another order stand beside their partners; what differs comes first."""
    expected = calls(call("a", x=1), call("b", x=2), call("c", x=3))
    actual = calls(call("c", x=3), call("a", x=9), call("b", x=2))
    aligned = compared(expected, actual, AGENTIC)
    assert [(each.expected, each.actual, each.state) for each in aligned.rows if each.depth == 0] == [
        ("call 1 of 3", "call 2 of 3", "differs"),
        ("call 2 of 3", "call 3 of 3", "equal"),
        ("call 3 of 3", "call 1 of 3", "equal"),
    ]
    assert [each.path for each in aligned.rows if each.named] == ["$.calls[0].arguments.x"]


def test_calls_of_one_tool_that_do_not_match() -> None:
    """Calls without partner are put side by side if they are of one tool; the verifier's path marks the value."""
    expected = calls(call("a", x=1), call("b", x="Oslo"))
    actual = calls(call("b", x="Rome"), call("a", x=1))
    aligned = compared(expected, actual, ANY_ORDER)
    first = aligned.rows[0]
    assert (first.expected, first.actual, first.state) == ("call 2 of 2", "call 1 of 2", "differs")
    assert "both are of one tool" in first.remark
    assert [each.path for each in aligned.rows if each.named] == ["$.calls[1].arguments.x"]


@pytest.mark.parametrize(
    ("grader", "surplus"),
    [(FIRST_CALL, "accepted"), (ANY_ORDER, "accepted"), (COUNTED, "surplus"), (AGENTIC, "surplus")],
)
def test_surplus_calls(grader: Grader, surplus: str) -> None:
    """A call that nobody expected is a difference only for a grader that counts calls."""
    aligned = compared(calls(call("a", x=1)), calls(call("a", x=1), call("b", y=[2])), grader)
    assert {each.state for each in aligned.rows if each.path.startswith("$.calls[1]")} == {surplus}
    assert row(aligned, "$.calls[1].arguments.y[0]").actual == "2"


def test_a_missing_call() -> None:
    """A call that the answer lacks is missing, unless the settings allow to leave calls out."""
    expected, actual = calls(call("a", x=1), call("b")), calls(call("a", x=1))
    assert states(compared(expected, actual, COUNTED))["$.calls[1]"] == "missing"
    subset = NemoGymGrader(version="any-order", parallel_tool_call_rewarding=True, allow_subset=True)
    assert states(compared(expected, actual, subset))["$.calls[1]"] == "accepted"
    assert states(compared(expected, Action(message="no"), subset))["$.calls[1]"] == "missing"


@pytest.mark.parametrize(
    ("expected", "actual", "rows"),
    [
        (Action(message="Hi"), Action(message="Hi"), [("message", "Hi", "Hi", "equal")]),
        (Action(message="Hi"), Action(message="Bye"), [("message", "Hi", "Bye", "accepted")]),
        (Action(message="Hi"), Action(), [("message", "Hi", None, "missing")]),
        (
            Action(message="Hi"),
            calls(call("f")),
            [("message", "Hi", None, "missing"), ("name", None, "f", "surplus"), ("arguments", None, "{}", "surplus")],
        ),
        (
            calls(call("f")),
            Action(message="a\nb"),
            [
                ("message", None, "a\nb", "surplus"),
                ("name", "f", None, "missing"),
                ("arguments", "{}", None, "missing"),
            ],
        ),
        (
            Action(message="Hi"),
            Action(malformed="<call>\u202e"),
            [
                ("message", "Hi", None, "missing"),
                ("output that could not be parsed", None, "<call>\\u202e", "surplus"),
            ],
        ),
    ],
)
def test_other_kinds(expected: Action, actual: Action, rows: list[tuple[str, str | None, str | None, str]]) -> None:
    """Messages, calls, malformed output and nothing stand against each other; nothing of them is hidden."""
    aligned = compared(expected, actual)
    assert [(each.key, each.expected, each.actual, each.state) for each in aligned.rows] == rows


def test_a_message_in_part() -> None:
    """A message that earns only a part of the reward differs."""
    aligned = compared(Action(message="flights to Oslo"), Action(message="flights to Rome"), AGENTIC)
    assert aligned.rows[0].state == "differs"


def test_own_graders_cannot_be_asked() -> None:
    """With a user's own grader, JSON is compared, its paths are marked, and what it gave 1 for is accepted."""
    expected, actual = calls(call("f", x=1, y=2)), calls(call("f", x=1, y=3, z=4))
    own = given_grader(
        lambda _one, _other: Grade(0.5, "MINE", path="$.x", paths=("$.x", "$.gone\x1b")), {}, where="grader"
    )
    aligned = compared(expected, actual, own)
    assert states(aligned) == {
        "$.calls[0].name": "equal",
        "$.calls[0].arguments": "differs",
        "$.calls[0].arguments.y": "differs",
        "$.calls[0].arguments.z": "surplus",
        "$.calls[0].arguments.x": "equal",
    }
    assert [each.key for each in aligned.rows if each.named] == ["x"]
    assert aligned.unplaced == ("$.gone\\u001b",)
    right = given_grader(lambda _one, _other: True, {}, where="grader")
    assert set(states(compared(expected, actual, right)).values()) == {"equal", "accepted"}


def test_what_cannot_be_seen() -> None:
    """Blanks and look-alikes are escaped where they are the difference, and the row says so."""
    aligned = compared(calls(call("f", x="a b")), calls(call("f", x="a\u00a0b")))
    found = row(aligned, "$.calls[0].arguments.x")
    assert found.expected != found.actual
    assert found.remark == "(they differ only in white space)"


def test_long_values_and_deep_ones() -> None:
    """A long text is cut around the difference; what is nested very deep is one row that still tells the difference."""
    long = "x" * 5_000
    found = row(align_values({"a": long + "1" + long}, {"a": long + "2" + long}), "$.a")
    assert found.expected is not None
    assert found.actual is not None
    assert "1" in found.expected
    assert "2" in found.actual
    assert len(found.actual) < 500
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    assert {each.state for each in align_values(deep, deep).rows} == {"equal"}
    assert {each.state for each in align_values(deep, [deep]).rows} == {"differs"}


def test_too_many_rows() -> None:
    """Of too many rows, equal ones are left out before others, and the number of those left out is told."""
    wanted: dict[str, Any] = {f"k{n}": n for n in range(100)}
    aligned = align_values(wanted, wanted | {"k99": "other"}, most_rows=10)
    assert [each.key for each in aligned.rows] == ["$", "k99"]
    assert aligned.left_out == 99
    aligned = align_values(wanted, {key: -1 - value for key, value in wanted.items()}, most_rows=10)
    assert (len(aligned.rows), aligned.left_out) == (10, 91)


def test_plain_values_come_out() -> None:
    """The comparison is also there as objects that JSON can hold."""
    aligned = compared(calls(call("f", x=1)), calls(call("f", x=2)))
    built = json.loads(json.dumps(aligned.builtins()))
    assert [Row(**each) for each in built["rows"]] == list(aligned.rows)
    assert (built["left_out"], built["unplaced"]) == (0, [])


@PROPERTY
@given(JSON)
def test_equal_values_have_only_equal_rows(value: Any) -> None:
    """A value against a copy of itself has equal rows alone, and one row for each of its leaves."""
    aligned = align_values(value, json.loads(json.dumps(value)))
    assert {each.state for each in aligned.rows} == {"equal"}
    assert sum(not each.inner for each in aligned.rows) == leaves(value)


@PROPERTY
@given(JSON, JSON)
def test_rows_and_verdict_agree(wanted: Any, actual: Any) -> None:
    """Each grader's verdict on arguments is that of the rows: right if and only if no row is unlike."""
    expected, answer = calls(FunctionCall("f", json.dumps(wanted))), calls(FunctionCall("f", json.dumps(actual)))
    for grader in (FIRST_CALL, ANY_ORDER, AGENTIC):
        aligned = compared(expected, answer, grader)
        assert any(each.state in UNLIKE for each in aligned.rows) == (grader.grade(expected, answer).reward < 1)
        assert aligned.unplaced == ()


@PROPERTY
@given(JSON, JSON)
def test_each_difference_has_one_row(wanted: Any, actual: Any) -> None:
    """Without a grader, the paths of rows are distinct, and both sides swapped give the same rows mirrored."""
    aligned, mirrored = align_values(wanted, actual), align_values(actual, wanted)
    assert any(each.state in UNLIKE for each in aligned.rows) == (not same_json(wanted, actual))
    swapped = {"missing": "surplus", "surplus": "missing"}
    here = Counter((each.path, each.expected, each.actual, each.state) for each in aligned.rows)
    there = Counter(
        (each.path, each.actual, each.expected, swapped.get(each.state, each.state)) for each in mirrored.rows
    )
    assert here == there
    assert max(here.values()) == 1


@PROPERTY
@given(JSON, JSON)
def test_children_follow_their_row(wanted: Any, actual: Any) -> None:
    """The number of rows under a row is right, and a row whose rows are all alike is folded."""
    rows = align_values(wanted, actual).rows
    for at, each in enumerate(rows):
        under = rows[at + 1 : at + 1 + each.inner]
        assert all(other.depth > each.depth for other in under)
        assert at + 1 + each.inner == len(rows) or rows[at + 1 + each.inner].depth <= each.depth
        assert each.folded == (bool(under) and all(other.state in ("equal", "accepted") for other in under))
