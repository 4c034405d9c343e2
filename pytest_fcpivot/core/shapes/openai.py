"""OpenAI's two APIs, Responses and Chat Completions, as returned by its client, LiteLLM and compatible servers.

`read_message` reads the assistant's message of every SDK: they differ in the parts of its content, which have readers
by `type`, and in whether calls are in the content or beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.core.shapes.reading import (
    MISSING,
    Reading,
    Shape,
    combined,
    field_names,
    first,
    get,
    is_cut_off,
    is_list,
    nothing,
    served_call,
    shown_keys,
    shown_type,
    text_part,
)
from pytest_fcpivot.core.shapes.unknown import not_understood, refuse_error, refuse_unread, refused, wrong_role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fcpivot.core.model import FunctionCall
    from pytest_fcpivot.core.shapes.reading import Read

# The fields that a call may have besides its name and arguments.
_BESIDE_ARGUMENTS = frozenset(
    (
        *("id", "type", "call_id", "index", "status", "function", "namespace", "caller", "created_by"),
        *("thought_signature", "extra_content", "provider_specific_fields", "parsed_arguments"),
    )
)
# The fields of a message that hold neither its text nor a call that was overlooked.
_BESIDE_CONTENT = frozenset(
    (
        *(
            "role",
            "id",
            "type",
            "status",
            "name",
            "phase",
            "index",
            "prefix",
            "refusal",
            "audio",
            "images",
            "annotations",
        ),
        *(
            "reasoning",
            "reasoning_content",
            "reasoning_details",
            "thinking",
            "thinking_blocks",
            "provider_specific_fields",
        ),
        *("tool_calls", "function_call", "model", "usage", "stop_reason", "stop_sequence"),
    )
)
_NO_CALLS = frozenset(("tool_calls", "function_call", "tool_call_id", "tool_name", "tool_plan"))


def _read_function_call(item: Any, read: Read) -> Reading:  # noqa: ARG001 (a Reader)
    return Reading([served_call(item, "name", "arguments", _BESIDE_ARGUMENTS)], answer=item)


def _read_nested_call(item: Any, read: Read) -> Reading:  # noqa: ARG001 (a Reader)
    return Reading([_chat_call(item)], answer=item)


def _chat_call(item: Any) -> FunctionCall:
    """Read one element of `tool_calls`, with name and arguments under `function` or directly in the element."""
    function = get(item, "function")
    if function is MISSING or function is None:
        if get(item, "name") is MISSING or (
            get(item, "arguments") is MISSING and get(item, "parameters") is not MISSING
        ):
            raise not_understood(item)
        function = item
    return served_call(function, "name", "arguments", _BESIDE_ARGUMENTS)


def _tool_calls(value: Any, read: Read) -> list[FunctionCall]:
    """Read the value of `tool_calls`: a list of calls, or a single call."""
    if value is MISSING or value is None:
        return []
    if isinstance(value, str | bytes | bool | int | float):
        raise ActionError(f"tool_calls must be a list of calls, or one call; it is {shown_type(value)}")
    calls: list[FunctionCall] = []
    for item in value if is_list(value) else (value,):
        if get(item, "function") not in (MISSING, None) or get(item, "type") in (MISSING, None, "function"):
            calls.append(_chat_call(item))
        else:
            found = read(item).calls
            if not found:
                raise not_understood(item)
            calls += found
    return calls


def read_message(message: Any, read: Read) -> Reading:
    """Read the assistant's message of any API: its calls, else its text; raises ActionError for any other role."""
    role = get(message, "role")
    if role is not MISSING and role is not None and role != "assistant":
        raise wrong_role(role)
    refuse_error(message)
    reading = Reading(answer=message, cut_off=is_cut_off(get(message, "stop_reason")))
    reading.calls = _tool_calls(first(message, "tool_calls", "toolCalls"), read)
    function = get(message, "function_call")
    if not reading.calls and function is not MISSING and function is not None:
        reading.calls = [served_call(function, "name", "arguments", _BESIDE_ARGUMENTS)]
    if reading.calls:
        return reading
    content = get(message, "content")
    if isinstance(content, str):
        # Ollama's thinking models send "" if there is no text, and so do some servers beside a refusal
        says_nothing = content == "" and (get(message, "thinking") is not MISSING or first(message, "refusal"))
        reading.text = None if says_nothing else content
    elif is_list(content):
        inside = read_content(content, read)
        reading.calls, reading.text = inside.calls, inside.text
    elif content is not MISSING and content is not None:
        raise ActionError(f"the content of a message must be a string or a list of parts; it is {shown_type(content)}")
    if not reading.calls:
        _refuse_lost(message, has_content=content is not MISSING)
    if not reading.calls and not reading.text:
        refuse_unread(message, "content", "tool_calls")
    return reading


def read_content(parts: Sequence[Any], read: Read) -> Reading:
    """Read the parts of a message.

    Of several `output_text` parts only the first counts, as in NeMo Gym's verifier; other text parts are joined.
    """
    reading = combined(
        [Reading(text=part, is_part=True) if isinstance(part, str) else read(part) for part in parts], parts
    )
    for part in parts:
        if get(part, "type") == "output_text":
            reading.text = part["text"] if isinstance(part, dict) else get(part, "text")
            break
    return reading


