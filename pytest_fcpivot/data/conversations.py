"""Conversations into pivots: every assistant turn is one, with everything before it as its input.

Reads the shape of Nemotron-Agentic-v1 and any list of Chat Completions messages with tools. Each message is written as
JSON once, and the inputs of a conversation's pivots are spliced from these pieces.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.chat import is_text_part
from pytest_fcpivot.data.rows import compact, slug
from pytest_fcpivot.errors import RowProblem
from pytest_fcpivot.jsontext import quoted, well_formed
from pytest_fcpivot.model import Action, FunctionCall, Pivot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What of a row does not become metadata of its pivots: what they hold already, and the expert's thinking.
_NOT_METADATA = frozenset({"messages", "tools", "reasoning", "uuid", "id", "trajectory_id"})


@dataclass(frozen=True, slots=True)
class SkippedTurn:
    """An assistant turn that is no pivot, by its place among the conversation's messages, and why."""

    line: int
    message: int
    reason: str


def is_conversation(row: Any) -> bool:
    """Tell whether a decoded row is a conversation."""
    return isinstance(row, dict) and isinstance(row.get("messages"), list)


def pivots_of(row: Mapping[str, Any], line: int) -> list[Pivot | SkippedTurn]:
    """Return the pivots of a conversation and the assistant turns that are none, in order.

    Raises RowProblem with the reason if the row is broken.
    """
    try:
        return list(_turns_of(row, line))
    except RecursionError:
        raise RowProblem(line, "a value in it is nested too deep to be written again") from None


def _turns_of(row: Mapping[str, Any], line: int) -> Iterator[Pivot | SkippedTurn]:
    messages = _messages(row, line)
    tools_json, n_tools, tool_flags = _tools(row, line)
    trajectory = _trajectory(row, messages)
    stem = slug(trajectory) or "c"
    stem = f"t{stem}" if stem[0].isdigit() and len(stem) < 12 else stem  # noqa: PLR2004 (a number, not a uuid)
    metadata = {key: value for key, value in row.items() if key not in _NOT_METADATA and value is not None}
    metadata_json = compact(metadata)
    flagged: set[str] = set()
    items = _Items()
    turn = step = depth = 0
    for place, message in enumerate(messages):
        role = message.get("role")
        if role != "assistant":
            items.add(message)
            turn += role == "user"
            step = 0 if role == "user" else step
            continue
        action = _action(message, line, place)
        if isinstance(action, str):
            yield SkippedTurn(line, place, action)
        elif not items.parts:
            yield SkippedTurn(line, place, "the conversation begins with it, so there is nothing to answer")
        else:
            flags = tool_flags | items.flags
            if flags != flagged:
                metadata_json, flagged = compact({**metadata, "flags": sorted(flags)}), flags
            yield Pivot(
                id=f"{stem}-d{depth}",
                trajectory_id=trajectory,
                expected_action=action,
                input_json=f"[{','.join(items.parts)}]",
                tools_json=tools_json,
                params_json="{}",
                metadata_json=metadata_json,
                turn=max(0, turn - 1),
                step=step,
                depth=depth,
                source_line=line,
                n_tools=n_tools,
            )
        items.add(message)
        step += 1
        depth += 1


def _messages(row: Mapping[str, Any], line: int) -> list[dict[str, Any]]:
    messages = row.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RowProblem(line, "no messages (a list that is not empty)")
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RowProblem(line, f"messages[{place}]: a message is an object with a role")
    if not any(message["role"] == "assistant" for message in messages):
        raise RowProblem(line, "messages: no assistant turn among them, so there is no pivot in it")
    return messages


def _trajectory(row: Mapping[str, Any], messages: list[dict[str, Any]]) -> str:
    """Return the conversation's own id, or one of its content."""
    for key in ("trajectory_id", "uuid", "id"):
        value = row.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return well_formed(str(value))
    from hashlib import blake2b  # noqa: PLC0415 (few files need it)

    text = json.dumps([messages, row.get("tools")], sort_keys=True)
    return f"c-{blake2b(text.encode(), digest_size=6).hexdigest()}"


def _tools(row: Mapping[str, Any], line: int) -> tuple[str, int, set[str]]:
    """Return the tools in their flat form, as JSON, their number, and what is odd about them."""
    raw = row.get("tools")
    if isinstance(raw, str):  # some exports hold them as JSON text
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise RowProblem(line, f"tools: a string that is not JSON: {error}") from error
    if raw is None:
        return "[]", 0, set()
    if not isinstance(raw, list) or not all(isinstance(tool, dict) for tool in raw):
        raise RowProblem(line, "tools must be a list of objects")
    flags: set[str] = set()
    names: set[Any] = set()
    tools = []
    for tool in raw:
        flat = _flat_tool(tool, flags)
        name = str(flat.get("name"))
        if name in names:
            flags.add("duplicate-tool-names")
        names.add(name)
        tools.append(flat)
    return compact(tools), len(tools), flags


