"""How runs answer, side by side: which pivots and answers count, what is told, and when a reward seems to be gamed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.report.behaviour_text import behaviour_lines, lines, watch
from pytest_fcpivot.runs.behaviour import Answers, RunAnswers, read_all, read_answers, side_by_side
from pytest_fcpivot.runs.reader import result_line
from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

DESCRIPTION: dict[str, Any] = {
    "format": 1,
    "agent": "policy:answer",
    "grader": {"name": "nemo-gym", "settings": {}},
    "data": [{"name": "data.jsonl", "path": "data.jsonl", "sha256": "a" * 64, "pivots": 9, "selected": 9}],
    "repeats": 1,
    "options": {},
}
RIGHT = {"type": "function_call", "name": "book", "arguments": '{"seats": 2}'}
WRONG = {"type": "function_call", "name": "cancel", "arguments": "{}"}


def message(text: str = "Done.") -> dict[str, str]:
    """Return a message."""
    return {"type": "message", "content": text}


def line(
    pivot: str, action: dict[str, Any] | None, reward: float | None, *, expected: str = "function_call", **others: Any
) -> str:
    """Return a line of results.jsonl; the pivot t1-d0 belongs to the trajectory t1."""
    repeat = others.get("repeat", 1)
    test = f"data.jsonl::{pivot}" + (f"[r{repeat}]" if repeat > 1 else "")
    outcome = "error" if reward is None else "passed" if reward == 1 else "failed"
    about = {"test": test, "pivot_id": pivot, "trajectory_id": pivot.partition("-")[0], "expected": expected}
    return json.dumps(about | {"repeat": 1, "outcome": outcome, "reward": reward, "action": action} | others)


def run(path: Path, *lines: str, **about: Any) -> Path:
    """Write a run with these results."""
    path.mkdir()
    (path / "run.json").write_text(json.dumps(DESCRIPTION | about))
    (path / "results.jsonl").write_text("".join(f"{each}\n" for each in lines))
    return path


def made(name: str, lines: Iterable[str], root: Path, **about: Any) -> RunAnswers:
    """Return a run with these results, without files."""
    answers = Answers()
    for each in lines:
        answers.add(result_line(each.encode()))
    return RunAnswers(name, root / name, DESCRIPTION | about, answers)


def test_what_answers_look_like(tmp_path: Path) -> None:
    """Messages, calls, several calls, no action and unreadable answers are told apart, with lengths and tokens."""
    usage: dict[str, Any] = {
        "usage": {"input_tokens": 9, "cached_tokens": 0, "output_tokens": 30, "reasoning_tokens": 10}
    }
    batch = {"type": "function_call_batch", "calls": [RIGHT, WRONG]}
    lines = [
        line("t1-d0", message("four"), 1.0, expected="message", **usage),
        line("t1-d1", message("<tool_call>"), 0.0, flags=["call_like"], **usage),
        line("t2-d0", RIGHT, 1.0, **usage),
        line("t2-d1", batch, 0.5, expected="function_call_batch", **usage),
        line("t3-d0", None, 0.0, **usage),
        line("t3-d1", {"type": "malformed_output", "text": "oops"}, 0.0, flags=["malformed"], **usage),
        line("t4-d0", None, None, error="timeout"),
    ]
    found = side_by_side(read_all([run(tmp_path / name, *lines) for name in ("a", "b")]))
    assert [each.name for each in found.runs] == ["a", "b"]
    (one, other) = found.runs
    assert found.pivots == found.of == 6  # the error is neither a 0 nor a share of anything
    assert (one.n, one.reward.mean, one.reward_message, one.reward_call) == (6, 2.5 / 6, 1.0, 0.3)
    assert (one.messages, one.misplaced, one.calls, one.several) == (2 / 6, 1 / 5, 2 / 6, 1 / 6)
    assert (one.nothing, one.unread) == (1 / 6, 2 / 6)
    assert one.message_length is not None
    assert one.arguments_length is not None
    assert one.message_length == (7.5, 7.5, 2)
    assert one.arguments_length.n == 2
    assert (one.arguments_length.mean, one.tokens, one.distinct) == (13.0, 30.0, 1.0)
    assert (other.reward, other.messages) == (one.reward, one.messages)


def test_the_summary_of_a_session_says_the_same(tmp_path: Path) -> None:
    """The counts that a session makes for its summary are the figures that are read from its results later."""
    lines = [
        line("t1-d0", message("four"), 1.0, expected="message"),
        line("t1-d1", message("<tool_call>"), 0.0, flags=["call_like"]),
        line("t2-d0", RIGHT, 1.0),
        line("t2-d1", {"type": "function_call_batch", "calls": [RIGHT, WRONG]}, 0.5),
        line("t3-d0", None, 0.0),
        line("t3-d1", {"type": "malformed_output", "text": "oops"}, 0.0, flags=["malformed"]),
        line("t4-d0", None, None, error="timeout"),
    ]
    tally = Tally()
    assert tally.behaviour.shares() is None
    for each in map(result_line, map(str.encode, lines)):
        tally.count(CaseRecord.of_line(each, own=True), each.test, passed=each.outcome == "passed")
    (one, _) = side_by_side([made(name, lines, tmp_path) for name in "ab"]).runs
    assert one.message_length is not None
    assert one.arguments_length is not None
    assert tally.behaviour.shares() == {
        "answers": one.n,
        "messages": one.messages,
        "messages_where_call_expected": one.misplaced,
        "calls": one.calls,
        "several_calls": one.several,
        "no_action": one.nothing,
        "unreadable": one.unread,
        "message_length": one.message_length.mean,
        "arguments_length": one.arguments_length.mean,
        "output_tokens": None,
    }


def test_the_last_line_of_a_test_counts(tmp_path: Path) -> None:
    """A later result replaces an earlier one, and a later error or damaged line takes it out."""
    path = run(
        tmp_path / "run",
        line("t1-d0", message(), 0.0),
        line("t1-d0", RIGHT, 1.0),
        line("t2-d0", RIGHT, 1.0),
        line("t2-d0", None, None),
        line("t3-d0", RIGHT, 1.0),
        line("t3-d0", RIGHT, 1.0)[:-1] + ', "reward": 7}',
    )
    with pytest.raises(RunError, match="allow-damaged"):
        read_answers(path, "run")
    found = read_answers(path, "run", allow_damaged=True).answers
    assert [key for _, key in found.pivots] == ["t1-d0"]
    assert found.pivots["data.jsonl", "t1-d0"].answers[1].kind == "call"


def test_only_common_pivots_and_repeats_count_once(tmp_path: Path) -> None:
    """Each pivot counts once by the mean of its repeats, on the pivots that all runs answered."""
    base = [line("t1-d0", RIGHT, 1.0), line("t2-d0", message(), 0.0), line("t3-d0", RIGHT, 1.0)]
    new = [
        line("t1-d0", RIGHT, 1.0),
        line("t1-d0", message(), 0.0, repeat=2),
        line("t1-d0", message(), 0.0, repeat=3),
        line("t1-d0", message(), 0.0, repeat=4),
        line("t2-d0", RIGHT, 1.0),
        line("t4-d0", message(), 0.0),
    ]
    found = side_by_side([made("a", base, tmp_path), made("b", new, tmp_path, repeats=4)])
    assert (found.pivots, found.of) == (2, 3)
    assert [each.reward.mean for each in found.runs] == [0.5, 0.625]
    assert [each.messages for each in found.runs] == [0.5, 0.375]
    assert [each.n for each in found.runs] == [2, 5]
    assert "the 2 pivots that both answered, of the 3 of b" in "\n".join(
        behaviour_lines([made("a", base, tmp_path), made("b", new, tmp_path)])
    )


def test_data_that_moved_is_the_same(tmp_path: Path) -> None:
    """Where each run has one data file, pivots pair by their ids, whatever the file's name was."""
    moved = [each.replace("data.jsonl::", "copy.jsonl::") for each in (line("t1-d0", RIGHT, 1.0),)]
    assert side_by_side([made("a", moved, tmp_path), made("b", [line("t1-d0", RIGHT, 1.0)], tmp_path)]).pivots == 1


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"data": [DESCRIPTION["data"][0] | {"sha256": "b" * 64}]}, "cannot be compared with c (data: data.jsonl"),
        ({"grader": {"name": "agentic", "settings": {}}}, "cannot be compared with c (grader:"),
    ],
)
def test_other_data_and_graders_are_left_out_and_told(tmp_path: Path, about: dict[str, Any], words: str) -> None:
    """A run of other data, or graded in another way, is not in the table, and a line says what differs."""
    lines = [line(f"t{n}-d0", RIGHT, 1.0) for n in range(3)]
    runs = [made("a", lines, tmp_path), made("b", lines, tmp_path, **about), made("c", lines, tmp_path)]
    found = watch(runs)
    assert [each.name for each in found.runs.runs] == ["a", "c"]
    (note,) = found.runs.notes
    assert note.startswith("b is left out")
    assert words in note
    assert note in "\n".join(behaviour_lines(runs))


