"""Calls in a model's text: read where they are meant, left alone where they are not."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_fcpivot.core.dialects import Reading, Tools, is_endless, looks_like_call, read_calls
from pytest_fcpivot.core.dialects.hermes import write_call
from pytest_fcpivot.core.dialects.pythonic import literal
from pytest_fcpivot.core.dialects.values import typed

PARAMETERS = {
    "city": {"type": "string"},
    "seats": {"type": "integer"},
    "near": {"type": ["string", "null"]},
    "open": {"type": "boolean"},
    "times": {"anyOf": [{"type": "array"}, {"type": "null"}]},
    "code": {"enum": [1, 2]},
    "free": {},
}
TOOLS = Tools(
    [
        {"name": "add", "parameters": None},
        {"name": "find", "parameters": {"type": "object", "properties": PARAMETERS}},
        {"name": "book.table"},
        {"description": "without a name"},
    ]
)
CALL = '{"name": "add", "arguments": {"a": 1}}'
ADD = ("add", '{"a": 1}')


def block(inside: str) -> str:
    """Return a block as a model is asked to write it."""
    return f"<tool_call>\n{inside}\n</tool_call>"


@pytest.mark.parametrize(
    ("text", "rest", "calls"),
    [
        pytest.param("Hello!", "Hello!", [], id="text"),
        pytest.param("  \n", None, [], id="nothing"),
        pytest.param(block(CALL), None, [ADD], id="block"),
        pytest.param(f"One moment.\n{block(CALL)}\n", "One moment.", [ADD], id="text before"),
        pytest.param(f"{block(CALL)}{block(CALL)}", None, [ADD, ADD], id="two blocks"),
        pytest.param(f"<tool_call>{CALL}", None, [ADD], id="no closing tag"),
        pytest.param(f"<tool_call>{CALL}<tool_call>{CALL}", None, [ADD, ADD], id="no closing tags"),
        pytest.param(block(f"{CALL}\n{CALL}"), None, [ADD, ADD], id="two in one block"),
        pytest.param(block(f"[{CALL}, {CALL}]"), None, [ADD, ADD], id="list in a block"),
        pytest.param(block(f"```json\n{CALL}\n```"), None, [ADD], id="fence in a block"),
        pytest.param(block('{"name": "unknown", "arguments": {}}'), None, [("unknown", "{}")], id="unknown in a block"),
        pytest.param(block('{"name": "add"}'), None, [("add", "{}")], id="no arguments"),
        pytest.param(block('{"tool": "add", "args": {"a": 1}}'), None, [ADD], id="tool and args"),
        pytest.param(block('{"function": "add", "parameters": {"a": 1}}'), None, [ADD], id="function and parameters"),
        pytest.param(block(f'{{"type": "function", "function": {CALL}}}'), None, [ADD], id="nested"),
        pytest.param(
            block('{"name": "add", "arguments": " {oops"}'), None, [("add", " {oops")], id="arguments as text"
        ),
        pytest.param(block('{"name": "add", "arguments": null}'), None, [("add", "null")], id="null arguments"),
        pytest.param(
            block('{"name": "add", "arguments": {"a": }}'),
            None,
            [("add", '{"name": "add", "arguments": {"a": }}')],
            id="broken",
        ),
        pytest.param(f"<tool_call>{CALL[:-2]}", None, [("add", CALL[:-2])], id="cut off"),
        pytest.param(block("{'name': 'add'}"), None, [("add", "{'name': 'add'}")], id="not JSON"),
        pytest.param(block(CALL + "}"), None, [("add", CALL + "}")], id="a brace too many"),
        pytest.param(
            block('{"name": "add", "arguments": {"t": "</tool_call> <tool_call> </think>"}}'),
            None,
            [("add", '{"t": "</tool_call> <tool_call> </think>"}')],
            id="tags in a string",
        ),
        pytest.param(f"<think>add?</think>{block(CALL)}", None, [ADD], id="thought"),
        pytest.param(f"<think>{block(CALL)}</think>\nDone.", "Done.", [], id="a call only thought of"),
        pytest.param(f"Let me <tool_call> it.</think>\n{block(CALL)}", None, [ADD], id="thought begun in the template"),
        pytest.param(
            f"I could {block(CALL)}</think>Hello!", "Hello!", [], id="a call thought of, begun in the template"
        ),
        pytest.param("Hm.</think>\n\nHello!", "Hello!", [], id="thought without a beginning"),
        pytest.param(f"Sure:\n```json\n{CALL}\n```\nDone.", "Sure:\n\nDone.", [ADD], id="fence"),
        pytest.param(f"```\n[{CALL}]\n```", None, [ADD], id="fenced list"),
        pytest.param(f"```json{CALL}```", None, [ADD], id="fence on one line"),
        pytest.param(f"```json\n{CALL}", None, [ADD], id="fence without an end"),
        pytest.param(f"```json\n{CALL}\n```\n```json\n{CALL}\n```", None, [ADD, ADD], id="two fences"),
        pytest.param(f"```python\n{CALL}\n```", f"```python\n{CALL}\n```", [], id="another language"),
        pytest.param('```json\n{"name": "Ann"}\n```', '```json\n{"name": "Ann"}\n```', [], id="fenced data"),
        pytest.param(
            '```json\n{"name": "Ann", "arguments": {}}\n```',
            '```json\n{"name": "Ann", "arguments": {}}\n```',
            [],
            id="fenced unknown name",
        ),
        pytest.param('```json\n{"name": "add"}\n```', '```json\n{"name": "add"}\n```', [], id="fenced, no arguments"),
        pytest.param(f"```sh\nls\n```\n```json\n{CALL}\n```", "```sh\nls\n```", [ADD], id="fence after another"),
        pytest.param(f"\n{CALL}\n", None, [ADD], id="bare"),
        pytest.param(f"[{CALL}, {CALL}]", None, [ADD, ADD], id="bare list"),
        pytest.param(f"{CALL}\n{CALL}", None, [ADD, ADD], id="bare, one after the other"),
        pytest.param(f"I call {CALL} now.", f"I call {CALL} now.", [], id="bare inside text"),
        pytest.param(f"I call {CALL}", "I call", [ADD], id="bare after text"),
        pytest.param(f"{CALL}\nOne moment.", "One moment.", [ADD], id="bare before text"),
        pytest.param('{"name": "add", "arg', None, [("add", '{"name": "add", "arg')], id="bare, cut off"),
        pytest.param('{"name": "Ann", "age', '{"name": "Ann", "age', [], id="bare data, cut off"),
        pytest.param(
            '```json\n{"name": "add", "a": }\n```', None, [("add", '{"name": "add", "a": }')], id="broken fence"
        ),
        pytest.param('{"name": "Ann", "arguments": 1}', '{"name": "Ann", "arguments": 1}', [], id="bare data"),
        pytest.param("[]", "[]", [], id="empty list"),
        pytest.param("[" * 50_000, "[" * 50_000, [], id="too deep"),
    ],
)
def test_parse(text: str, rest: str | None, calls: list[tuple[str, str]]) -> None:
    """Calls and the text beside them are told apart."""
    reading = read_calls(text, TOOLS)
    assert (reading.text, list(reading.calls), reading.malformed) == (rest, calls, False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TAGS = st.sampled_from(["<tool_call>", "</tool_call>", "<think>", "</think>", "```", "```json\n", "\n", '"', "{", "}"])
TEXTS = st.lists(TAGS | st.text(max_size=4)).map("".join)


@given(
    st.lists(st.tuples(st.text(min_size=1), st.dictionaries(TEXTS, TEXTS | JSON, max_size=3)), min_size=1, max_size=3)
)
@example([("add", {"a": "</tool_call>\n<tool_call>"}), ("</think>", {"```": "</think>"})])
def test_written_calls_are_read(calls: list[tuple[str, dict[str, Any]]]) -> None:
    """Calls written the way a model is asked to are read as they are, whatever their strings hold."""
    text = "\n".join(write_call(name, json.dumps(arguments, ensure_ascii=False)) for name, arguments in calls)
    reading = read_calls(text, Tools())
    assert reading.text is None
    assert [(name, json.loads(arguments)) for name, arguments in reading.calls] == calls


@given(TEXTS, TEXTS)
def test_any_text(before: str, after: str) -> None:
    """No text makes the parser fail, and text without a mark of a call or thought stays text."""
    text = before + CALL + after
    reading = read_calls(text, TOOLS)
    assert reading.text or reading.calls or "think" in text or not text.strip()
    if not any(mark in before + after for mark in ("<tool_call>", "think", "```")) and before.strip():
        assert reading.text == text.strip() or reading.calls
    looks_like_call(text, TOOLS.names)


@given(st.text())
@example('""')
@example('"{}"')
def test_broken_arguments_are_written_as_text(arguments: str) -> None:
    """Earlier arguments that are not JSON are shown as a string, and read back as they were."""
    calls = list(read_calls(write_call("add", arguments), TOOLS).calls)
    try:
        assert json.dumps(json.loads(calls[0][1])) == json.dumps(json.loads(arguments))
    except ValueError:
        assert calls == [("add", arguments)]


def test_decoded_arguments_are_encoded() -> None:
    """Earlier arguments that the data hold decoded are written as JSON."""
    assert read_calls(write_call("add", {"a": 1}), TOOLS) == Reading(None, (ADD,), dialect="hermes")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(block("add it"), id="no name"),
        pytest.param(block('{"x": {"name": "add"}}'), id="JSON, not a call"),
        pytest.param(f"{block('oops')} {block(CALL)}", id="one of two"),
        pytest.param("<tool_call>", id="only the tag"),
        pytest.param("I look.\n<tool_call>\n", id="begun"),
        pytest.param("<|tool_calls_section_begin|>", id="Kimi, begun"),
        pytest.param("<\uff5ctool\u2581calls\u2581begin\uff5c>\n", id="DeepSeek, begun"),
        pytest.param("<\uff5cDSML\uff5ctool_calls>\n", id="DSML, begun"),
        pytest.param('[TOOL_CALLS] [{"a": 1}]', id="Mistral, not a call"),
        pytest.param("<|python_tag|>print(1 + 1)", id="Llama, code"),
        pytest.param("<|python_start|>[1]<|python_end|>", id="Python, no call"),
    ],
)
def test_unreadable(text: str) -> None:
    """An attempt that does not say which function it calls makes the whole text unreadable."""
    reading = read_calls(text, TOOLS)
    assert (reading.malformed, reading.calls, reading.text) == (True, (), text.strip())
    assert looks_like_call(text, TOOLS.names)


LYON = ("find", '{"city": "Lyon"}')
SEPARATOR, BEGIN, END = ("<\uff5ctool\u2581" + word + "\uff5c>" for word in ("sep", "call\u2581begin", "call\u2581end"))
DSML = "\uff5cDSML\uff5c"


def xml(*pairs: tuple[str, str], name: str = "find") -> str:
    """Return a call as Qwen3-Coder writes it."""
    parameters = "\n".join(f"<parameter={key}>\n{value}\n</parameter>" for key, value in pairs)
    return f"<tool_call>\n<function={name}>\n{parameters}\n</function>\n</tool_call>"


def glm(*pairs: tuple[str, str]) -> str:
    """Return a call as GLM writes it."""
    arguments = "\n".join(f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>" for key, value in pairs)
    return f"<tool_call>find\n{arguments}\n</tool_call>"


def kimi(*calls: tuple[str, str]) -> str:
    """Return calls as Kimi writes them."""
    inside = "".join(
        f"<|tool_call_begin|>functions.{name}:{place}<|tool_call_argument_begin|>{arguments}<|tool_call_end|>"
        for place, (name, arguments) in enumerate(calls)
    )
    return f"<|tool_calls_section_begin|>{inside}<|tool_calls_section_end|>"


def deepseek(*calls: str) -> str:
    """Return what DeepSeek writes around calls."""
    inside = "".join(f"{BEGIN}{call}{END}" for call in calls)
    return f"{BEGIN.replace('call', 'calls')}{inside}{END.replace('call', 'calls')}"


def harmony(name: str, arguments: str) -> str:
    """Return a call as gpt-oss writes it, after what it thought."""
    return (
        "<|channel|>analysis<|message|>They want a table.<|end|><|start|>assistant<|channel|>commentary "
        f"to=functions.{name} <|constrain|>json<|message|>{arguments}<|call|>"
    )


@pytest.mark.parametrize(
    ("dialect", "text", "calls"),
    [
        ("qwen3-coder", xml(("city", "Lyon"), ("seats", "2")), [("find", '{"city": "Lyon", "seats": 2}')]),
        ("qwen3-coder", f"I look.\n{xml(('city', 'Lyon'))}\n{xml(name='add')}", [LYON, ("add", "{}")]),
        (
            "qwen3-coder",
            xml(("city", '<tool_call>{"name": "add"}</tool_call>')),
            [("find", '{"city": "<tool_call>{\\"name\\": \\"add\\"}</tool_call>"}')],
        ),
        ("qwen3-coder", '<function=find>{"city": "Lyon"}</function>', [LYON]),
        ("qwen3-coder", "<tool_call>\n<function=find>\n<parameter=city>Lyon</parameter>\n</tool_call>", [LYON]),
        ("glm", glm(("city", "Lyon"), ("open", "True")), [("find", '{"city": "Lyon", "open": true}')]),
        ("glm", "<tool_call>find</tool_call>", [("find", "{}")]),
        (
            "glm",
            "<tool_call>ls <arg_key>dir</arg_key> <arg_value>src</arg_value> </tool_call>",
            [("ls", '{"dir": "src"}')],
        ),
        ("kimi", kimi(LYON, ("book.table", "{}")), [LYON, ("book.table", "{}")]),
        ("kimi", kimi(("find", '{"city": "<|tool_call_end|>"}')), [("find", '{"city": "<|tool_call_end|>"}')]),
        ("kimi", '<|tool_call_begin|>find:0<|tool_call_argument_begin|>{"city": "Lyon"}', [LYON]),
        ("kimi", 'functions.find:0{"city": "Lyon"}functions.add:1{}', [LYON, ("add", "{}")]),
        ("deepseek", deepseek(f"find{SEPARATOR}{LYON[1]}", f"add{SEPARATOR}{{}}"), [LYON, ("add", "{}")]),
        ("deepseek", deepseek(f"function{SEPARATOR}find\n```json\n{LYON[1]}\n```"), [LYON]),
        ("deepseek", f"<|tool_calls_begin|><|tool_call_begin|>find<|tool_sep|>{LYON[1]}<|tool_call_end|>", [LYON]),
        (
            "invoke",
            f"""<{DSML}function_calls>
                <{DSML}invoke name="find">
                <{DSML}parameter name="city" string="true">5</{DSML}parameter>
                <{DSML}parameter name="seats" string="false">5</{DSML}parameter>
                </{DSML}invoke>
                <{DSML}invoke name="add">
                </{DSML}invoke>
                </{DSML}function_calls>""",
            [("find", '{"city": "5", "seats": 5}'), ("add", "{}")],
        ),
        ("invoke", f'<|DSML|tool_calls><|DSML|invoke name="find">{LYON[1]}</|DSML|invoke></|DSML|tool_calls>', [LYON]),
        ("invoke", '<invoke name="find"><parameter name="city">Lyon</parameter></invoke>', [LYON]),
        ("mistral", f'[TOOL_CALLS] [{{"name": "find", "arguments": {LYON[1]}, "id": "a1b2c3d4e"}}]', [LYON]),
        ("mistral", f"I look.[TOOL_CALLS]find{LYON[1]}[TOOL_CALLS]add{{}}</s>", [LYON, ("add", "{}")]),
        ("mistral", f"[TOOL_CALLS]find[CALL_ID]a1b2[ARGS]{LYON[1]}", [LYON]),
        ("mistral", f"find[ARGS]{LYON[1]}", [LYON]),
        ("llama3", '<|python_tag|>{"name": "find", "parameters": {"city": "Lyon"}}<|eom_id|>', [LYON]),
        ("llama3", f'<|python_tag|>{{"name": "find", "parameters": {LYON[1]}}}; {CALL}', [LYON, ADD]),
        ("llama3", '<|python_tag|>brave_search.call(query="Lyon")', [("brave_search", '{"query": "Lyon"}')]),
        ("json", '{"name": "find", "parameters": {"city": "Lyon"}}', [LYON]),
        ("json", f'```json\n{{"name": "find", "arguments": {LYON[1]}}}\n```', [LYON]),
        (
            "pythonic",
            '[find(city="Lyon"), book.table(id=1, at=[1.5, None, {"k": True}])]',
            [LYON, ("book.table", '{"id": 1, "at": [1.5, null, {"k": true}]}')],
        ),
        ("pythonic", "<|python_start|>[find(city='Lyon')]<|python_end|>", [LYON]),
        ("pythonic", 'find(city="Lyon")', [LYON]),
        ("harmony", harmony(*LYON), [LYON]),
        (
            "harmony",
            f"<|start|>assistant to=functions.find<|channel|>commentary json<|message|>{LYON[1]}<|call|>",
            [LYON],
        ),
        ("harmony", f"analysisThey want a table.assistantcommentary to=functions.find json{LYON[1]}", [LYON]),
        ("harmony", f"assistant to=functions.findcommentary json{LYON[1]}", [LYON]),
    ],
)
def test_dialect(dialect: str, text: str, calls: list[tuple[str, str]]) -> None:
    """Each family's own form is read, with its special tokens and without, and a message of it looks like a call."""
    reading = read_calls(text, TOOLS)
    assert (list(reading.calls), reading.malformed, reading.dialect) == (calls, False, dialect)
    assert looks_like_call(text, TOOLS.names) == dialect


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (harmony(*LYON), None),
        (f"I look.\n{xml(('city', 'Lyon'))}", "I look."),
        (f"I look.[TOOL_CALLS]find{LYON[1]}", "I look."),
        ("<|channel|>final<|message|>Hello.<|return|>", "Hello."),
    ],
)
def test_text_beside(text: str, rest: str | None) -> None:
    """What is said beside calls is kept, and what was thought is not."""
    assert read_calls(text, TOOLS).text == rest


