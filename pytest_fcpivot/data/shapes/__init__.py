"""The table of the shapes of rows: the members by which a shape is recognised, and the module that reads it.

`rowreader` reads the shapes of the published datasets itself. A row of any other shape is either converted completely
or refused with a reason: nothing is guessed, and nothing is lost silently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.data.jsonparts import is_array, is_object
from pytest_fcpivot.data.rows import EXPECTED, PARAMS
from pytest_fcpivot.data.shapes.answers import read_answers
from pytest_fcpivot.data.shapes.chat import read_chat
from pytest_fcpivot.data.shapes.logs import (
    is_response,
    read_exchange,
    read_messages_and_response,
    read_responses_log,
)
from pytest_fcpivot.data.shapes.pivot import read_pivot
from pytest_fcpivot.data.shapes.rollouts import read_rollout
from pytest_fcpivot.data.shapes.sharegpt import KEYS as SHAREGPT_KEYS
from pytest_fcpivot.data.shapes.sharegpt import read_sharegpt

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fcpivot.data.conversations import Conversation
    from pytest_fcpivot.data.jsonparts import Fields
    from pytest_fcpivot.data.rows import StoredPivot
    from pytest_fcpivot.data.shapes.how import How
    from pytest_fcpivot.data.shapes.items import Rollout

_NULL = b"null"
_MOST_KEYS = 12


@dataclass(frozen=True, slots=True)
class RowShape:
    """A shape of rows: its name in messages, the test of a row's members for it, and its reader."""

    title: str
    fits: Callable[[Fields], bool]
    read: Callable[[Fields, int, How], Conversation | StoredPivot | Rollout]
    asked_as: str = ""  # the value of --shape that selects it


def _has(*keys: str) -> Callable[[Fields], bool]:
    return lambda row: all(row.get(key, _NULL) != _NULL for key in keys)


# The first shape that fits is used.
SHAPES = (
    RowShape(f"{PARAMS} object with {EXPECTED}", lambda row: PARAMS in row and EXPECTED in row, read_pivot, "fc-pivot"),
    RowShape(
        f"{PARAMS} with response",
        lambda row: PARAMS in row and is_response(row.get("response", _NULL)),
        read_rollout,
    ),
    RowShape("request and response", _has("request", "response"), read_exchange),
    RowShape(
        "messages and response",
        lambda row: "messages" in row and (is_response(row.get("response", _NULL)) or is_array(row.get("choices"))),
        read_messages_and_response,
    ),
    RowShape("messages", lambda row: row.get("messages", _NULL) != _NULL, read_chat, "conversation"),
    RowShape("conversations", lambda row: any(_has(key)(row) for key in SHAREGPT_KEYS), read_sharegpt, "conversation"),
    RowShape("query and answers", _has("query", "answers"), read_answers),
    RowShape("input and output", _has("input", "output"), read_responses_log),
)


def read_by_shape(row: Fields, line: int, how: How, asked: str = "auto") -> Conversation | StoredPivot | Rollout:
    """Read a row by the first shape that fits it, or by the shape `asked`, unless that is "auto".

    Raises RowProblem if the row is broken or no shape fits; the reason then lists its members and the known shapes.
    """
    if asked == "fc-pivot":
        return read_pivot(row, line, how)
    for shape in SHAPES:
        if asked in ("auto", shape.asked_as) and shape.fits(row):
            return shape.read(row, line, how)
    if asked == "conversation":
        return read_chat(row, line, how)
    if (PARAMS in row and is_object(row[PARAMS])) or EXPECTED in row:
        return read_pivot(row, line, how)  # raises the error that names what is missing
    if "reward_model" in row or "tools_json" in row:
        raise RowProblem(line, f"a row for a trainer, made of data to be trained on; name those data; {keys_of(row)}")
    shapes = ", ".join(f"no {shape.title}" for shape in SHAPES)
    raise RowProblem(line, f"{shapes}, which are the shapes that are read; {keys_of(row)}")


def keys_of(row: Fields) -> str:
    """Return a clause that lists the keys of a row, for use in a message."""
    names = [one_line(name, 40) for name in row]
    more = f" and {len(names) - _MOST_KEYS} more" if len(names) > _MOST_KEYS else ""
    return f"the row has {'the keys ' if names else 'no keys'}{', '.join(names[:_MOST_KEYS])}{more}"
