"""The line of a result: the text that Python's JSON encoder writes for its members, to the character."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.core.usage import Usage
from pytest_fcpivot.runs.reader import result_line
from pytest_fcpivot.runs.record import CaseRecord

any_text = st.text(st.characters(exclude_categories=()), max_size=12)  # lone surrogates too
maybe_text = st.none() | any_text
counts = st.integers(0, 2**53)
usages = st.none() | st.tuples(counts, counts, counts, counts)
records = st.builds(
    CaseRecord,
    pivot_id=any_text,
    trajectory_id=any_text,
    expected=any_text,
    tool=maybe_text,
    repeat=counts,
    reward=st.none() | st.integers(0, 1) | st.floats(),  # a grader of a user's own may give anything
    category=maybe_text,
    path=maybe_text,
    schema=maybe_text,
    explanation=maybe_text,
    output_json=st.sampled_from([None, '"answer"', '{"calls": [1.0]}']),
    action_json=st.sampled_from([None, "null", '{"type": "message", "content": ""}']),
    usage=usages,
    latency_s=st.floats(0, 1e6),
    attempts=counts,
    retried=st.lists(any_text, max_size=2).map(tuple),
    error=maybe_text,
    cause=maybe_text,
    own=st.booleans(),
    kept=st.booleans(),
    paths=st.lists(any_text, max_size=2).map(tuple),
    further_paths=st.integers(0, 3),
    halves=st.none() | st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)),
    judge=st.none() | st.tuples(any_text, st.none() | st.floats(0, 1), any_text, usages, maybe_text),
    flags=st.lists(any_text, max_size=2).map(tuple),
    redacted=st.booleans(),
)


@settings(deadline=None)
@given(records, any_text, st.sampled_from(["passed", "failed", "error"]), st.none() | st.floats(0, 1e3))
def test_a_line_is_written_as_json_does(record: CaseRecord, test: str, outcome: str, cost: float | None) -> None:
    """Whatever a record holds, its line has the text that the JSON encoder gives its members, in their order."""
    partial: dict[str, Any] = {"paths": record.paths, "further_paths": record.further_paths, "halves": record.halves}
    if record.judge is not None:
        by, score, reason, tokens, cause = record.judge
        usage = None if tokens is None else Usage(*tokens).to_builtins()
        partial["judge"] = {"by": by, "score": score, "reason": reason, "cause": cause, "usage": usage}
    partial |= {"flags": record.flags, "redacted": record.redacted}
    members = {
        "pivot_id": record.pivot_id,
        "repeat": record.repeat,
        "outcome": outcome,
        "reward": record.reward,
        "category": record.category,
        "path": record.path,
        **{name: value for name, value in partial.items() if value},
        "schema": record.schema,
        "explanation": record.explanation,
        "usage": None if record.usage is None else Usage(*record.usage).to_builtins(),
        "cost": cost,
        "latency_s": round(record.latency_s, 6),
        "attempts": record.attempts,
        "retried": record.retried,
        "error": record.error,
        "cause": record.cause,
        "trajectory_id": record.trajectory_id,
        "expected": record.expected,
        "tool": record.tool,
        "test": test,
        "action": json.loads(record.action_json or "null"),
        "output": json.loads(record.output_json or "null"),
    }
    assert record.line(test, outcome, cost) == json.dumps(members)


def test_a_malformed_answer_is_counted_as_in_a_session() -> None:
    """An output that could not be parsed is neither a message nor a call, whether it is counted now or read later."""
    case = CaseRecord("p1", "t1", "message", None, actual="none", reward=0.0, flags=("malformed",))
    case.action_json = '{"type": "malformed_output", "text": "oops"}'
    read = CaseRecord.of_line(result_line(case.line("data.jsonl::p1", "failed").encode()), own=True)
    assert (read.actual, read.flags) == (case.actual, case.flags)