@pytest.mark.parametrize(
    "text",
    [
        xml(("city", "Lyon"))[:-30],
        "<function=find{city: Lyon}",
        '<function=find>{"city": }</function>',
        glm(("city", "Lyon"))[:-30],
        kimi(LYON)[:-50],
        deepseek(f"find{SEPARATOR}{{city}}"),
        f'<{DSML}invoke name="find"><{DSML}parameter name="seats" string="false">few</{DSML}parameter></{DSML}invoke>',
        '[TOOL_CALLS]find{"city": "Ly',
        '[TOOL_CALLS][{"name": "find", "arguments": {"city": "Ly',
        '<|python_tag|>{"name": "find", "parameters": {"ci',
        '<|python_start|>[find(city="Ly',
        '[find(city="Ly',
        "[find(city=town)]",
        '[find("Lyon")]',
        harmony("find", '{"city": "Ly')[:-8],
        "<|channel|>commentary to=functions.find <|constr",
        'find{"city": "Ly',
        'functions.find:0{"city": "Ly',
        '{"type": "function", "name": "find", "parameters": {"city": "Ly',
    ],
)
def test_broken_arguments(text: str) -> None:
    """A call of a known function that is broken or cut off is a call whose arguments do not decode, never a message."""
    reading = read_calls(text, TOOLS)
    assert [name for name, _ in reading.calls] == ["find"]
    assert not reading.malformed
    with pytest.raises(ValueError, match=r"."):
        json.loads(reading.calls[0][1])
    assert looks_like_call(text, TOOLS.names)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello! I have booked the table.",
        "A call is written between <tool_call> and </tool_call>, on lines of its own.",
        'Write `<tool_call>{"name": "add", "arguments": {}}</tool_call>` to call it.',
        "The token <|tool_call_begin|> starts a call, [TOOL_CALLS] does so for Mistral, <|python_tag|> for Llama.",
        "It is sent as `<function=find>` or <function=name>, and to=functions.find names the recipient.",
        f"Here is an example:\n```xml\n{xml(('city', 'Lyon'))}\n```\nShall I go on?",
        '{"name": "Ann", "parameters": {"age": 3}}',
        '[{"name": "Ann", "arguments": {"age": 3}}]',
        '```json\n{"name": "Ann", "arguments": {"age": 3}}\n```',
        '```python\nfind(city="Lyon")\n```',
        "print(find(1))",
        'len(x="abc")',
        "[1, 2, 3]",
        "[find](https://example.org) is the tool.",
        "find (in the list) what you need",
        "find {city} in the text",
        "add(1, 2) gives 3",
        '<invoke name="backup"><parameter name="x">1</parameter></invoke> is the XML that you asked for.',
        "<think>I could <tool_call> it, or not",
        f"<think>I could {block(CALL)}</think>Hello!",
        "if a < b and c > d: [TOOL]",
    ],
)
def test_just_a_message(text: str) -> None:
    """Text that talks of calls, code and JSON that a user asked for, and thoughts do not look like calls."""
    assert looks_like_call(text, TOOLS.names) is None


