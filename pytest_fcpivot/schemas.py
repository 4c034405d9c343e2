"""Arguments against the tools' JSON schemas: a verdict beside the grade.

Schemas come from data nobody vouches for. A reference is never fetched, and a check that could run away (the schema
refers to itself or has a pattern that could backtrack, or the arguments are huge) runs in a child process with a
deadline, which holds against pathological expressions, endless recursion and exponential growth alike.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.apart import names_apart, nearly_the_same
from pytest_fcpivot.jsontext import json_path, one_line, shorten, visible
from pytest_fcpivot.model import Action, FunctionCall, SchemaVerdict
from pytest_fcpivot.schema_accept import make_acceptor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NO_CALL = SchemaVerdict("no-call")
_VALID = SchemaVerdict("valid")
_SCHEMAS_KEPT = 4096
_TOOL_LISTS_KEPT = 256
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


class ToolSet:
    """The tools of a pivot by name; one name may stand for several tools, as in the wild data."""

    def __init__(self, tools: Iterable[Any]) -> None:
        self._schemas: dict[str, list[Any]] = {}
        for tool in tools:
            if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                self._schemas.setdefault(tool["name"], []).append(tool.get("parameters"))
        self.names = frozenset(self._schemas)
        self._validators: dict[str, list[SchemaValidator]] = {}

    def check(self, action: Action) -> SchemaVerdict:
        """Judge every call of an action; the first call that is not valid decides."""
        if not action.calls:
            return NO_CALL
        for call in action.calls:
            verdict = self._check_call(call)
            if verdict.status != "valid":
                return verdict
        return _VALID

    def _check_call(self, call: FunctionCall) -> SchemaVerdict:
        if call.name not in self._schemas:
            return SchemaVerdict("unknown-tool", explanation=self._not_offered(call.name))
        validators = self._validators.get(call.name)
        if validators is None:
            validators = [_validator(_canonical(schema)) for schema in self._schemas[call.name]]
            self._validators[call.name] = validators
        verdicts = [validator.check(call.arguments) for validator in validators]
        return next((verdict for verdict in verdicts if verdict.status == "valid"), verdicts[0])

    def _not_offered(self, name: str) -> str:
        meant = next((offered for offered in self.names if nearly_the_same(offered, name)), None)
        if meant is not None:
            wanted, given, remark = names_apart(meant, name, 60)
            wanted, given = (each if each.startswith('"') else f"'{each}'" for each in (wanted, given))
            return f"{given} is not offered, but {wanted} is{remark}"
        offered = one_line(", ".join(sorted(self.names)[:5])) or "none"
        return f"'{shorten(visible(name, joiners=True), 60)}' is not offered ({offered})"


@lru_cache(maxsize=_TOOL_LISTS_KEPT)
def tool_set(tools_json: str) -> ToolSet:
    """Return the tool set of a list of flat tools, given as JSON text."""
    return ToolSet(json.loads(tools_json))


def check_schema(action: Action, tools: Sequence[dict[str, Any]]) -> SchemaVerdict:
    """Validate the arguments of an action's calls against the called tools' `parameters`.

    The draft is the one that `$schema` names, else 2020-12. The verdict never depends on the network.
    """
    return tool_set(json.dumps(tools)).check(action)


def _canonical(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True)


@lru_cache(maxsize=_SCHEMAS_KEPT)
def _validator(schema_json: str) -> SchemaValidator:
    return SchemaValidator(schema_json)


class SchemaValidator:
    """One distinct schema, compiled when it is first needed."""

    def __init__(self, schema_json: str) -> None:
        schema = json.loads(schema_json)
        self._schema_json = schema_json
        self._schema: Any = {} if schema is None else schema
        self._longest_here = _longest_here(self._schema)
        self._compiled: Any = None
        self._fault = _not_a_schema(self._schema)
        self._surely_valid = make_acceptor(self._schema) if self._fault is None else None

    def check(self, arguments: str) -> SchemaVerdict:
        """Judge one call's arguments, given as JSON text."""
        if len(arguments) > self._longest_here:
            from pytest_fcpivot.schema_process import check_in_child  # noqa: PLC0415 (few runs need a child process)

            return check_in_child(self._schema_json, arguments)
        return self.check_here(arguments)

    def check_here(self, arguments: str) -> SchemaVerdict:
        """Judge one call's arguments in this process, without a deadline."""
        try:
            instance = json.loads(arguments)
        except (ValueError, RecursionError) as error:
            return SchemaVerdict("invalid", "$", "json", f"the arguments are not JSON: {one_line(str(error))}")
        if self._surely_valid is not None and self._surely_valid(instance):
            return _VALID
        if self._compiled is None and self._fault is None:
            self._fault = self._compile()
        if self._fault is not None:
            return self._fault
        try:
            first = next(self._compiled.iter_errors(instance), None)
        except Exception as problem:  # noqa: BLE001 (jsonschema raises whatever a faulty schema provokes)
            return _unusable(problem)
        if first is None:
            return _VALID
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
