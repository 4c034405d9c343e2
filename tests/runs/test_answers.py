"""The book of stored answers: which line counts, what each is worth, and what is passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import Action, Grade, Pivot
from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.usage import Usage
from pytest_fcpivot.runs.answers import AnswerBook, FirstGrade, StoredAnswer
from pytest_fcpivot.runs.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def line(pivot: str, output: Any = "hello", outcome: str = "passed", repeat: int = 1, **more: Any) -> dict[str, Any]:
    """Return a line of results.jsonl."""
    name = pivot if repeat == 1 else f"{pivot}[r{repeat}]"
    known = {"test": f"data.jsonl::{name}", "pivot_id": pivot, "repeat": repeat, "outcome": outcome}
    known |= {"trajectory_id": pivot, "expected": "message", "reward": None if outcome == "error" else 1.0}
    known |= {"output": output, "usage": None, "latency_s": 0.5, "attempts": 1, "error": None} | more
    return {name: value for name, value in known.items() if value is not ...}


HELLO = {"type": "message", "content": "hello"}


def broken(pivot: str, **more: Any) -> dict[str, Any]:
    """Return a line of an error."""
    return line(pivot, None, "error", **{"error": "no connection", "cause": "connection", **more})


def write(path: Path, *lines: dict[str, Any] | bytes) -> Path:
    """Write lines, each as JSON or as the bytes that it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(x if isinstance(x, bytes) else json.dumps(x).encode() + b"\n" for x in lines))
    return path


@pytest.fixture
def new_book() -> Iterator[Callable[..., AnswerBook]]:
    """Return a function that makes an empty book, which is closed at the end."""
    books: list[AnswerBook] = []

    def make(*, replays: bool = False) -> AnswerBook:
        books.append(AnswerBook(replays=replays))
        return books[-1]

    yield make
    for book in books:
        book.close()


@pytest.fixture
def book_of(tmp_path: Path, new_book: Callable[..., AnswerBook]) -> Callable[..., AnswerBook]:
    """Return a function that makes a book of a run with these lines."""

    def make(*lines: dict[str, Any] | bytes, replays: bool = False) -> AnswerBook:
        write(tmp_path / "run" / "results.jsonl", *lines)
        book = new_book(replays=replays)
        book.add_run(RunDirectory(tmp_path / "run"))
        return book

    return make


def read(book: AnswerBook, pivot: str, repeat: int = 1) -> StoredAnswer | None:
    """Read the answer of a pivot of the run's own file."""
    return book.read(line(pivot, repeat=repeat)["test"], pivot, repeat)


@pytest.mark.parametrize("replays", [False, True])
def test_everything_of_an_answer_is_kept(book_of: Callable[..., AnswerBook], replays: bool) -> None:
    """Output, tokens, latency, attempts and the causes of retries come back as they were."""
    usage = Usage(100, 40, 20, 5)
    told = line("a", {"name": "add"}, usage=usage.to_builtins(), latency_s=1.5, attempts=3, retried=["rate limit"] * 2)
    book = book_of(told, replays=replays)
    assert read(book, "a") == StoredAnswer(
        {"name": "add"}, usage, 1.5, 3, ("rate limit", "rate limit"), None, None, reported=True
    )
    assert (len(book), book.repeats, book.reported) == (1, 1, 1)


def test_an_answer_whose_grader_failed(book_of: Callable[..., AnswerBook]) -> None:
    """An answer that could not be graded is no error of the agent's: it is graded again, and has no result yet."""
    failed = line("a", {"x": 1}, "error", action=HELLO, error="the grader raised", cause="grader", attempts=4)
    for replays in (False, True):
        found = read(book_of(failed, replays=replays), "a")
        assert found == StoredAnswer({"x": 1}, latency_s=0.5, attempts=4)
    book = book_of(failed, line("b"))
    assert (len(book), book.waiting, book.reported) == (2, 0, 2)