def test_names_on_offer() -> None:
    """Without marks, only a call of a tool on offer looks like one; with them, any does."""
    for text in ('{"name": "find", "parameters": {}}', "find()", '[find(city="Lyon")]', "find{}"):
        assert looks_like_call(text, TOOLS.names)
        assert looks_like_call(text, ["other"]) is None
    assert looks_like_call(block(CALL)) == "hermes"


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        ("city", "12", "12"),
        ("city", " Lyon ", " Lyon "),
        ("seats", " 2 ", 2),
        ("seats", "two", "two"),
        ("near", "null", None),
        ("near", "None", None),
        ("near", "nullable", "nullable"),
        ("open", "true", True),
        ("open", "False", False),
        ("times", "[1, 'a']", [1, "a"]),
        ("times", '{"a": [1]}', {"a": [1]}),
        ("times", "null", None),
        ("code", "2", 2),
        ("free", "2", "2"),
        ("unheard", "2", "2"),
    ],
)
def test_values(parameter: str, text: str, value: Any) -> None:
    """A value that is written as bare text gets the type that its schema takes, or stays text."""
    assert typed(text, TOOLS.types("find", parameter)) == value
    read = json.loads(read_calls(glm((parameter, text)), TOOLS).calls[0][1])
    assert read == {parameter: value}


