"""Converts rows of the FC-Pivot shape to pivots, with every variation that occurs in the published datasets.

A row needs `responses_create_params.input` and `expected_action`; everything else is optional. Unknown fields are kept
as metadata, which the agent never sees. A `split` that is a text is the pivot's split. Rows that `gym_rows` wrote may
have a member `_fcpivot` with what cannot be derived from the rest: the id, the split, the position, and that tools got
a member `strict` only because NeMo Gym requires one.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.core.jsontext import compact, one_line, quoted, shown, shows_as_it_is, well_formed
from pytest_fcpivot.core.jsontext import decoded as decoded_text
from pytest_fcpivot.core.model import Action, FunctionCall, Pivot
from pytest_fcpivot.data.jsonparts import (
    count_objects,
    decoded,
    fields,
    is_array,
    is_object,
    is_string,
    joined,
    objects,
    string,
    unwrapped,
)
from pytest_fcpivot.data.selection import stable_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMS, EXPECTED, TRAJECTORY, SPLIT = "responses_create_params", "expected_action", "trajectory_id", "split"
# The member in which an exported row says of its pivot what cannot be derived from the rest of the row.
OWN = "_fcpivot"
POSITIONS = ("turn", "step", "depth")
NO_STRICT = "no_strict"
_NOTHING: Mapping[str, Any] = {}
_NOT_PARAMS = frozenset({"input", "tools", "instructions", "metadata"})
_NOT_METADATA = frozenset({PARAMS, EXPECTED, TRAJECTORY, OWN})
_NOT_METADATA_WITH_SPLIT = _NOT_METADATA | {SPLIT}
LONGEST_ID = 200  # characters; ids made by `prepare` are shorter
_UNSAFE_IN_ID = re.compile(r"[^A-Za-z0-9_.-]+")
_ID_LIMIT = 48
_LISTED = b'"[{'
_LARGEST_POSITION = 2**31 - 1


class StoredPivot(NamedTuple):
    """One pivot as a row of the store, in the order of the store's columns; JSON texts are UTF-8 bytes or str."""

    id: str
    split: str | None
    trajectory_id: str
    id_hash: int
    trajectory_hash: int
    turn: int | None
    step: int | None
    depth: int | None
    expected_type: str
    expected_names: list[str]
    n_tools: int
    expected_action: bytes | str
    input: bytes | str
    tools: bytes | str
    params: bytes | str
    metadata: bytes | str
    source_line: int | None

    @classmethod
    def of(cls, pivot: Pivot) -> StoredPivot:
        """Make the row of a pivot."""
        expected = pivot.expected_action
        return cls(
            pivot.id,
            pivot.split,
            pivot.trajectory_id,
            stable_hash("sample", pivot.id),
            stable_hash("shard", pivot.trajectory_id),
            pivot.turn,
            pivot.step,
            pivot.depth,
            expected.kind,
            [well_formed(call.name) for call in expected.calls],
            len(pivot.tools) if pivot.n_tools is None else pivot.n_tools,
            expected_action_json(expected),
            pivot.input_json,
            pivot.tools_json,
            pivot.params_json,
            pivot.metadata_json,
            pivot.source_line,
        )

    def of_trajectory(self, trajectory: str, own: str) -> StoredPivot:
        """Return a copy with the id `own`, as a pivot of the given trajectory."""
        return self._replace(
            id=own,
            trajectory_id=trajectory,
            id_hash=stable_hash("sample", own),
            trajectory_hash=stable_hash("shard", trajectory),
        )

    def pivot(self) -> Pivot:
        """Make the pivot that this row holds."""
        return Pivot(
            id=self.id,
            trajectory_id=self.trajectory_id,
            expected_action=expected_action_from_json(_str(self.expected_action)),
            input_json=_str(self.input),
            tools_json=_str(self.tools),
            params_json=_str(self.params),
            metadata_json=_str(self.metadata),
            turn=self.turn,
            step=self.step,
            depth=self.depth,
            source_line=self.source_line,
            split=self.split,
            n_tools=self.n_tools,
        )


