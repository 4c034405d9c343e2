"""JSON texts taken apart one level at a time: the parts stay texts, and nothing is decoded only to be written again.

By msgspec, which finds the end of a value several times faster than decoding it would take (small, no dependencies,
wheels for every platform). It is stricter than Python's own decoder, by whose rules rows are read: what it refuses
(NaN, lone surrogates) is decoded by that one, and written again.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_fcpivot.core.jsontext import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

Fields = dict[str, bytes]

_split_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_split_objects = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


class _Object(msgspec.Struct, gc=False):
    """Any object, whose members are passed over."""


_pass_objects = msgspec.json.Decoder(list[_Object]).decode
_skip = msgspec.json.Decoder(msgspec.Raw).decode
_read_string = msgspec.json.Decoder(str).decode
_write_string = msgspec.json.Encoder().encode
_QUOTE, _BRACE, _BRACKET = b'"{['
# Python refuses integers of more digits, which msgspec passes over. So long a run of digits has four of every 1,024th
# byte, so that most texts need no search.
_TOO_MANY_DIGITS = re.compile(rb"\d{4301}")
_STRIDE, _SAMPLED = 1024, re.compile(rb"\d{4}")


def fields(text: bytes) -> Fields | None:
    """Return the members of a JSON object as texts; None if it is something else.

    Raises ValueError if the text is not JSON, RecursionError if it is nested too deep.
    """
    try:
        members = {key: bytes(value) for key, value in _split_fields(text).items()}
    except msgspec.DecodeError:
        value = decoded(text)
    else:
        refuse_long_integers(text)
        return members
    return _parts(value) if isinstance(value, dict) else None


def objects(text: bytes) -> list[Fields] | None:
    """Return the members of each object of a JSON array as texts; None if it is not an array of objects.

    Raises as `fields` does.
    """
    try:
        return [{key: bytes(value) for key, value in each.items()} for each in _split_objects(text)]
    except msgspec.DecodeError:
        value = decoded(text)
    return list(map(_parts, value)) if _are_objects(value) else None


def objects_or_texts(text: bytes) -> list[Fields] | None:
    """Return the members of each object of a JSON array, where each may also be the text of one; else as `objects`."""
    found = objects(text)
    if found is not None:
        return found
    value = decoded(text)
    if not isinstance(value, list) or not all(isinstance(each, dict | str) for each in value):
        return None
    read = [fields(unwrapped(part(each))) for each in value]
    return [each for each in read if each is not None] if None not in read else None


def count_objects(text: bytes) -> int | None:
    """Return how many objects a JSON array has; None if it is not an array of objects. Raises as `fields` does."""
    try:
        return len(_pass_objects(text))
    except msgspec.DecodeError:
        value = decoded(text)
    return len(value) if _are_objects(value) else None


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def refuse_long_integers(text: bytes) -> None:
    """Raise ValueError for a text with an integer that Python does not decode."""
    if _SAMPLED.search(text[::_STRIDE]) and _TOO_MANY_DIGITS.search(text):
        decoded(text)


def decoded(text: bytes) -> Any:
    """Decode a text by Python's rules; raises as `fields` does."""
    return json.loads(text.decode("utf-8", "surrogatepass"))  # of bytes it would guess the encoding


def _parts(value: Mapping[str, Any]) -> Fields:
    return {key: part(each) for key, each in value.items()}


def part(value: Any) -> bytes:
    """Write a decoded value as a part."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # lone surrogates
        return json.dumps(value).encode()


def is_json(text: str) -> bool:
    """Tell whether a text is JSON that Python's own decoder takes."""
    try:
        try:
            _skip(text)
            refuse_long_integers(text.encode())
        except (msgspec.DecodeError, UnicodeEncodeError):
            json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def is_object(text: bytes | None) -> bool:
    """Tell whether a part is an object."""
    return text is not None and text[0] == _BRACE


def is_array(text: bytes | None) -> bool:
    """Tell whether a part is an array."""
    return text is not None and text[0] == _BRACKET


def is_string(text: bytes | None) -> bool:
    """Tell whether a part is a string."""
    return text is not None and text[0] == _QUOTE


def string(text: bytes | None) -> str | None:
    """Decode a part that is a string; None if it is something else, or missing."""
    if text is None or text[0] != _QUOTE:
        return None
    try:
        return _read_string(text)
    except msgspec.DecodeError:
        value: str = decoded(text)
        return value


def unwrapped(value: bytes) -> bytes:
    """Return the JSON that a part holds if it is a string, `null` for a blank one; any other part as it is.

    Raises ValueError if the string is not JSON.
    """
    text = string(value)
    if text is None:
        return value
    text = text.strip()
    if not text:
        return b"null"
    if not is_json(text):
        json.loads(text)  # says why
    try:
        return text.encode()
    except UnicodeEncodeError:  # lone surrogates
        return json.dumps(json.loads(text)).encode()


def as_string(text: str) -> bytes:
    """Write a text as a JSON string."""
    try:
        return _write_string(text)
    except UnicodeEncodeError:  # lone surrogates
        return quoted(text).encode()


def joined(members: Mapping[str, bytes]) -> bytes:
    """Write an object of these members."""
    return b"{%s}" % b",".join([b"%s:%s" % (as_string(key), value) for key, value in members.items()])


def in_string(value: bytes) -> bytes:
    """Write a part as a JSON string that holds its text."""
    return _write_string(value.decode())