def test_what_is_told_of_a_judge(book_of: Callable[..., AnswerBook]) -> None:
    """To go on with a run, the message that was judged comes with its judgement; to replay it, it is judged anew."""
    judge = {"by": "asked", "score": 0.25, "reason": "not quite", "usage": Usage(9, 1, 3, 2).to_builtins()}
    call = {"type": "function_call", "name": "add", "arguments": "{}"}
    lines = [
        line("a", action=HELLO, judge=judge),
        line("b", action=call, judge=judge),
        line("c", action=HELLO),
        line("d", "hello", "error", action=HELLO, judge=judge, error="the grader raised"),
    ]
    book = book_of(*lines)
    asked = ("hello", ("asked", 0.25, "not quite", (9, 1, 3, 2), None))
    assert [answer and answer.judged for answer in (read(book, pivot) for pivot in "abcd")] == [asked, None, None, None]
    replayed = book_of(*lines, replays=True)
    answers = [read(replayed, pivot) for pivot in "abcd"]
    assert [answer is not None and answer.judged is None for answer in answers] == [True] * 4


def test_what_was_graded(book_of: Callable[..., AnswerBook]) -> None:
    """The action that was graded is told, be it an empty one; for a line that does not say, there is none."""
    book = book_of(line("a", action=None), line("b"), line("c", action=HELLO))
    answers = [read(book, pivot) for pivot in "abc"]
    assert [answer and answer.action for answer in answers] == [Action(), None, Action(message="hello")]
    assert [answer and answer.first for answer in answers] == [None] * 3


def redacted(pivot: str, outcome: str = "failed", **more: Any) -> dict[str, Any]:
    """Return a line of an answer that a secret was taken out of."""
    return line(pivot, "***", outcome, redacted=True, **{"action": HELLO, "reward": 0.5, **more})


def test_a_redacted_answer_keeps_its_grade(book_of: Callable[..., AnswerBook]) -> None:
    """An answer without its secret cannot be graded again, and comes with all of its first grade."""
    judge = {"by": "asked", "score": 0.5, "reason": "so"}
    known: dict[str, Any] = {
        "category": "SOME",
        "explanation": "a differs",
        "path": "$.a",
        "paths": ["$.a", "$.b"],
        "further_paths": 3,
        "halves": [0.5, 0.25],
        "schema": "valid",
        "flags": ["cut off"],
        "judge": judge,
    }
    book = book_of(redacted("a", **known), redacted("b"), redacted("c", action=...), line("d"))
    found = [read(book, pivot) for pivot in "abcd"]
    assert [answer is not None and answer.redacted for answer in found] == [True, True, True, False]
    grade = Grade(0.5, "SOME", "a differs", "$.a", paths=("$.a", "$.b"), further_paths=3, halves=(0.5, 0.25))
    scoring = ("asked", 0.5, "so", None, None)
    assert [answer and answer.first for answer in found] == [
        FirstGrade(grade, Action(message="hello"), "valid", ("cut off",), scoring),
        FirstGrade(Grade(0.5, "", ""), Action(message="hello"), "no-call", (), None),
        None,
        None,
    ]
    assert book.redacted == 3


def test_redacted_answers_are_counted_by_their_last_line(book_of: Callable[..., AnswerBook]) -> None:
    """A test counts as redacted if the last line that can be read of it is an answer without its secret."""
    damaged = json.dumps(line("c", latency_s="long")).encode() + b"\n"
    lines = [redacted("a"), redacted("b"), redacted("c"), line("a"), damaged, redacted("d", "error", reward=None)]
    assert book_of(*lines).redacted == 1
    assert book_of(*lines, replays=True).redacted == 2
    book = book_of(redacted("a", "error", reward=None, action=None), replays=True)
    assert (book.redacted, len(book)) == (0, 1)
    book = book_of(*lines)
    assert [read(book, pivot) is not None for pivot in "abcd"] == [True, True, False, False]


def test_repeats_of_a_run_that_goes_on(book_of: Callable[..., AnswerBook]) -> None:
    """The largest repeat is known in any order, and errors that are asked again do not count."""
    assert book_of(line("a", repeat=2), line("a", repeat=5), line("a", repeat=3)).repeats == 5
    assert book_of(line("a", repeat=2), broken("a", repeat=9)).repeats == 2
    assert book_of().repeats == 1