def _refuse_lost(message: Any, *, has_content: bool) -> None:
    """Raise ActionError if a message without calls has other fields that might hold calls, or its text."""
    names = list(field_names(message))
    odd = [
        name
        for name in names
        if name not in _NO_CALLS and ("tool" in name.lower() or "function" in name.lower()) and get(message, name)
    ]
    if not has_content:
        odd += [name for name in names if name not in _BESIDE_CONTENT and name not in odd]
    if odd:
        raise ActionError(
            f"the assistant's message has {shown_keys(odd)}, which is not understood and might hold its calls or its "
            "text; return its calls as tool_calls, and its text as content"
        )


def _read_choice(choice: Any, read: Read) -> Reading:
    refuse_error(choice)
    message = get(choice, "message")
    if message is MISSING or message is None or is_list(message) or isinstance(message, str | int | float):
        raise not_understood({"choices": [choice]})
    reading = read_message(message, read)
    reading.cut_off |= is_cut_off(get(choice, "finish_reason"))
    reading.answer = choice
    return reading


def is_cut_off_completion(completion: Any) -> bool:
    """Return whether the first choice of a completion ended at its token limit; its message is not looked at."""
    choices = get(completion, "choices")
    return is_list(choices) and bool(choices) and is_cut_off(get(choices[0], "finish_reason"))


def _read_completion(completion: Any, read: Read) -> Reading:
    refuse_error(completion)
    choices = get(completion, "choices")
    if not choices:
        raise ActionError("the agent returned a chat completion with no choices; there is no answer to grade")
    reading = the_one([_read_choice(choice, read) for choice in choices], "choices")
    reading.answer = completion
    return reading


def the_one(readings: list[Reading], what: str) -> Reading:
    """Return the one of several alternative answers that has calls; raises ActionError unless exactly one has."""
    if len(readings) == 1:
        return readings[0]
    calling = [reading for reading in readings if reading.calls]
    if len(calling) == 1:
        calling[0].one_of_several = True
        return calling[0]
    shown = " and ".join(map(_shown, readings[:2]))
    raise ActionError(
        f"the answer has {len(readings)} {what}, {'several' if calling else 'none'} of them with calls: "
        f"{shown}{' and more' if len(readings) > 2 else ''}; ask for one, or return the one that counts"  # noqa: PLR2004
    )


def _shown(reading: Reading) -> str:
    if reading.calls:
        return " + ".join(f"{one_line(call.name, 60)}({one_line(call.arguments, 80)})" for call in reading.calls[:3])
    return "nothing" if reading.text is None else f'the message "{one_line(reading.text, 80)}"'


def _read_response(response: Any, read: Read) -> Reading:
    status = get(response, "status")
    if isinstance(status, str) and status in ("failed", "cancelled", "queued", "in_progress"):
        raise ActionError(f"the agent returned a Response with status {status!r}; there is no answer")
    refuse_error(response)
    reading = read(list(get(response, "output")))
    if not reading.calls and not reading.text and reading.malformed is None:
        refuse_unread(response, "output")
    reading.cut_off, reading.answer = status == "incomplete", response
    return reading


_PASSED_OVER = (
    # reasoning and refusals
    *("reasoning", "reasoning_text", "summary_text", "refusal", "compaction"),
    # tools that the server ran itself
    *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"),
    *("mcp_call", "mcp_list_tools", "tool_search_call", "tool_search_output", "additional_tools"),
    *("program", "program_output"),
)
# Calls that the client has to carry out, but that are not function calls.
_OTHER_CALLS = (
    *("custom_tool_call", "custom", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"),
    "mcp_approval_request",
)
_RESULTS = (
    *("function_call_output", "custom_tool_call_output", "computer_call_output", "local_shell_call_output"),
    *("shell_call_output", "apply_patch_call_output", "mcp_approval_response"),
)
_no_function = refused(
    "is not a function call, so it cannot be compared with the expected action; offer the model functions only, or "
    "return the call as {'name', 'arguments'}"
)
tool_result = refused("is a tool's result, not an answer of the model; return the model's answer before it")

TYPES = {
    "function_call": _read_function_call,
    "function": _read_nested_call,
    "message": read_message,
    "output_text": text_part,
    **dict.fromkeys(_PASSED_OVER, nothing),
    **dict.fromkeys(_OTHER_CALLS, _no_function),
    **dict.fromkeys(_RESULTS, tool_result),
}
COMPLETION = Shape(lambda thing: is_list(get(thing, "choices")), _read_completion)
RESPONSE = Shape(lambda thing: is_list(get(thing, "output")), _read_response)
CHOICE = Shape(lambda thing: get(get(thing, "message"), "role") == "assistant", _read_choice)
# Only the fields with the calls, as some agents extract them from the message.
CALLS_ONLY = Shape(
    lambda thing: is_list(get(thing, "tool_calls")) or get(get(thing, "function_call"), "arguments") is not MISSING,
    read_message,
)
