"""A tool of the pivot's own named `submit_message` is a tool like any other, whoever grades the answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_fcpivot import Pivot, grade
from pytest_fcpivot.audit.running import audit
from pytest_fcpivot.audit.stored import open_stored
from pytest_fcpivot.runs.merging.merge import merge

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pivot_project import Project, Row

pytest_plugins = ["pivot_project"]

# Expected and answered, with NAME for the tool.
TABLE: dict[str, tuple[str, str | None]] = {
    "right": ('call NAME {"text": "Hi there"}', None),
    "wrong": ('call NAME {"text": "Hi there"}', 'call NAME {"text": "Bye"}'),
    "other": ('call add {"a": 1}', 'call NAME {"text": "Hi there"}'),
    "talk": ("say Hi there", 'call NAME {"text": "Hi there"}'),
    "message": ('call NAME {"text": "Hi there"}', "say Hi there"),
    "beside": ('call NAME {"text": "Hi there"}', 'call NAME {"text": "Hi there"} & call add {"a": 1}'),
    "empty": ('call NAME {"text": "Hi there"}', "call NAME "),
}
Verdicts = dict[str, tuple[Any, Any]]


def _rows(project: Project, name: str) -> list[Row]:
    tools = [{"type": "function", "name": known, "parameters": {"type": "object"}} for known in ("add", name)]
    return [
        project.row(
            wanted.replace("NAME", name), None if told is None else told.replace("NAME", name), tools=tools, id=i
        )
        for i, (wanted, told) in TABLE.items()
    ]


def _recorded(run: Path) -> Verdicts:
    lines = map(json.loads, (run / "results.jsonl").read_text().splitlines())
    return {line["pivot_id"]: (line["reward"], line["category"]) for line in lines}


def test_one_verdict_everywhere(project: Project) -> None:
    """Sessions, the library, a replay, merged shards and an audit give the rewards that another name has."""
    options = project.puppet(_rows(project, "submit_message"))
    agent: dict[str, Any] = {}
    exec((project.path / "puppet.py").read_text(), agent)  # noqa: S102 (the agent of the sessions)
    by_library: dict[str, Verdicts] = {}
    for name in ("say_it", "submit_message"):
        pivots = {row["id"]: Pivot.from_row(row) for row in _rows(project, name)}
        by_library[name] = {
            i: (verdict.reward, verdict.category)
            for i, pivot in pivots.items()
            for verdict in [grade(pivot, agent["answer"](pivot.view()))]
        }
    wanted = by_library["say_it"]
    assert {category for _, category in wanted.values()} >= {"EXPECTED_TOOL_CALL", "NO_EXPECTED_CHAT_MESSAGE"}
    assert by_library["submit_message"] == wanted
    shards = [project.path / f"shard-{n}" for n in (1, 2)]
    for number, shard in enumerate(shards, 1):
        project.run_here(*options, f"--fc-shard={number}/2", f"--fc-run={shard}")
    merged = project.path / "merged"
    merge(shards, merged)
    assert _recorded(merged) == wanted
    project.run_here(f"--fc-replay={merged}", "--fc-run=again")
    assert _recorded(project.path / "again") == wanted
    facts: list[Mapping[str, Any]] = []
    found = audit(open_stored(merged), 5, facts.append)
    assert not found.drifted
    assert {fact["result"]: fact["rewards"]["nemo-gym:first-call"] for fact in facts} == {
        i: reward for i, (reward, _) in wanted.items()
    }
