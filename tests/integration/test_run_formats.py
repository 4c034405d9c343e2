"""The files of real runs, held to the schemas that the package publishes for them."""

from __future__ import annotations

import json
import subprocess
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from pytest_fcpivot import cli
from pytest_fcpivot.runs.reader import CallLine, ResultLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import msgspec
    from counting_agent import Counted
    from model_service import Model

pytest_plugins = ["pivot_project", "counting_agent", "model_service"]

# Members that no run below has: they need an installed grader, doubtful data, damage, many differences, a secret, a
# worker or tokens.
NOT_SEEN = {
    "run": {"grader.package", "data[].note", "merged[].damaged"},
    "results": {"further_paths", "redacted"},
    "summary": {"grader.package"},
    "calls": {"began"} | {f"usage.{kind}_tokens" for kind in ("input", "cached", "output", "reasoning")},
}
# Members of a summary that need more pivots; a test of the writer has them.
OF_MANY_PIVOTS = ("comparison.groups[].", "comparison.if_missing_", "sometimes.pivots[].")
GRADER = """
from pytest_fcpivot import Grade


class Halved:
    def __init__(self, least=0.5):
        self.least = least

    def grade(self, expected, actual):
        right = expected == actual
        return 1.0 if right else Grade(0.5, "HALF", "half of it", "$.a", paths=("$.a",), halves=(0.5, 0.0))
"""


def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(
        (files("pytest_fcpivot") / "formats" / f"{name}.schema.json").read_text(encoding="utf-8")
    )
    Draft202012Validator.check_schema(schema)
    return schema


