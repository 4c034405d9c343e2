"""Validates the arguments of a call against one JSON schema.

Schemas come from untrusted data. References to other documents are never fetched. Arguments longer than `longest_here`
must be checked in a child process with a deadline, because their check might not end soon.
"""

from __future__ import annotations

import json
import re
from typing import Any

from pytest_fcpivot.core.jsontext import decoded, json_path, one_line
from pytest_fcpivot.core.model import SchemaVerdict
from pytest_fcpivot.schema.accept import make_acceptor

VALID = SchemaVerdict("valid")
_RUNAWAY_KEYWORDS = frozenset({"$dynamicRef", "$recursiveRef", "patternProperties", "unevaluatedProperties"})
# Keywords whose argument is itself a schema, which looks just like the description of a parameter of that name.
_HOLD_SCHEMAS = frozenset(
    ("items", "contains", "not", "if", "then", "else", "additionalProperties", "propertyNames", "contentSchema")
)
_LARGE_SCHEMA = 2_000  # nodes of a schema, with every reference expanded
# A pattern may backtrack for an exponential time if it repeats a group, refers back or looks around; a dozen optional
# parts are as bad. Otherwise the time is at most about n^q for a text of n characters and q unbounded quantifiers.
_BACKTRACKS = re.compile(r"\)[*+{]|\\[1-9]|\(\?(?!:)")
_MOST_OPTIONAL = 8
_VARIABLE_QUANTIFIER = re.compile(r"(?<!\\)(?:[*+]|\{\d*,\d*\})")
# Indexed by the number of such quantifiers: the longest arguments, in characters, that are checked in this process.
_LONGEST_HERE = (100_000, 20_000, 4_000, 400, 80)


class SchemaValidator:
    """A validator for one JSON schema, given as JSON text; compiled on first use.

    `longest_here` is the length in characters of the longest arguments whose check is certain to end soon; -1 if there
    is no safe length.
    """

    def __init__(self, schema_json: str) -> None:
        schema = json.loads(schema_json)
        self._schema: Any = {} if schema is None else schema
        self.longest_here = _longest_here(self._schema)
        self._compiled: Any = None
        self._fault = _not_a_schema(self._schema)
        self._surely_valid = make_acceptor(self._schema) if self._fault is None else None

    def check(self, arguments: str) -> SchemaVerdict:
        """Check the arguments of one call, given as JSON text, in this process and without a deadline."""
        try:
            instance = decoded(arguments)
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
            self._compiled = draft(self._schema, registry=Registry())  # an empty registry: nothing is ever fetched
        except Exception as problem:  # noqa: BLE001 (a faulty schema can provoke anything)
            return _unusable(problem)
        return None


def _not_a_schema(schema: Any) -> SchemaVerdict | None:
    """Return a verdict if a "schema" is really a plain mapping of parameter names to descriptions; else None.

    Such mappings occur in datasets of the query/answers form. Read as a JSON schema they would accept anything, since
    unknown keywords are ignored.
    """
    if not isinstance(schema, dict) or not schema:
        return None
    if not all(map(_is_described, schema.values())) or schema.keys() <= _HOLD_SCHEMAS:
        return None
    names = one_line(", ".join(schema), 80)
    return SchemaVerdict("unusable-schema", explanation=f"not a JSON Schema: its keys are parameter names ({names})")


def _is_described(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return isinstance(value.get("type"), str | list) or isinstance(value.get("description"), str)


def _unusable(problem: Exception) -> SchemaVerdict:
    reason = getattr(problem, "message", None) or str(problem) or type(problem).__name__
    return SchemaVerdict("unusable-schema", explanation=f"{type(problem).__name__}: {one_line(str(reason))}")


def _longest_here(schema: Any) -> int:
    """Return the length in characters up to which a check certainly ends soon; -1 if there is no safe length.

    Walks the schema with every local reference expanded, up to _LARGE_SCHEMA nodes. Each node carries the references
    that led to it; meeting one of them again means recursion.
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
    """Follow a local reference; one that leads nowhere counts as empty here, and fails when the schema is used."""
    found = root
    for step in reference[2:].split("/"):
        found = found.get(step) if isinstance(found, dict) else None
    return found