def _str(text: bytes | str) -> str:
    return text if isinstance(text, str) else text.decode()


def pivot_from_row(row: Any, line: int) -> Pivot:
    """Read one decoded row from line `line` of its file; raises RowProblem with the reason if it is broken."""
    if not isinstance(row, dict):
        raise RowProblem(line, f"a row must be an object, not {json_type(row)}")
    try:
        return read_row({key: compact(value).encode() for key, value in row.items()}, line).pivot()
    except RecursionError:
        raise RowProblem(line, "a value in it is nested too deeply to be encoded") from None


def read_row(row: Mapping[str, bytes], line: int, params: Mapping[str, bytes] | None = None) -> StoredPivot:
    """Read one row, given as the JSON texts of its members; raises RowProblem with the reason if it is broken.

    `params` are the members of its `responses_create_params`, if they were split already.
    """
    if params is None:
        raw_params = row.get(PARAMS)
        if raw_params is None or not is_object(raw_params):
            raise RowProblem(line, "no responses_create_params object beside expected_action")
        params = fields(raw_params) or {}
    kind, names, expected = _expected_action(row, line)
    input_ = _input(params, line)
    tools, n_tools = _tools(params, line)
    own = _own(row, line) if OWN in row else _NOTHING
    if NO_STRICT in own:
        tools = _without_strict(tools)
    turn, step, depth = positions_of(row, line, own)
    own_id, trajectory = _own_ids(row)
    split = own.get(SPLIT) or split_of(row)
    pivot_id = own.get("id", own_id)
    if pivot_id is None:
        stem = None if trajectory is None else stem_of(trajectory, "t")
        pivot_id = _id_of_place(stem, turn, step, depth)
        if pivot_id is None:
            digest = _digest(input_, tools, row[EXPECTED])
            pivot_id = f"p-{digest}" if stem is None else f"{stem}-{digest[:8]}"
    trajectory = trajectory or pivot_id
    return StoredPivot(
        pivot_id,
        split,
        trajectory,
        stable_hash("sample", pivot_id),
        stable_hash("shard", trajectory),
        turn,
        step,
        depth,
        kind,
        names,
        n_tools,
        expected,
        input_,
        tools,
        _members(params, _NOT_PARAMS, null=False),
        _members(row, _NOT_METADATA if split is None or SPLIT in own else _NOT_METADATA_WITH_SPLIT),
        line,
    )


def split_of(row: Mapping[str, Any]) -> str | None:
    """Return the split that a row names for itself; None if it has no such text."""
    raw = row.get(SPLIT)
    split = string(raw) if type(raw) is bytes else None
    return well_formed(split) if split else None


def is_usable_id(text: str) -> bool:
    """Return whether an id can be the name of a test: it is one line, not too long, and without `[` and `::`."""
    return 0 < len(text) <= LONGEST_ID and "::" not in text and "[" not in text and shows_as_it_is(text)


def _own(row: Mapping[str, bytes], line: int) -> dict[str, Any]:
    """Return the members of `_fcpivot`; raises RowProblem for any that `gym_rows` does not write."""
    own = decoded(row[OWN])
    if not isinstance(own, dict):
        raise RowProblem(line, f"{OWN}: an object is expected, as fcpivot export writes it, not {json_type(own)}")
    for key, value in own.items():
        if key == "id":
            fits = isinstance(value, str) and is_usable_id(value)
        elif key == SPLIT:
            fits = isinstance(value, str) and value != ""
        elif key == NO_STRICT:
            fits = value is True
        else:
            fits = key in POSITIONS and (value is None or (type(value) is int and abs(value) <= _LARGEST_POSITION))
        if not fits:
            raise RowProblem(
                line, f"{OWN}: fcpivot export writes no {one_line(key, 40)!r} of {shown(value)}; remove {OWN}"
            )
    return own


