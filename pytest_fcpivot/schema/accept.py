"""A fast path for valid arguments under simple schemas, so that only the other calls need jsonschema.

An acceptor never accepts what jsonschema would reject (a property test checks this). It may reject valid arguments;
jsonschema then gives the verdict. Most calls are valid and most schemas simple, and for these an acceptor is about
thirty times as fast as jsonschema.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Acceptor = Callable[[Any], bool]

_MOST_NESTED = 32


def _is_integer(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


_TYPES: dict[str, Acceptor] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": _is_integer,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def make_acceptor(schema: Any, depth: int = 0) -> Acceptor | None:
    """Compile a schema of draft 2020-12 into an acceptor; None if it uses other keywords or is not well-formed."""
    if schema is True or schema == {}:
        return lambda _value: True
    if not isinstance(schema, dict) or depth > _MOST_NESTED:
        return None
    if not all(keyword in _WELL_FORMED and _WELL_FORMED[keyword](argument) for keyword, argument in schema.items()):
        return None
    checks: list[Acceptor] = []
    for keyword, argument in schema.items():
        if keyword not in _KEYWORDS:
            continue
        check = _KEYWORDS[keyword](argument, depth)
        if check is None:
            return None
        checks.append(check)
    if "additionalProperties" in schema or "required" in schema:
        check = _object_shape(schema)
        if check is None:
            return None
        checks.append(check)
    return _all(checks) if checks else lambda _value: True


def _all(checks: list[Acceptor]) -> Acceptor:
    if len(checks) == 1:
        return checks[0]

    def accept(value: Any) -> bool:
        for check in checks:  # noqa: SIM110 (a generator costs more than the checks)
            if not check(value):
                return False
        return True

    return accept


def _type(argument: Any, _depth: int) -> Acceptor | None:
    if isinstance(argument, str):
        return _TYPES[argument]
    kinds = [_TYPES[name] for name in argument]
    return lambda value: any(kind(value) for kind in kinds)


def _properties(argument: dict[str, Any], depth: int) -> Acceptor | None:
    compiled: dict[str, Acceptor] = {}
    for name, schema in argument.items():
        acceptor = make_acceptor(schema, depth + 1)
        if acceptor is None:
            return None
        compiled[name] = acceptor

    def accept(value: Any) -> bool:
        if isinstance(value, dict):
            for name, inner in value.items():
                check = compiled.get(name)
                if check is not None and not check(inner):
                    return False
        return True

    return accept


def _object_shape(schema: dict[str, Any]) -> Acceptor | None:
    """Check `required` and `additionalProperties`, the latter only as true or false."""
    required = frozenset(schema.get("required", ()))
    additional = schema.get("additionalProperties", True)
    if additional is True or additional == {}:
        return lambda value: not isinstance(value, dict) or required <= value.keys()
    if additional is not False:
        return None
    known = frozenset(schema.get("properties", ()))
    return lambda value: not isinstance(value, dict) or (required <= value.keys() and value.keys() <= known)


def _items(argument: Any, depth: int) -> Acceptor | None:
    acceptor = make_acceptor(argument, depth + 1)
    if acceptor is None:
        return None
    return lambda value: not isinstance(value, list) or all(map(acceptor, value))


def _enum(argument: list[Any], _depth: int) -> Acceptor:
    texts = frozenset(choice for choice in argument if isinstance(choice, str))
    return lambda value: isinstance(value, str) and value in texts


def _any_of(argument: list[Any], depth: int) -> Acceptor | None:
    acceptors = []
    for schema in argument:
        acceptor = make_acceptor(schema, depth + 1)
        if acceptor is None:  # it may be malformed, which makes the whole schema unusable
            return None
        acceptors.append(acceptor)
    return lambda value: any(acceptor(value) for acceptor in acceptors)


def _pattern(argument: str, _depth: int) -> Acceptor | None:
    try:
        search = re.compile(argument).search
    except re.error:
        return None
    return lambda value: not isinstance(value, str) or search(value) is not None


def _limit(kinds: tuple[type, ...], within: Callable[[Any, Any], bool]) -> Callable[[Any, int], Acceptor | None]:
    def make(argument: Any, _depth: int) -> Acceptor:
        return lambda value: isinstance(value, bool) or not isinstance(value, kinds) or within(value, argument)

    return make


_NUMBER = (int, float)
_KEYWORDS: dict[str, Callable[[Any, int], Acceptor | None]] = {
    "type": _type,
    "properties": _properties,
    "items": _items,
    "enum": _enum,
    "anyOf": _any_of,
    "pattern": _pattern,
    "minimum": _limit(_NUMBER, lambda value, least: value >= least),
    "maximum": _limit(_NUMBER, lambda value, most: value <= most),
    "minLength": _limit((str,), lambda value, least: len(value) >= least),
    "maxLength": _limit((str,), lambda value, most: len(value) <= most),
    "minItems": _limit((list,), lambda value, least: len(value) >= least),
    "maxItems": _limit((list,), lambda value, most: len(value) <= most),
}


def _is_text(argument: Any) -> bool:
    return isinstance(argument, str)


def _is_number(argument: Any) -> bool:
    return isinstance(argument, int | float) and not isinstance(argument, bool)


def _is_length(argument: Any) -> bool:
    return isinstance(argument, int) and not isinstance(argument, bool) and argument >= 0


def _is_set_of_texts(argument: Any) -> bool:
    return isinstance(argument, list) and all(map(_is_text, argument)) and len(set(argument)) == len(argument)


def _is_type(argument: Any) -> bool:
    names = [argument] if isinstance(argument, str) else argument
    return _is_set_of_texts(names) and bool(names) and _TYPES.keys() >= set(names)


# The test for each supported keyword's argument; a schema with any other keyword gets no acceptor. In draft 2020-12,
# `format` is only an annotation unless the caller requests a format checker.
_WELL_FORMED: dict[str, Callable[[Any], bool]] = {
    "title": _is_text,
    "description": _is_text,
    "$comment": _is_text,
    "format": _is_text,
    "default": lambda _argument: True,
    "examples": lambda argument: isinstance(argument, list),
    "deprecated": lambda argument: isinstance(argument, bool),
    "type": _is_type,
    "properties": lambda argument: isinstance(argument, dict),
    "required": _is_set_of_texts,
    "additionalProperties": lambda argument: isinstance(argument, bool) or argument == {},
    "items": lambda argument: isinstance(argument, dict | bool),
    "enum": lambda argument: isinstance(argument, list),
    "anyOf": lambda argument: isinstance(argument, list) and bool(argument),
    "pattern": _is_text,
    "minimum": _is_number,
    "maximum": _is_number,
    "minLength": _is_length,
    "maxLength": _is_length,
    "minItems": _is_length,
    "maxItems": _is_length,
}
