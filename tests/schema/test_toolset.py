"""Arguments against tool schemas: every status, no network, and checks that would never end."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pytest_fcpivot import Action, FunctionCall, Message, SchemaVerdict, check_schema, to_action
from pytest_fcpivot.schema.toolset import tool_set

BOOK = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "enum": ["mon", "tue"]},
        "seats": {
            "type": "array",
            "items": {"type": "object", "properties": {"row": {"type": "integer", "minimum": 1}}},
        },
        "note": {"type": "string"},
    },
    "required": ["day"],
    "additionalProperties": False,
}
CATASTROPHE = {"type": "object", "properties": {"s": {"type": "string", "pattern": "^(a+)+$"}}}


def tool(parameters: Any, name: str = "f") -> dict[str, Any]:
    """Return a flat function tool."""
    return {"type": "function", "name": name, "description": None, "parameters": parameters, "strict": True}


def check(parameters: Any, arguments: Any) -> SchemaVerdict:
    """Check one call of one tool; arguments that are not text are written as JSON."""
    return check_schema(Action((FunctionCall("f", arguments),)), [tool(parameters)])


@pytest.mark.parametrize(
    ("arguments", "path", "keyword"),
    [
        ({}, "$", "required"),
        ({"day": "wed"}, "$.day", "enum"),
        ({"day": 1}, "$.day", None),
        ({"day": "mon", "seats": {}}, "$.seats", "type"),
        ({"day": "mon", "seats": [{"row": 1}, {"row": 0}]}, "$.seats[1].row", "minimum"),
        ({"day": "mon", "seats": [{"row": 1.5}]}, "$.seats[0].row", "type"),
        ({"day": "mon", "extra": 1}, "$", "additionalProperties"),
        ("[]", "$", "type"),
        ("null", "$", "type"),
        ("{oops", "$", "json"),
        ("", "$", "json"),
        ('{"day": "mon"} {}', "$", "json"),
    ],
)
def test_invalid(arguments: Any, path: str, keyword: str | None) -> None:
    """Arguments that break the schema are invalid, with the place and the broken keyword."""
    verdict = check(BOOK, arguments)
    assert (verdict.status, verdict.path) == ("invalid", path)
    assert verdict.keyword == keyword or (keyword is None and verdict.keyword in {"type", "enum"})
    assert verdict.explanation
    assert path in str(verdict)


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        (BOOK, {"day": "mon", "seats": [{"row": 1.0}], "note": ""}),
        (BOOK, ' {"note": "x",\n"day":"tue"} '),
        ({}, {"anything": [1]}),
        (None, {"anything": [1]}),
        (True, {"anything": [1]}),
        ({"type": "object"}, "{}"),
        ({"type": "object", "properties": {}}, {"extra": 1}),
        ({"type": "string"}, '"free text"'),
        ({"properties": {"d": {"enum": ["a", 1]}}}, {"d": 1}),
        ({"properties": {"d": {"type": "array"}}}, {"d": [1, "a"]}),
        ({"properties": {"d": {"type": ["string", "null"]}}}, {"d": None}),
        ({"properties": {"when": {"type": "string", "format": "date"}}}, {"when": "soon"}),
        ({"properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "integer"}}}, {"x": 1}),
        ({"unknown-keyword": 1, "x-order": ["a"]}, {"a": 1}),
    ],
)
def test_valid(parameters: Any, arguments: Any) -> None:
    """Arguments that fit are valid, also against free-form and incomplete schemas; formats are notes, not rules."""
    assert check(parameters, arguments) == SchemaVerdict("valid")


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"type": "objekt"}, id="unknown type"),
        pytest.param({"type": 7}, id="type is a number"),
        pytest.param({"type": "object", "required": "day"}, id="required is text"),
        pytest.param({"type": "object", "properties": ["day"]}, id="properties is a list"),
        pytest.param({"properties": {"d": {"pattern": "("}}}, id="broken pattern"),
        pytest.param({"properties": {"d": {"$ref": "#/$defs/nowhere"}}}, id="reference to nothing"),
        pytest.param({"properties": {"d": {"$ref": "elsewhere.json"}}}, id="reference to a file"),
        pytest.param("object", id="schema is text"),
        pytest.param([], id="schema is a list"),
        pytest.param(3, id="schema is a number"),
    ],
)
def test_unusable_schema(parameters: Any) -> None:
    """A schema that is not one is said to be unusable, with the reason, and is not held against the call."""
    verdict = check(parameters, {"d": "x"})
    assert verdict.status == "unusable-schema"
    assert verdict.explanation


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"city": {"description": "city", "type": "str"}, "n": {"type": "int, optional"}}, "unusable-schema"),
        ({"type": {"description": "kind", "type": "string"}}, "unusable-schema"),
        ({"city": {"type": "string"}}, "unusable-schema"),
        ({"items": {"type": "string"}}, "valid"),
        ({"properties": {"type": {"type": "string"}}}, "valid"),
        ({"x-note": {"a": 1}}, "valid"),
        ({"properties": {}, "x-note": {"type": "x"}}, "valid"),
        ({}, "valid"),
    ],
)
def test_parameters_that_are_described_one_by_one(parameters: Any, status: str) -> None:
    """Parameters by their names, as in query/answers sets, are no schema; by the letter they would allow anything."""
    assert check(parameters, {"city": 5}).status == status


@pytest.mark.parametrize("output", ["Hello", "", None, Message("Hi")])
def test_no_call(output: Any) -> None:
    """A message or nothing has no arguments to check."""
    assert check_schema(to_action(output), [tool(BOOK)]).status == "no-call"


@pytest.mark.parametrize(
    "tools",
    [[], [tool({}, "g")], [tool({}, "F")], [{"type": "function", "name": None}], [{}], [{"type": "web_search"}]],
)
def test_unknown_tool(tools: list[dict[str, Any]]) -> None:
    """A call of a tool that is not offered is named, whatever else is on offer."""
    verdict = check_schema(Action((FunctionCall("f"),)), tools)
    assert verdict.status == "unknown-tool"
    assert "'f'" in verdict.explanation


@pytest.mark.parametrize(
    ("name", "offered", "explanation"),
    [
        ("f", [], "'f' is not offered (none)"),
        ("f", ["g"], "'f' is not offered (g)"),
        ("f", ["b", "a", "c", "e", "d", "x"], "'f' is not offered (a, b, c, d, e)"),
        ("a\nb", ["g"], "'a\\u000ab' is not offered (g)"),
        ("x" * 100, ["g"], f"'{'x' * 44}…{'x' * 15}' is not offered (g)"),
        ("Find", ["find", "x"], "'Find' is not offered, but 'find' is (they differ only in case)"),
        ("क्\u200dष", ["g"], r"'क्\u200dष' is not offered (g)"),  # though the script needs it
        ("a\u200db", ["g"], r"'a\u200db' is not offered (g)"),
        (
            "x" * 70 + "Y",
            ["x" * 70 + "y"],
            f"'{'x' * 44}…{'x' * 14}Y' is not offered, but '{'x' * 44}…{'x' * 14}y' is (they differ only in case)",
        ),
        ("find ", ["x", "find"], '"find " is not offered, but "find" is (they differ only in white space)'),
        (
            "find",
            ["find\u200b"],
            '"find" is not offered, but "find\\u200b" is (they differ only in characters that cannot be seen)',
        ),
    ],
)
def test_what_is_said_of_an_unknown_tool(name: str, offered: list[str], explanation: str) -> None:
    """It is told beside the tools on offer, or beside the one that it nearly is."""
    verdict = check_schema(Action((FunctionCall(name),)), [tool({}, each) for each in offered])
    assert verdict == SchemaVerdict("unknown-tool", explanation=explanation)


def test_the_first_bad_call_decides() -> None:
    """Of several calls, the first that is not valid gives the verdict."""
    tools = [tool(BOOK), tool("junk", "g")]
    good, bad = FunctionCall("f", {"day": "mon"}), FunctionCall("f", {"day": 1})
    odd, unknown = FunctionCall("g"), FunctionCall("h")
    for calls, status in (
        ((good, good), "valid"),
        ((good, bad, unknown), "invalid"),
        ((good, unknown, bad), "unknown-tool"),
        ((odd, bad), "unusable-schema"),
    ):
        assert check_schema(Action(calls), tools).status == status


def test_the_same_tool_twice() -> None:
    """A name that stands for two schemas is satisfied by either."""
    first = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    second = {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}
    tools = [tool(first), tool(second)]
    for arguments, status in (({"a": 1}, "valid"), ({"b": 1}, "valid"), ({"c": 1}, "invalid")):
        assert check_schema(Action((FunctionCall("f", arguments),)), tools).status == status
    verdict = check_schema(Action((FunctionCall("f", {"c": 1}),)), tools)
    assert verdict == SchemaVerdict("invalid", "$", "required", "'a' is a required property")


@pytest.mark.parametrize(
    ("draft", "parameters", "value", "status"),
    [
        ("http://json-schema.org/draft-04/schema#", {"minimum": 1, "exclusiveMinimum": True}, 1, "invalid"),
        ("http://json-schema.org/draft-04/schema#", {"minimum": 1, "exclusiveMinimum": True}, 2, "valid"),
        (None, {"minimum": 1, "exclusiveMinimum": True}, 2, "unusable-schema"),
        ("http://json-schema.org/draft-07/schema#", {"items": [{"type": "string"}]}, [1], "invalid"),
        ("http://json-schema.org/draft-07/schema#", {"prefixItems": [{"type": "string"}]}, [1], "valid"),
        (None, {"prefixItems": [{"type": "string"}]}, [1], "invalid"),
        ("https://json-schema.org/draft/2020-12/schema", {"prefixItems": [{"type": "string"}]}, [1], "invalid"),
        ("http://json-schema.org/draft-04/schema#", {"const": 1}, 2, "valid"),
        ("http://json-schema.org/draft-06/schema#", {"const": 1}, 2, "invalid"),
    ],
)
def test_drafts(draft: str | None, parameters: Any, value: Any, status: str) -> None:
    """The draft that `$schema` names decides what a keyword means; without one it is 2020-12."""
    schema = parameters if draft is None else {"$schema": draft, **parameters}
    assert check(schema, json.dumps(value)).status == status


def test_references_are_never_fetched() -> None:
    """Schemas that point to a server are checked without a single connection to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        base = f"http://127.0.0.1:{server.getsockname()[1]}"
        for parameters in (
            {"$ref": f"{base}/schema.json"},
            {"properties": {"d": {"$ref": f"{base}/schema.json#/$defs/d"}}},
            {"$id": f"{base}/root.json", "properties": {"d": {"$ref": "other.json"}}},
            {"properties": {"d": {"$dynamicRef": f"{base}/schema.json#d"}}},
        ):
            assert check(parameters, {"d": 1}).status == "unusable-schema"
        assert check({"$schema": f"{base}/draft.json", "type": "object"}, {"d": 1}).status == "valid"
        with pytest.raises(TimeoutError):
            server.accept()


