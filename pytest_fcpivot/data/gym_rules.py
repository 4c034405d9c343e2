"""The rules that NeMo Gym has for a row of pivots: those of its models of a request, and those of its validators.

Sources (NVIDIA-NeMo/Gym): `nemo_gym/openai_utils.py` (a request with other members is refused), `task_data.py` of
single_step_tool_use_with_argument_comparison, and `validate_pivot_dataset.py` with its sharded variant, which are in
the folder of the skill nemo-gym-pivot-datasets. Rows that cannot be read at all are refused long before.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_fcpivot.core.jsontext import one_line, shown
from pytest_fcpivot.data.agent_refs import AGENT_REF
from pytest_fcpivot.data.rows import EXPECTED, PARAMS, json_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Each rule by the name under which rows that break it are counted.
STRICT_JSON = "strict-json"
AGENT_REF_FORM = "agent-ref"
UNKNOWN_SETTING = "unknown-setting"
SETTING_TYPE = "setting-type"
TOOL_CHOICE = "tool-choice"
TOOL_FORM = "tool-form"
INPUT_ITEM = "input-item"
RESULT_WITHOUT_CALL = "result-without-call"
CALL_WITHOUT_RESULT = "call-without-result"
UNKNOWN_TOOL = "unknown-tool"
EMPTY_NAME = "empty-name"
UNREACHABLE = "unreachable-reward"
RULES = {
    STRICT_JSON: "numbers are finite, and no text has half a surrogate pair",
    AGENT_REF_FORM: "agent_ref has the type responses_api_agents, and a name",
    UNKNOWN_SETTING: "responses_create_params has settings of the Responses API alone",
    SETTING_TYPE: "a setting has the type that the Responses API gives it",
    TOOL_CHOICE: "tool_choice is auto",
    TOOL_FORM: "a tool is a flat function, with name, parameters and strict",
    INPUT_ITEM: "an item of the input has the members of its type",
    RESULT_WITHOUT_CALL: "a result in the input comes after its call",
    CALL_WITHOUT_RESULT: "a call in the input has a result",
    UNKNOWN_TOOL: "an expected call is of a tool that is on offer",
    EMPTY_NAME: "an expected call has a name",
    UNREACHABLE: "the expected action itself gets the whole reward",
}
AGENT_TYPE = "responses_api_agents"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _one_of(*values: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in values


_SETTINGS: Mapping[str, Callable[[Any], bool]] = {
    "background": _is(bool),
    "include": _is(list),
    "input": _is(list),
    "instructions": _is(str),
    "max_output_tokens": _is_whole,
    "max_tool_calls": _is_whole,
    "metadata": _is(dict),
    "model": _is(str),
    "parallel_tool_calls": _is(bool),
    "previous_response_id": _is(str),
    "prompt": _is(dict),
    "reasoning": _is(dict),
    "service_tier": _one_of("auto", "default", "flex", "scale", "priority"),
    "store": _is(bool),
    "stream": lambda value: value is False,
    "temperature": _is_number,
    "text": _is(dict),
    "tool_choice": _is(str, dict),
    "tools": _is(list),
    "top_logprobs": _is_whole,
    "top_p": _is_number,
    "truncation": _one_of("auto", "disabled"),
    "user": _is(str),
}
_ROLES = ("user", "assistant", "system", "developer")
_INPUT_PARTS = ("input_text", "input_image", "input_file")
_STATUS = (None, "in_progress", "completed", "incomplete")


def broken_rules(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name of each rule that a decoded row breaks, once, with what breaks it.

    A row without `agent_ref` breaks none, since a configuration may name the agent; whether the expected action gets
    the whole reward is for a grader to say.
    """
    ref = row.get(AGENT_REF)
    if AGENT_REF in row and not (
        isinstance(ref, dict) and ref.get("type") == AGENT_TYPE and isinstance(ref.get("name"), str) and ref["name"]
    ):
        yield AGENT_REF_FORM, shown(ref)
    params = row[PARAMS]
    unknown = [name for name in params if name not in _SETTINGS]
    if unknown:
        yield UNKNOWN_SETTING, one_line(", ".join(unknown))
    wrong = [name for name, value in params.items() if name in _SETTINGS and not _SETTINGS[name](value)]
    if wrong:
        yield SETTING_TYPE, f"{wrong[0]} is {shown(params[wrong[0]])}"
    if params.get("tool_choice", "auto") != "auto":
        yield TOOL_CHOICE, f"tool_choice is {shown(params['tool_choice'])}"
    faults = (_fault_of_tool(tool) for tool in params["tools"])
    fault = next((f"tools[{place}]: {fault}" for place, fault in enumerate(faults) if fault), None)
    if fault is not None:
        yield TOOL_FORM, fault
    faults = (fault_of_item(item) for item in params["input"])
    fault = next((f"input[{place}]: {fault}" for place, fault in enumerate(faults) if fault), None)
    if fault is not None:
        yield INPUT_ITEM, fault
    yield from _unpaired(params["input"])
    yield from _expected(row[EXPECTED], params["tools"])


