"""The typed reader of lines: what it takes, what it refuses and why, and that it raises nothing else."""

from __future__ import annotations

import json
import os
import random
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_fcpivot.core.actions import MALFORMED_OUTPUT
from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.model import Action, FunctionCall
from pytest_fcpivot.runs import reader as module
from pytest_fcpivot.runs.output import action_json
from pytest_fcpivot.runs.reader import (
    Damage,
    DamagedLineError,
    call_line,
    calls_in,
    line_at,
    lines_of,
    output_of,
    result_line,
    results_in,
    whole_file,
)
from pytest_fcpivot.runs.record import CaseRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINE: dict[str, Any] = {
    "pivot_id": "p",
    "repeat": 2,
    "outcome": "failed",
    "reward": 0.25,
    "category": "SOME",
    "path": "$.a",
    "paths": ["$.a", "$.b"],
    "further_paths": 3,
    "halves": [0.25, 0],
    "schema": "valid",
    "explanation": "a differs",
    "usage": {"input_tokens": 7, "cached_tokens": 1, "output_tokens": 2, "reasoning_tokens": 0},
    "cost": 0.5,
    "latency_s": 1,
    "attempts": 3,
    "retried": ["timeout", "timeout"],
    "error": None,
    "cause": None,
    "judge": {"by": "asked", "score": 0.5, "reason": "so", "cause": None, "usage": None},
    "flags": ["cut off"],
    "trajectory_id": "t",
    "expected": "message",
    "tool": None,
    "test": "data.jsonl::p[r2]",
    "of a later version": {"x": [1]},
    "action": {"type": "message", "content": "hello \ud83d\ude00"},
    "output": {"output": [{"type": "message"}]},
}


def text(**changed: Any) -> bytes:
    """Return a line with some members changed, or taken out where they are `...`."""
    members = {name: value for name, value in {**LINE, **changed}.items() if value is not ...}
    return json.dumps(members).encode() + b"\n"


def test_everything_of_a_result() -> None:
    """What a line says is there, typed; members that are not known are passed over."""
    line = result_line(text())
    assert (line.test, line.repeat, line.outcome, line.reward, line.latency_s) == (LINE["test"], 2, "failed", 0.25, 1.0)
    assert (line.kind, line.message, line.graded()) == ("message", "hello 😀", Action(message="hello 😀"))
    assert line.usage is not None
    assert line.usage.counts() == (7, 1, 2, 0)
    assert line.judge is not None
    assert line.judge.scoring() == ("asked", 0.5, "so", None, None)
    assert (line.is_error, line.has_no_answer, line.has_action, line.redacted) == (False, False, True, False)
    assert output_of(line) == LINE["output"]
    assert result_line(text(redacted=True)).redacted


@pytest.mark.parametrize(
    "action",
    [
        Action(),
        Action(message="hello"),
        Action(message="half \ud800 of a character"),
        Action((FunctionCall("add", '{"a": 1}'),)),
        Action((FunctionCall("add", "{}"), FunctionCall("find", "not JSON"))),
        Action(malformed="<tool_call>"),
    ],
)
def test_every_action_comes_back(action: Action) -> None:
    """An action that a record wrote is read as the same, and its kind is named."""
    record = CaseRecord("p", "p", "message", None, reward=0.0, action_json=action_json(action))
    line = result_line(record.line("data.jsonl::p", "failed").encode())
    assert line.graded() == action
    expected = MALFORMED_OUTPUT if action.malformed is not None else None if action == Action() else action.kind
    assert line.kind == expected


def test_a_line_without_an_action() -> None:
    """A line that does not say what was graded is told from one that says: nothing."""
    without, nothing = result_line(text(action=...)), result_line(text(action=None))
    assert (without.has_action, nothing.has_action) == (False, True)
    assert nothing.graded() == without.graded() == Action()