def test_pivots_of_one_id_in_several_data_sets(book_of: Callable[..., AnswerBook]) -> None:
    """A replay over data of other names does not get the answer to another data set's pivot, but the reason."""
    book = book_of(
        line("a", "of one", test="one.jsonl::a"),
        line("b", test="one.jsonl::b"),
        line("a", "of one again", test="one.jsonl::a"),
        line("a", "of two", test="two.jsonl::a"),
        line("c", "of one", test="test_x.py::test_it[c]"),
        line("c", "of two", test="test_x.py::test_it[c@2]"),
        line("d", "of one", test="test_x.py::test_it[d-x]"),
        line("d", "as well", test="test_x.py::test_other[d]"),
        line("d", "the same", test="one.jsonl::d"),
        replays=True,
    )
    found = {test: book.read(test, test.partition("::")[2], 1) for test in ("one.jsonl::a", "two.jsonl::a", "new::b")}
    assert [answer and answer.output for answer in found.values()] == ["of one again", "of two", "hello"]
    for pivot_id in ("a", "c"):
        assert book.read(f"new.jsonl::{pivot_id}", pivot_id, 1) is None
        assert book.had(f"new.jsonl::{pivot_id}", pivot_id, 1)
        assert "several pivots of this id" in book.why_none(f"new.jsonl::{pivot_id}", pivot_id)
    answer = book.read("new.jsonl::d", "d", 1)
    assert answer is not None
    assert answer.output == "the same"


@pytest.mark.parametrize("replays", [False, True])
def test_why_there_is_no_answer(book_of: Callable[..., AnswerBook], replays: bool) -> None:
    """A test without an answer is told whether it was not in the run, or may be among what cannot be read."""
    whole = book_of(line("a"), replays=replays)
    assert whole.why_none("x") == (
        "there is no stored answer for this test; it was not part of the run that is replayed"
    )
    damaged = book_of(line("a"), b"{}\n", replays=replays)
    assert damaged.why_none("x") == "there is no stored answer for this test that can be read"
    broken_line = json.dumps(line("a", latency_s="long")).encode() + b"\n"
    assert book_of(line("b"), broken_line, replays=replays).why_none("data.jsonl::a") == (
        "its stored answer cannot be read (line 2): latency_s: a number is needed, not a string"
    )


def test_a_file_that_changes_while_it_is_read(book_of: Callable[..., AnswerBook], tmp_path: Path) -> None:
    """A line that is another one when its test comes is an error that names the file, and no made-up answer."""
    book = book_of(line("a"), line("b"))
    path = tmp_path / "run" / "results.jsonl"
    path.write_bytes(b"x" * path.stat().st_size)
    found = read(book, "b")
    assert found is not None
    assert found.error == f"{path}: changed while it was read: not JSON: invalid character (byte 0)"


def test_a_closed_book_can_be_read_again(book_of: Callable[..., AnswerBook]) -> None:
    """Closing a book, once or twice, closes its files; reading on opens them again."""
    book = book_of(line("a"), line("b"))
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("open files can be counted on Linux alone")
    before = len(list(descriptors.iterdir()))
    assert read(book, "a") is not None
    book.close()
    book.close()
    assert len(list(descriptors.iterdir())) == before
    assert read(book, "b") is not None


def test_calls_of_several_processes(tmp_path: Path, new_book: Callable[..., AnswerBook]) -> None:
    """Kept answers of a run without results are read from all its call files, the last by name counts."""
    run = RunDirectory(tmp_path / "run")
    usage = Usage(100, 40, 20, 5)
    for name in ("b", "a", "c"):
        kept = {"ended": "data.jsonl::a", "output": name, "latency_s": 0.5, "usage": usage.to_builtins()}
        write(run.calls / f"{name}.jsonl", kept, {"ended": f"data.jsonl::{name}2", "output": name})
    book = new_book()
    book.add_run(run)
    assert read(book, "a") == StoredAnswer("c", usage, 0.5, 1)
    assert [book.has(f"data.jsonl::{name}2", "any", 1) for name in "abcd"] == [True, True, True, False]
    assert (len(book), book.waiting, book.reported) == (4, 4, 0)


