"""Runs of shards, as a session would have written them, for the tests of merging."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.runs.described import RUN_FORMAT
from pytest_fcpivot.runs.trust import find_key, written

if TYPE_CHECKING:
    from pathlib import Path

Row = dict[str, Any]


def line(pivot: str, outcome: str = "passed", repeat: int = 1, **more: Any) -> Row:
    """Return a line of results.jsonl."""
    name = pivot if repeat == 1 else f"{pivot}[r{repeat}]"
    known = {"test": f"data.jsonl::{name}", "pivot_id": pivot, "repeat": repeat, "outcome": outcome}
    known |= {"reward": {"passed": 1.0, "failed": 0.0, "error": None}[outcome], "category": "SOME", "schema": "no-call"}
    known |= {"usage": None, "latency_s": 0.5, "attempts": 1, "retried": [], "error": None, "cause": None}
    known |= {"trajectory_id": pivot, "expected": "message", "tool": None}
    return known | {"action": {"type": "message", "content": "hello"}, "output": "hello"} | more


def session(minute: int = 0, **more: Any) -> Row:
    """Return a session of some minute, which ended well."""
    begun = f"2026-01-01T00:{minute:02}"
    return {"started": f"{begun}:00.000000+00:00", "ended": f"{begun}:30.000000+00:00", "exit_status": 1} | more


def described(shard: str | None = None, *, selected: int = 2, pivots: int = 4, **more: Any) -> Row:
    """Return what run.json says of a run over one of the data set's shards."""
    path = more.pop("path", "/data/data.jsonl")
    data = {"name": "data.jsonl", "path": path, "sha256": "ab" * 32, "pivots": pivots, "selected": selected}
    options = {"fc_agent": "my:agent", "fc_data": ["data.jsonl"]} | ({"fc_shard": shard} if shard else {})
    known: Row = {"format": RUN_FORMAT, "agent": "my:agent", "model": None, "repeats": 1, "arguments": None}
    known |= {"grader": {"name": "nemo-gym:first-call", "settings": {}}, "data": [data], "replays": None}
    known |= {"options": options | more.pop("options", {}), "sessions": [session()], "python": "3.11.7"}
    known |= {"counts": {"not_run": 0}}
    return known | more


def write(path: Path, description: Row, *lines: Row | bytes) -> Path:
    """Write a run that was made here, whose lines are rows, or bytes as they are."""
    path.mkdir(parents=True)
    (path / "run.json").write_bytes(written(description, find_key(make=True)))
    data = [x if isinstance(x, bytes) else json.dumps(x).encode() + b"\n" for x in lines]
    (path / "results.jsonl").write_bytes(b"".join(data))
    return path


def two_shards(base: Path, *, first: Row | None = None, second: Row | None = None) -> list[Path]:
    """Write two whole shards; `first` and `second` change what they are about."""
    return [
        write(base / "one", described("1/2") | (first or {}), line("a"), line("b", "failed")),
        write(base / "two", described("2/2") | (second or {}), line("c"), line("d")),
    ]


def results(path: Path) -> list[Row]:
    """Read the lines of a run."""
    return [json.loads(text) for text in (path / "results.jsonl").read_bytes().splitlines()]


def names_in(path: Path) -> list[str]:
    """Return the pivots' names in a run, in order."""
    return [row["test"].partition("::")[2] for row in results(path)]


@pytest.fixture
def at_home(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty directory, with a key of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
