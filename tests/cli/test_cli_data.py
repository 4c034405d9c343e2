"""`fcpivot info` and `fcpivot lint` as commands: output and exit codes."""

from __future__ import annotations

import json

import pytest

from pytest_fcpivot.cli import main


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["info", "sample"], 0, "sample: 314 pivots of 49 trajectories"),
        (["lint", "sample"], 1, "errors: 3, warnings: 56, notes: 26"),
        (["lint", "sample", "--fail-on=never"], 0, "arguments-break-schema"),
        (["lint", "sample", "--ids"], 1, "t1633-d3"),
        (["info", "nowhere.parquet"], 2, "data file not found: nowhere.parquet"),
        (["lint", "nowhere.parquet"], 2, "data file not found: nowhere.parquet"),
    ],
)
def test_output_and_exit_codes(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str) -> None:
    """A finding is 1, unless the user says what counts, and what cannot be read is 2."""
    assert main(arguments) == code
    output = capsys.readouterr()
    assert told in output.out + output.err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json, info is one object, and lint one object a finding, then their counts."""
    main(["info", "sample", "--json"])
    assert json.loads(capsys.readouterr().out)["pivots"] == 314
    main(["lint", "sample", "--json"])
    *findings, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert sum(finding["severity"] == "error" for finding in findings) == 3
    assert last["summary"]