@settings(max_examples=50)
@given(JSON)
def test_python_literals(value: Any) -> None:
    """Whatever JSON can hold is read back from how Python writes it."""
    assert literal(repr(value), ...) == value


@pytest.mark.parametrize(
    "text", ["", "x", "1 2", "{1: 2}", "[1", "{'a'}", "(1 2)", "'a", "f(1)", "[" * 50_000, "9" * 5000]
)
def test_no_literal(text: str) -> None:
    """What is no literal is not read as one."""
    assert literal(text, ...) is ...


def test_endless_thought() -> None:
    """A thought without an end is not looked into, and told from a text that has an answer."""
    text = f"<think>{block(CALL)}"
    assert read_calls(text, TOOLS) == Reading(text, unanswered=True)
    assert is_endless(text)
    assert not is_endless("<think>x</think>y")
    assert not is_endless("Hello <think>")


@pytest.mark.parametrize(
    "piece",
    [
        "<tool_call>",
        "<tool_call>{",
        "<function=f>",
        "<tool_call>f<arg_key>",
        "[TOOL_CALLS]",
        "<|python_tag|>",
        "```json\n",
        '<invoke name="find">',
        "to=functions.f ",
        "<|tool_call_begin|>",
        "<|channel|>",
        "[find(",
        "<think>",
        "</think>",
        "a ",
    ],
)
def test_long_texts(piece: str) -> None:
    """A long text of nothing but marks is read in a moment, whatever it is."""
    text = piece * (60_000 // len(piece))
    began = time.process_time()
    read_calls(text, TOOLS)
    looks_like_call(text, TOOLS.names)
    assert time.process_time() - began < 5
