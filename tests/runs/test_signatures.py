"""Failure signatures: how answers went wrong, counted from a running session and from the file of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fcpivot import Action, FunctionCall
from pytest_fcpivot.graders import categories
from pytest_fcpivot.runs.output import action_json
from pytest_fcpivot.runs.reader import result_line
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.signatures import Cause, Changed, Signatures, grouped, signature_of, signatures_of_run

if TYPE_CHECKING:
    from pathlib import Path

CALL = Action((FunctionCall("fly", "{}"),))
OTHER = Action((FunctionCall("book", "{}"),))
TWO = Action((FunctionCall("fly", "{}"), FunctionCall("book", "{}")))
WORDS = Action(message="hello")
BROKEN = Action(malformed="<tool_call>")
ACTIONS = [CALL, OTHER, TWO, WORDS, BROKEN, Action()]


def record(
    action: Action | None,
    category: str = categories.VALUE_DIFFERENT,
    reward: float | None = 0.0,
    *,
    expected: str = "function_call",
    tool: str | None = "fly",
    path: str | None = None,
) -> CaseRecord:
    """Return the record of one answer."""
    return CaseRecord(
        pivot_id="p",
        trajectory_id="t",
        expected=expected,
        tool=tool,
        reward=reward,
        category=category,
        path=path,
        action_json=action_json(action),
        error="no answer" if reward is None else None,
    )


@pytest.mark.parametrize(
    ("found", "label"),
    [
        (record(CALL, path="$.legs[3].date"), "fly $.legs[*].date: the value differs"),
        (record(OTHER, categories.UNEXPECTED_TOOL), "fly → book: another function is called"),
        (record(TWO, path="$.date"), "fly → fly + … $.date: the value differs"),
        (record(WORDS, categories.NO_EXPECTED_TOOL_CALL), "fly → a message: no call"),
        (record(BROKEN, categories.NO_ACTION_FOUND), "fly → unreadable output: no answer in it"),
        (record(Action(), categories.NO_ACTION_FOUND), "fly → nothing: neither a call nor a message"),
        (
            record(OTHER, categories.NO_EXPECTED_CHAT_MESSAGE, expected="message", tool=None),
            "a message → book: no message",
        ),
        (
            record(CALL, categories.BATCH_LENGTH_DIFFERENT, expected="function_call_batch"),
            "fly + … → fly: another number of calls",
        ),
        (record(CALL, "TOO_POLITE", 0.5), "fly: TOO_POLITE"),
    ],
)
def test_labels(found: CaseRecord, label: str) -> None:
    """A signature says in one line what was expected, what came, where they differ, and what the trouble is."""
    signature = signature_of(found)
    assert signature is not None
    assert signature.label == label


@pytest.mark.parametrize("found", [record(CALL, reward=1.0), record(None, reward=None)], ids=["whole", "error"])
def test_without_a_signature(found: CaseRecord) -> None:
    """The whole reward and an error have no signature."""
    assert signature_of(found) is None


def test_a_function_that_is_called_like_a_kind_of_answer() -> None:
    """A function named "a message" is not taken for a message."""
    named = record(Action((FunctionCall("a message", "{}"),)), categories.UNEXPECTED_TOOL)
    assert signature_of(named) != signature_of(record(WORDS, categories.UNEXPECTED_TOOL))


def test_ranking() -> None:
    """Causes are ranked by the reward that they cost, with the number of answers, of failures, and an example."""
    found = Signatures()
    for number in (3, 1, 2):
        found.add(record(CALL, reward=0.75), f"data::p{number}", passed=number == 2)
    found.add(record(WORDS, categories.NO_EXPECTED_TOOL_CALL), "data::p4", passed=False)
    found.add(record(CALL, reward=1.0), "data::p5", passed=True)
    assert [(c.signature.label, c.count, c.lost, c.failed, c.example) for c in found.ranked()] == [
        ("fly → a message: no call", 1, 1.0, 1, "data::p4"),
        ("fly: the value differs", 3, 0.75, 2, "data::p1"),
    ]


def test_groups() -> None:
    """Causes are grouped by what went wrong, whatever the functions, and each group has the sums of its causes."""
    answers = [
        record(WORDS, categories.NO_EXPECTED_TOOL_CALL),
        record(CALL, path="$.date"),
        record(CALL, path="$.date"),
        record(CALL, path="$.place", reward=0.5),
        record(WORDS, categories.NO_EXPECTED_TOOL_CALL, tool="book"),
        record(CALL, "TOO_POLITE", 0.75),
    ]
    found = grouped(_causes([(f"data::p{number}", each) for number, each in enumerate(answers)]))
    assert [(group.heading, group.count, group.lost, group.failed, len(group.causes)) for group in found] == [
        ("another value in the arguments", 3, 2.5, 2, 2),
        ("a message in place of a call", 2, 2.0, 2, 2),
        ("TOO_POLITE", 1, 0.25, 0, 1),
    ]
    assert [cause.signature.path for cause in found[0].causes] == ["$.date", "$.place"]


_RECORDS = st.builds(
    record,
    st.sampled_from(ACTIONS),
    st.sampled_from([categories.VALUE_DIFFERENT, categories.NO_ACTION_FOUND, "OWN"]),
    st.sampled_from([None, 0.0, 0.25, 1.0]),
    expected=st.sampled_from(["function_call", "function_call_batch", "message"]),
    path=st.sampled_from([None, "$.a[0]", "$.a[1]", "$.b"]),
)


@given(st.lists(_RECORDS, max_size=8), st.randoms(use_true_random=False))
def test_a_stored_run_has_the_causes_of_its_session(
    tmp_path_factory: pytest.TempPathFactory, records: list[CaseRecord], random: object
) -> None:
    """In any order, answers have the same causes; so do they as lines of a run, and as records made of such lines."""
    tests = [(f"data::p{number}", each) for number, each in enumerate(records)]
    live = _causes(tests)
    random.shuffle(tests)  # type: ignore[attr-defined]
    lines = [each.line(test, _outcome(each)) for test, each in tests]
    run: Path = tmp_path_factory.mktemp("run")
    (run / "results.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    read = [result_line(line.encode()) for line in lines]
    again = [(line.test, CaseRecord.of_line(line, own=True)) for line in read]
    assert _causes(tests) == _causes(again) == signatures_of_run(run)[0] == live


def _outcome(each: CaseRecord) -> str:
    return "error" if each.reward is None else "passed" if each.reward >= 0.25 else "failed"


def _causes(tests: list[tuple[str, CaseRecord]]) -> tuple[Cause, ...]:
    found = Signatures()
    for test, each in tests:
        found.add(each, test, passed=_outcome(each) == "passed")
    return found.ranked()


def test_a_later_line_counts(tmp_path: Path) -> None:
    """Of several lines of a test, the last one counts; if it is damaged, the test has none."""
    wrong, right = record(CALL), record(CALL, reward=1.0)
    lines = [
        wrong.line("data::mended", "failed"),
        right.line("data::mended", "passed"),
        right.line("data::broken", "passed"),
        wrong.line("data::broken", "failed"),
        wrong.line("data::damaged", "failed"),
        wrong.line("data::damaged", "failed").replace('"repeat": 1', '"repeat": "one"'),
    ]
    (tmp_path / "results.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    causes, damages = signatures_of_run(tmp_path)
    assert [(cause.count, cause.example) for cause in causes] == [(1, "data::broken")]
    assert len(damages) == 1


def test_a_run_without_results(tmp_path: Path) -> None:
    """A run that was killed at its start has no causes."""
    assert signatures_of_run(tmp_path)[0] == ()


def test_changes() -> None:
    """Beside another run, a signature is new, gone, or in both."""
    before = _causes([("d::1", record(CALL, path="$.a")), ("d::2", record(CALL, path="$.b"))])
    now = _causes([("d::2", record(CALL, path="$.b")), ("d::3", record(CALL, path="$.c"))])
    changed = Changed.between(before, now)
    assert [signature.path for signature in changed.new] == ["$.c"]
    assert [cause.signature.path for cause in changed.gone] == ["$.a"]