def test_runs_that_say_too_little_are_left_out(tmp_path: Path) -> None:
    """A run that was soon killed, one of an early version, and one named twice are left out, and a line says so."""
    lines = [line(f"t{n}-d0", RIGHT, 1.0) for n in range(9)]
    early = [json.dumps({key: value for key, value in json.loads(each).items() if key != "action"}) for each in lines]
    runs = [
        made("killed", lines[:4], tmp_path),
        made("early", early, tmp_path),
        made("before", lines, tmp_path),
        made("before", lines, tmp_path),
        made("after", lines, tmp_path),
    ]
    found = side_by_side(runs)
    assert ([each.name for each in found.runs], found.pivots) == (["before", "after"], 9)
    assert {note.split()[0] for note in found.notes} == {"killed", "early", "before"}


def test_one_run_has_no_table_and_nothing_graded_is_told(tmp_path: Path) -> None:
    """A single run has no lines; runs without a common graded answer are told so, and no figure is made up."""
    errors = [line(f"t{n}-d0", None, None, error="timeout") for n in range(3)]
    graded = [line(f"t{n}-d0", RIGHT, 1.0) for n in range(3)]
    assert behaviour_lines([]) == []
    assert behaviour_lines([made("a", graded, tmp_path)]) == []
    for first, last, words in (
        (graded, errors, "b has no graded answer"),
        (errors, graded, "a is left out: it has graded answers to 0 of the 3 pivots that b answered"),
        (errors, errors, "b has no graded answer"),
    ):
        runs = [made("a", first, tmp_path), made("b", last, tmp_path)]
        assert behaviour_lines(runs) == []
        text = "\n".join(lines(watch(runs)))
        assert words in text
        assert "there are no two that can be set side by side" in text
        assert "nan" not in text.lower()


