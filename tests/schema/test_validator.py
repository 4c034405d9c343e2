"""One schema: which checks are sure to end soon, and what is said of schemas and arguments that are faulty."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_fcpivot import SchemaVerdict
from pytest_fcpivot.schema.validator import SchemaValidator

ANY_LENGTH = 100_000
NEVER = -1


def longest(schema: Any) -> int:
    """Return how long arguments may be for a check in this process."""
    return SchemaValidator(json.dumps(schema)).longest_here


def check(schema: Any, value: Any) -> SchemaVerdict:
    """Judge a value in this process."""
    return SchemaValidator(json.dumps(schema)).check(json.dumps(value))


def doubling(depth: int) -> dict[str, Any]:
    """Make a schema without recursion whose references, written out, are 2 to the power of `depth`."""
    steps = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(depth)}
    return {"$ref": "#/$defs/d0", "$defs": steps | {f"d{depth}": {}}}


@pytest.mark.parametrize(
    ("schema", "length"),
    [
        pytest.param({}, ANY_LENGTH, id="empty"),
        pytest.param(None, ANY_LENGTH, id="none"),
        pytest.param(True, ANY_LENGTH, id="true"),
        pytest.param({"properties": {"a": {"type": "string"}}, "required": ["a"]}, ANY_LENGTH, id="plain"),
        pytest.param({"items": {"uniqueItems": True}}, NEVER, id="every element against every other"),
        pytest.param({"items": {"uniqueItems": False}}, ANY_LENGTH, id="uniqueItems off"),
        pytest.param({"anyOf": [{}, {"patternProperties": {}}]}, NEVER, id="patternProperties"),
        pytest.param({"unevaluatedProperties": False}, NEVER, id="unevaluatedProperties"),
        pytest.param({"properties": {"a": {"$dynamicRef": "#a"}}}, NEVER, id="$dynamicRef"),
        pytest.param({"$recursiveRef": "#"}, NEVER, id="$recursiveRef"),
        pytest.param({"$ref": "#"}, NEVER, id="a reference to the whole"),
        pytest.param({"$ref": "#a", "$defs": {"a": {"$anchor": "a"}}}, NEVER, id="a reference to an anchor"),
        pytest.param({"$ref": "other.json"}, NEVER, id="a reference to a file"),
        pytest.param({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, NEVER, id="recursion"),
        pytest.param({"allOf": [{"$ref": "#/$defs/a"}] * 2, "$defs": {"a": {}}}, ANY_LENGTH, id="one twice"),
        pytest.param({"$ref": "#/$defs/no"}, ANY_LENGTH, id="a reference to nothing"),
        pytest.param({"$ref": "#/type/no", "type": "object"}, ANY_LENGTH, id="a reference through a text"),
        pytest.param({"$ref": 7}, ANY_LENGTH, id="a reference that is a number"),
        pytest.param(doubling(6), ANY_LENGTH, id="some references"),
        pytest.param(doubling(12), NEVER, id="thousands of references, written out"),
        pytest.param({"enum": list(range(1_900))}, ANY_LENGTH, id="a large schema"),
        pytest.param({"enum": list(range(2_100))}, NEVER, id="a huge schema"),
    ],
)
def test_which_schemas_end(schema: Any, length: int) -> None:
    """A check ends soon if nothing in the schema is recursive, grows by powers, or compares all with all."""
    assert longest(schema) == length


@pytest.mark.parametrize(
    ("pattern", "length"),
    [
        ("^[a-z]{3}$", ANY_LENGTH),
        ("^a+$", 20_000),
        ("^a*$", 20_000),
        ("^a{2,}$", 20_000),
        ("^a{,9}$", 20_000),
        ("^a+b*$", 4_000),
        ("^a+b*c{2,3}$", 400),
        ("^a+b*c{2,3}d+$", 80),
        ("^a+b*c{2,3}d+e+$", NEVER),
        (r"^\+\*$", ANY_LENGTH),
        ("a?" * 8, ANY_LENGTH),
        ("a?" * 9, NEVER),
        ("(ab)c", ANY_LENGTH),
        ("(ab)?", ANY_LENGTH),
        ("(ab)+", NEVER),
        ("(ab)*", NEVER),
        ("(ab){2}", NEVER),
        (r"(a)\1", NEVER),
        (r"(a)\9", NEVER),
        (r"\d", ANY_LENGTH),
        ("(?:a)", ANY_LENGTH),
        ("(?=a)", NEVER),
        ("(?!a)", NEVER),
        ("(?<=a)", NEVER),
    ],
)
def test_which_patterns_end(pattern: str, length: int) -> None:
    """A pattern whose time grows by powers of the text's length has short texts, one that may backtrack none."""
    assert longest({"properties": {"a": {"pattern": pattern}}}) == length
    assert longest({"$ref": "#/$defs/a", "$defs": {"a": {"pattern": pattern}}}) == length


