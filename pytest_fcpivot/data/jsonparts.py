"""Splits JSON texts one level at a time; the parts stay JSON text, so values that are only copied are never decoded.

Splitting is done by msgspec, which finds the end of a value several times as fast as it could be decoded (small, no
dependencies, wheels for every platform). msgspec is stricter than Python's own decoder, whose rules apply to rows:
texts that it refuses (with NaN or lone surrogates) are decoded by Python's decoder and encoded again.
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
    """Any JSON object; its members are skipped."""


_pass_objects = msgspec.json.Decoder(list[_Object]).decode
_skip = msgspec.json.Decoder(msgspec.Raw).decode
_read_string = msgspec.json.Decoder(str).decode
_write_string = msgspec.json.Encoder().encode
_QUOTE, _BRACE, _BRACKET = b'"{['
# Python refuses integers of more than 4,300 digits, which msgspec skips. So long a run of digits shows as four digits
# in a row among every 1,024th byte, which rules out most texts without a full search.
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
    """Return the same as `objects`, but accept an array whose elements are objects or strings that hold an object."""
    found = objects(text)
    if found is not None:
        return found
    value = decoded(text)
    if not isinstance(value, list) or not all(isinstance(each, dict | str) for each in value):
        return None
    read = [fields(unwrapped(part(each))) for each in value]
    return [each for each in read if each is not None] if None not in read else None


def count_objects(text: bytes) -> int | None:
    """Return the number of objects in a JSON array; None if it is not an array of objects. Raises as `fields` does."""
    try:
        return len(_pass_objects(text))
    except msgspec.DecodeError:
        value = decoded(text)
    return len(value) if _are_objects(value) else None


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def refuse_long_integers(text: bytes) -> None:
    """Raise ValueError for a text with an integer that is too long for Python's decoder."""
    if _SAMPLED.search(text[::_STRIDE]) and _TOO_MANY_DIGITS.search(text):
        decoded(text)


def decoded(text: bytes) -> Any:
    """Decode a text by Python's rules; raises as `fields` does."""
    return json.loads(text.decode("utf-8", "surrogatepass"))  # given bytes, json.loads would guess the encoding


def _parts(value: Mapping[str, Any]) -> Fields:
    return {key: part(each) for key, each in value.items()}


def part(value: Any) -> bytes:
    """Encode a decoded value as JSON text."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # lone surrogates
        return json.dumps(value).encode()


def is_json(text: str) -> bool:
    """Return whether a text is JSON by the rules of Python's own decoder."""
    try:
        try:
            encoded = text.encode()
            _skip(encoded)
            refuse_long_integers(encoded)
        except (msgspec.DecodeError, UnicodeEncodeError):
            json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def is_object(text: bytes | None) -> bool:
    """Return whether a JSON text is an object."""
    return text is not None and text[0] == _BRACE


def is_array(text: bytes | None) -> bool:
    """Return whether a JSON text is an array."""
    return text is not None and text[0] == _BRACKET


def is_string(text: bytes | None) -> bool:
    """Return whether a JSON text is a string."""
    return text is not None and text[0] == _QUOTE


def string(text: bytes | None) -> str | None:
    """Decode a JSON text that is a string; None if it is something else, or missing."""
    if text is None or text[0] != _QUOTE:
        return None
    try:
        return _read_string(text)
    except msgspec.DecodeError:
        value: str = decoded(text)
        return value


def unwrapped(value: bytes) -> bytes:
    """Return the JSON inside a JSON string, and `null` for a blank string; any other JSON text is returned unchanged.

    Raises ValueError if the string's content is not JSON.
    """
    text = string(value)
    if text is None:
        return value
    text = text.strip()
    if not text:
        return b"null"
    if not is_json(text):
        json.loads(text)  # raises the error with the reason
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
    """Write a JSON object with these members, given as JSON texts."""
    return b"{%s}" % b",".join([b"%s:%s" % (as_string(key), value) for key, value in members.items()])


def in_string(value: bytes) -> bytes:
    """Wrap a JSON text in a JSON string."""
    return _write_string(value.decode())