def _closed(schema: Any) -> Any:
    """Return a schema under which a member that it does not declare is an error."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


def _declared(schema: dict[str, Any], at: str = "") -> Iterator[str]:
    for name, member in schema.get("properties", {}).items():
        yield at + name
        yield from _declared(member, f"{at}{name}.")
        yield from _declared(member.get("items", {}), f"{at}{name}[].")


def _found(value: Any, at: str = "") -> Iterator[str]:
    for name, member in value.items() if isinstance(value, dict) else ():
        yield at + name
        yield from _found(member, f"{at}{name}.")
        for each in member if isinstance(member, list) else ():
            yield from _found(each, f"{at}{name}[].")


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def _hold(name: str, values: Iterable[Any]) -> set[str]:
    """Hold values to a schema, without any member that it does not declare; returns the members that were there."""
    validator = Draft202012Validator(_closed(_schema(name)))
    seen: set[str] = set()
    for value in values:
        problems = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
        assert not problems, (problems, value)
        seen.update(_found(value))
    return seen


def test_runs(counted: Counted, model: Model) -> None:
    """The files of all kinds of runs follow the schemas, and together have every member that these declare."""
    project = counted.project
    project.write("halved.py", GRADER)
    subprocess.run(["git", "init", "--quiet"], cwd=project.path, check=True)
    options = counted.table(
        {
            "right": ('call add {"a": 1}', None),
            "wrong": ('call add {"a": 1}', 'call add {"a": 2}'),
            "unfit": ('call add {"a": 1}', 'call add {"a": "x"}'),
            "unknown": ('call add {"a": 1}', 'call fly {"a": 1}'),
            "two": ('call add {"a": 1}', 'call add {"a": 1} & call find {"filters": []}'),
            "talk": ("say hello", 'say <tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'),
            "silent": ("say hello", "nothing"),
            "broken": ("say hello", "raises no connection"),
        }
    )
    usage = {"usage": {"input_tokens": 5, "output_tokens": 3}}
    project.write(
        "telling.py",
        "import puppet\n\ndef answer(pivot):\n    puppet.answer(pivot)\n"
        f"    return {{'role': 'assistant', 'content': 'hello', **{usage!r}}}\n",
    )
    telling = ["--fc-agent=telling:answer", "--fc-price=1/1/1", "--fc-model=any"]
    for name, more in {
        "plain": ["--fc-repeats=2"],
        "telling": [*telling, "--fc-baseline=plain", "--fc-max-drop=0.1"],
        "agentic": ["--fc-grader=agentic", "--fc-judge=off"],
        "judged": ["--fc-grader=agentic", "--fc-judge=puppet-judge", f"--fc-judge-base-url={model.url}"],
        "decided": ["--fc-fail-under=0.9", "--fc-min-pivots=1", "--fc-stop-when-decided"],
        "own": ["--fc-grader=halved:Halved", "--fc-grader-option=least=0.2"],
        "mixed": ["--fc-repeats=2", "--fc-until-mixed"],
        "one": ["--fc-shard=1/2", "--fc-limit=2"],
        "other": ["--fc-shard=2/2", "--fc-limit=2"],
    }.items():
        counted.run_here(*options, f"--fc-run={name}", *more)
    counted.run_here("--fc-resume=plain")
    gate = ["--fc-fail-under=0.1", "--fc-baseline=plain", "--fc-max-drop=0.1"]
    counted.run_here("--fc-replay=plain", "--fc-run=replayed", *gate)
    counted.run_here("--fc-replay=decided", "--fc-run=in_part")
    assert cli.main(["merge", "one", "other", "-o", "merged"]) == 0
    runs = [file.parent for file in sorted(project.path.glob("*/run.json"))]
    assert len(runs) == 12
    described = _hold("run", (json.loads((run / "run.json").read_bytes()) for run in runs))
    results = _hold("results", (line for run in runs for line in _lines(run / "results.jsonl")))
    summaries = _hold("summary", (json.loads((run / "summary.json").read_bytes()) for run in runs))
    assert set(_declared(_schema("run"))) - described == NOT_SEEN["run"]
    unseen = set(_declared(_schema("summary"))) - summaries
    assert {name for name in unseen if not name.startswith(OF_MANY_PIVOTS)} == NOT_SEEN["summary"]
    assert set(_declared(_schema("results"))) - results == NOT_SEEN["results"]


def test_calls_of_a_killed_run(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a killed session, with answers whose tests have not run, follow the schemas too."""
    monkeypatch.setenv("PAUSE_S", "0.06")
    rows = {"p0": ("say hello", "gated hello")} | {f"p{n}": ("say hello", None) for n in range(1, 6)}
    session = counted.start(*counted.table(rows), "--fc-run=run", "-p", "no:xdist")
    calls = counted.project.path / "run" / "calls"
    session.wait_until(lambda: any(b'"output"' in file.read_bytes() for file in calls.glob("*.jsonl")))
    lines = [line for file in calls.glob("*.jsonl") for line in _lines(file)]
    described = json.loads((calls.parent / "run.json").read_bytes())
    session.kill()
    assert _hold("calls", lines) == set(_declared(_schema("calls"))) - NOT_SEEN["calls"]
    assert "counts" not in _hold("run", [described])
    assert described["sessions"][0]["ended"] is None


@pytest.mark.parametrize(("name", "line"), [("results", ResultLine), ("calls", CallLine)])
def test_members_that_are_read(name: str, line: type[msgspec.Struct]) -> None:
    """What the reader of a file knows is what its schema declares."""
    assert set(line.__struct_fields__) == set(_schema(name)["properties"])


def test_the_schemas_allow_new_members() -> None:
    """A member that a later version adds is no error under the published schemas: readers have to pass over it."""
    for name in ("run", "results", "summary", "calls"):
        validator = Draft202012Validator({**_schema(name), "required": []})
        value = {"new": 1} | ({"began": "x"} if name == "calls" else {})
        assert not list(validator.iter_errors(value))


def test_a_run_that_breaks_the_contract(counted: Counted) -> None:
    """The schemas notice a wrong type, a value out of its bounds and a member that is missing."""
    counted.run_here(*counted.table({"p": ("say hello", None)}), "--fc-run=run")
    (line,) = _lines(counted.project.path / "run" / "results.jsonl")
    validator = Draft202012Validator(_schema("results"))
    assert validator.is_valid(line)
    for broken in ({**line, "reward": 2}, {**line, "attempts": "1"}, {**line, "action": {"type": "message"}}):
        assert not validator.is_valid(broken)
    del line["outcome"]
    assert not validator.is_valid(line)
