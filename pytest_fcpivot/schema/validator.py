"""One JSON schema, and whether arguments meet it.

Schemas come from data nobody vouches for. A reference is never fetched; how long a check may take is told by
`longest_here`, beyond which it belongs into a process that can be ended.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pytest_fcpivot.core.jsontext import json_path, one_line
from pytest_fcpivot.core.model import SchemaVerdict
from pytest_fcpivot.schema.accept import make_acceptor

VALID = SchemaVerdict("valid")
_RUNAWAY_KEYWORDS = frozenset({"$dynamicRef", "$recursiveRef", "patternProperties", "unevaluatedProperties"})
# Keywords whose argument is a schema, and looks like the description of a parameter of that name.
_HOLD_SCHEMAS = frozenset(
    ("items", "contains", "not", "if", "then", "else", "additionalProperties", "propertyNames", "contentSchema")
)
_LARGE_SCHEMA = 2_000  # subschemas, with every reference written out
# A pattern may backtrack without end if a group is repeated, if it refers back or looks around; a dozen optional
# parts are as bad. Otherwise the time grows with the text's length to the power of the quantifiers in a row.
_BACKTRACKS = re.compile(r"\)[*+{]|\\[1-9]|\(\?(?!:)")
_MOST_OPTIONAL = 8
_VARIABLE_QUANTIFIER = re.compile(r"(?<!\\)(?:[*+]|\{\d*,\d*\})")
# By the number of such quantifiers, the longest arguments, in characters, that are checked in this process.
_LONGEST_HERE = (100_000, 20_000, 4_000, 400, 80)


class SchemaValidator:
    """One distinct schema, compiled when it is first needed.

    `longest_here` is the length of the longest arguments, in characters, whose check is sure to end soon; below 0 if no
    length is safe.
    """

    def __init__(self, schema_json: str) -> None:
        schema = json.loads(schema_json)
        self._schema: Any = {} if schema is None else schema
        self.longest_here = _longest_here(self._schema)
        self._compiled: Any = None
        self._fault = _not_a_schema(self._schema)
        self._surely_valid = make_acceptor(self._schema) if self._fault is None else None

    def check(self, arguments: str) -> SchemaVerdict:
        """Judge one call's arguments, given as JSON text, in this process and without a deadline."""
        try:
            instance = json.loads(arguments)
        except (ValueError, RecursionError) as error:
            return SchemaVerdict("invalid", "$", "json", f"the arguments are not JSON: {one_line(str(error))}")
        if self._surely_valid is not None and self._surely_valid(instance):
            return VALID
        if self._compiled is None and self._fault is None:
            self._fault = self._compile()
        if self._fault is not None:
            return self._fault
        try:
            first = next(self._compiled.iter_errors(instance), None)
        except Exception as problem:  # noqa: BLE001 (jsonschema raises whatever a faulty schema provokes)
            return _unusable(problem)
        if first is None:
            return VALID
        return SchemaVerdict(
            "invalid", json_path(first.absolute_path), str(first.validator), one_line(str(first.message))
        )

    def _compile(self) -> SchemaVerdict | None:
        """Build the validator; returns the verdict on the schema itself if that is impossible."""
        from jsonschema import Draft202012Validator  # noqa: PLC0415 (an import of 0.1 s, needed by calls only)
        from jsonschema.validators import validator_for  # noqa: PLC0415
        from referencing import Registry  # noqa: PLC0415

        try:
            draft: Any = validator_for(self._schema, default=Draft202012Validator)
            draft.check_schema(self._schema, format_checker=None)
            self._compiled = draft(self._schema, registry=Registry())  # an own registry: nothing is ever fetched
        except Exception as problem:  # noqa: BLE001 (a faulty schema can provoke anything)
            return _unusable(problem)
        return None


def _not_a_schema(schema: Any) -> SchemaVerdict | None:
    """Return the verdict on parameters that are described one by one, as in query/answers sets: no JSON Schema.

    By the letter such a thing allows anything, since what is no keyword says nothing.
    """
    if not isinstance(schema, dict) or not schema:
        return None
    if not all(map(_is_described, schema.values())) or schema.keys() <= _HOLD_SCHEMAS:
        return None
    names = one_line(", ".join(schema), 80)
    return SchemaVerdict("unusable-schema", explanation=f"no JSON Schema: its members are parameters ({names})")


def _is_described(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return isinstance(value.get("type"), str | list) or isinstance(value.get("description"), str)


def _unusable(problem: Exception) -> SchemaVerdict:
    reason = getattr(problem, "message", None) or str(problem) or type(problem).__name__
    return SchemaVerdict("unusable-schema", explanation=f"{type(problem).__name__}: {one_line(str(reason))}")


def _longest_here(schema: Any) -> int:
    """Return how long arguments may be for a check that surely ends soon; below 0 if no length is safe.

    Subschemas are counted with every local reference written out; the references on the way to a subschema come with
    it, and meeting one of them again is recursion.
    """
    quantifiers = 0
    waiting: list[tuple[Any, tuple[str, ...]]] = [(schema, ())]
    for _ in range(_LARGE_SCHEMA):
        if not waiting:
            return _LONGEST_HERE[quantifiers]
        part, inside = waiting.pop()
        if isinstance(part, list):
            waiting += [(value, inside) for value in part]
        elif isinstance(part, dict):
            pattern, reference = part.get("pattern"), part.get("$ref")
            if not _RUNAWAY_KEYWORDS.isdisjoint(part) or part.get("uniqueItems") is True:
                return -1
            if isinstance(pattern, str):
                quantifiers = max(quantifiers, len(_VARIABLE_QUANTIFIER.findall(pattern)))
                if (
                    quantifiers >= len(_LONGEST_HERE)
                    or pattern.count("?") > _MOST_OPTIONAL
                    or _BACKTRACKS.search(pattern)
                ):
                    return -1
            waiting += [(value, inside) for value in part.values()]
            if isinstance(reference, str):
                if reference in inside or not reference.startswith("#/"):
                    return -1
                waiting.append((_lookup(schema, reference), (*inside, reference)))
    return -1


def _lookup(root: Any, reference: str) -> Any:
    """Follow a plain local reference; what it cannot follow weighs nothing, and fails when it is used."""
    found = root
    for step in reference[2:].split("/"):
        found = found.get(step) if isinstance(found, dict) else None
    return found