RUNAWAYS = {
    "catastrophic pattern": (CATASTROPHE, {"s": "a" * 40 + "!"}),
    "exponential references": (
        {
            "$ref": "#/$defs/d0",
            "$defs": {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)} | {"d40": {}},
        },
        {},
    ),
    "endless reference": ({"$ref": "#"}, {}),
    "endless references": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {},
    ),
}


@pytest.mark.parametrize("name", RUNAWAYS)
def test_a_check_that_would_not_end_is_ended(name: str) -> None:
    """A schema that would run for ever or too deep is unusable, and the next check works as if nothing had been."""
    parameters, arguments = RUNAWAYS[name]
    verdict = check(parameters, arguments)
    assert verdict.status == "unusable-schema"
    assert verdict.explanation
    assert check(CATASTROPHE, {"s": "aaa"}).status == "valid"
    assert check(CATASTROPHE, {"s": "b"}).status == "invalid"


def test_recursive_schemas_are_checked() -> None:
    """A schema may refer to itself: trees are valid or not like anything else, with the path into them."""
    tree = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["name"],
    }
    good = {"name": "a", "children": [{"name": "b", "children": []}, {"name": "c"}]}
    assert check(tree, good).status == "valid"
    bad = {"name": "a", "children": [{"name": "b"}, {"children": []}]}
    verdict = check(tree, bad)
    assert (verdict.status, verdict.path, verdict.keyword) == ("invalid", "$.children[1]", "required")