@pytest.mark.parametrize("replays", [False, True])
def test_the_last_line_of_a_test_counts(book_of: Callable[..., AnswerBook], replays: bool) -> None:
    """A later line takes the place of an earlier one."""
    book = book_of(line("a", "first"), line("b", "other"), line("a", "last"), replays=replays)
    found = read(book, "a")
    assert found is not None
    assert found.output == "last"
    assert len(book) == 2


def test_errors_are_asked_again_and_replayed(book_of: Callable[..., AnswerBook]) -> None:
    """To go on with a run, an error is no answer; to replay it, it is one."""
    lines = [broken("a"), line("b")]
    assert read(book_of(*lines), "a") is None
    found = read(book_of(*lines, replays=True), "a")
    assert found is not None
    assert (found.error, found.cause, found.output) == ("no connection", "connection", None)


def test_an_error_after_an_answer(book_of: Callable[..., AnswerBook]) -> None:
    """What ended in an error the last time is asked again, even if it had an answer before, and the reverse."""
    lines = [line("c"), line("a"), broken("b"), broken("a"), line("b", "mended")]
    book = book_of(*lines)
    assert read(book, "a") is None
    found = read(book, "b")
    assert found is not None
    assert (found.output, found.error) == ("mended", None)
    assert not book.has("data.jsonl::a", "a", 1)


@pytest.mark.parametrize("replays", [False, True])
def test_damaged_lines_among_others(book_of: Callable[..., AnswerBook], replays: bool) -> None:
    """Lines that cannot be read are counted, and do no harm to those of other tests."""
    torn = json.dumps(line("t", "torn")).encode()[:-9]
    odd = [
        b"\n",
        b"[1]\n",
        b"null\n",
        b"{}\n",
        b"\xff\xfe\n",
        b'{"test": 3, "pivot_id": "a"}\n',
        b"[" * 100_000 + b"\n",
    ]
    odd.append(json.dumps(line("o") | {"repeat": "one"}).encode() + b"\n")
    book = book_of(*odd, line("a", "whole"), torn + b"\n", *odd, line("b", "x" * 200_000), torn, replays=replays)
    for pivot, output in [("a", "whole"), ("b", "x" * 200_000)]:
        found = read(book, pivot)
        assert found is not None
        assert found.output == output
    assert (len(book), len(book.damages)) == (2, 17)
    assert book.damages.torn is not None
    assert book.damages.torn.size == len(torn)


@pytest.mark.parametrize("replays", [False, True])
@pytest.mark.parametrize("how", ["broken", "mistyped", "torn"])
def test_a_damaged_line_does_not_bring_an_earlier_one_back(
    book_of: Callable[..., AnswerBook], replays: bool, how: str
) -> None:
    """What stands in an earlier result's place takes it away, though it cannot be read; a still later one counts."""
    damaged = {
        "broken": json.dumps(line("a", "later")).encode()[:-9] + b"\n",
        "mistyped": json.dumps(line("a", "later", latency_s="long")).encode() + b"\n",
        "torn": json.dumps(line("a", "later")).encode()[:-9],
    }[how]
    book = book_of(line("a", "earlier"), line("b", "other"), damaged, replays=replays)
    assert read(book, "a") is None
    assert not book.has("another name", "a", 1)
    assert book.why_none("data.jsonl::a").startswith("its stored answer cannot be read (line 3): ")
    assert book.had("data.jsonl::a", "a", 1) == (how != "torn")
    found = read(book, "b")
    assert found is not None
    assert len(book.damages) == (how != "torn")
    if how != "torn":
        book = book_of(line("a", "earlier"), damaged, line("a", "last"), replays=replays)
        found = read(book, "a")
        assert found is not None
        assert (found.output, len(book.damages), book.damages.made_up) == ("last", 0, 1)