def expected_action_json(action: Action) -> str:
    """Write an expected action as JSON in the form of the published datasets."""
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
    value = decoded_text(text)
    if value["type"] == "message":
        return Action(message=value["content"])
    calls = value["calls"] if value["type"] == "function_call_batch" else (value,)
    return Action(tuple(FunctionCall(call["name"], call["arguments"]) for call in calls))


def _expected_action(row: Mapping[str, bytes], line: int) -> tuple[str, list[str], bytes]:
    """Return the type of the expected action, the names of the calls, and the action as JSON."""
    raw = row.get(EXPECTED)
    if raw is None or not is_object(raw):
        raise RowProblem(line, "no expected_action object")
    expected = decoded(raw)
    kind = expected.get("type")
    if kind == "message":
        content = expected.get("content")
        if not isinstance(content, str):
            raise RowProblem(line, f"expected_action: the content of a message must be a string, not {shown(content)}")
        return "message", [], expected_action_json(Action(message=content)).encode()
    if kind == "function_call":
        action = Action((_expected_call(expected, "expected_action", line),))
    elif kind == "function_call_batch":
        calls = expected.get("calls")
        if not isinstance(calls, list) or not calls:
            raise RowProblem(line, "expected_action: a function_call_batch needs a list of calls")
        action = Action(tuple(_expected_call(c, f"expected_action.calls[{i}]", line) for i, c in enumerate(calls)))
    else:
        raise RowProblem(
            line, f"expected_action: unknown type {kind!r:.80}; known: message, function_call, function_call_batch"
        )
    return action.kind, [well_formed(call.name) for call in action.calls], expected_action_json(action).encode()


def _expected_call(call: Any, where: str, line: int) -> FunctionCall:
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise RowProblem(line, f"{where}: a call needs a name, a string")
    arguments = call.get("arguments")
    if not isinstance(arguments, str):
        raise RowProblem(line, f"{where}: arguments must be a JSON string, not {json_type(arguments)}")
    try:
        json.loads(arguments)
    except (ValueError, RecursionError) as error:
        raise RowProblem(
            line, f"{where}: the arguments of {one_line(call['name'], 80)!r} are not JSON: {error}"
        ) from error
    return FunctionCall(call["name"], arguments)


def _input(params: Mapping[str, bytes], line: int) -> bytes:
    given = params.get("input", b"null")
    if is_string(given):
        listed = _items_in(given)
        given = b'[{"role":"user","content":%s}]' % given if listed is None else listed
    count = count_objects(given) if is_array(given) else 0
    if count is None:
        raise RowProblem(line, "responses_create_params.input: every item must be an object")
    if not count:
        raise RowProblem(line, "no responses_create_params.input (a string, or a list of items that is not empty)")
    instructions = params.get("instructions", b"null")
    if is_string(instructions) and instructions != b'""':
        return b'[{"role":"system","content":%s},%s' % (instructions, given[1:])
    if is_array(instructions) and count_objects(instructions):
        return b"%s,%s" % (instructions[:-1], given[1:])
    return given


def _items_in(given: bytes) -> bytes | None:
    """Return the list of items that a string holds as JSON, as in some exports; None if it is a user's message."""
    if not given.startswith(_LISTED):
        return None
    try:
        value = unwrapped(given)
        found = objects(value) if is_array(value) else None
    except (ValueError, RecursionError):
        return None
    return value if found and all("role" in each or "type" in each for each in found) else None


def _tools(params: Mapping[str, bytes], line: int) -> tuple[bytes, int]:
    raw = params.get("tools", b"null")
    if is_string(raw):
        try:
            raw = unwrapped(raw)
        except (ValueError, RecursionError) as error:
            must = "responses_create_params.tools must be a list of objects, but is a string that is not JSON"
            raise RowProblem(line, f"{must}: {error}") from error
    if raw == b"null":
        return b"[]", 0
    count = count_objects(raw) if is_array(raw) else None
    if count is None:
        raise RowProblem(line, "responses_create_params.tools must be a list of objects")
    return raw, count