DEEP = b"[" * 100_000
REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"\n", "an empty line"),
    "zeros": (b"\0" * 900 + b"\n", "nothing but zero bytes, as a crashed machine leaves them"),
    "text": (b"hello\n", "not JSON: invalid character (byte 0)"),
    "cut": (text()[:300] + b"\n", "not JSON: it ends too early"),
    "list": (b"[1]\n", "an object is needed, not a list"),
    "deep": (DEEP + b"\n", "an object is needed, not a list"),
    "deep output": (
        text(output=...)[:-2] + b', "output": ' + DEEP,
        "nested too deep: more than 500 values inside each other",
    ),
    "rather deep": (
        text(output=...)[:-2] + b', "output": ' + b"[" * 600 + b"]" * 600 + b"}",
        "nested too deep: more than 500 values inside each other",
    ),
    "deep objects": (
        text(output=...)[:-2] + b', "output": ' + b'{"a": ' * 600 + b"1" + b"}" * 601,
        "nested too deep: more than 500 values inside each other",
    ),
    "deep behind what is not": (
        text(output=[[]] * 400)[:-3] + b", " + b"[" * 500 + b"]" * 500 + b"]}",
        "nested too deep: more than 500 values inside each other",
    ),
    "one letter": (b"X\n", "not JSON: invalid character (byte 0)"),
    "long outcome": (text(outcome="x" * 500), "outcome: Invalid enum value 'xxx"),
    "outcome of two lines": (text(outcome="a\nb"), "outcome: Invalid enum value 'a"),
    "long name": (text(usage={"input_tokens" * 50: 1, "input_tokens": "7"}), "usage.input_tokens: a whole number"),
    "NaN": (text(output=float("nan")), "not JSON: invalid character"),
    "infinite": (text(reward=float("inf")), "not JSON: invalid character"),
    "reward without end": (text(reward=...)[:-2] + b', "reward": 1e999}', "reward: Number out of range"),
    "huge reward": (text(reward=10**400), "reward: Number out of range"),
    "reward over 1": (text(reward=1.5), "reward: Expected float <= 1.0"),
    "reward under 0": (text(reward=-0.1), "reward: Expected float >= 0.0"),
    "true as reward": (text(reward=True), "reward: a number or null is needed, not true or false"),
    "graded without reward": (text(reward=None), "failed without a reward"),
    "error with reward": (text(outcome="error"), "an error has a reward"),
    "list as outcome": (text(outcome=["passed"]), "outcome: a string is needed, not a list"),
    "another outcome": (text(outcome="skipped"), "outcome: Invalid enum value 'skipped'"),
    "list as schema": (text(schema=["valid"]), "schema: a string or null is needed, not a list"),
    "number as retried": (text(retried=3), "retried: a list is needed, not a whole number"),
    "number among retried": (text(retried=["a", 3]), "retried[1]: a string is needed, not a whole number"),
    "string as latency": (text(latency_s="1.5"), "latency_s: a number is needed, not a string"),
    "negative latency": (text(latency_s=-1), "latency_s: Expected float >= 0.0"),
    "repeat 0": (text(repeat=0), "repeat: Expected int >= 1"),
    "huge repeat": (text(repeat=10**9), "repeat: Expected int <= 1000000"),
    "huge count": (text(attempts=10**400), "attempts: "),
    "count of 5,000 digits": (
        text(attempts=...)[:-2] + b', "attempts": ' + b"9" * 5000 + b"}",
        "attempts: Integer value out of range",
    ),
    "output of 5,000 digits": (text(output=...)[:-2] + b', "output": ' + b"9" * 5000 + b"}", "not JSON: Exceeds the"),
    "usage": (text(usage=[1]), "usage: an object or null is needed, not a list"),
    "usage of text": (text(usage={"input_tokens": "7"}), "usage.input_tokens: a whole number is needed, not a string"),
    "judge": (text(judge={"score": 1}), "judge: by is missing"),
    "flags": (text(flags={"a": 1}), "flags: a list is needed, not an object"),
    "halves": (text(halves=[1]), "halves: Expected array of length 2"),
    "no test": (text(test=...), "test is missing"),
    "no pivot": (text(pivot_id=...), "pivot_id is missing"),
    "another expected": (text(expected="poem"), "expected: Invalid enum value 'poem'"),
    "action": (text(action=[1]), "action: an object or null is needed, not a list"),
    "another action": (text(action={"type": "dance"}), "action.type: Invalid value 'dance'"),
    "arguments": (
        text(action={"type": "function_call", "name": "a", "arguments": {}}),
        "action.arguments: a string is needed, not an object",
    ),
    "redacted": (text(redacted="no"), "redacted: true or false is needed, not a string"),
    "not UTF-8": (text()[:-2] + b', "x": "\xff"}', "not UTF-8 (byte "),
    "not UTF-8 in a name": (text(test=...)[:-2] + b', "test": "\xff"}', "not UTF-8 (byte "),
    "half a character as bytes": (text(output=...)[:-2] + b', "output": "\xed\xa0\x80"}', "not UTF-8 (byte "),
    "a zero byte": (text().replace(b"SOME", b"SO\0ME"), "not JSON: invalid character (byte "),
    "two on a line": (text()[:-1] + text(), "not JSON: trailing characters (byte "),
    "a mark of byte order": (b"\xef\xbb\xbf" + text(), "not JSON: invalid character (byte 0)"),
    "half a character, deep": (
        text(test="\ud800")[:-2] + b', "x": ' + b"[" * 600 + b"]" * 600 + b"}",
        "nested too deep",
    ),
    "half a character, NaN": (text(test="\ud800", cost=float("nan")), "not JSON: "),
    "half a character, typed": (text(test="\ud800", repeat="one"), "repeat: a whole number is needed, not a string"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    """Each kind of damage is one error, with a reason in words."""
    data, reason = REFUSED[name]
    with pytest.raises(DamagedLineError) as raised:
        result_line(data)
    assert str(raised.value).startswith(reason)
    assert len(str(raised.value)) <= 200
    if name == "long outcome":
        assert len(str(raised.value)) > 190


def test_deep_but_not_too_deep() -> None:
    """What is as deep as a line may be is read, from within many calls too; brackets in texts are no depth."""
    output = json.loads("[" * 499 + "]" * 499)

    def from_within(calls: int) -> Any:
        return from_within(calls - 1) if calls else output_of(result_line(text(output=output)))

    assert from_within(200) == output
    assert output_of(result_line(text(output='"' + "[" * 5000))) == '"' + "[" * 5000
    assert output_of(result_line(text(output=[[]] * 5000))) == [[]] * 5000


def test_halves_of_characters() -> None:
    """A half of a surrogate pair, which JSON can escape, is read in names and in outputs, of results and of calls."""
    assert not result_line(text(test="\ud800", output=...)).has_output
    call = call_line(b'{"ended": "\\ud800", "output": ["\\udfff"]}')
    assert (call.ended, output_of(call)) == ("\ud800", ["\udfff"])
    line = result_line(text(test="data.jsonl::\ud800", output=["\udfff"]))
    assert (line.test, output_of(line)) == ("data.jsonl::\ud800", ["\udfff"])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{}", "neither the beginning of one call nor its end"),
        (b'{"began": "a", "ended": "a"}', "neither the beginning of one call nor its end"),
        (b'{"began": 3}', "began: a string or null is needed, not a whole number"),
        (b'{"ended": "a", "latency_s": "x"}', "latency_s: a number is needed, not a string"),
        (DEEP, "an object is needed, not a list"),
    ],
)
def test_calls_that_are_refused(data: bytes, reason: str) -> None:
    """A call's line is its beginning or its end."""
    with pytest.raises(DamagedLineError) as raised:
        call_line(data)
    assert str(raised.value) == reason