def test_what_is_lost_of_a_test_is_not_what_another_got(book_of: Callable[..., AnswerBook]) -> None:
    """In a replay, a test whose line is damaged does not get the answer of another test over its pivot."""
    mine = line("a", "mine") | {"test": "test_mine.py::test_mine[a]"}
    damaged = json.dumps(line("a")).encode()[:-9] + b"\n"
    for lines in ((mine, damaged), (damaged, mine)):
        book = book_of(*lines, replays=True)
        assert read(book, "a") is None
        assert book.had("data.jsonl::a", "a", 1)
        assert book.has("test_other.py::test_other[a]", "a", 1)


def test_what_a_replay_had(book_of: Callable[..., AnswerBook]) -> None:
    """A replay has an answer by its test's name, or else by pivot and repeat; by neither, it had none."""
    book = book_of(line("a", repeat=2), replays=True)
    assert book.had("data.jsonl::a[r2]", "another", 9)
    assert book.had("another", "a", 2)
    assert not book.had("another", "a", 1)
    assert not book.had("another", "b", 2)
    by_name = book_of(line("a"))
    assert by_name.has("data.jsonl::a", "another", 9)
    assert not by_name.has("another", "a", 1)


def test_each_answer_is_taken_once(book_of: Callable[..., AnswerBook]) -> None:
    """A test that runs again in the same session is asked again."""
    book = book_of(line("a", "one"), line("a", "two", repeat=2))
    place = ("data.jsonl::a", "a", 1)
    first, second = book.take(*place), book.take(*place)
    assert first is not None
    assert first.output == "one"
    assert second is None
    assert not book.has(*place)
    other = book.take("data.jsonl::a[r2]", "a", 2)
    assert other is not None
    assert other.output == "two"


def test_repeats_are_answers_of_their_own(book_of: Callable[..., AnswerBook]) -> None:
    """Each repeat has its own answer, and the book knows how many there are."""
    book = book_of(*[line("a", f"answer {n}", repeat=n) for n in (1, 3, 2)], replays=True)
    assert book.repeats == 3
    for n in (1, 2, 3):
        found = read(book, "a", n)
        assert found is not None
        assert found.output == f"answer {n}"
    assert read(book, "a", 4) is None


def test_a_replay_reports_anew(book_of: Callable[..., AnswerBook]) -> None:
    """What a replay takes has no result in it yet; what a run that goes on takes has."""
    for replays in (False, True):
        book = book_of(line("a", "hello"), replays=replays)
        taken = book.take("data.jsonl::a", "a", 1)
        assert taken == StoredAnswer("hello", latency_s=0.5, reported=not replays)
        assert book.take("data.jsonl::b", "b", 1) is None


def test_a_replay_finds_answers_by_pivot(book_of: Callable[..., AnswerBook]) -> None:
    """In a replay a test of another name gets the answer of its pivot; when a run goes on, it does not."""
    place = ("test_mine.py::test_mine[a]", "a", 1)
    assert book_of(line("a")).read(*place) is None
    found = book_of(line("a", "hello"), replays=True).read(*place)
    assert found is not None
    assert found.output == "hello"


def test_two_own_tests_in_a_replay(book_of: Callable[..., AnswerBook]) -> None:
    """Every test over a pivot gets its stored answer: a replay asks nobody, so there is nothing to be asked again."""
    book = book_of(line("a", "hello"), replays=True)
    taken = [book.take(f"test_mine.py::test_{name}[a]", "a", 1) for name in ("one", "two")]
    assert [answer is not None and answer.output for answer in taken] == ["hello", "hello"]


def test_answers_whose_tests_did_not_come(tmp_path: Path, new_book: Callable[..., AnswerBook]) -> None:
    """Kept calls are answers too, unreported; a reported result of the same test is the one that counts."""
    run = RunDirectory(tmp_path / "run")
    write(run.results, line("a", "reported"))
    ended = {"latency_s": 0.7, "attempts": 2, "retried": ["timeout"], "usage": None}
    write(
        run.calls / "gw0-17.jsonl",
        {"began": "data.jsonl::c"},
        {"ended": "data.jsonl::a", **ended, "output": "kept"},
        {"ended": "data.jsonl::b", **ended, "output": None},
        {"ended": "data.jsonl::d"},
        b'{"ended": "data.jsonl::c", "outp',
    )
    write(run.calls / "crashes.json", b"{}")
    book = new_book(replays=False)
    book.add_run(run)
    first, second = read(book, "a"), read(book, "b")
    assert first is not None
    assert second is not None
    assert (first.output, first.reported) == ("reported", True)
    assert second == StoredAnswer(None, None, 0.7, 2, ("timeout",), reported=False)
    assert read(book, "c") is None
    assert read(book, "d") is None
    assert (len(book), book.reported) == (2, 1)


