"""A conversation as a list of turns with their texts, and tools with their parameters, for people to read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pytest_fcpivot.core.chat import arguments_text, content_text, is_text_part, result_text
from pytest_fcpivot.core.jsontext import decoded, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Kind = Literal["system", "user", "assistant", "call", "result", "reasoning", "other"]

_ROLES: dict[str, Kind] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_VALUE_WIDTH = 2_000  # characters of a value in the arguments of an earlier call
_SHORT_SCHEMA = 200


@dataclass(frozen=True, slots=True)
class Turn:
    """One item of a conversation: its kind, a title, and its text as it is, which is not escaped.

    The title of a call or of its result is the tool's name; that of other kinds is the role or the item's type.
    """

    kind: Kind
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a tool: its name, what its schema asks for in a few words, and its description."""

    name: str
    wanted: str
    description: str
    required: bool


def turns(items: Iterable[dict[str, Any]]) -> list[Turn]:
    """Return the turns of Responses input items, in their order; nothing is left out, not even what is not text."""
    names: dict[str, str] = {}
    found = []
    for item in items:
        kind = item.get("type") or ("message" if "role" in item else None)
        if kind == "message":
            role = str(item.get("role") or "user")
            found.append(Turn(_ROLES.get(role, "other"), role, _message_text(item.get("content"))))
        elif kind == "function_call":
            name = str(item.get("name", ""))
            names[str(item.get("call_id") or item.get("id"))] = name
            found.append(Turn("call", name, arguments_text(item.get("arguments"))))
        elif kind == "function_call_output":
            name = names.get(str(item.get("call_id") or item.get("id")), "a call that is not in the conversation")
            found.append(Turn("result", name, result_text(item.get("output"))))
        elif kind == "reasoning":
            found.append(Turn("reasoning", "reasoning", _reasoning_text(item)))
        else:
            found.append(Turn("other", str(kind), json.dumps(item, ensure_ascii=False)))
    return found


def _message_text(content: Any) -> str:
    """Return a message's text, with a line for each part that is not text."""
    if not isinstance(content, list):
        return content_text(content)
    lines = []
    for part in content:
        text = content_text([part])
        if text or is_text_part(part):
            lines.append(text)
        else:
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            lines.append(f"[a part of the type {kind}, which is not text]")
    return "\n".join(lines)


def _reasoning_text(item: dict[str, Any]) -> str:
    texts = [content_text(item.get(name)) for name in ("summary", "content")]
    return "\n".join(text for text in texts if text) or "(not readable)"


def argument_lines(arguments: str) -> list[str]:
    """Write a call's arguments, a line for each; as they are if they are not a JSON object."""
    try:
        value = decoded(arguments)
    except (ValueError, RecursionError):
        return [arguments]
    if not isinstance(value, dict):
        return [arguments]
    return [f"{shown_key(key)}: {shown(each, _VALUE_WIDTH)}" for key, each in value.items()]


def shown_key(key: str) -> str:
    """Write a key: in quotes if it is not one plain word."""
    return key if key.isprintable() and key and not any(map(str.isspace, key)) else shown(key)


def readable(text: str) -> str:
    """Lay out a text that is a JSON object or array on several lines; any other text stays as it is."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value = json.loads(text, object_pairs_hook=_without_doubles)
        return json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object, unless a key is there twice, of which JSON's decoder would lose one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


# -------------------------------------------------------------------- tools


def parameters_of(tool: dict[str, Any]) -> list[Parameter]:
    """Return the parameters that a flat function tool declares, required ones first."""
    schema = tool.get("parameters")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return []
    wanted = schema.get("required") if isinstance(schema, dict) else None
    required = [name for name in wanted if isinstance(name, str)] if isinstance(wanted, list) else []
    found = [
        Parameter(name, wanted_by(each), _description(each), name in required) for name, each in properties.items()
    ]
    return sorted(found, key=lambda parameter: not parameter.required)


def _description(schema: Any) -> str:
    text = schema.get("description") if isinstance(schema, dict) else None
    return text if isinstance(text, str) else ""


def wanted_by(schema: Any) -> str:
    """Write in a few words what a schema asks for: its type, its values, its limits."""
    if not isinstance(schema, dict):
        return "anything" if schema is True or schema is None else shown(schema)
    parts = [_type_of(schema)]
    values = schema.get("enum")
    if isinstance(values, list):
        parts.append(f"one of {', '.join(shown(value, 60) for value in values)}")
    parts += [
        f"{name} {shown(schema[name], 60)}"
        for name in schema
        if name not in ("type", "enum", "description", "title", "properties", "required", "items", *_CHOICES)
        and isinstance(schema[name], str | int | float | bool)
    ]
    return ", ".join(filter(None, parts)) or "anything"


_CHOICES = ("anyOf", "oneOf", "allOf")


def _type_of(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    text = " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind) if isinstance(kind, str) else ""
    items, inner = schema.get("items"), schema.get("properties")
    if isinstance(items, dict):
        text += f" of ({wanted_by(items)})" if len(json.dumps(items)) < _SHORT_SCHEMA else " of objects"
    if isinstance(inner, dict) and inner:
        needed = schema.get("required")
        needed = needed if isinstance(needed, list) else []
        text += " {" + ", ".join(f"{name}{'' if name in needed else '?'}" for name in inner) + "}"
    for name in _CHOICES:
        choices = schema.get(name)
        if isinstance(choices, list):
            joined = " or ".join(wanted_by(each) for each in choices)
            text += f"{' ' if text else ''}{joined}" if name != "allOf" else f"{' ' if text else ''}all of {joined}"
    return text


def signature(tool: dict[str, Any], parameters: Sequence[Parameter]) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a tool's one-line form, each with whether it is a name: `book(city, date?)`."""
    yield shown_key(str(tool.get("name", ""))), True
    inner = ", ".join(f"{shown_key(each.name)}{'' if each.required else '?'}" for each in parameters)
    yield f"({inner})", False