def test_where_a_line_is_not_utf_8() -> None:
    """The byte that is no UTF-8 is counted from 1."""
    for place in (0, 5):
        data = text(output=...)[:-2] + b', "output": "' + b"a" * place + b'\xff"}'
        with pytest.raises(DamagedLineError, match=rf"^not UTF-8 \(byte {data.index(0xFF) + 1}\)$"):
            result_line(data)


def test_a_line_without_an_output() -> None:
    """A line that has no output gives none."""
    assert output_of(result_line(text(output=...))) is None
    assert output_of(call_line(b'{"ended": "a"}')) is None


def test_who_scored_a_message() -> None:
    """A judgement is read with its tokens; without a reason its reason is empty."""
    usage = {"input_tokens": 7, "cached_tokens": 1, "output_tokens": 2, "reasoning_tokens": 0}
    line = result_line(text(judge={"by": "asked", "usage": usage, "cause": "timeout"}))
    assert line.judge is not None
    assert line.judge.scoring() == ("asked", None, "", (7, 1, 2, 0), "timeout")


def test_the_end_of_a_call() -> None:
    """An end with an answer is told from one without, and `null` is an answer."""
    line = call_line(
        b'{"ended": "a", "latency_s": 1.5, "attempts": 2, "retried": ["x"], "usage": null, "output": null}'
    )
    assert (line.ended, line.latency_s, line.attempts, line.retried) == ("a", 1.5, 2, ["x"])
    assert line.has_output
    assert output_of(line) is None
    assert not call_line(b'{"ended": "a"}').has_output


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(changed=st.dictionaries(st.sampled_from(sorted(LINE)), VALUES, max_size=3))
def test_any_type_anywhere(changed: dict[str, Any]) -> None:
    """Whatever a member is, the line is read or damaged; what is read can be counted, and its output decoded."""
    data = text(**changed)
    try:
        line = result_line(data)
    except DamagedLineError:
        return
    CaseRecord.of_line(line, own=True)
    line.graded()
    json.dumps(output_of(line))