def test_the_slowest_pattern_decides() -> None:
    """Of several patterns the one with the most quantifiers decides, in whatever order they stand."""
    patterns = [{"pattern": "^a$"}, {"pattern": "^a+b+$"}, {"pattern": "^a+$"}]
    assert longest({"anyOf": patterns}) == longest({"anyOf": patterns[::-1]}) == 4_000


def test_a_pattern_of_a_wrong_type_is_no_pattern() -> None:
    """What is no text cannot backtrack; jsonschema says what is wrong with it."""
    assert longest({"pattern": ["(a+)+"]}) == ANY_LENGTH
    assert check({"pattern": 7}, "a").status == "unusable-schema"


@pytest.mark.parametrize(
    ("schema", "explanation"),
    [
        ({"type": "objekt"}, "SchemaError: 'objekt' is not valid under any of the given schemas"),
        ({"$ref": "other.json"}, "_WrappedReferencingError: Unresolvable: other.json"),
        (
            {"city": {"type": "str"}, "n": {"description": "how many"}},
            "not a JSON Schema: its keys are parameter names (city, n)",
        ),
        ({"city": {"type": ["string", "null"]}}, "not a JSON Schema: its keys are parameter names (city)"),
    ],
)
def test_why_a_schema_is_unusable(schema: Any, explanation: str) -> None:
    """A schema that cannot be used is told with the kind of the fault and the place in it."""
    assert check(schema, {"city": 1}) == SchemaVerdict("unusable-schema", explanation=explanation)


@pytest.mark.parametrize(
    "name",
    [*("items", "contains", "not", "if", "then", "else"), *("additionalProperties", "propertyNames", "contentSchema")],
)
def test_keywords_that_hold_schemas_are_no_parameters(name: str) -> None:
    """A schema that consists of such a keyword alone is one, though its argument has a type."""
    assert check({name: {"type": "string"}}, 7).status == "valid"


@pytest.mark.parametrize("other", ["text", 7, {}, {"type": 7}, {"description": ["a"]}])
def test_one_odd_member_makes_it_a_schema(other: Any) -> None:
    """Members that do not all describe parameters are read as a schema's, which ignores what it does not know."""
    assert check({"city": {"type": "string"}, "x-other": other}, {"city": 7}).status == "valid"


def test_many_parameters_are_told_in_short() -> None:
    """The names of parameters that are no schema take no more than eighty characters."""
    explanation = check({f"parameter {n}": {"type": "string"} for n in range(30)}, {}).explanation
    assert explanation.startswith("not a JSON Schema: its keys are parameter names (parameter 0, parameter 1, ")
    assert len(explanation) == len("not a JSON Schema: its keys are parameter names ()") + 80


def test_a_tool_without_parameters() -> None:
    """No parameters at all, and parameters without a word, allow any arguments."""
    schemas: tuple[Any, ...] = (None, {}, True)
    for schema in schemas:
        assert check(schema, {"a": [1]}) == SchemaVerdict("valid")


def test_a_broken_pattern_is_found_where_it_is_used() -> None:
    """A pattern that does not compile makes the schema unusable for the calls that meet it, and for no other."""
    schema = {"properties": {"a": {"pattern": "("}, "b": {"type": "integer"}}}
    assert check(schema, {"b": 1}).status == "valid"
    assert check(schema, {"b": "x"}).status == "invalid"
    assert check(schema, {"a": "x"}).status == "unusable-schema"


def test_a_validator_goes_on_after_a_fault() -> None:
    """The verdict on one call's arguments has no part in the next one."""
    validator = SchemaValidator('{"properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/no"}}}')
    statuses = [validator.check(text).status for text in ('{"a": 1}', '{"a": "x"}', '{"b": 1}', "{", '{"a": 1}')]
    assert statuses == ["valid", "invalid", "unusable-schema", "invalid", "valid"]


def test_what_is_said_of_invalid_arguments() -> None:
    """The first fault is told by its place, the keyword and jsonschema's own words."""
    schema = {"properties": {"a": {"items": {"type": "integer"}}}}
    assert check(schema, {"a": [1, "x"]}) == SchemaVerdict("invalid", "$.a[1]", "type", "'x' is not of type 'integer'")
    assert SchemaValidator("{}").check("{oops") == SchemaVerdict(
        "invalid",
        "$",
        "json",
        "the arguments are not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    )
