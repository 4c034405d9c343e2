"""What is odd about an answer beside its grade."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_fcpivot import Action, grade
from pytest_fcpivot.core.actions import to_action
from pytest_fcpivot.core.answer_flags import flags_of
from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.runs.output import action_json, output_json
from pytest_fcpivot.runs.reader import result_line
from pytest_fcpivot.runs.record import CaseRecord

MALFORMED = Action(malformed='<function=book_table{city: "Lyon}')


def _chat(reason: str) -> dict[str, Any]:
    return {"choices": [{"finish_reason": reason, "message": {"role": "assistant", "content": "I have booked the"}}]}


@pytest.mark.parametrize(
    ("output", "flags"),
    [
        ("a message", ()),
        (None, ()),
        ([{"type": "function_call", "name": "f", "arguments": "{}"}], ()),
        (_chat("stop"), ()),
        (_chat("length"), ("cut_off",)),
        ({"status": "incomplete", "output": []}, ("cut_off",)),
        ({"status": "completed", "output": []}, ()),
        (MALFORMED, ("malformed",)),
    ],
)
def test_odd_answers(output: Any, flags: tuple[str, ...]) -> None:
    """An answer that was cut off, or could not be parsed, is known by what it carries."""
    assert flags_of(output, to_action(output)) == flags


@pytest.mark.parametrize("grader", ["nemo-gym", "nemo-gym:any-order", "agentic"])
@pytest.mark.parametrize(
    "expected",
    [{"type": "message", "content": "Hello there"}, {"type": "function_call", "name": "f", "arguments": "{}"}],
)
def test_malformed_output_is_no_action(grader: str, expected: dict[str, Any]) -> None:
    """Whatever is expected, output that could not be parsed earns nothing, under every bundled grader."""
    verdict = grade(expected, MALFORMED, grader=grader)
    assert (verdict.reward, verdict.category) == (0.0, "NO_ACTION_FOUND")
    assert "could not parse" in verdict.explanation
    assert "book_table" in verdict.explanation


def test_malformed_output_is_stored() -> None:
    """What is written of it, as output and as action, is read as the same."""
    assert to_action(json.loads(output_json(MALFORMED))) == MALFORMED
    record = CaseRecord("p", "p", "message", None, reward=0.0, action_json=action_json(MALFORMED))
    assert result_line(record.line("data.jsonl::p", "failed").encode()).graded() == MALFORMED


def test_malformed_output_needs_its_text() -> None:
    """Without its text it is not understood."""
    with pytest.raises(ActionError, match="needs its text, a string; got missing"):
        to_action({"type": "malformed_output"})