@settings(deadline=None)
@given(data=st.data(), read=st.sampled_from([result_line, call_line]))
def test_any_bytes(data: st.DataObject, read: Callable[[bytes], Any]) -> None:
    """Bytes changed, taken out or put in anywhere are one error, or a line that can be used."""
    raw = bytearray(text())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    try:
        line = read(bytes(raw))
    except DamagedLineError:
        return
    output_of(line)


# -------------------------------------------------------------------- files


def write(path: Path, *lines: bytes) -> Path:
    """Write a file of lines."""
    path.write_bytes(b"".join(lines))
    return path


def told(path: Path) -> list[str]:
    """Return each line's test, or what is told of its damage."""
    found = []
    for offset, line in results_in(path):
        with path.open("rb") as stream:
            stream.seek(offset)
            data = stream.readline()
        if isinstance(line, Damage):
            found.append(f"{line.number} {line.test} {line.reason}{' torn' if line.torn else ''}")
        else:
            assert json.loads(data)["test"] == line.test
            found.append(line.test)
    return found


def test_broken_lines_among_others(tmp_path: Path) -> None:
    """Damage has its line's number, its reason, and the test that it was about if that can be made out."""
    path = write(
        tmp_path / "results.jsonl",
        text(test="a"),
        text(test="b", outcome=[]),
        b"\n",
        text(test="c\n\u00e9", output={"test": "other"})[:-9] + b"\n",
        text(test="d"),
        text(test=3, output='\'"test": "x"\''),
        text(test="e")[:-40],
    )
    assert told(path) == [
        "a",
        "2 b outcome: a string is needed, not a list",
        "3 None an empty line",
        "4 c\n\u00e9 not JSON: it ends too early",
        "d",
        "6 None test: a string is needed, not a whole number",
        "7 e cut short torn",
    ]
    damages = [line for _, line in results_in(path) if isinstance(line, Damage)]
    assert str(damages[0]) == f"{path}:2: outcome: a string is needed, not a list"
    sizes = [len(data) for data in path.read_bytes().splitlines(keepends=True)]
    assert [damage.size for damage in damages] == [sizes[damage.number - 1] for damage in damages]


def test_broken_lines_of_calls(tmp_path: Path) -> None:
    """Of a damaged line in a call file, too, it is told which test's call it was about."""
    path = write(
        tmp_path / "calls.jsonl",
        b'{"began": "a"}\n',
        b'{"ended": "b", "latency_s": "x"}\n',
        b'{"began": "c", "ended": "d"}\n',
        b'{"ended": "e", "outp',
    )
    found = [(line.test, line.torn) if isinstance(line, Damage) else line.began for _, line in calls_in(path)]
    assert found == ["a", ("b", False), ("c", False), ("e", True)]


def test_the_name_of_a_test_is_looked_for_at_the_beginning(tmp_path: Path) -> None:
    """A damaged line is not searched through for its test: the name stands before the answer."""
    early = b'{"test": "early", "output": "' + b"x" * (1 << 20) + b'"\n'
    late = b'{"output": "' + b"x" * (1 << 20) + b'", "test": "late"\n'
    path = write(tmp_path / "results.jsonl", early, late)
    assert [line.test for _, line in results_in(path) if isinstance(line, Damage)] == ["early", None]


def test_a_file_that_the_user_named(tmp_path: Path) -> None:
    """A file that the user named may be a link, and its lines be of another kind, with no test in them."""

    def read(data: bytes) -> int:
        if data == b"two\n":
            raise DamagedLineError("no number")
        return int(data)

    write(tmp_path / "numbers", b"1\n", b"two\n", b"3")
    link = tmp_path / "link"
    link.symlink_to("numbers")
    found = list(lines_of(link, read, None, is_given=True))
    assert found == [(0, 1), (2, Damage(link, 2, "no number", 4)), (6, 3)]
    with pytest.raises(RunError, match="is a link"):
        list(lines_of(link, read, None))


