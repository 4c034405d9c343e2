"""Pivots as rows for trainers: what a trainer needs, as text where Arrow would change it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trainer_rows import AGENTIC, NEMO_GYM, pivot_with, pivots

from pytest_fcpivot.graders import expected_to_action
from pytest_fcpivot.integrations import trl_rows, verl_rows

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

BOTH = pytest.mark.parametrize("module", [verl_rows, trl_rows])


@BOTH
def test_rows_survive_parquet(module: ModuleType, tmp_path: Path) -> None:
    """All pivots of the sample come back from a file as they were written, tools and expected actions byte for byte."""
    rows = [
        module.row(pivot, dialect="hermes", grader=NEMO_GYM, index=number, split=None if number % 2 else "train")
        for number, pivot in enumerate(pivots())
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=module.SCHEMA), tmp_path / "rows.parquet")
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == rows


def parts(row: dict[str, Any]) -> dict[str, Any]:
    """Return what both trainers' rows hold, by TRL's names."""
    if "extra_info" not in row:
        return row
    return {"prompt": row["prompt"], "expected_action": row["reward_model"]["ground_truth"], **row["extra_info"]}


@BOTH
def test_what_a_row_holds(module: ModuleType) -> None:
    """A row has the tools in its prompt, all messages as text, and the texts from which a reward is made."""
    pivot = pivot_with("function_call")
    found = parts(module.row(pivot, dialect="hermes", grader=NEMO_GYM, index=7, split="train"))
    assert all(type(text) is str for message in found["prompt"] for text in message.values())
    assert all(any(tool["name"] in message["content"] for message in found["prompt"]) for tool in pivot.tools)
    assert json.loads(found["tools_json"]) == pivot.tools
    assert json.loads(found["grader_json"]) == NEMO_GYM
    assert expected_to_action(json.loads(found["expected_action"])) == pivot.expected_action
    assert (found["pivot_id"], found["trajectory_id"], found["split"]) == (pivot.id, pivot.trajectory_id, "train")
    assert found.get("index", 7) == 7


@BOTH
def test_the_answer_is_not_in_the_prompt(module: ModuleType) -> None:
    """What the expert did is not in the prompt: the secret text of an expected message is in its own column only."""
    pivot = replace(pivot_with("message"), expected_action=expected_to_action({"type": "message", "content": "s3cret"}))
    row = module.row(pivot, dialect="hermes", grader=NEMO_GYM, index=0, split=None)
    assert "s3cret" not in json.dumps(row["prompt"])
    assert "s3cret" in parts(row)["expected_action"]


@BOTH
def test_rows_name_no_code(module: ModuleType) -> None:
    """Of a user's own grader, a row holds the name, by which nothing is loaded, and neither its file nor its hash."""
    described = {"name": "mine", "settings": {}, "spec": "my_graders:close", "source_sha256": "ab", "cause": "any"}
    row = module.row(pivot_with("message"), dialect="hermes", grader=described, index=0, split=None)
    assert json.loads(parts(row)["grader_json"]) == {"name": "mine", "settings": {}}


@BOTH
def test_the_conversation_for_a_judge(module: ModuleType) -> None:
    """A row has its conversation where a judge may have to read it: at messages, under a grader that scores them."""
    found = [
        parts(module.row(pivot_with(kind), dialect="hermes", grader=grader, index=0, split=None))["conversation_json"]
        for kind, grader in (("message", AGENTIC), ("message", NEMO_GYM), ("function_call", AGENTIC))
    ]
    assert found == [pivot_with("message").input_json, None, None]


@BOTH
def test_an_unknown_dialect(module: ModuleType) -> None:
    """A prompt is written in a known dialect, or not at all."""
    with pytest.raises(ValueError, match="esperanto"):
        module.row(pivot_with("message"), dialect="esperanto", grader=NEMO_GYM, index=0, split=None)


@BOTH
def test_text_that_utf8_cannot_hold(module: ModuleType) -> None:
    """A lone surrogate in a conversation is escaped, so that the row can be written."""
    pivot = replace(pivot_with("message"), input_json='[{"role": "user", "content": "odd \\ud800"}]')
    row = module.row(pivot, dialect="hermes", grader=NEMO_GYM, index=0, split=None)
    table = pa.Table.from_pylist([row], schema=module.SCHEMA)
    assert table.to_pylist()[0]["prompt"][-1]["content"] == "odd \\ud800"


def test_the_name_by_which_verl_groups_metrics() -> None:
    """It is the agent that the pivot's row names; without one, it is the name of this package."""
    pivot = pivot_with("message")
    names = [
        verl_rows.row(replace(pivot, metadata_json=text), dialect="hermes", grader=NEMO_GYM, index=0, split=None)
        for text in ("{}", '{"agent_ref": {"type": "responses_api_agents", "name": "some_agent"}}')
    ]
    assert [row["data_source"] for row in names] == ["pytest-fcpivot", "some_agent"]
