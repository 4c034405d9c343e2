"""Reads rows of any known shape, each in one pass over its text, with a msgspec type learned from earlier rows."""

from __future__ import annotations

import json
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from pytest_fcpivot.core.errors import RowProblem
from pytest_fcpivot.data.conversations import Conversation
from pytest_fcpivot.data.jsonparts import Fields, decoded, fields, is_object, refuse_long_integers
from pytest_fcpivot.data.messages import Message, Tool, is_plain
from pytest_fcpivot.data.rows import EXPECTED, PARAMS, StoredPivot, json_type, read_row
from pytest_fcpivot.data.shapes import read_by_shape
from pytest_fcpivot.data.shapes.chat import NOT_PLAIN, refuse_what_would_be_lost
from pytest_fcpivot.data.shapes.how import CallsInText, How
from pytest_fcpivot.data.shapes.items import Rollout

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

Shape = Literal["auto", "fc-pivot", "conversation"]
Read = Conversation | StoredPivot | Rollout
_MESSAGES = "messages"
_USUAL: dict[str, Any] = {_MESSAGES: list[Message], "tools": list[Tool] | None}
_NOT_OF_PIVOTS = frozenset((*_USUAL, "functions"))
_PATIENCE = 64  # by how many the unusual rows may outnumber the usual ones before the type is relaxed
# White space, the first characters of JSON's values and of NaN and Infinity, and of a byte order mark.
_BEGINS_JSON = frozenset(b'\t\n\r "-0123456789IN[fnt{\xef')
_NO_JSON = "not JSON: Expecting value: line 1 column 1 (char 0)"
_MOST_NAMES = 64  # of members, in all rows; the published ones have 6, and recorders dump 23 settings


class RowReader:
    """Reads the rows of a source, one by one; `shape` is the shape of the rows, "auto" recognises it by their members.

    The result for a row does not depend on earlier rows, except for the order of its metadata and settings. After each
    row, `found` is the name of its shape, and `flags` holds what was unusual about it, in addition to a conversation's
    own flags. `calls_in_text` is the dialect in which calls are written as text.
    """

    def __init__(self, shape: Shape = "auto", calls_in_text: CallsInText | None = None) -> None:
        self._shape = shape
        self._calls_in_text = calls_in_text
        self._usual = _UsualRow()
        self.found = ""
        self.flags: frozenset[str] = frozenset()

    def read(self, raw: bytes | dict[str, Any], line: int) -> Read:
        """Read a row, as text or decoded; raises RowProblem with the reason if it is broken."""
        odd: frozenset[str] = frozenset() if isinstance(raw, bytes) else getattr(raw, "odd", frozenset())
        self.found, self.flags = "", odd
        if isinstance(raw, bytes) and raw[0] not in _BEGINS_JSON:
            raise RowProblem(line, _NO_JSON)  # the decoder's own message, in a tenth of the time
        try:
            text = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
            return (None if odd else self._read_usual(text, line)) or self._read_any(text, line, odd)
        except RecursionError:
            raise RowProblem(line, "not JSON that can be decoded: a value is nested too deep") from None
        except ValueError as error:
            raise RowProblem(line, f"not JSON: {error}") from error

    def _read_usual(self, text: bytes, line: int) -> Conversation | StoredPivot | None:
        """Read a row of a published shape whose members all occurred in earlier rows; None for any other row."""
        row = self._usual.members(text)
        if row is None:
            return None
        params = row.get(PARAMS)
        if _MESSAGES in row and params is None and self._shape != "fc-pivot":
            if self._calls_in_text is not None or not NOT_PLAIN.isdisjoint(row) or not is_plain(row[_MESSAGES]):
                return None
            refuse_long_integers(text)
            self.found = "chat"
            conversation = Conversation(row, line, text)
            refuse_what_would_be_lost(conversation, line)
            return conversation
        if params is not None and EXPECTED in row and row.keys().isdisjoint(_NOT_OF_PIVOTS):
            if self._shape == "conversation" or not is_object(row[EXPECTED]):
                return None
            refuse_long_integers(text)
            self.found = "fc-pivot"
            return read_row(row, line, _members(params))
        return None

    def _read_any(self, text: bytes, line: int, odd: frozenset[str]) -> Read:
        row = fields(text)
        if row is None:
            kind = json_type(decoded(text))
            hint = "; if the file is one list, write each of its objects on a line" if text[:1] == b"[" else ""
            raise RowProblem(line, f"a row must be an object, not {kind}{hint}")
        self._usual.learn(row)
        how = How(self._calls_in_text, odd)
        try:
            return read_by_shape(row, line, how, self._shape)
        finally:
            self.found, self.flags = how.shape, odd | how.flags


class _UsualRow:
    """The member names of the rows so far, compiled into a msgspec type that decodes the next row in one pass.

    If too many rows do not fit the type, it is relaxed: fewer of its members are decoded into types of their own.
    """

    def __init__(self) -> None:
        # In order of first occurrence, which becomes the order of the stored metadata and settings.
        self._names: dict[str, None] = {}
        self._names_of_params: dict[str, None] = {}
        self._types = [{_MESSAGES: _USUAL[_MESSAGES]}, _USUAL]
        self._decode: Callable[[bytes], Any] | None = None
        self._balance = _PATIENCE

    def members(self, text: bytes) -> dict[str, Any] | None:
        """Return a row's members: JSON texts, but messages and tools decoded, and parameters as a struct of JSON texts.

        None if a member did not occur in earlier rows, or has an unusual type.
        """
        if self._decode is None:
            return None
        try:
            found = _members(self._decode(text))
        except msgspec.DecodeError:
            return None
        self._balance += 1
        return found

    def learn(self, row: Fields) -> None:
        """Add the member names of an unusual row to the known ones."""
        if not self._types:
            return
        self._balance -= 1
        params = row.get(PARAMS)
        of_params = fields(params) if params is not None and is_object(params) else None
        names = self._names | dict.fromkeys(row)
        names_of_params = self._names_of_params | dict.fromkeys(of_params or ())
        news = len(names) > len(self._names) or len(names_of_params) > len(self._names_of_params)
        if news and _can_be_typed(names) and _can_be_typed(names_of_params):
            self._names, self._names_of_params = names, names_of_params
        elif self._balance < 0:
            self._types.pop()
            self._balance = _PATIENCE
        else:
            return
        self._decode = None
        if self._types:
            types = self._types[-1] | {PARAMS: _struct("_Params", self._names_of_params, {})}
            self._decode = msgspec.json.Decoder(_struct("_Row", self._names, types)).decode


def _can_be_typed(names: Collection[str]) -> bool:
    usable = all(name.isidentifier() and not iskeyword(name) and not name.startswith("__") for name in names)
    return usable and len(names) <= _MOST_NAMES


def _struct(title: str, names: Iterable[str], types: dict[str, Any]) -> type[msgspec.Struct]:
    """Return a struct type with these members, all optional; it refuses any other member."""
    members = [(name, types.get(name, msgspec.Raw), msgspec.UNSET) for name in names]
    return msgspec.defstruct(title, members, forbid_unknown_fields=True, gc=False)


def _members(struct: Any) -> dict[str, Any]:
    """Return the members that are present in a struct; JSON texts as bytes."""
    found = msgspec.structs.asdict(struct).items()
    return {
        name: bytes(value) if type(value) is msgspec.Raw else value
        for name, value in found
        if value is not msgspec.UNSET
    }