def test_a_reported_error_is_asked_again_though_its_answer_was_kept(
    tmp_path: Path, new_book: Callable[..., AnswerBook]
) -> None:
    """What ended in an error is asked again: the answer that led to it is not used instead, but a later one is."""
    run = RunDirectory(tmp_path / "run")
    output = {"status": "failed", "output": []}
    write(run.results, broken("a") | {"output": output}, broken("b"), broken("c") | {"output": "***", "redacted": True})
    kept = {"latency_s": 0.7, "attempts": 1, "retried": [], "usage": None, "output": output}
    names = ("a", "b", "c", "d")
    write(run.calls / "main-17.jsonl", *({"ended": f"data.jsonl::{name}", **kept} for name in names))
    book = new_book(replays=False)
    book.add_run(run)
    assert [read(book, name) is not None for name in names] == [False, True, True, True]
    assert (book.waiting, book.reported) == (3, 0)


def test_a_damaged_call_is_asked_again(tmp_path: Path, new_book: Callable[..., AnswerBook]) -> None:
    """A kept answer that cannot be read is none, nor is an earlier one of the same test."""
    run = RunDirectory(tmp_path / "run")
    kept = {"latency_s": 0.7, "attempts": 1, "retried": [], "usage": None, "output": "hello"}
    write(
        run.calls / "main-17.jsonl",
        {"ended": "data.jsonl::a", **kept},
        {"ended": "data.jsonl::b", **kept},
        {"ended": "data.jsonl::a", **kept, "latency_s": "long"},
        b'{"ended": "data.jsonl::b", "outp',
    )
    book = new_book()
    book.add_run(run)
    assert len(book) == 0
    assert len(book.damaged_calls) == 1


def rollout(name: str, response: Any = ..., **more: Any) -> dict[str, Any]:
    """Return a row of NeMo Gym's rollouts."""
    answer = {"id": "resp", "output": [], "usage": {"input_tokens": 7, "output_tokens": 2}}
    return {
        "responses_create_params": {"input": [{"role": "user", "content": name}], "tools": []},
        "expected_action": {"type": "message", "content": "hello"},
        "response": answer if response is ... else response,
        "reward": 1.0,
        **more,
    }


def test_rollouts_of_one_pivot_are_its_repeats(tmp_path: Path, new_book: Callable[..., AnswerBook]) -> None:
    """Rows of one pivot are repeats in their order, whatever stands between them."""
    rows = [rollout("x", {"output": [], "id": f"resp {n}"}) for n in range(3)]
    odd: list[Any] = [b"not JSON\n", b"[]\n", b'{"response": {}}\n', {**rollout("x"), "expected_action": None}]
    unanswered = rollout("z")
    del unanswered["response"]
    path = write(tmp_path / "rollouts.jsonl", rows[0], rollout("y"), *odd, rows[1], unanswered, rows[2])
    book = new_book(replays=True)
    book.add_rollouts(path)
    x, y, z = (Pivot.from_row(row).id for row in (rows[0], rollout("y"), rollout("z")))
    found = [book.read("anything", x, n) for n in (1, 2, 3)]
    assert [answer.output["id"] for answer in found if answer is not None] == ["resp 0", "resp 1", "resp 2"]
    assert book.repeats == 3
    other = book.read("anything", y, 1)
    assert other is not None
    assert other.usage == Usage(7, 0, 2, 0)
    assert book.read("anything", y, 2) is None
    assert not book.has("anything", z, 1)
    assert len(book) == 4