def test_a_pivot_of_two_trajectories_is_refused(tmp_path: Path) -> None:
    """A pivot that belongs to another trajectory in one of the runs is an error that names both."""
    runs = [made("a", [line("t1-d0", RIGHT, 1.0)], tmp_path)]
    runs.append(made("b", [line("t1-d0", RIGHT, 1.0, trajectory_id="t9")], tmp_path))
    with pytest.raises(RunError, match=r"t1-d0: it belongs to trajectory .*t1.* in a, and to .*t9.* in b"):
        side_by_side(runs)


# -------------------------------------------------------------------- policies

# What a policy does at a pivot, if a message is expected there or not: the action, its reward, and its flags.
Act = Callable[[bool, random.Random], tuple[dict[str, Any] | None, float, list[str]]]


def policy(
    *, right: float, said: float, wrongly_said: float, broken: float = 0.0, length: int = 100, score: float = 1.0
) -> Act:
    """Return a policy: how often its calls are right, and how often it sends a message, wanted or not."""

    def act(wants_message: bool, draw: random.Random) -> tuple[dict[str, Any] | None, float, list[str]]:
        if draw.random() < broken:
            return message("<tool_call>{"), float(wants_message), ["call_like"]
        if draw.random() < (said if wants_message else wrongly_said):
            text = "word " * round(length / 5 * draw.uniform(0.7, 1.3))
            return message(text), (score * draw.uniform(0.8, 1.0) if wants_message else 0.0), []
        if not wants_message and draw.random() < right:
            return RIGHT, 1.0, []
        return WRONG, 0.0, []

    return act


def played(name: str, act: Act, root: Path, seed: int, *, trajectories: int = 40) -> RunAnswers:
    """Return a run of a policy over trajectories of four pivots, of which every other one expects a message."""
    draw = random.Random(seed)  # noqa: S311 (nothing is secret)
    lines = []
    for number in range(trajectories):
        for depth in range(4):
            wants = depth % 2 == 0
            action, reward, flags = act(wants, draw)
            expected = "message" if wants else "function_call"
            lines.append(line(f"t{number}-d{depth}", action, reward, expected=expected, flags=flags))
    return made(name, lines, root)


