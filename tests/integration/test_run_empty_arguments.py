"""--fc-empty-arguments: what a call is whose arguments the model's server left empty."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.audit.running import audit
from pytest_fcpivot.audit.stored import open_stored
from pytest_fcpivot.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from pivot_project import Project

pytest_plugins = ["pivot_project"]

COUNTED = "*1  calls without arguments from the server; graded as empty text, or as {} with --fc-empty-arguments=object"


def _options(project: Project) -> list[str]:
    tool = {"type": "function", "name": "list", "parameters": {"type": "object"}}
    return project.puppet([project.row("call list {}", "call list ", tools=[tool], id="one")])


def test_by_default_they_are_text_that_does_not_decode(project: Project) -> None:
    """Such a call fails, says why, and is counted in the summary and in JUnit."""
    result = project.run_here(*_options(project), "--junitxml=cases.xml")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["ARGUMENTS_DECODE_ERROR: *the server sent no arguments*", COUNTED])
    properties = {entry.attrib["name"]: entry.attrib["value"] for entry in project.junit().iter("property")}
    assert properties["fc.no_arguments"] == "1"


def test_they_can_be_an_object(project: Project) -> None:
    """With the option they are `{}`: in the session, in a replay and in an audit of the run, which has recorded it."""
    result = project.run_here(*_options(project), "--fc-empty-arguments=object", "--fc-run=run")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([COUNTED])
    run = project.path / "run"
    assert json.loads((run / "run.json").read_text())["options"]["fc_empty_arguments"] == "object"
    again = project.run_here("--fc-replay=run")
    again.assert_outcomes(passed=1)
    again.stdout.fnmatch_lines([COUNTED])
    project.run_here("--fc-replay=run", "--fc-empty-arguments=text").assert_outcomes(failed=1)
    found = audit(open_stored(run), 5)
    assert not found.drifted
    assert not [note for note in found.stored.notes if "something else" in note]
    assert found.rungs["exact"].passed == 1


def test_other_values_are_refused(project: Project) -> None:
    """A value that is none of the two is a usage error that names both."""
    result = project.run_here(*_options(project), "--fc-empty-arguments=null")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--fc-empty-arguments=null: choose text or object"])


def test_conformance_refuses_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The verifier has no such setting, so it is not compared with what another reading gives."""
    assert main(["conformance", str(tmp_path / "none.jsonl"), "--fc-empty-arguments=object"]) == 2
    assert "the verifier" in capsys.readouterr().err
    call = {"type": "function_call", "name": "list", "arguments": "{}"}
    case = {
        "id": "a",
        "expected_action": call,
        "output": [call | {"arguments": ""}],
        "config": {"empty_arguments": "object"},
        "reward": 1.0,
        "category": "EXPECTED_TOOL_CALL",
    }
    (tmp_path / "cases.jsonl").write_text(json.dumps(case))
    assert main(["conformance", str(tmp_path / "cases.jsonl")]) == 2
    assert "to which empty arguments are not JSON" in capsys.readouterr().err