def test_rollouts_say_which_repeat_they_are(tmp_path: Path, new_book: Callable[..., AnswerBook]) -> None:
    """Rollouts are written as they end: the number in a row says which repeat it is, and one may be missing."""
    rows = [rollout("x", {"output": [], "id": f"resp {n}"}, _ng_task_index=0, _ng_rollout_index=n) for n in (3, 0, 1)]
    book = new_book(replays=True)
    book.add_rollouts(write(tmp_path / "rollouts.jsonl", *rows))
    found = [book.read("anything", Pivot.from_row(rows[0]).id, n) for n in (1, 2, 3, 4)]
    assert [None if answer is None else answer.output["id"] for answer in found] == ["resp 0", "resp 1", None, "resp 3"]
    assert book.repeats == 4


@pytest.mark.parametrize(("numbers", "twice"), [((0, 1, 0), 0), ((None, 0), 0), ((1, None, None), 1)])
def test_rollouts_of_one_number(tmp_path: Path, numbers: tuple[int | None, ...], twice: int) -> None:
    """Two rollouts of a pivot that are the same repeat are refused: one would take the place of the other."""
    rows = [rollout("x", **({} if n is None else {"_ng_rollout_index": n})) for n in numbers]
    path = write(tmp_path / "rollouts.jsonl", *rows)
    with pytest.raises(RunError) as raised:
        AnswerBook(replays=True).add_rollouts(path)
    assert str(raised.value) == (
        f"{path}: two rollouts of the pivot {Pivot.from_row(rows[0]).id!r} are number {twice} by _ng_rollout_index, or "
        "by their order where a row has none; one of them would not be graded. If the file was joined from several, "
        "replay them one at a time, or remove the key from all rows"
    )


def test_rollouts_of_several_turns_have_no_answer(tmp_path: Path) -> None:
    """Rollouts that nothing says the right answer of are told as what they are, and what to do with them."""
    row = rollout("x")
    del row["expected_action"]
    path = write(tmp_path / "rollouts.jsonl", row, row)
    with pytest.raises(RunError) as raised:
        AnswerBook(replays=True).add_rollouts(path)
    assert str(raised.value) == (
        f"{path}: 2 rollouts without an expected_action, such as those of several turns, which a replay cannot grade; "
        "as data (--fc-data), their turns are pivots"
    )


def test_damaged_rollouts(tmp_path: Path, new_book: Callable[..., AnswerBook]) -> None:
    """Rows that are no JSON, or no pivots, are counted with reasons; those without an answer are counted apart."""
    without = rollout("c")
    del without["expected_action"]
    rows: list[Any] = [rollout("a"), b"{\n", b"[" * 100_000 + b"\n", rollout("b", responses_create_params=3), without]
    book = new_book(replays=True)
    book.add_rollouts(write(tmp_path / "rollouts.jsonl", *rows))
    assert (len(book), len(book.damages), book.without_answer) == (1, 3, 1)
    assert [str(damage).partition("jsonl:")[2].partition(":")[0] for damage in book.damages.first(5)] == ["2", "3", "4"]
    assert "that can be read" in book.why_none("x")


@pytest.mark.parametrize("number", [1000, 10**30])
def test_a_rollout_of_a_number_without_end(tmp_path: Path, number: int) -> None:
    """The number of a rollout is that of a repeat: a huge one would have as many tests made."""
    path = write(tmp_path / "rollouts.jsonl", rollout("x", _ng_rollout_index=number))
    with pytest.raises(RunError) as raised:
        AnswerBook(replays=True).add_rollouts(path)
    assert str(raised.value) == (
        f"{path}: a rollout of the pivot {Pivot.from_row(rollout('x')).id!r} is number {number} by _ng_rollout_index; "
        "each pivot may have up to 1000 repeats, numbered from 0"
    )


