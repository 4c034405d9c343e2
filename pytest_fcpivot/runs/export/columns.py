"""The columns of an exported run: one row for each pivot and repeat.

Members of a line of `results.jsonl` keep their names. A member inside another has both names, joined by `_`. Lists and
other nested values are JSON text. Every column has one type, whatever the rows hold, and null where there is no value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from pytest_fcpivot.core.jsontext import compact
from pytest_fcpivot.data.rows import expected_action_json
from pytest_fcpivot.runs.rewards import place_of
from pytest_fcpivot.runs.signatures import signature_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.core.model import Action
    from pytest_fcpivot.core.usage import Usage
    from pytest_fcpivot.data.store import IndexEntry
    from pytest_fcpivot.runs.reader import ResultLine

FORMAT = 1
NOT_RUN = "not_run"
Kind = Literal["string", "integer", "number", "boolean"]
Row = dict[str, Any]
# What the data say of a pivot, by the names of the store's columns.
FACTS = ("split", "turn", "step", "depth", "n_tools")

_TOKENS: dict[str, Kind] = dict.fromkeys(
    ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"), "integer"
)
COLUMNS: dict[str, Kind] = {
    "format": "integer",
    "run": "string",
    "agent": "string",
    "model": "string",
    "grader": "string",
    "place": "string",
    "test": "string",
    "pivot_id": "string",
    "repeat": "integer",
    "trajectory_id": "string",
    "split": "string",
    "turn": "integer",
    "step": "integer",
    "depth": "integer",
    "n_tools": "integer",
    "expected": "string",
    "tool": "string",
    "answered": "string",
    "called_tool": "string",
    "calls": "integer",
    "outcome": "string",
    "reward": "number",
    "category": "string",
    "signature": "string",
    "path": "string",
    "paths": "string",
    "further_paths": "integer",
    "halves_names": "number",
    "halves_arguments": "number",
    "schema": "string",
    "explanation": "string",
    "flags": "string",
    "redacted": "boolean",
    "judge_by": "string",
    "judge_score": "number",
    "judge_reason": "string",
    "judge_cause": "string",
    **dict.fromkeys((f"judge_usage_{name}" for name in _TOKENS), "integer"),
    **dict.fromkeys((f"usage_{name}" for name in _TOKENS), "integer"),
    "cost": "number",
    "latency_s": "number",
    "attempts": "integer",
    "retried": "string",
    "error": "string",
    "cause": "string",
    "action": "string",
    "output": "string",
}
# Columns with few different texts.
REPEATED = (
    *("run", "agent", "model", "grader", "place", "split", "expected", "tool", "answered", "called_tool"),
    *("outcome", "category", "signature", "path", "schema", "flags", "judge_by", "retried", "cause"),
)


def row_of(line: ResultLine) -> Row:
    """Return the row of a result; columns that are not in it are null."""
    signature = signature_of(line)
    row: Row = {
        "place": place_of(line.test, line.pivot_id),
        "test": line.test,
        "pivot_id": line.pivot_id,
        "repeat": line.repeat,
        "trajectory_id": line.trajectory_id,
        "expected": line.expected,
        "tool": line.tool,
        "outcome": line.outcome,
        "reward": line.reward,
        "category": line.category,
        "signature": None if signature is None else signature.label,
        "path": line.path,
        "paths": _list(line.paths),
        "further_paths": line.further_paths,
        "schema": line.schema,
        "explanation": line.explanation,
        "flags": _list(line.flags),
        "redacted": line.redacted,
        "cost": line.cost,
        "latency_s": line.latency_s,
        "attempts": line.attempts,
        "retried": _list(line.retried),
        "error": line.error,
        "cause": line.cause,
    }
    if line.halves is not None:
        row["halves_names"], row["halves_arguments"] = line.halves
    if line.judge is not None:
        judge = line.judge
        row |= {
            "judge_by": judge.by,
            "judge_score": judge.score,
            "judge_reason": judge.reason,
            "judge_cause": judge.cause,
        }
        row |= tokens("judge_usage", judge.usage)
    row |= tokens("usage", line.usage)
    if line.kind is not None:
        row |= answered(line.graded()) | {"answered": line.kind, "action": compact(msgspec.to_builtins(line.action))}
    if line.has_output:
        row["output"] = bytes(line.output).decode()
    return row


def row_without_result(place: str, test: str, entry: IndexEntry, repeat: int) -> Row:
    """Return the row of a selected test that has no result."""
    return {
        "place": place,
        "test": test,
        "pivot_id": entry.id,
        "repeat": repeat,
        "trajectory_id": entry.trajectory_id,
        "expected": entry.expected_type,
        "tool": entry.expected_names[0] if entry.expected_names else None,
        "outcome": NOT_RUN,
    }


def about_run(name: str, description: Mapping[str, Any]) -> Row:
    """Return what each row says of its run, whose directory has this name."""
    return {
        "format": FORMAT,
        "run": name,
        "agent": description.get("agent"),
        "model": description.get("model"),
        "grader": description["grader"]["name"],
    }


def _list(items: list[str]) -> str | None:
    return compact(items) if items else None


def answered(action: Action | None) -> Row:
    """Return the columns about an action; empty without one."""
    if action is None or action.kind == "none":
        return {}
    first = action.calls[0].name if action.calls else None
    about = {"answered": action.kind, "called_tool": first, "calls": len(action.calls)}
    return about | {"action": expected_action_json(action)}


def tokens(name: str, usage: Usage | None) -> Row:
    """Return the columns with counts of tokens, whose names begin with `name`; empty if they are not known."""
    return {} if usage is None else {f"{name}_{kind}": number for kind, number in usage.to_builtins().items()}