def strict_json(text: bytes) -> Any:
    """Decode JSON by the standard's rules; raises ValueError for what only Python's decoder accepts."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _fault_of_tool(tool: Mapping[str, Any]) -> str | None:
    if tool.get("type") != "function":
        return f"its type is {shown(tool.get('type'))}, not function"
    if not isinstance(tool.get("name"), str):
        return "it has no name"
    for name, kind in (("parameters", dict), ("strict", bool)):
        if name not in tool:
            return f"it has no {name}"
        if not isinstance(tool[name], kind | None):
            return f"{name} is {json_type(tool[name])}"
    return None if isinstance(tool.get("description"), str | None) else "description is no text"


def fault_of_item(item: Mapping[str, Any]) -> str | None:
    """Return why NeMo Gym would refuse an item of an input or an output; None if it would not."""
    kind = item.get("type", "message")
    if kind == "message":
        return _fault_of_message(item)
    if kind == "function_call":
        return _lacking(item, "name", "call_id", "arguments")
    if kind == "function_call_output":
        output = item.get("output")
        return _lacking(item, "call_id") or (None if isinstance(output, str | list) else "its output is no text")
    if kind == "reasoning":
        summary = isinstance(item.get("summary"), list)
        return _lacking(item, "id") or (None if summary else "its summary is no list")
    return None  # items of hosted tools, of which NeMo Gym takes all that OpenAI's library knows


def _lacking(item: Mapping[str, Any], *names: str) -> str | None:
    lacking = next((name for name in names if not isinstance(item.get(name), str)), None)
    return None if lacking is None else f"{item['type']}: {lacking} is {json_type(item.get(lacking))}, not a string"


def _fault_of_message(item: Mapping[str, Any]) -> str | None:
    role, content = item.get("role"), item.get("content")
    if role not in _ROLES:
        return f"its role is {shown(role)}"
    if isinstance(content, str):
        return None
    if not isinstance(content, list):
        return f"its content is {json_type(content)}"
    kinds = {part.get("type") if isinstance(part, dict) else None for part in content}
    if kinds <= {*_INPUT_PARTS}:
        return None
    if role != "assistant" or not kinds <= {"output_text", "refusal"}:
        return f"its content has parts of the type {shown(next(k for k in kinds if k not in _INPUT_PARTS))}"
    if not isinstance(item.get("id"), str) or item.get("status") not in _STATUS:
        return "a message of output_text needs an id"
    texts = [part for part in content if part["type"] == "output_text"]
    if all(isinstance(part.get("text"), str) and isinstance(part.get("annotations"), list) for part in texts):
        return None
    return "output_text needs a text, and a list of annotations"


def _unpaired(items: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the rules on the order of calls and results that a conversation breaks."""
    waiting: Counter[str] = Counter()
    stray: str | None = None
    for item in items:
        kind, identity = item.get("type"), item.get("call_id")
        identity = identity if isinstance(identity, str) else shown(identity)
        if kind == "function_call":
            waiting[identity] += 1
        elif kind == "function_call_output":
            if not waiting[identity] and stray is None:
                stray = identity
            waiting[identity] -= 1
    if stray is not None:
        yield RESULT_WITHOUT_CALL, f"call_id {one_line(stray, 80)}"
    left = next((identity for identity, count in waiting.items() if count > 0), None)
    if left is not None:
        yield CALL_WITHOUT_RESULT, f"call_id {one_line(left, 80)}"


def _expected(action: Mapping[str, Any], tools: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    calls = action["calls"] if action["type"] == "function_call_batch" else [action]
    names = [call["name"] for call in calls if call["type"] == "function_call"]
    # the validator takes the name of a nested function too
    offered = [(tool.get("function") or tool).get("name") for tool in tools if _is_tool(tool)] if names else []
    unknown = next((name for name in names if name not in offered), None)
    if unknown is not None:
        yield UNKNOWN_TOOL, one_line(unknown, 80)
    if "" in names:
        yield EMPTY_NAME, 'a call of ""'


def _is_tool(tool: Mapping[str, Any]) -> bool:
    return isinstance(tool.get("function"), dict | None)