def test_what_rollouts_earned(tmp_path: Path, new_book: Callable[..., AnswerBook]) -> None:
    """The reward of each rollout is kept by pivot and repeat; None where there is none, or what is no number."""
    rewards: list[Any] = [0.25, 0, True, "1", ...]
    rows = [
        {name: value for name, value in rollout("x", reward=reward).items() if value is not ...} for reward in rewards
    ]
    book = new_book(replays=True)
    book.add_rollouts(write(tmp_path / "rollouts.jsonl", *rows))
    x = Pivot.from_row(rows[0]).id
    assert book.own_rewards == {(x, 1): 0.25, (x, 2): 0.0, (x, 3): None, (x, 4): None, (x, 5): None}
    assert isinstance(book.own_rewards[x, 2], float)
    assert book.read("anything", x, 1) == StoredAnswer(rollout("x")["response"], Usage(7, 0, 2, 0))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"\n", "an empty line"),
        (b"{\n", "not JSON: Expecting property name enclosed in double quotes: line 2 column 1 (char 2)"),
        (b"[1]\n", "a row must be an object"),
        (b'{"x": ' + b"[" * 501 + b"]" * 501 + b"}\n", "nested too deep: more than 500 values inside each other"),
        (rollout("y", reward=1.5), "reward: a number from 0 to 1 is needed, not 1.5"),
        (rollout("y", reward=-1), "reward: a number from 0 to 1 is needed, not -1"),
        (rollout("y", reward=float("nan")), "reward: a number from 0 to 1 is needed, not NaN"),
        (rollout("y", responses_create_params=3), "no responses_create_params object beside expected_action"),
    ],
)
def test_damaged_rollouts_and_why(
    tmp_path: Path, new_book: Callable[..., AnswerBook], row: dict[str, Any] | bytes, reason: str
) -> None:
    """A row that cannot be read is told with its file, its line and the reason; those beside it are read."""
    path = write(tmp_path / "rollouts.jsonl", rollout("x", reward=0), row, rollout("x", reward=1))
    book = new_book(replays=True)
    book.add_rollouts(path)
    assert [str(damage) for damage in book.damages.first(9)] == [f"{path}:2: {reason}"]
    assert (len(book), len(book.damages), book.repeats) == (2, 1, 2)


def test_rollouts_through_a_link(tmp_path: Path, new_book: Callable[..., AnswerBook]) -> None:
    """A file of rollouts is the user's to name, and may be a link."""
    write(tmp_path / "rollouts.jsonl", rollout("x"))
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "rollouts.jsonl")
    book = new_book(replays=True)
    book.add_rollouts(tmp_path / "link.jsonl")
    assert len(book) == 1


def test_the_last_number_of_a_rollout(tmp_path: Path, new_book: Callable[..., AnswerBook]) -> None:
    """Rollouts may be numbered from 0 to 999."""
    book = new_book(replays=True)
    book.add_rollouts(write(tmp_path / "rollouts.jsonl", rollout("x", _ng_rollout_index=999)))
    assert book.repeats == 1000


def test_a_rollout_without_a_response_is_an_error(tmp_path: Path, new_book: Callable[..., AnswerBook]) -> None:
    """A row whose response is null is an answer that is an error, with its reason."""
    path = write(tmp_path / "rollouts.jsonl", rollout("x", None))
    book = new_book(replays=True)
    book.add_rollouts(path)
    found = book.read("anything", Pivot.from_row(rollout("x")).id, 1)
    assert found is not None
    assert found.error == "the rollout has no response"


@pytest.mark.parametrize("lines", [[], [b"\n"], [b"text\n"], [{"a": 1}], [{"response": {"output": []}}]])
def test_a_file_without_rollouts(tmp_path: Path, lines: list[Any]) -> None:
    """A file that holds no rollout is refused by name, with what a rollout is."""
    path = write(tmp_path / "rollouts.jsonl", *lines)
    with pytest.raises(RunError, match=r"rollouts\.jsonl: no rollouts in it: .* responses_create_params and response"):
        AnswerBook(replays=True).add_rollouts(path)


def test_a_run_without_its_results(tmp_path: Path) -> None:
    """A run whose results are gone is an error with the path in it, and no traceback."""
    with pytest.raises(RunError, match=r"results\.jsonl: cannot be read: No such file"):
        AnswerBook(replays=True).add_run(RunDirectory(tmp_path))