@pytest.mark.parametrize("parameters", [BOOK, CATASTROPHE, {}], ids=["plain", "in the child", "free"])
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param("[" * 100_000 + "]" * 100_000, id="deep arrays"),
        pytest.param('{"day":' * 100_000 + "1" + "}" * 100_000, id="deep objects"),
        pytest.param('{"n": ' + "9" * 5_000 + "}", id="long integer"),
        pytest.param('{"n": "\x00"}', id="raw NUL"),
        pytest.param('{"n": "\udfff', id="cut lone surrogate"),
    ],
)
def test_hostile_arguments(parameters: Any, arguments: str) -> None:
    """Arguments that no decoder survives are invalid JSON, under any schema."""
    verdict = check(parameters, arguments)
    assert (verdict.status, verdict.keyword) == ("invalid", "json")
    assert len(verdict.explanation) < 1_000
    verdict.explanation.encode()


@pytest.mark.parametrize(
    ("value", "status"),
    [("x" * 1_000_000, "invalid"), ("\ud800\x00", "invalid"), ("mon", "valid")],
    ids=["1 MB", "odd text", "plain"],
)
def test_huge_and_odd_values(value: str, status: str) -> None:
    """Huge and odd text is judged as any other, with an explanation of one short printable line."""
    verdict = check(BOOK, {"day": value})
    assert verdict.status == status
    verdict.explanation.encode()
    assert len(verdict.explanation) < 1_000
    assert "\n" not in verdict.explanation