@lru_cache(maxsize=64)  # the pivots of a trajectory have the same tools
def _without_strict(tools: bytes) -> bytes:
    """Return tools without their members `strict` that are null."""
    found = [
        joined({key: value for key, value in tool.items() if (key, value) != ("strict", b"null")})
        for tool in objects(tools) or ()
    ]
    return b"[%s]" % b",".join(found)


def _members(row: Mapping[str, bytes], without: frozenset[str], *, null: bool = True) -> bytes:
    """Encode the members of an object, except those in `without` and, unless `null` is true, except null ones."""
    return joined({key: value for key, value in row.items() if key not in without and (null or value != b"null")})


def _own_ids(row: Mapping[str, bytes]) -> tuple[str | None, str | None]:
    """Return the row's own pivot id and trajectory id, None for each that it lacks."""
    trajectory = decoded(row.get(TRAJECTORY, b"null"))
    if trajectory is not None:
        return None, well_formed(str(trajectory))
    own = (decoded(row[key]) for key in ("id", "uuid") if row.get(key, b"null") != b"null")
    return slug(next(own, None)), None


def _id_of_place(stem: str | None, turn: int | None, step: int | None, depth: int | None) -> str | None:
    """Return an id made from a pivot's position in its trajectory; None if that is unknown."""
    if stem is None or (depth is None and turn is None and step is None):
        return None
    return f"{stem}-d{depth}" if depth is not None else f"{stem}-t{turn or 0}s{step or 0}"


def stem_of(trajectory: str, otherwise: str) -> str:
    """Return the common prefix of the ids of a trajectory's pivots; never a bare number, which `-k` would misread."""
    stem = slug(trajectory) or otherwise
    return f"t{stem}" if stem[0].isdigit() and len(stem) < 12 else stem  # noqa: PLR2004 (a number, not a uuid)


def _digest(*texts: bytes) -> str:
    """Return a hash of JSON texts that does not depend on their white space."""
    digest = blake2b(digest_size=6)
    for text in texts:
        digest.update(compact(decoded(text)).encode())
    return digest.hexdigest()


def slug(value: Any) -> str | None:
    """Make an id short and safe in node ids, shells and file names; an id that had to be changed gets a hash suffix."""
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        return None
    text = str(value)
    slug = _UNSAFE_IN_ID.sub("-", text).strip("-")[:_ID_LIMIT]
    if slug == text:
        return slug
    return f"{slug or 'id'}-{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=3).hexdigest()}"


def positions_of(row: Mapping[str, bytes], line: int, own: Mapping[str, Any] = _NOTHING) -> list[int | None]:
    """Return turn, step and depth, None for each missing one; raises RowProblem for a number that is too large.

    They are in `own`, what an exported row says of its pivot, or else in `info` or, as in related datasets,
    `meta_info`.
    """
    info, name = _object_of(row.get("info", b"null")), "info"
    if not info and "meta_info" in row:
        info, name = _object_of(row["meta_info"]), "meta_info"
        info.setdefault("depth", info.get("assistant_depth"))
    found: list[int | None] = []
    for key in POSITIONS:
        if key in own:
            found.append(own[key])
            continue
        value = info.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            value = None
        elif abs(value) > _LARGEST_POSITION:
            raise RowProblem(line, f"{name}.{key}: out of range")
        found.append(value)
    return found


def _object_of(text: bytes) -> dict[str, Any]:
    """Decode an object, or a string that contains one as JSON; an empty dict for anything else."""
    try:
        value = decoded(unwrapped(text))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def json_type(value: Any) -> str:
    """Return the name of a decoded value's JSON type, with an article, for use in messages."""
    names = {
        dict: "an object",
        list: "an array",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")
