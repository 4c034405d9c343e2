"""The log of a process's calls: what is kept of an answer, what was under way, and what the dead tell the living."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from pytest_fcpivot import Pivot
from pytest_fcpivot.calls.call import Call
from pytest_fcpivot.calls.caller import Caller
from pytest_fcpivot.core.redact import Redactor
from pytest_fcpivot.runs.answers import AnswerBook
from pytest_fcpivot.runs.call_log import WORTH_KEEPING_S, CallFile, Crashes, under_way

if TYPE_CHECKING:
    from pathlib import Path

ROW = {
    "responses_create_params": {"input": [{"role": "user", "content": "hi"}], "tools": []},
    "expected_action": {"type": "message", "content": "hello"},
}


def call(key: str, latency_s: float = 1.0, attempts: int = 1) -> Call:
    """Return a call as it is when the log is told of it."""
    made = Call(Pivot.from_row(ROW).view(), key)
    made.latency_s, made.attempts = latency_s, attempts
    return made


def told(log: CallFile) -> list[dict[str, Any]]:
    """Return the lines that were written."""
    log.close()
    return [json.loads(text) for text in log.path.read_text(encoding="ascii").splitlines()] if log.path.exists() else []


def test_an_answer_is_kept_for_a_later_session(tmp_path: Path) -> None:
    """What an answer was and cost is read back from the file."""
    log = CallFile(tmp_path / "calls", "main-1", Redactor(), begins=False)
    answered = call("data.jsonl::a", 1.25, attempts=3)
    answered.retried = ["rate limit", "timeout"]
    log.ended(answered, {"output": [], "tools": ["echo"], "usage": {"input_tokens": 5, "output_tokens": 2}}, None)
    log.close()
    book = AnswerBook(replays=False)
    book.add_calls(log.path)
    found = book.read("data.jsonl::a", "a", 1)
    assert found is not None
    assert found.usage is not None
    assert (found.output["output"], found.usage.input, found.usage.output) == ([], 5, 2)
    assert (found.latency_s, found.attempts, found.retried) == (1.25, 3, ("rate limit", "timeout"))
    book.close()


def test_an_answer_that_was_paid_for_is_kept(tmp_path: Path) -> None:
    """However quick it was, an answer that tells its tokens is not asked for again."""
    log = CallFile(tmp_path / "calls", "main-1", Redactor(), begins=False)
    log.ended(call("a", 0.0), {"output": [], "usage": {"input_tokens": 5, "output_tokens": 2}}, None)
    assert [entry["ended"] for entry in told(log)] == ["a"]


def test_only_answers_that_took_their_time_are_kept(tmp_path: Path) -> None:
    """An answer that came at once, and an error, leave no file at all where beginnings are not noted."""
    log = CallFile(tmp_path / "calls", "main-1", Redactor(), begins=False)
    log.began(call("a"))
    log.ended(call("a", WORTH_KEEPING_S * 0.99), "hello", None)
    log.ended(call("b"), None, RuntimeError("no"))
    assert told(log) == []
    assert not (tmp_path / "calls").exists()
    log.ended(call("c", WORTH_KEEPING_S), "hello", None)
    assert [entry["ended"] for entry in told(log)] == ["c"]


def test_what_was_under_way(tmp_path: Path) -> None:
    """The calls that began and did not end are those under way, once each, however often they were tried."""
    log = CallFile(tmp_path / "calls", "gw0-1", Redactor(), begins=True)
    for key in ("quick", "slow", "broken", "open", "retried"):
        log.began(call(key))
    log.ended(call("quick", 0.0), "hello", None)
    log.ended(call("slow"), "hello", None)
    log.ended(call("broken"), None, RuntimeError("no"))
    log.began(call("retried", attempts=2))
    assert [entry.get("began") for entry in told(log)].count("retried") == 1
    assert under_way(log.path) == {"open", "retried"}


def test_under_way_in_a_torn_file(tmp_path: Path) -> None:
    """A line that was cut short when the process died is passed over, and a call may begin again after its end."""
    path = tmp_path / "gw0-1.jsonl"
    path.write_bytes(b'{"began": "a"}\n{"began": "b"}\n\xff\n{"ended": "a"}\n{"began": "a"}\n{"ended": "b", "outp')
    assert under_way(path) == {"a", "b"}
    assert under_way(tmp_path / "nowhere.jsonl") == set()


def test_an_output_that_is_no_action_is_no_answer(tmp_path: Path) -> None:
    """Rubbish that took its time is not kept as if it were a message: its test would pass when the run goes on."""
    log = CallFile(tmp_path / "calls", "main-1", Redactor(), begins=False)
    log.ended(call("data.jsonl::a"), 3.14, None)
    assert [entry["output"] for entry in told(log) if "output" in entry] == []


def test_a_place_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    """Calls go on where nothing can be kept."""
    (tmp_path / "calls").write_text("a file")
    log = CallFile(tmp_path / "calls", "main-1", Redactor(), begins=True)
    log.began(call("a"))
    log.ended(call("a"), "hello", None)
    log.close()
    assert (tmp_path / "calls").read_text() == "a file"


def test_calls_of_many_threads(tmp_path: Path) -> None:
    """Lines of calls that end at the same time are whole."""
    log = CallFile(tmp_path / "calls", "main-1", Redactor(), begins=True)
    caller = Caller(lambda _view: "x" * 20_000, concurrency=8, log=log)
    calls = [caller.start(Pivot.from_row(ROW).view(), f"t{n}") for n in range(200)]
    assert {caller.finish(made) for made in calls} == {"x" * 20_000}
    caller.close()
    lines = told(log)
    assert sorted(entry["began"] for entry in lines if "began" in entry) == sorted(f"t{n}" for n in range(200))
    assert under_way(log.path) == set()


def test_crashes_are_told_once(tmp_path: Path) -> None:
    """A worker learns of each dead process's file once, and of all suspects."""
    told_by, heard_by = Crashes(tmp_path / "calls"), Crashes(tmp_path / "calls")
    assert heard_by.look() == []
    told_by.add({"a", "b"}, [tmp_path / "calls" / "gw0-1.jsonl"])
    assert [path.name for path in heard_by.look()] == ["gw0-1.jsonl"]
    assert heard_by.suspects == {"a", "b"}
    assert heard_by.look() == []
    told_by.add({"c"}, [tmp_path / "calls" / "gw1-2.jsonl"])
    assert heard_by.look() == [tmp_path / "calls" / "gw1-2.jsonl"]
    assert heard_by.suspects == {"a", "b", "c"}
    assert [path.name for path in (tmp_path / "calls").iterdir()] == ["crashes.json"]