def _flat_tool(tool: dict[str, Any], flags: set[str]) -> dict[str, Any]:
    function = tool.get("function")
    inner = function if isinstance(function, dict) else tool
    flat = {"type": "function", **{key: value for key, value in inner.items() if key not in ("type", "required")}}
    required = inner.get("required")
    if required is None:
        return flat
    flags.add("required-beside-parameters")
    parameters = flat.get("parameters")
    if isinstance(required, list) and isinstance(parameters, dict) and "required" not in parameters:
        flat["parameters"] = {**parameters, "required": required}
    elif isinstance(required, list) and parameters is None:
        flat["parameters"] = {"type": "object", "properties": {}, "required": required}
    return flat


def _action(message: Mapping[str, Any], line: int, place: int) -> Action | str:
    """Return what the expert did, or why it is no action; raises RowProblem for a call without a name."""
    calls = []
    for number, call in enumerate(_calls(message)):
        name, arguments = _call(call)
        if name is None:
            raise RowProblem(line, f"messages[{place}].tool_calls[{number}]: a call needs a name, a string")
        calls.append(FunctionCall(name, arguments))
    if calls:
        return Action(tuple(calls))
    text = text_of(message.get("content"))
    return Action(message=text) if text else "neither text nor calls"


def _calls(message: Mapping[str, Any]) -> list[Any]:
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        return calls
    single = message.get("function_call")  # the API's first form
    return [single] if isinstance(single, dict) else []


def _call(call: Any) -> tuple[str | None, str]:
    """Return a call's name and its arguments as JSON text."""
    function = call.get("function") if isinstance(call, dict) else None
    inner = function if isinstance(function, dict) else call
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        return None, "{}"
    arguments = inner.get("arguments")
    if arguments is None or arguments == "":
        return inner["name"], "{}"
    return inner["name"], arguments if isinstance(arguments, str) else json.dumps(arguments)


def text_of(content: Any) -> str:
    """Return the text of a message: a string, or the text parts of a list, joined."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return "" if content is None else compact(content)
    return "\n".join(part["text"] for part in content if is_text_part(part))


class _Items:
    """The conversation so far, as JSON texts of Responses items; results are paired with their calls."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.flags: set[str] = set()
        self._waiting: dict[str, str] = {}  # the last calls without a result: the ids that they have here, and had
        self._ids: set[str] = set()
        self._calls = 0
        self._strays = 0

    def add(self, message: Mapping[str, Any]) -> None:
        role = message["role"]
        if role in ("tool", "function"):  # the latter in the API's first form
            self._result(message)
            return
        if self._waiting and role in ("assistant", "user"):
            self.flags.add("calls-without-results")
            self._waiting.clear()
        if role == "assistant":
            text = text_of(message.get("content"))
            if text:
                self.parts.append(f'{{"role":"assistant","content":{quoted(text)}}}')
            for call in _calls(message):
                self._call(call)
            return
        role = role if role in ("system", "user", "developer") else "user"
        self.parts.append(f'{{"role":"{role}","content":{quoted(text_of(message.get("content")))}}}')

    def _call(self, call: Any) -> None:
        name, arguments = _call(call)
        own = call.get("id") if isinstance(call, dict) else None
        told = own if isinstance(own, str) and own else f"call_{self._calls}"
        self._calls += 1
        identifier, number = told, 1
        while identifier in self._ids:  # one id, one call: a result would be taken for that of the other
            number += 1
            identifier = f"{told}_{number}"
        self._ids.add(identifier)
        self._waiting[identifier] = told
        self.parts.append(
            f'{{"type":"function_call","call_id":{quoted(identifier)},'
            f'"name":{quoted(name or "")},"arguments":{quoted(arguments)}}}'
        )

    def _result(self, message: Mapping[str, Any]) -> None:
        told = message.get("tool_call_id")
        named = isinstance(told, str) and bool(told)
        found = next((id_ for id_, had in self._waiting.items() if not named or had == told), None)
        if found is not None:
            identifier = found
            del self._waiting[found]
        else:
            self.flags.add("results-without-calls")
            identifier = str(told) if named else f"stray_{self._strays}"
            self._strays += 1
        content = message.get("content")
        if isinstance(content, list) and content and all(map(is_text_part, content)):
            output = text_of(content)
        else:
            output = content if isinstance(content, str) else compact(content)
        self.parts.append(f'{{"type":"function_call_output","call_id":{quoted(identifier)},"output":{quoted(output)}}}')
