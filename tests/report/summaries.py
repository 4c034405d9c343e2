"""Summaries of sessions, made without one."""

from __future__ import annotations

from typing import Any

from pytest_fcpivot.options.values import Price
from pytest_fcpivot.report.summary import Figures, Recorded, Subject, Summary
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.tally import Tally

SUBJECT = Subject(
    data={"data.jsonl": None},
    agent="my_agent:answer",
    grader={"name": "nemo-gym:first-call", "settings": {}},
    judge=None,
    mark=None,
    price=Price(2.0, 1.0, 10.0),
)


def record(number: int, repeat: int = 1, *, reward: float | None = 0.0, path: str | None = None) -> CaseRecord:
    """Return the record of an answer to the pivot with this number; ten of them are a trajectory."""
    called = '{"type": "function_call", "name": "find", "arguments": "{}"}'
    return CaseRecord(
        f"t{number // 10}-d{number % 10}",
        f"{number // 10}",
        "function_call",
        "find",
        repeat=repeat,
        actual="function_call",
        reward=reward,
        category="ARGUMENT_VALUE_DIFFERENT",
        path=path,
        schema="valid",
        action_json=called,
        usage=(1000, 400, 50, 10),
        latency_s=0.5,
        attempts=1,
        error="no connection" if reward is None else None,
    )


def summary_of(records: list[CaseRecord], *, repeats: int = 1, **more: Any) -> Summary:
    """Return the summary of a session with these results."""
    tally = Tally(repeats)
    for each in records:
        name = each.pivot_id if each.repeat == 1 else f"{each.pivot_id}[r{each.repeat}]"
        tally.count(each, f"data.jsonl::{name}", passed=each.reward == 1.0)
    recorded = Recorded(path="run", trouble=None, marked=True)
    return Summary(subject=SUBJECT, figures=Figures.of(tally), recorded=recorded, **more)