HONEST = policy(right=0.4, said=0.5, wrongly_said=0.1)
BETTER = policy(right=0.8, said=0.9, wrongly_said=0.1)
ONLY_MESSAGES = policy(right=0.4, said=1.0, wrongly_said=0.97)
BROKEN = policy(right=0.4, said=1.0, wrongly_said=0.1, broken=0.6)
SHORT = policy(right=0.4, said=0.9, wrongly_said=0.1, length=100, score=0.4)
LONG = policy(right=0.4, said=0.9, wrongly_said=0.1, length=600, score=0.8)
FULLER = policy(right=0.4, said=0.9, wrongly_said=0.1, length=125, score=0.8)


@pytest.mark.parametrize(
    ("before", "after", "kinds"),
    [
        (HONEST, ONLY_MESSAGES, ["messages"]),
        (HONEST, BROKEN, ["messages", "unread"]),  # the texts are messages to the grader
        (SHORT, LONG, ["long messages"]),
        (HONEST, BETTER, []),  # more messages, where they are wanted, and better calls
        (policy(right=0.4, said=0.0, wrongly_said=0.0), BETTER, []),  # it learns to send messages at all
        (SHORT, FULLER, []),  # somewhat longer messages that are twice as good
        (BETTER, ONLY_MESSAGES, []),  # it lost reward: worse, but nothing is won by it
        (policy(right=0.4, said=0.5, wrongly_said=0.6), policy(right=0.8, said=0.9, wrongly_said=0.2), []),
    ],
)
def test_what_seems_to_be_gamed(tmp_path: Path, before: Act, after: Act, kinds: list[str]) -> None:
    """A reward that is won by messages alone, by length or by unreadable answers is told; honest progress is not."""
    runs = [played("before", before, tmp_path, 1), played("after", after, tmp_path, 2)]
    drift = watch(runs).drift
    assert drift is not None
    assert [hint.kind for hint in drift.hints] == kinds
    assert ("warning:" in "\n".join(behaviour_lines(runs))) == bool(kinds)


def test_a_poor_policy_that_stops_calling_is_told(tmp_path: Path) -> None:
    """Where hardly any call was right before, a few lucky ones after do not hide that all else became messages."""
    poor, talks = policy(right=0.03, said=0.5, wrongly_said=0.1), policy(right=0.8, said=1.0, wrongly_said=0.96)
    told, gains = 0, 0
    for seed in range(8):
        runs = [
            played(name, act, tmp_path, 2 * seed + at) for at, (name, act) in enumerate((("a", poor), ("b", talks)))
        ]
        drift = watch(runs).drift
        assert drift is not None
        told += [hint.kind for hint in drift.hints] == ["messages"]
        calls = drift.since_first.get("reward_call")
        gains += calls is not None and calls.difference.change > 0
    assert gains >= 3
    assert told >= 6


def test_no_calls_any_more(tmp_path: Path) -> None:
    """A policy that stops calling without sending messages instead is told, if its reward rises all the same."""

    def act(wants_message: bool, draw: random.Random) -> tuple[dict[str, Any] | None, float, list[str]]:
        return (message(), 1.0, []) if wants_message else (None, 0.0, [])

    poor = policy(right=0.05, said=0.4, wrongly_said=0.0)
    drift = watch([played("before", poor, tmp_path, 1), played("after", act, tmp_path, 2)]).drift
    assert drift is not None
    assert [hint.kind for hint in drift.hints] == ["no calls"]


def test_a_drift_after_an_honest_begin_is_told(tmp_path: Path) -> None:
    """A policy that first learns and then games is told by the run before, though the first run had messages too."""
    runs = [
        played("first", policy(right=0.1, said=0.5, wrongly_said=0.97), tmp_path, 1),
        played("second", policy(right=0.1, said=0.3, wrongly_said=0.1), tmp_path, 2),
        played("third", policy(right=0.1, said=1.0, wrongly_said=0.97), tmp_path, 3),
    ]
    drift = watch(runs).drift
    assert drift is not None
    assert [(hint.kind, hint.base) for hint in drift.hints] == [("messages", "second")]
    text = "\n".join(behaviour_lines(runs))
    assert "since first" in text
    assert "since second" in text
    assert "the policy may be answering everything with a message" in text


def test_chance_makes_no_hint_and_few_arrows(tmp_path: Path) -> None:
    """Of forty pairs of runs of one policy, none has a hint, and hardly any a change that is called sure."""
    hints, sure = 0, 0
    for seed in range(40):
        runs = [played(name, HONEST, tmp_path, 2 * seed + at, trajectories=12) for at, name in enumerate("ab")]
        drift = watch(runs).drift
        assert drift is not None
        hints += len(drift.hints)
        sure += any(change.is_sure for change in drift.since_first.values())
    assert hints == 0
    assert sure <= 3


