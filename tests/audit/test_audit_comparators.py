"""The audit's ladder: each rule's own example, what schemas say of a place, and the algebra of the rungs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_fcpivot import Action, FunctionCall
from pytest_fcpivot.audit.comparators import ALONE, CUMULATIVE, EXACT, LADDER, LENIENT, Case, alone, grades

PROPERTY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
EQUALITY = ("exact", "numbers", "case", "defaults", "decoded")
VERIFIERS = ("nemo-gym:first-call", "nemo-gym:any-order", "jaccard")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "n": {"type": "number"},
        "text": {"type": "string"},
        "unit": {"type": "string", "default": "C"},
        "limit": {"type": "integer", "default": 10},
        "tags": {"type": "array", "items": {"type": "object", "properties": {"deep": {"default": None}}}},
        "filter": {"type": ["object", "null"], "properties": {"open": {"type": "boolean", "default": True}}},
        "any": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/range"}]},
        "pair": {"prefixItems": [{"type": "string"}, {"type": "array"}], "items": {"type": "object"}},
        "either": {"type": ["string", "object"]},
    },
    "$defs": {"range": {"type": "object", "properties": {"low": {"default": 0}}}},
}


def tools(schema: Any = SCHEMA, name: str = "f") -> str:
    """Return a list of one tool as JSON text."""
    return json.dumps([{"type": "function", "name": name, "parameters": schema}])


def call(arguments: Any, name: str = "f") -> FunctionCall:
    """Return a call, given its arguments as a value."""
    return FunctionCall(name, json.dumps(arguments))


def case(wanted: Any, given_value: Any, schema: Any = SCHEMA) -> Case:
    """Return a case of one call against one call, by their arguments."""
    return Case(Action((call(wanted),)), Action((call(given_value),)), tools(schema))


def passing(judged: Case) -> set[str]:
    """Name the rungs under which a case has the full reward."""
    return {rung.name for rung, grade in zip(LADDER, grades(judged), strict=True) if grade and grade.reward == 1.0}


def since(rung: str, *others: str) -> set[str]:
    """Name the rungs of equality from one on, lenient, and others."""
    return {*EQUALITY[EQUALITY.index(rung) :], "lenient", *others}


NEVER: set[str] = set()
ALL = {rung.name for rung in LADDER}
# Arguments on both sides, and who accepts them.
RULES: dict[str, tuple[Any, Any, set[str]]] = {
    "same": ({"n": 1, "text": "a b"}, {"text": "a b", "n": 1}, ALL),
    "float-for-integer": ({"n": 1}, {"n": 1.0}, since("numbers", "agentic")),
    "integer-for-float": ({"n": 2.0}, {"n": 2}, since("numbers", "agentic")),
    "large-integer": ({"n": 10**400}, {"n": 1.5}, NEVER),
    "nearly-the-same-float": ({"n": 0.3}, {"n": 0.1 + 0.2}, {*VERIFIERS, "lenient"}),
    "true-for-1": ({"n": 1}, {"n": True}, {*VERIFIERS, "lenient"}),
    "1-for-true": ({"n": True}, {"n": 1}, NEVER),
    "1.0-for-true": ({"n": True}, {"n": 1.0}, NEVER),
    "case-of-a-word": ({"text": "Oslo"}, {"text": "oSLO"}, since("case", "agentic")),
    "case-of-words": ({"text": "New York"}, {"text": "new york"}, since("case", *VERIFIERS, "agentic")),
    "case-folded": ({"text": "Straße"}, {"text": "STRASSE"}, since("case", "agentic")),
    "spaces-are-no-case": ({"text": "Oslo"}, {"text": " Oslo"}, {"agentic"}),
    "case-of-a-key": ({"text": "a"}, {"Text": "a"}, NEVER),
    "default-left-out": ({"text": "a", "unit": "C"}, {"text": "a"}, since("defaults")),
    "default-given": ({"text": "a"}, {"text": "a", "limit": 10}, since("defaults")),
    "default-of-each": ({"unit": "C"}, {"limit": 10}, since("defaults")),
    "default-in-other-case": ({"unit": "c"}, {"limit": 10.0}, since("defaults")),
    "another-value-left-out": ({"unit": "F"}, {}, NEVER),
    "no-default": ({"text": "C"}, {}, NEVER),
    "inner-default": ({"filter": {"open": True}}, {"filter": {}}, since("defaults")),
    "default-in-a-list": ({"tags": [{"deep": None}]}, {"tags": [{}]}, since("defaults")),
    "default-behind-a-reference": ({"any": {"low": 0}}, {"any": {}}, since("defaults")),
    "encoded-object": ({"filter": {"open": False}}, {"filter": '{"open": false}'}, since("decoded")),
    "encoded-array": ({"tags": [{"a": 1}]}, {"tags": '[{"a": 1}]'}, since("decoded")),
    "encoded-by-the-expert": ({"tags": "[]"}, {"tags": []}, since("decoded")),
    "encoded-on-both-sides": ({"tags": "[1, 2]"}, {"tags": "[1,2]"}, since("decoded")),
    "encoded-whole": ({"n": 1}, '{"n": 1}', since("decoded")),
    "encoded-inside-encoded": ({"filter": {"open": True}}, '{"filter": "{}"}', since("decoded")),
    "encoded-element": ({"pair": ["a", [1]]}, {"pair": ["a", "[1]"]}, since("decoded")),
    "encoded-further-element": ({"pair": ["a", [], {}]}, {"pair": ["a", [], "{}"]}, since("decoded")),
    "encoded-array-for-object": ({"filter": []}, {"filter": "[]"}, NEVER),
    "encoded-where-a-string-fits": ({"either": {}}, {"either": "{}"}, NEVER),
    "encoded-number": ({"n": 1}, {"n": "1"}, NEVER),
    "broken-encoding": ({"tags": []}, {"tags": "["}, NEVER),
    "other-words": ({"text": "book a room"}, {"text": "please book room nine"}, {*VERIFIERS, "lenient"}),
    # one word of eleven together: 1/11 of the sum, so a Jaccard of 0.1, while the verifier wants 0.1 of the sum
    "a-tenth": ({"text": "a b c d e"}, {"text": "a v w x y z"}, {"jaccard", "lenient"}),
    "less-than-a-tenth": ({"text": "a b c d e"}, {"text": "a u v w x y z"}, NEVER),
    "contained": ({"text": "Oslo"}, {"text": "Oslo, Norway"}, {"agentic"}),
    "several-rules": ({"n": 1, "text": "book a room"}, {"n": 1.0, "text": "please book room nine"}, {"lenient"}),
    "another-length": ({"tags": [1]}, {"tags": [1, 1]}, NEVER),
}


@pytest.mark.parametrize("name", RULES)
def test_who_accepts_what(name: str) -> None:
    """Each rule forgives just what it says, and every later one of the cumulative rungs forgives it too."""
    wanted, answered, expected = RULES[name]
    judged = case(wanted, answered)
    assert passing(judged) == expected


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("float-for-integer", {"numbers"}),
        ("case-of-a-word", {"case"}),
        ("default-left-out", {"defaults"}),
        ("encoded-array", {"decoded"}),
        ("default-in-other-case", set()),
        ("another-value-left-out", set()),
    ],
)
def test_a_rule_alone(name: str, rules: set[str]) -> None:
    """A rule alone helps where it is all that is needed, and not where another has to come with it."""
    wanted, answered, _ = RULES[name]
    assert {rule.name for rule, helps in zip(ALONE, alone(case(wanted, answered)), strict=True) if helps} == rules


@pytest.mark.parametrize(
    ("wanted", "answered", "path", "shown"),
    [
        ({"n": 1}, {"n": 2}, "$.n", ("1", "2")),
        ({"filter": {"a": [1, {"b": "x"}]}}, {"filter": {"a": [1, {"b": "y"}]}}, "$.filter.a[1].b", ('"x"', '"y"')),
        ({"n": 1, "text": "a"}, {"n": 1}, "$.text", ('"a"', None)),
        ({"n": 1}, {"n": 1, "odd key": 2}, '$["odd key"]', (None, "2")),
        ({"tags": [1]}, {"tags": []}, "$.tags", ("[1]", "[]")),
    ],
)
def test_the_first_difference(wanted: Any, answered: Any, path: str, shown: tuple[str | None, str | None]) -> None:
    """A failing grade has the path of the first difference, a key that is missing or not expected included."""
    grade = EXACT.grade(case(wanted, answered))
    assert (grade.reward, grade.path, (grade.expected, grade.actual)) == (0.0, path, shown)


def test_kinds_of_action() -> None:
    """Any message is right where one is expected, and nothing else is, but for agentic, which scores it."""
    hello = Action(message="a refund is on its way")
    assert passing(Case(hello, hello)) == ALL
    assert passing(Case(hello, Action(message=""))) == ALL - {"agentic"}
    for wrong in (Action((call({}),)), Action()):
        assert passing(Case(hello, wrong)) == NEVER
    for wrong in (hello, Action()):
        assert passing(Case(Action((call({}),)), wrong)) == NEVER


@pytest.mark.parametrize(("score", "reward"), [(None, 0.5), (0.25, 0.25), (1.0, 1.0)])
def test_a_recorded_score_of_a_message(score: float | None, reward: float) -> None:
    """Agentic gives a message the score that was recorded, or its keyword overlap if there is none."""
    judged = Case(Action(message="refund today"), Action(message="a refund"), "[]", score)
    found = grades(judged)[-1]
    assert found is not None
    assert found.reward == reward


def test_several_calls() -> None:
    """Calls are matched as well as can be, not in their order; surplus ones are free but for the older verifier."""
    wanted = (call({"unit": "C"}), call({}))
    answered = (call({}), call({"limit": 10}), call({"n": 1}))
    assert passing(Case(Action(wanted), Action(answered), tools())) == {"defaults", "decoded", "lenient"}
    second_is_right = Case(Action((call({"n": 1}),)), Action((call({"n": 2}), call({"n": 1}))), tools())
    assert passing(second_is_right) == ALL - {"nemo-gym:first-call", "agentic"}
    too_few = Case(Action(wanted), Action((call({}),)), tools())
    assert passing(too_few) == NEVER


def test_what_a_rung_cannot_judge() -> None:
    """Several expected calls are beyond the older verifier, and expected arguments that are not JSON beyond all."""
    batch = (call({}), call({"n": 1}))
    found = dict(zip([rung.name for rung in LADDER], grades(Case(Action(batch), Action(batch))), strict=True))
    assert [name for name, grade in found.items() if grade is None] == ["nemo-gym:first-call"]
    broken = Case(Action((FunctionCall("f", "{"),)), Action((call({}),)))
    assert grades(broken) == [None] * len(LADDER)


@pytest.mark.parametrize("arguments", ["", "{", "[" * 100_000, '{"n": ' * 50_000, "\ud800", "NaN", "null", "9" * 5000])
def test_hostile_arguments(arguments: str) -> None:
    """Arguments that cannot be decoded, or are nested without end, fail under every rung."""
    judged = Case(Action((call({"n": 1}),)), Action((FunctionCall("f", arguments),)), tools())
    assert passing(judged) == NEVER


@pytest.mark.parametrize(
    "schema",
    [
        None,
        True,
        [],
        "object",
        {"properties": []},
        {"properties": {"tags": None, "unit": 3}},
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#/anyOf"}, {"$ref": "https://example.invalid/x"}, {"$ref": 3}]},
        {"type": [{}, "object"], "items": {"default": 1}, "prefixItems": {}},
        {"properties": {"tags": {"$ref": "#/properties/tags"}}, "allOf": [{}] * 500},
    ],
)
def test_odd_schemas(schema: Any) -> None:
    """A schema that makes no sense, or refers to itself, forgives nothing and breaks nothing."""
    assert passing(case({"tags": [], "unit": "C"}, {"tags": "[]"}, schema)) == NEVER
    assert passing(case({"unit": "a"}, {"unit": "a"}, schema)) == ALL


def test_two_tools_of_one_name() -> None:
    """Where one name stands for several tools, the default of either counts."""
    both = json.loads(tools({"properties": {"a": {"default": 1}}})) + json.loads(
        tools({"properties": {"b": {"default": 2}}})
    )
    judged = Case(Action((call({"a": 1}),)), Action((call({"b": 2}),)), json.dumps(both))
    assert "defaults" in passing(judged)


# The algebra

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, 1.0, 2.0, 0.5, 1.0000001])
    | st.sampled_from(["", "a", "A", "a b", "A B c", "b a d e f g", "[]", "{}", '{"open": true}', '["a"]', "C", "c"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["open", "low", "deep"]), inner, max_size=2)
    ),
    max_leaves=4,
)
ARGUMENTS = st.dictionaries(st.sampled_from(sorted(SCHEMA["properties"])), VALUES, max_size=3)


@st.composite
def disguised(draw: st.DrawFn, value: Any) -> Any:
    """Return a value as a careless model may write it."""
    if isinstance(value, dict):
        value = {key: draw(disguised(inner)) for key, inner in value.items() if draw(st.integers(0, 5))}
    elif isinstance(value, list):
        value = [draw(disguised(inner)) for inner in value]
    elif isinstance(value, str):
        value = draw(st.sampled_from([value, value.upper(), f"{value} x"]))
    elif isinstance(value, int | float):
        value = draw(st.sampled_from([value, float(value), int(value), bool(value)]))
    if isinstance(value, dict | list) and not draw(st.integers(0, 4)):
        return json.dumps(value)
    return value


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return a case of one to three calls, the answer made of the expected calls or of others."""
    wanted = draw(st.lists(ARGUMENTS, min_size=1, max_size=3))
    answered = [draw(st.one_of(st.just(value), disguised(value), ARGUMENTS)) for value in wanted]
    answered = draw(st.permutations(answered)) + draw(st.lists(ARGUMENTS, max_size=1))
    return Case(Action(tuple(map(call, wanted))), Action(tuple(map(call, answered))), tools())