@pytest.mark.parametrize("key", ["data.jsonl::ä", "data.jsonl::\ud800", 'data.jsonl::"quoted"\n'])
def test_odd_names(tmp_path: Path, key: str) -> None:
    """Names of tests in any script, or in none, come back as they were."""
    log = CallFile(tmp_path / "calls", "gw0-1", Redactor(), begins=True)
    log.began(call(key))
    log.close()
    assert under_way(log.path) == {key}


def test_a_disk_that_runs_full(tmp_path: Path) -> None:
    """A line that the disk takes only in part leaves nothing behind; a word to the workers that fails is no error."""
    resource = pytest.importorskip("resource")
    log = CallFile(tmp_path / "calls", "main-1", Redactor(), begins=False)
    log.ended(call("before"), "a" * 1000, None)
    crashes = Crashes(tmp_path / "calls")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        log.ended(call("too long"), "b" * 3000, None)
        log.ended(call("after"), "c", None)
        crashes.add({"d" * 3000}, [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [entry["ended"] for entry in told(log)] == ["before", "after"]
    assert crashes.suspects == {"d" * 3000}
    assert Crashes(tmp_path / "calls").look() == []


def test_words_of_dead_workers_lead_nowhere_else(tmp_path: Path) -> None:
    """Of the call files that crashes.json names, those are read that can be files beside it, and no others."""
    names = ["gw0-1.jsonl", "", ".", "..", "../x.jsonl", "/x.jsonl", "a\0.jsonl", "results", "a\n.jsonl"]
    (tmp_path / "crashes.json").write_text(json.dumps({"suspects": [], "guilty": [], "logs": names}))
    assert Crashes(tmp_path).look() == [tmp_path / "gw0-1.jsonl"]


def test_lines_are_as_published(tmp_path: Path) -> None:
    """The lines of a worker, where each call's beginning is noted too, are as the published schema has them."""
    log = CallFile(tmp_path, "gw0-1", Redactor(), begins=True)
    log.began(call("a"))
    log.ended(call("a"), {"role": "assistant", "content": "hi", "usage": {"input_tokens": 1}}, None)
    log.began(call("b"))
    log.ended(call("b"), None, RuntimeError("no answer"))
    lines = told(log)
    assert [set(line) & {"began", "ended", "output"} for line in lines] == [
        {"began"},
        {"ended", "output"},
        {"began"},
        {"ended"},
    ]
    schema = json.loads((files("pytest_fcpivot") / "formats" / "calls.schema.json").read_text(encoding="utf-8"))
    for line in lines:
        Draft202012Validator(schema | {"additionalProperties": False}).validate(line)
