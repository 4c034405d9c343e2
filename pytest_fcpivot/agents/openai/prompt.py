"""Tools in a prompt and calls in a text, for models whose server knows nothing of tools."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_fcpivot.agents.openai.tools import Offer

Call = tuple[str, str]  # a name, and arguments as JSON text

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_THINK, _END_OF_THOUGHT = "<think>", "</think>"
_INSTRUCTIONS = """\
You can call tools. Each line below describes one of them, its parameters as a JSON Schema:
<tools>
{tools}
</tools>
To call a tool, answer with one block of this form for each call, on lines of its own:
<tool_call>
{{"name": "the tool's name", "arguments": {{"a parameter": "its value"}}}}
</tool_call>
{duty} Results come back in <tool_response> blocks, in the order of the calls."""

_NAME_KEYS = ("name", "function", "tool")
_ARGUMENT_KEYS = ("arguments", "parameters", "args")
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"\s*")
_FENCE = re.compile(r"```[ \t]*([\w-]*)[ \t]*(?:\n|(?=[\[{]))")
_FENCE_KINDS = frozenset(("", "json", "tool_call", "tool_calls"))
_FENCE_IN_BLOCK = re.compile(r"\s*```\w*")
_END_OF_BLOCK = re.compile(rf"\s*(?:```)?\s*(?:{_CLOSE}|(?={_OPEN})|\Z)")
_END_OF_FENCE = re.compile(r"\s*(?:```|\Z)")
_NAME_IN_RUBBLE = re.compile(rf"[\"'](?:{'|'.join(_NAME_KEYS)})[\"']\s*:\s*[\"']([^\"'\n]+)[\"']")


def prompt_messages(messages: list[dict[str, Any]], offer: Offer) -> list[dict[str, Any]]:
    """Return a chat without tools: they are described in the first message, calls and results are written as text.

    The results of calls made side by side are one message.
    """
    chat: list[dict[str, Any]] = []
    described = _describe(offer)
    if described and (not messages or messages[0]["role"] != "system"):
        chat.append({"role": "system", "content": described})
    after = ""  # the role of the message before
    for message in messages:
        role, text = message["role"], str(message.get("content") or "")
        if role == "assistant":
            calls = (call["function"] for call in message.get("tool_calls", ()))
            blocks = [render_call(call["name"], call["arguments"]) for call in calls]
            text = "\n".join([*([text] if text else []), *blocks])
        elif role == "tool":
            role, text = "user", f"<tool_response>\n{text}\n</tool_response>"
        elif role == "system" and not chat and described:
            text = f"{text}\n\n{described}" if text else described
        if message["role"] == after == "tool":
            chat[-1]["content"] += f"\n{text}"
        else:
            chat.append({"role": role, "content": text})
        after = message["role"]
    return chat


def render_call(name: str, arguments: Any) -> str:
    """Write a call the way a model is asked to; arguments that are not JSON text are encoded."""
    try:
        json.loads(arguments if isinstance(arguments, str) else "")
    except (ValueError, RecursionError):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return f'{_OPEN}\n{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": {arguments}}}\n{_CLOSE}'


def _describe(offer: Offer) -> str:
    if not offer.tools or offer.choice == "none":
        return ""
    keys = ("name", "description", "parameters")
    tools = ({key: tool[key] for key in keys if key in tool} for tool in offer.tools)
    duty = "If no tool is needed, answer the user in plain text, without such a block."
    if offer.choice == "required":
        duty = "You must call at least one tool."
    elif isinstance(offer.choice, dict) and offer.choice["type"] == "function":
        duty = f"You must call the tool {json.dumps(offer.choice['name'], ensure_ascii=False)}."
    if offer.parallel is False:
        duty += " Call at most one tool in an answer."
    return _INSTRUCTIONS.format(tools="\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools), duty=duty)


def parse_answer(text: str, tool_names: frozenset[str]) -> tuple[str | None, list[Call]]:
    """Return the text beside an answer's calls, None if there is none, and the calls.

    Calls are read from `<tool_call>` blocks; without one, from fenced JSON; without that, from an answer that is JSON
    as a whole. Outside blocks only calls of the tools on offer count, since JSON may be what the user asked for. A
    block of broken JSON is a call with the whole block as its arguments, which then fail to decode, if a name can be
    found in it.
    """
    text = _without_thoughts(text)
    for find in (_from_blocks, _from_fences, _from_whole):
        rest, calls = find(text, tool_names)
        if calls:
            break
    return rest.strip() or None, calls


def _without_thoughts(text: str) -> str:
    """Cut what a model thought ahead of its answer; a thought without an end is all there is."""
    text = text.lstrip()
    while text.startswith(_THINK):
        _, _, text = text.partition(_END_OF_THOUGHT)
        text = text.lstrip()
    # The beginning of the thought may have been part of the server's template. The end of one counts unless it is in a
    # string of a sound call.
    at = 0
    while (end := text.find(_END_OF_THOUGHT, at)) >= 0:
        block = text.find(_OPEN, at)
        at = _whole_block(text, block + len(_OPEN))[1] if 0 <= block < end else -1
        if at < 0:
            return text[end + len(_END_OF_THOUGHT) :]
    return text


def _from_blocks(text: str, _tool_names: frozenset[str]) -> tuple[str, list[Call]]:
    kept, calls, at = "", list[Call](), 0
    while (start := text.find(_OPEN, at)) >= 0:
        inside = start + len(_OPEN)
        found, end = _whole_block(text, inside)
        if not found:
            rubble, end = _rubble(text, inside)
            name = _NAME_IN_RUBBLE.search(rubble)
            found = [(name[1], rubble)] if name and not _values(rubble, 0)[2] else []
        kept += text[at:start] if found else text[at:end]
        calls += found
        at = end
    return kept + text[at:], calls


def _whole_block(text: str, inside: int) -> tuple[list[Call], int]:
    """Return the calls of a block of sound JSON, whatever its strings hold, and its end; no calls and -1 otherwise."""
    fence = _FENCE_IN_BLOCK.match(text, inside)
    values, end, _ = _values(text, fence.end() if fence else inside)
    closed = _END_OF_BLOCK.match(text, end)
    calls = _calls(values)
    return (calls, closed.end()) if calls and closed else ([], -1)


def _rubble(text: str, inside: int) -> tuple[str, int]:
    """Return what stands up to the next tag, and where the text goes on after it."""
    close, following = text.find(_CLOSE, inside), text.find(_OPEN, inside)
    stop = min(place for place in (close, following, len(text)) if place >= 0)
    return text[inside:stop].strip(), stop + len(_CLOSE) if stop == close else stop


def _from_fences(text: str, tool_names: frozenset[str]) -> tuple[str, list[Call]]:
    kept, calls, at = "", list[Call](), 0
    while fence := _FENCE.search(text, at):
        values, end, _ = _values(text, fence.end())
        closed = _END_OF_FENCE.match(text, end)
        found = _calls(values, tool_names) if closed and fence[1].lower() in _FENCE_KINDS else []
        if found and closed:
            kept += text[at : fence.start()]
            end = closed.end()
        else:
            close = text.find("```", fence.end())
            end = len(text) if close < 0 else close + 3
            kept += text[at:end]
        calls += found
        at = end
    return kept + text[at:], calls


def _from_whole(text: str, tool_names: frozenset[str]) -> tuple[str, list[Call]]:
    values, _, whole = _values(text, 0)
    calls = _calls(values, tool_names) if whole else []
    return ("" if calls else text), calls


def _values(text: str, at: int) -> tuple[list[Any], int, bool]:
    """Decode the JSON objects and arrays from a place on, one after the other; tell where they end, and if at the end.

    A fault after the first value ends them; the caller sees by the text that follows whether that is sound.
    """
    values: list[Any] = []
    while True:
        start = _after_space(text, at)
        if text[start : start + 1] not in ("{", "["):
            return values, at, bool(values) and start == len(text)
        try:
            value, at = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            return values, at, False
        values.append(value)


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _calls(values: list[Any], tool_names: frozenset[str] | None = None) -> list[Call]:
    """Read decoded values as calls: all of them, or none if one is something else."""
    calls: list[Call] = []
    for value in values:
        for part in value if isinstance(value, list) else [value]:
            call = _call(part, strict=tool_names is not None)
            if call is None or (tool_names is not None and call[0] not in tool_names):
                return []
            calls.append(call)
    return calls


def _call(value: Any, *, strict: bool) -> Call | None:
    """Read one object as a call; unless `strict`, arguments may be missing."""
    if not isinstance(value, dict):
        return None
    name = next((value[key] for key in _NAME_KEYS if key in value), None)
    if isinstance(name, dict):
        return _call(name, strict=strict)  # as Chat Completions nests it
    arguments = [value[key] for key in _ARGUMENT_KEYS if key in value]
    if not isinstance(name, str) or not name or (strict and not arguments):
        return None
    written = arguments[0] if arguments else {}
    return name, written if isinstance(written, str) else json.dumps(written)