def test_many_threads_get_their_own_verdicts() -> None:
    """Checks from several threads at once do not mix up their answers."""

    def one(number: int) -> bool:
        text = "a" * (number % 5 + 1) + "!" * (number % 2)
        return check(CATASTROPHE, {"s": text}).status == ("invalid" if number % 2 else "valid")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(80)))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="lists child processes by /proc")
@pytest.mark.parametrize("end", ["pass", "raise SystemExit(3)", "os.kill(os.getpid(), 9)"])
def test_no_process_is_left_behind(end: str) -> None:
    """The checking process is gone when the session's process has ended, however that ended."""
    script = f"""
        import os
        from pathlib import Path
        from pytest_fcpivot import Action, FunctionCall, check_schema

        tools = [{{"name": "f", "parameters": {CATASTROPHE!r}}}]
        assert check_schema(Action((FunctionCall("f", '{{"s": "a"}}'),)), tools).status == "valid"
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == os.getpid():
                print(stat.parent.name, flush=True)
        {end}
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True, check=False, timeout=60
    )
    children = done.stdout.split()
    assert len(children) == 1
    give_up = time.monotonic() + 60
    while running(children[0]):
        assert time.monotonic() < give_up, f"process {children[0]} is still there"
        time.sleep(0.01)


def running(pid: str) -> bool:
    """Tell whether a process is there and not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def test_checking_changes_nothing() -> None:
    """The tools are not modified."""
    tools = [tool(json.loads(json.dumps(BOOK)))]
    check_schema(Action((FunctionCall("f", {"day": 1}),)), tools)
    assert tools == [tool(BOOK)]


# Whatever shortcuts are taken, the verdict is that of the jsonschema library.

names = st.sampled_from(["a", "b", "c"])
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.sampled_from([0.5, 1.0, 2.0, "", "a", "ab", "1"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)
kinds = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])
small = st.one_of(st.integers(-1, 3), st.sampled_from([0.5, 1.0, True, None, "1"]))


def keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas with the keywords that tools use, now and then with a value of a wrong type."""
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.one_of(kinds, kinds, st.lists(kinds, min_size=1, max_size=2, unique=True), small),
            "properties": st.one_of(st.dictionaries(names, inner, max_size=3), st.just([])),
            "required": st.one_of(st.lists(names, max_size=2, unique=True), st.just("a")),
            "additionalProperties": st.one_of(st.booleans(), inner),
            "items": st.one_of(inner, st.lists(inner, max_size=2)),
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "enum": st.one_of(st.lists(json_values, max_size=3), small),
            "const": json_values,
            "minimum": small,
            "exclusiveMaximum": small,
            "multipleOf": small,
            "minLength": small,
            "maxItems": small,
            "minProperties": small,
            "uniqueItems": st.sampled_from([False, None]),
            "pattern": st.sampled_from(["^a", "b$", "[", 1]),
            "format": st.sampled_from(["date", "email"]),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "nullable": st.booleans(),
            "description": st.one_of(st.just("x"), st.none()),
            "default": json_values,
        },
    )


schemas: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.just({}), st.booleans(), keywords(st.just({}))), keywords, max_leaves=6
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.fixed_dictionaries({"properties": st.dictionaries(names, schemas, max_size=3)}), json_values)
def test_verdicts_are_those_of_jsonschema(parameters: Any, value: Any) -> None:
    """Valid, invalid or unusable: the verdict is what jsonschema says of the schema and the arguments."""
    library: Any = Draft202012Validator
    for arguments in (value, {"a": value}, {"a": value, "b": value}):
        verdict = check(parameters, json.dumps(arguments))
        try:
            library.check_schema(parameters, format_checker=None)  # a pattern is judged when it is used
            expected = "valid" if Draft202012Validator(parameters).is_valid(arguments) else "invalid"
        except Exception:  # noqa: BLE001 (a faulty schema provokes anything)
            expected = "unusable-schema"
        assert verdict.status == expected


@pytest.mark.parametrize(
    ("parameters", "length", "soon"),
    [
        ({"type": "object"}, 10, True),
        ({"type": "object"}, 200_000, False),
        ({"type": "object", "properties": {"q": {"type": "string", "pattern": "^(a+)+$"}}}, 10, False),
        ({"type": "object", "properties": {"q": {"$ref": "#"}}}, 10, False),
    ],
)
def test_checks_that_end_soon(parameters: Any, length: int, soon: bool) -> None:
    """A check that would need the child process is told before; one of an unknown tool never does."""
    tools = tool_set(json.dumps([{"type": "function", "name": "f", "parameters": parameters}]))
    arguments = json.dumps({"q": "a" * length})
    assert tools.ends_soon(Action((FunctionCall("f", arguments),))) is soon
    assert tools.ends_soon(Action((FunctionCall("unknown", arguments),)))
    assert tools.ends_soon(Action(message="Hi"))