def test_lines_of_the_longest_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of as many bytes as the bound is read, with its end and without; one more byte is too much."""
    monkeypatch.setattr(module, "LONGEST", len(text()) - 1)
    path = write(tmp_path / "results.jsonl", text(), b" " + text(), text()[:-1])
    found = [line.reason if isinstance(line, Damage) else line.test for _, line in results_in(path)]
    assert found == [LINE["test"], "longer than 0 MB (0 MB)", LINE["test"]]


def test_a_small_file(tmp_path: Path) -> None:
    """A file is read whole up to a bound; a longer one is not read at all."""
    path = write(tmp_path / "run.json", b"12345")
    assert whole_file(path, 5) == b"12345"
    assert whole_file(path, 4) is None
    with pytest.raises(RunError, match="is not a plain file"):
        whole_file(tmp_path, 5)
    with pytest.raises(OSError, match="No such file"):
        whole_file(tmp_path / "absent", 5)


def test_the_line_at_an_offset(tmp_path: Path) -> None:
    """A line is found again by where it begins."""
    path = write(tmp_path / "results.jsonl", text(test="a"), text(test="b"))
    with path.open("rb") as stream:
        lines = [line_at(stream, offset) for offset, _ in results_in(path)]
    assert lines == [text(test="a"), text(test="b")]


def test_a_whole_last_line_without_its_end(tmp_path: Path) -> None:
    """Nothing is lost of a line that lacks nothing but its end."""
    assert told(write(tmp_path / "results.jsonl", text(test="a"), text(test="b")[:-1])) == ["a", "b"]


def test_a_line_of_any_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line over the bound is damage with its size, is not held, and the lines after it are found."""
    monkeypatch.setattr(module, "LONGEST", 1 << 20)
    path = tmp_path / "results.jsonl"
    with path.open("wb") as stream:
        stream.write(text(test="a") + b'{"test": "long", "output": "')
        for _ in range(16):
            stream.write(b"x" * (1 << 20))
        stream.write(b'"}\n' + text(test="b") + b"y" * (5 << 20))
    tracemalloc.start()
    try:
        assert [str(line).partition("jsonl")[2] for _, line in results_in(path) if isinstance(line, Damage)] == [
            ":2: longer than 1 MB (16 MB)",
            ":4: longer than 1 MB (5 MB)",
        ]
        assert [line.size for _, line in results_in(path) if isinstance(line, Damage)] == [(16 << 20) + 31, 5 << 20]
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()
    assert told(path) == [
        "a",
        "2 long longer than 1 MB (16 MB)",
        "b",
        "4 None longer than 1 MB (5 MB) torn",
    ]


def _link(path: Path) -> None:
    write(path.with_name("elsewhere"), text())
    path.symlink_to(path.with_name("elsewhere"))


NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.parent, "cannot be read: No such file or directory"),
    "link": (_link, "is a link, but a run consists of plain files"),
    "broken link": (lambda path: path.symlink_to("/nowhere"), "is a link, but a run consists of plain files"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "is a link, but a run consists of plain files"),
    "pipe": (os.mkfifo, "is not a plain file"),
    "directory": (lambda path: path.mkdir(), "is not a plain file"),
}


@pytest.mark.parametrize("name", NO_FILES)
def test_what_is_no_file(tmp_path: Path, name: str) -> None:
    """A link is not followed, a pipe is not waited for, and each is told by name."""
    make, reason = NO_FILES[name]
    path = tmp_path / "results.jsonl"
    make(path)
    for read in (results_in, calls_in):
        with pytest.raises(RunError, match=f"results.jsonl: {reason}"):
            list(read(path))


def test_lines_in_any_order(tmp_path: Path) -> None:
    """Of many lines, some broken, each whole one is found at its place."""
    drawn = random.Random(4)  # noqa: S311 (nothing secret)
    kinds = [drawn.random() < 0.8 for _ in range(500)]
    path = write(tmp_path / "results.jsonl", *(text(test=f"t{n}") if kind else b"{]\n" for n, kind in enumerate(kinds)))
    whole = [name for name in told(path) if name.startswith("t")]
    assert whole == [f"t{n}" for n, kind in enumerate(kinds) if kind]


@given(sizes=st.lists(st.integers(0, 200_000), min_size=1, max_size=5), ends=st.booleans())
@example(sizes=[(1 << 14) - 1, 1 << 14, 3 << 14], ends=False)
def test_a_line_at_its_place(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], *, ends: bool) -> None:
    """Lines of any length are read at their offsets, in any order, also a last one without its newline."""
    lines = [b"%d" % number * (size // len(str(number))) + b"\n" for number, size in enumerate(sizes)]
    if not ends:
        lines[-1] = lines[-1][:-1]
    path = tmp_path_factory.mktemp("lines") / "results.jsonl"
    path.write_bytes(b"".join(lines))
    with path.open("rb") as stream:
        for number in reversed(range(len(lines))):
            assert line_at(stream, sum(map(len, lines[:number]))) == lines[number]
