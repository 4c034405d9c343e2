"""Rows of the FC-Pivot shape to Pivots, with every variation that the published sets show.

A row needs `responses_create_params.input` and `expected_action`; all else is optional, and unknown fields are kept as
metadata, which the agent never sees.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.errors import RowProblem
from pytest_fcpivot.jsontext import quoted, shown, well_formed
from pytest_fcpivot.model import Action, FunctionCall, Pivot

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_PARAMS = frozenset({"input", "tools", "instructions", "metadata"})
_NOT_METADATA = frozenset({"responses_create_params", "expected_action", "trajectory_id"})
_UNSAFE_IN_ID = re.compile(r"[^A-Za-z0-9_.-]+")
_ID_LIMIT = 48
_LARGEST_POSITION = 2**31 - 1


def pivot_from_row(row: Any, line: int) -> Pivot:
    """Read one decoded row; `line` is where it came from. Raises RowProblem with the reason if it is broken."""
    if not isinstance(row, dict):
        raise RowProblem(line, f"a row must be an object, not {_json_type(row)}")
    params = row.get("responses_create_params")
    if not isinstance(params, dict):
        raise RowProblem(line, "no responses_create_params object: is this a file of FC-Pivot rows?")
    expected = _expected_action(row, line)
    items = _input_items(params, line)
    tools = _tools(params, line)
    info = row.get("info")
    turn, step, depth = (_position(info, key, line) for key in ("turn", "step", "depth"))
    input_json, tools_json = compact(items), compact(tools)
    digest = blake2b(digest_size=6)
    for part in (input_json, tools_json, compact(row["expected_action"])):
        digest.update(part.encode("utf-8", "surrogatepass"))
    own_id, trajectory = _own_ids(row)
    pivot_id = own_id or _pivot_id(trajectory, turn, step, depth, digest.hexdigest())
    return Pivot(
        id=pivot_id,
        trajectory_id=trajectory or pivot_id,
        expected_action=expected,
        input_json=input_json,
        tools_json=tools_json,
        params_json=compact({k: v for k, v in params.items() if k not in _NOT_PARAMS and v is not None}),
        metadata_json=compact({k: v for k, v in row.items() if k not in _NOT_METADATA}),
        turn=turn,
        step=step,
        depth=depth,
        source_line=line,
        n_tools=len(tools),
    )


def expected_action_json(action: Action) -> str:
    """Write an expected action as the data sets do."""
    calls = [
        f'{{"type":"function_call","name":{quoted(call.name)},"arguments":{quoted(call.arguments)}}}'
        for call in action.calls
    ]
    if len(calls) == 1:
        return calls[0]
    if calls:
        return f'{{"type":"function_call_batch","calls":[{",".join(calls)}]}}'
    return f'{{"type":"message","content":{quoted(action.message or "")}}}'


def expected_action_from_json(text: str) -> Action:
    """Read an expected action that `expected_action_json` wrote."""
    value = json.loads(text)
    if value["type"] == "message":
        return Action(message=value["content"])
    calls = value["calls"] if value["type"] == "function_call_batch" else (value,)
    return Action(tuple(FunctionCall(call["name"], call["arguments"]) for call in calls))


def _expected_action(row: Mapping[str, Any], line: int) -> Action:
    expected = row.get("expected_action")
    if not isinstance(expected, dict):
        raise RowProblem(line, "no expected_action object")
    kind = expected.get("type")
    if kind == "message":
        content = expected.get("content")
        if not isinstance(content, str):
            raise RowProblem(line, f"expected_action: the content of a message must be a string, not {shown(content)}")
        return Action(message=content)
    if kind == "function_call":
        return Action((_expected_call(expected, "expected_action", line),))
    if kind == "function_call_batch":
        calls = expected.get("calls")
        if not isinstance(calls, list) or not calls:
            raise RowProblem(line, "expected_action: a function_call_batch needs a list of calls")
        return Action(tuple(_expected_call(call, f"expected_action.calls[{i}]", line) for i, call in enumerate(calls)))
    raise RowProblem(
        line, f"expected_action: unknown type {kind!r:.80}; known: message, function_call, function_call_batch"
    )


def _expected_call(call: Any, where: str, line: int) -> FunctionCall:
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise RowProblem(line, f"{where}: a call needs a name, a string")
    arguments = call.get("arguments")
    if not isinstance(arguments, str):
        raise RowProblem(line, f"{where}: arguments must be a JSON string, not {_json_type(arguments)}")
    try:
        json.loads(arguments)
    except (ValueError, RecursionError) as error:
        raise RowProblem(line, f"{where}: the arguments of {call['name']!r} are not JSON: {error}") from error
    return FunctionCall(call["name"], arguments)


def _input_items(params: Mapping[str, Any], line: int) -> list[dict[str, Any]]:
    raw = params.get("input")
    if isinstance(raw, str):
        items: list[dict[str, Any]] = [{"role": "user", "content": raw}]
    elif isinstance(raw, list) and raw and all(isinstance(item, dict) for item in raw):
        items = raw
    elif isinstance(raw, list) and raw:
        raise RowProblem(line, "responses_create_params.input: every item must be an object")
    else:
        raise RowProblem(line, "no responses_create_params.input (a string, or a list of items that is not empty)")
    instructions = params.get("instructions")
    if isinstance(instructions, str) and instructions:
        return [{"role": "system", "content": instructions}, *items]
    return items


def _tools(params: Mapping[str, Any], line: int) -> list[dict[str, Any]]:
    tools = params.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise RowProblem(line, "responses_create_params.tools must be a list of objects")
    return tools


def _own_ids(row: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the row's own pivot id and trajectory id, as far as it has them."""
    trajectory = row.get("trajectory_id")
    own = row.get("id", row.get("uuid"))
    return slug(own) if trajectory is None else None, None if trajectory is None else well_formed(str(trajectory))


def _pivot_id(trajectory: str | None, turn: int | None, step: int | None, depth: int | None, digest: str) -> str:
    if trajectory is None:
        return f"p-{digest}"
    stem = slug(trajectory) or "t"
    stem = f"t{stem}" if stem[0].isdigit() and len(stem) < 12 else stem  # noqa: PLR2004 (a number, not a uuid)
    if depth is not None:
        return f"{stem}-d{depth}"
    if turn is not None or step is not None:
        return f"{stem}-t{turn or 0}s{step or 0}"
    return f"{stem}-{digest[:8]}"


def slug(value: Any) -> str | None:
    """Make an id short and safe in node ids, shells and file names; what had to change is told apart by a hash."""
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        return None
    text = str(value)
    slug = _UNSAFE_IN_ID.sub("-", text).strip("-")[:_ID_LIMIT]
    if slug == text:
        return slug
    return f"{slug or 'id'}-{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=3).hexdigest()}"


def _position(info: Any, key: str, line: int) -> int | None:
    value = info.get(key) if isinstance(info, dict) else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    if abs(value) > _LARGEST_POSITION:
        raise RowProblem(line, f"info.{key}: out of range")
    return value


_COMPACT = json.JSONEncoder(separators=(",", ":"))


def compact(value: Any) -> str:
    """Write JSON without spaces, in ASCII."""
    return _COMPACT.encode(value)


def _json_type(value: Any) -> str:
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")
