"""The typed reader of run.json: every member that is used is checked, and each fault is one error that names it."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.described import LARGEST, RUN_FORMAT, read_description
from pytest_fcpivot.runs.directory import ended_early, judge_of_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SESSION = {"started": "2026-01-01T00:00:00.000000+00:00", "ended": None, "exit_status": None}
DESCRIPTION: dict[str, Any] = {
    "format": RUN_FORMAT,
    "agent": "my:agent",
    "model": None,
    "grader": {"name": "nemo-gym:first-call", "settings": {"word_count_similarity_threshold": 0.1}, "cause": "the set"},
    "pass_mark": 1.0,
    "judge": {"model": "gpt-5-mini", "base_url": "https://example.org", "api": "auto", "prompt_version": "1"},
    "data": [{"name": "d.jsonl", "path": "/d.jsonl", "sha256": "ab", "pivots": 3, "selected": 2, "note": "odd"}],
    "repeats": 1,
    "arguments": ["/d.jsonl"],
    "replays": None,
    "options": {"fc_agent": "my:agent", "fc_data": ["d.jsonl"], "fc_strict_schema": True, "fc_later": ["x"]},
    "packages": {"pytest": "9.0"},
    "git": {"commit": "c0ffee", "changed": False},
    "started": SESSION["started"],
    "ended": None,
    "sessions": [SESSION],
    "counts": {"selected": 2},
    "judged": {"asked": 1},
    "merged": [{"run": "one", "shards": ["1/2"], "results": 2, "sessions": [SESSION], "git": None}],
    "selected_by_shard": {"fc_limit": "3"},
    "of a later version": {"any": ["thing"]},
}


def write(path: Path, **changed: Any) -> Path:
    """Write a run.json with some members changed, or taken out where they are `...`."""
    members = {name: value for name, value in {**DESCRIPTION, **changed}.items() if value is not ...}
    (path / "run.json").write_text(json.dumps(members))
    return path


def test_everything_comes_back(tmp_path: Path) -> None:
    """The description is as it was written, with the members that are not known."""
    assert read_description(write(tmp_path)) == DESCRIPTION


@pytest.mark.parametrize("left_out", [name for name in DESCRIPTION if name != "format"])
def test_what_may_be_missing(tmp_path: Path, left_out: str) -> None:
    """Runs of early versions lack some members; those that nothing can be said without are needed."""
    write(tmp_path, **{left_out: ...})
    if left_out in ("agent", "grader", "data", "repeats", "options"):
        with pytest.raises(RunError, match=rf"run\.json: not as pytest-fcpivot writes it: {left_out} is missing"):
            read_description(tmp_path)
    else:
        found = read_description(tmp_path)
        assert (ended_early(found) is None, judge_of_run(found)) == (False, found.get("judge"))


DATA = DESCRIPTION["data"][0]
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "agent": ({"agent": ["a"]}, 'agent: a string is needed, not ["a"]'),
    "model": ({"model": 3}, "model: a string is needed, not 3"),
    "grader": ({"grader": "nemo-gym"}, 'grader: an object is needed, not "nemo-gym"'),
    "no settings": ({"grader": {"name": "x"}}, "grader.settings is missing"),
    "settings": ({"grader": {"name": "x", "settings": [1]}}, r"grader.settings: an object is needed, not [1]"),
    "a setting": (
        {"grader": {"name": "x", "settings": {"a": {"b": 1}}}},
        'grader.settings.a: a string, a number, true or false is needed, not {"b": 1}',
    ),
    "spec": ({"grader": {"name": "x", "settings": {}, "spec": 3}}, "grader.spec: a string is needed, not 3"),
    "pass mark": ({"pass_mark": "1"}, 'pass_mark: a number over 0 and up to 1 is needed, not "1"'),
    "pass mark 0": ({"pass_mark": 0}, "pass_mark: a number over 0 and up to 1 is needed, not 0"),
    "true as pass mark": ({"pass_mark": True}, "pass_mark: a number over 0 and up to 1 is needed, not true"),
    "judge": ({"judge": ["x"]}, 'judge: an object is needed, not ["x"]'),
    "judge's model": ({"judge": {"model": 5}}, "judge.model: a string is needed, not 5"),
    "data": ({"data": {"name": "x"}}, 'data: a list is needed, not {"name": "x"}'),
    "data entry": ({"data": [DATA, "x"]}, 'data[1]: an object is needed, not "x"'),
    "data hash": ({"data": [DATA | {"sha256": None}]}, "data[0].sha256: a string is needed, not null"),
    "data count": ({"data": [DATA | {"pivots": -1}]}, "data[0].pivots: a whole number from 0 is needed, not -1"),
    "data twice": ({"data": [DATA, DATA]}, 'data: two of them have the name "d.jsonl"'),
    "repeats": ({"repeats": 0}, "repeats: a whole number from 1 to 1000000 is needed, not 0"),
    "huge repeats": ({"repeats": 10**30}, "repeats: a whole number from 1 to 1000000 is needed, not 1000"),
    "true as repeats": ({"repeats": True}, "repeats: a whole number from 1 to 1000000 is needed, not true"),
    "arguments": ({"arguments": "x"}, 'arguments: a list is needed, not "x"'),
    "an argument": ({"arguments": [3]}, "arguments[0]: a string is needed, not 3"),
    "replays": ({"replays": 3}, "replays: a string is needed, not 3"),
    "options": ({"options": [1]}, "options: an object is needed, not [1]"),
    "a text option": ({"options": {"fc_agent": ["x"]}}, 'options.fc_agent: a string is needed, not ["x"]'),
    "a list option": ({"options": {"fc_where": [3]}}, "options.fc_where[0]: a string is needed, not 3"),
    "a number for a list": ({"options": {"fc_data": 3}}, "options.fc_data: a list of strings is needed, not 3"),
    "a flag": ({"options": {"fc_stratify": 3}}, "options.fc_stratify: true or false is needed, not 3"),
    "an unknown option": ({"options": {"fc_later": {"a": 1}}}, 'options.fc_later: a string is needed, not {"a": 1}'),
    "sessions": ({"sessions": {}}, "sessions: a list is needed, not {}"),
    "a session": ({"sessions": [SESSION, 3]}, "sessions[1]: an object is needed, not 3"),
    "a session's end": ({"sessions": [{"ended": 5}]}, "sessions[0].ended: a string is needed, not 5"),
    "exit status": ({"sessions": [{"exit_status": "1"}]}, 'sessions[0].exit_status: a whole number is needed, not "1"'),
    "counts": ({"counts": {"skipped": "1"}}, 'counts.skipped: a whole number from 0 is needed, not "1"'),
    "judged": ({"judged": [1]}, "judged: an object is needed, not [1]"),
    "merged": ({"merged": {}}, "merged: a list is needed, not {}"),
    "merged shards": ({"merged": [{"run": "x", "shards": "1/2"}]}, 'merged[0].shards: a list is needed, not "1/2"'),
    "by shard": ({"selected_by_shard": {"fc_limit": []}}, "selected_by_shard.fc_limit: a string is needed, not []"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path: Path, name: str) -> None:
    """The file, the member, what is needed there and what came are told."""
    changed, message = REFUSED[name]
    with pytest.raises(RunError) as raised:
        read_description(write(tmp_path, **changed))
    assert str(raised.value).startswith(f"{tmp_path / 'run.json'}: not as pytest-fcpivot writes it: {message}")
    assert len(str(raised.value)) < len(str(tmp_path)) + 250


def _too_large(path: Path) -> None:
    with path.open("wb") as stream:
        stream.write(b'{"format": 1, "agent": "')
        os.truncate(stream.fileno(), 100 << 20)


NO_JSON: dict[str, tuple[Callable[[Path], object], str]] = {
    "larger": (_too_large, f"larger than {LARGEST >> 20} MB, which no run.json of pytest-fcpivot is; not read"),
    "deep": (lambda path: path.write_text("[" * 100_000), "not a run.json: nested too deep"),
    "rather deep": (
        lambda path: path.write_text('{"format": 1, "x": ' + "[" * 90 + "]" * 90 + "}"),
        "damaged, not JSON: nested too deep: more than 64 values inside each other",
    ),
    "many digits": (lambda path: path.write_text('{"format": ' + "1" * 5000 + "}"), "damaged, not JSON: Exceeds the"),
    "NaN": (lambda path: path.write_text('{"format": 1, "x": NaN}'), "damaged, not JSON: NaN is not a JSON number"),
    "infinite": (lambda path: path.write_text('{"format": 1, "x": 1e999}'), "damaged, not JSON: a number that is too"),
    "zeros": (lambda path: path.write_bytes(b"\0" * 500), "damaged, not JSON: Expecting value"),
    "newer": (lambda path: path.write_text('{"format": 2}'), "this run was written by a newer version of pytest-fcp"),
    "true as format": (lambda path: path.write_text('{"format": true}'), "this run was written by another version"),
    "link": (lambda path: path.symlink_to("/etc/passwd"), "is a link, but a run consists of plain files"),
    "pipe": (os.mkfifo, "is not a plain file"),
    "directory": (lambda path: path.mkdir(), "is not a plain file"),
}


@pytest.mark.parametrize("name", NO_JSON)
def test_what_is_no_description(tmp_path: Path, name: str) -> None:
    """A file that is too large, nested too deep, no JSON or no file is one error, at once."""
    make, message = NO_JSON[name]
    make(tmp_path / "run.json")
    began = time.monotonic()
    with pytest.raises(RunError) as raised:
        read_description(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / 'run.json'}: {message}")
    assert time.monotonic() - began < 2


def test_a_path_that_is_no_directory(tmp_path: Path) -> None:
    """A file, and a name that no file can have, are told as what they are."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file: not a run's directory, but a file"):
        read_description(tmp_path / "file")
    with pytest.raises(RunError, match="cannot be read: "):
        read_description(tmp_path / "a\0b")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changed=st.dictionaries(st.sampled_from(sorted(DESCRIPTION)), VALUES, min_size=1, max_size=3))
def test_any_type_anywhere(tmp_path: Path, changed: dict[str, Any]) -> None:
    """Whatever a member is, the file is read or refused; what is read can be written again."""
    try:
        found = read_description(write(tmp_path, **changed))
    except RunError:
        return
    assert json.loads(json.dumps(found, allow_nan=False)) == found
