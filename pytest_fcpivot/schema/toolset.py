"""Checks the calls of an action against the JSON schemas of a pivot's tools; the verdict is reported beside the grade.

The schemas come from untrusted data. References to other documents are never fetched. A check that may not end soon
(the schema refers to itself, a pattern may backtrack, or the arguments are huge) runs in a child process with a
deadline, which stops pathological patterns, endless recursion and exponential growth alike.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.apart import names_apart, nearly_the_same
from pytest_fcpivot.core.jsontext import one_line, shorten, visible
from pytest_fcpivot.core.model import Action, FunctionCall, SchemaVerdict
from pytest_fcpivot.schema.validator import VALID, SchemaValidator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NO_CALL = SchemaVerdict("no-call")
_SCHEMAS_KEPT = 4096
_TOOL_LISTS_KEPT = 256


class ToolSet:
    """The tools of a pivot by name; several tools may share a name, as some real datasets have it."""

    def __init__(self, tools: Iterable[Any]) -> None:
        self._schemas: dict[str, list[Any]] = {}
        for tool in tools:
            if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                self._schemas.setdefault(tool["name"], []).append(tool.get("parameters"))
        self.names = frozenset(self._schemas)
        self._compared: dict[str, list[str]] = {}  # canonical JSON, the key of shared validators

    def check(self, action: Action) -> SchemaVerdict:
        """Check every call of an action; returns the verdict on the first call that is not valid, else VALID.

        With several tools of the called name, arguments that fit one of them are valid.
        """
        if not action.calls:
            return NO_CALL
        for call in action.calls:
            verdict = self._check_call(call)
            if verdict.status != "valid":
                return verdict
        return VALID

    def ends_soon(self, action: Action) -> bool:
        """Return whether `check` is certain to end soon, without a child process."""
        return all(
            len(call.arguments) <= _validator(schema).longest_here
            for call in action.calls
            for schema in self._canonical_of(call.name)
        )

    def _check_call(self, call: FunctionCall) -> SchemaVerdict:
        if call.name not in self._schemas:
            return SchemaVerdict("unknown-tool", explanation=self._not_offered(call.name))
        verdicts = [check_arguments(schema, call.arguments) for schema in self._canonical_of(call.name)]
        return next((verdict for verdict in verdicts if verdict.status == "valid"), verdicts[0])

    def _canonical_of(self, name: str) -> list[str]:
        schemas = self._compared.get(name)
        if schemas is None:
            if name not in self._schemas:  # models make names up, without end
                return []
            schemas = self._compared[name] = [_canonical(schema) for schema in self._schemas[name]]
        return schemas

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
    """Return the tool set for a list of flat function tools, given as JSON text; recent ones are cached."""
    return ToolSet(json.loads(tools_json))


def check_schema(action: Action, tools: Sequence[dict[str, Any]]) -> SchemaVerdict:
    """Validate the arguments of an action's calls against the `parameters` of the called tools.

    `tools` are flat function tools. The JSON Schema draft is the one that `$schema` names, else 2020-12. The verdict
    never depends on the network.
    """
    return tool_set(json.dumps(tools)).check(action)


def _canonical(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True)


@lru_cache(maxsize=_SCHEMAS_KEPT)
def _validator(schema_json: str) -> SchemaValidator:
    return SchemaValidator(schema_json)


def check_arguments(schema_json: str, arguments: str) -> SchemaVerdict:
    """Check arguments against one schema, in the child process if the check might not end soon."""
    validator = _validator(schema_json)
    if len(arguments) <= validator.longest_here:
        return validator.check(arguments)
    from pytest_fcpivot.schema.process import check_in_child  # noqa: PLC0415 (few runs need a child process)

    return check_in_child(schema_json, arguments)