def _verdicts(judged: Case) -> dict[str, bool]:
    """Judge by every rung itself, but for those that cannot."""
    found = {}
    for rung in LADDER:
        if rung.name != "nemo-gym:first-call" or len(judged.expected.calls) == 1:
            found[rung.name] = rung.grade(judged).reward == 1.0
    return found


@PROPERTY
@given(judged=cases())
def test_more_lenient_never_accepts_less(judged: Case) -> None:
    """Each cumulative rung accepts what the one before does, so do the verifier's, and lenient what any does."""
    found = _verdicts(judged)
    verifiers = [name for name in VERIFIERS if name in found]
    chains = [list(EQUALITY), verifiers, ["exact", *verifiers[-2:]], ["decoded", "lenient"], ["jaccard", "lenient"]]
    for chain in chains:
        verdicts = [found[name] for name in chain]
        assert verdicts == sorted(verdicts), chain


@PROPERTY
@given(judged=cases())
def test_the_quick_way_gives_the_same(judged: Case) -> None:
    """Judging all rungs at once gives what each gives alone, and a rule alone no more than all of them together."""
    found = _verdicts(judged)
    assert passing(judged) == {name for name, accepted in found.items() if accepted}
    assert found["decoded"] or not any(alone(judged))


@PROPERTY
@given(arguments=ARGUMENTS)
def test_the_same_arguments_are_accepted_by_all(arguments: dict[str, Any]) -> None:
    """A call that is equal to the expected one has the full reward under every rung."""
    assert passing(case(arguments, arguments)) == ALL


def test_the_rungs_are_told_apart() -> None:
    """Every rung has a name and a rule of its own."""
    assert len({rung.name for rung in LADDER}) == len({rung.rule for rung in LADDER}) == len(LADDER)
    assert [rung.name for rung in CUMULATIVE] == list(EQUALITY)
    assert LENIENT in LADDER
