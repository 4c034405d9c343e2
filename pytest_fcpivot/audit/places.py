"""Looks up a place in a call's arguments in the tools' schemas: its default, and whether it is an object or array.

Schemas are untrusted data: malformed parts are ignored, references to other documents are not followed, and every loop
is bounded.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

NOTHING = object()

_TOOL_LISTS_KEPT = 64
_MOST_BRANCHES = 32
_MOST_REFERENCES = 8
_KEYWORDS = (("object", "properties"), ("array", "items"))
_BRANCHES = ("allOf", "anyOf", "oneOf")


class Place:
    """One place in the arguments; several schemas may describe it, since several tools may share a name."""

    __slots__ = ("_children", "_schemas")

    def __init__(self, schemas: list[tuple[dict[str, Any], Any]]) -> None:
        self._schemas = schemas  # each with the root document for its references
        self._children: dict[str | int, Place] = {}

    def member(self, key: str) -> Place:
        """Return the place of an object's member."""
        place = self._children.get(key)
        if place is None:
            found = []
            for schema, root in self._schemas:
                properties = schema.get("properties")
                inner = properties.get(key) if isinstance(properties, dict) else None
                found.append((schema.get("additionalProperties") if inner is None else inner, root))
            place = self._children[key] = Place.of(found)
        return place

    def element(self, index: int) -> Place:
        """Return the place of an array's element."""
        place = self._children.get(index)
        if place is None:
            found = []
            for schema, root in self._schemas:
                first = schema.get("prefixItems")
                own = isinstance(first, list) and index < len(first)
                found.append((first[index] if isinstance(first, list) and own else schema.get("items"), root))
            place = self._children[index] = Place.of(found)
        return place

    @classmethod
    def of(cls, schemas: list[tuple[Any, Any]]) -> Place:
        """Make a place from schemas with their roots; follows references, and adds all alternatives (anyOf, …)."""
        found: list[tuple[dict[str, Any], Any]] = []
        waiting = [(schema, root, 0) for schema, root in schemas]
        for schema, root, references in waiting:  # it grows meanwhile
            if not isinstance(schema, dict) or len(found) >= _MOST_BRANCHES:
                continue
            found.append((schema, root))
            reference = schema.get("$ref")
            if isinstance(reference, str) and reference.startswith("#") and references < _MOST_REFERENCES:
                waiting.append((_lookup(root, reference), root, references + 1))
            for keyword in _BRANCHES:
                branches = schema.get(keyword)
                if isinstance(branches, list) and references < _MOST_REFERENCES:
                    waiting += [(branch, root, references + 1) for branch in branches[:_MOST_BRANCHES]]
        return cls(found)

    def default(self) -> Any:
        """Return the default value of this place; NOTHING if there is none."""
        return next((schema["default"] for schema, _ in self._schemas if "default" in schema), NOTHING)

    def decoded(self, value: Any) -> Any:
        """Decode a string that contains an object or array as JSON, if that type belongs here and a string does not.

        Any other value is returned unchanged.
        """
        if type(value) is not str:
            return value
        wanted: set[str] = set()
        for schema, _ in self._schemas:
            kinds = schema.get("type")
            if kinds is None:
                wanted.update(
                    kind for kind, keyword in (("object", "properties"), ("array", "items")) if keyword in schema
                )
            else:
                wanted.update(kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str))
        if "string" in wanted or wanted.isdisjoint(("object", "array")):
            return value
        try:
            inner = json.loads(value)
        except (ValueError, RecursionError):
            return value
        kind = "object" if type(inner) is dict else "array" if type(inner) is list else None
        return inner if kind in wanted else value


class Schemas:
    """The schemas of the arguments of one pivot's tools."""

    def __init__(self, tools_json: str) -> None:
        self._parameters: dict[str, list[tuple[Any, Any]]] = {}
        for tool in json.loads(tools_json):
            if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                parameters = tool.get("parameters")
                self._parameters.setdefault(tool["name"], []).append((parameters, parameters))
        self._places: dict[str, Place] = {}

    def arguments_of(self, tool: str) -> Place:
        """Return the place of a tool's whole arguments."""
        place = self._places.get(tool)
        if place is None:
            place = self._places[tool] = Place.of(self._parameters.get(tool, []))
        return place


@lru_cache(maxsize=_TOOL_LISTS_KEPT)
def schemas_of(tools_json: str) -> Schemas:
    """Return the schemas of a list of flat tools, given as JSON text; recent ones are cached."""
    return Schemas(tools_json)


def _lookup(root: Any, reference: str) -> Any:
    found = root
    for step in reference[1:].split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found
