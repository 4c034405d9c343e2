"""The published example rows, with a real model's recorded responses and the verdicts that they were given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot import Pivot

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

DATA = Path(__file__).parents[3] / "shared" / "data"
EXAMPLE, ROLLOUTS = DATA / "nemo_gym_example.jsonl", DATA / "nemo_gym_example_rollouts.jsonl"
CATEGORIES = {
    "A chat message was found as expected": "EXPECTED_CHAT_MESSAGE_FOUND",
    "A tool call that matches the expected tool call was found": "EXPECTED_TOOL_CALL",
    "No tool call was found when one was expected": "NO_EXPECTED_TOOL_CALL",
}
REPLAY = """
import json
from pathlib import Path
from pytest_fcpivot import Pivot

ROWS = [json.loads(line) for line in Path({path!r}).read_text(encoding="utf-8").splitlines()]
RESPONSES = {{Pivot.from_row(row).id: row["response"] for row in ROWS}}

def answer(pivot):
    return RESPONSES[pivot.id]
"""


@pytest.mark.skipif(not ROLLOUTS.is_file(), reason="the third-party example rows are not part of this project")
def test_replayed_rollouts(project: Project) -> None:
    """The recorded responses get the rewards and categories that the original verifier gave them."""
    rows = [json.loads(line) for line in ROLLOUTS.read_text(encoding="utf-8").splitlines()]
    verdicts = {Pivot.from_row(row).id: (row["reward"], CATEGORIES[row["category"]]) for row in rows}
    ids = [Pivot.from_row(json.loads(line)).id for line in EXAMPLE.read_text(encoding="utf-8").splitlines()]
    project.write("replay.py", REPLAY.format(path=str(ROLLOUTS)))
    result, outcomes = project.run_cases(f"--fc-data={EXAMPLE}", "--fc-agent=replay:answer")
    assert [outcomes[name] for name in ids] == ["passed", "passed", "failure", "passed", "failure"]
    found = {}
    for case in project.junit().iter("testcase"):
        properties = {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
        found[case.attrib["name"]] = (float(properties["fc.reward"]), properties["fc.category"])
    assert found == verdicts
    result.stdout.fnmatch_lines(["mean reward 0.6000 *", "passed 3, failed 2, errors 0; pass rate 0.6000"])
