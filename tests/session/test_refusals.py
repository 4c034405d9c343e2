"""The end of a run whose every request is refused in the same words."""

from __future__ import annotations

import pytest

from pytest_fcpivot.runs import CaseRecord
from pytest_fcpivot.session.refusals import Refusals

WORDS = "Error code: 400 - the tool parser is not set"


def _record(
    number: int, *, refusal: str | None = WORDS, reward: float | None = None, trajectories: int = 8
) -> CaseRecord:
    trajectory = f"t{number % trajectories}"
    return CaseRecord(f"p{number}", trajectory, "message", None, refusal=refusal, reward=reward)


def _first_stop(records: list[CaseRecord]) -> tuple[int, str] | None:
    refusals = Refusals()
    for number, record in enumerate(records, 1):
        told = refusals.add(record)
        if told is not None:
            return number, told
    return None


@pytest.mark.parametrize(
    ("records", "stops_at"),
    [
        ([_record(n) for n in range(40)], 16),
        ([_record(n) for n in range(15)], None),
        ([_record(n, trajectories=4) for n in range(40)], None),
        ([_record(n, trajectories=5) for n in range(40)], 16),
        ([_record(n, refusal=None) for n in range(40)], None),
        ([_record(99, refusal=None, reward=0.0), *(_record(n) for n in range(40))], None),
        ([*(_record(n) for n in range(15)), _record(99, refusal=None, reward=1.0), _record(15)], None),
        ([_record(n, refusal=f"messages[{n}] of req_{n}x has no text") for n in range(40)], 16),
        ([_record(n, refusal="abcdefghijklmnopqrstuvwxyz"[n % 26]) for n in range(40)], None),
        ([record for n in range(16) for record in (_record(n), _record(n, refusal=None))], 31),
    ],
    ids=[
        "all",
        "too few",
        "too few trajectories",
        "just enough trajectories",
        "other errors",
        "after an answer",
        "an answer in between",
        "numbers differ",
        "words differ",
        "other errors between them",
    ],
)
def test_stop(records: list[CaseRecord], stops_at: int | None) -> None:
    """Sixteen refusals in the same words, of five trajectories, end a run that has no answer; nothing less does."""
    found = _first_stop(records)
    assert (None if found is None else found[0]) == stops_at


def test_message() -> None:
    """The message has the server's words, and how many requests got them."""
    found = _first_stop([_record(n) for n in range(16)])
    assert found is not None
    assert found[1] == (f"the server refused 16 requests of 8 trajectories in the same way, and answered none: {WORDS}")