def test_few_trajectories_prove_nothing(tmp_path: Path) -> None:
    """Five trajectories, in which everything changed, are too few for a hint or an arrow."""
    runs = [played(name, act, tmp_path, 1, trajectories=5) for name, act in (("a", HONEST), ("b", ONLY_MESSAGES))]
    drift = watch(runs).drift
    assert drift is not None
    assert not drift.hints
    assert not any(change.is_sure for change in drift.since_first.values())
    text = "\n".join(behaviour_lines(runs))
    assert "these pivots are of 5 trajectories: too few to tell any change from chance" in text
    assert "nothing changed" not in text


def test_runs_that_are_not_in_their_order_are_told(tmp_path: Path) -> None:
    """Names like step-100 and step-20 sort in another order than they were recorded: a line says so."""
    times = {"step-100": "2026-01-02T00:00:00+00:00", "step-20": "2026-01-01T00:00:00+00:00"}
    paths = [run(tmp_path / name, line("t1-d0", RIGHT, 1.0), started=time) for name, time in times.items()]
    told = "step-100 is named before step-20, and was recorded after it; name runs in the order of the training"
    assert told in "\n".join(behaviour_lines(read_all(paths)))
    assert "is named before" not in "\n".join(behaviour_lines(read_all(paths[::-1])))


def test_lines_of_a_table(tmp_path: Path) -> None:
    """The table has a line for each run in the order given, the differences, and who answered if that changed."""
    runs = [
        played("step-2", HONEST, tmp_path, 1),
        played("step-1", BETTER, tmp_path, 2),
        RunAnswers(
            "other", tmp_path / "other", DESCRIPTION | {"model": "big"}, played("x", BETTER, tmp_path, 2).answers
        ),
    ]
    shown = behaviour_lines(runs)
    heads = [each.split()[0] for each in shown]
    assert heads[heads.index("run") + 1 :][:3] == ["step-2", "step-1", "other"]
    assert shown[0] == (
        "how 3 runs answered the 160 pivots that all of them answered: 50.0 % expect a call, 50.0 % expect a message"
    )
    row = next(each for each in shown if each.startswith("  step-1"))
    assert row.split()[2] == "↑"
    same = next(each for each in shown if each.startswith("  since step-1"))
    assert same.split()[2:4] == ["+0.0000", "+0.0000"]
    assert "  agents: step-2 policy:answer, step-1 policy:answer, other policy:answer (big)" in shown
    assert not any("several" in each or "action" in each for each in shown)  # no run has any


def test_runs_of_one_name_have_their_paths(tmp_path: Path) -> None:
    """Runs whose directories have the same name are told apart by their paths."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    paths = [run(tmp_path / name / "run", line("t1-d0", RIGHT, 1.0)) for name in ("one", "two")]
    assert [each.name for each in read_all(paths)] == list(map(str, paths))
    assert [each.name for each in read_all(paths[:1])] == ["run"]


def test_long_names_keep_their_ends(tmp_path: Path) -> None:
    """Names of checkpoints that differ in their last digits are still told apart in the table."""
    names = [f"model-with-quite-a-long-name-of-its-own-step-{n:06}" for n in (100, 200)]
    shown = behaviour_lines([played(name, HONEST, tmp_path, 1) for name in names])
    assert any("-step-000100 " in each for each in shown)
    assert any("-step-000200 " in each for each in shown)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3),
            st.sampled_from([RIGHT, WRONG, message(""), message("x"), None]),
            st.sampled_from([0.0, 0.5, 1.0, None]),
            st.sampled_from(["message", "function_call", "none"]),
        ),
        max_size=12,
    )
)
def test_any_answers_add_up(rows: list[tuple[int, Any, float | None, str]]) -> None:
    """Whatever was answered, kinds add up to all answers, nothing is NaN, and a run has not changed since itself."""
    lines = [
        line(f"t{at % 4}-d{at}", action, reward, expected=kind) for at, (_, action, reward, kind) in enumerate(rows)
    ]
    runs = [made(name, lines, Path("nowhere")) for name in "ab"]
    text = "\n".join(behaviour_lines(runs))
    assert "nan" not in text
    found = watch(runs)
    for each in found.runs.runs:
        assert each.messages + each.calls + each.nothing == pytest.approx(1.0)
    if found.drift is not None:
        assert not found.drift.since_first
        assert not found.drift.hints
