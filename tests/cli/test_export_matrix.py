"""What `fcpivot export` makes of data, runs and rollouts: the table on its page, and rollouts that come back."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from openai.types.responses import Response

from pytest_fcpivot.cli import main
from pytest_fcpivot.core.actions import to_action
from pytest_fcpivot.core.dialects import DIALECT_NAMES
from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.core.redact import HIDDEN
from pytest_fcpivot.data import open_store
from pytest_fcpivot.data.gym_rows import gym_row
from pytest_fcpivot.data.rows import expected_action_json
from pytest_fcpivot.integrations import trl_rows, verl_rows
from pytest_fcpivot.runs.answers import AnswerBook
from pytest_fcpivot.runs.export import columns, pivots
from pytest_fcpivot.runs.export.graders import GraderOfPivots
from pytest_fcpivot.runs.export.gym import GymRows
from pytest_fcpivot.runs.export.pivots import Chosen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.core.model import Pivot

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "nemo_gym_example_rollouts.jsonl"
AGENT = {"type": "responses_api_agents", "name": "single_step_tool_use_with_argument_comparison_swe"}
TOOL = {"type": "function", "name": "find", "description": "", "parameters": {"type": "object"}, "strict": True}
CALL = {"type": "function_call", "name": "find", "arguments": '{"a": 1}'}


def row(number: int, expected: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a row of data."""
    request = {"input": [{"role": "user", "content": f"go {number}"}], "tools": [TOOL], "parallel_tool_calls": False}
    place = {"turn": number, "step": 0, "depth": number}
    about = {"trajectory_id": 1, "info": place, "agent_ref": AGENT}
    return {**about, "responses_create_params": request, "expected_action": expected, **more}


SAID = {"type": "message", "content": "yes"}
ROWS = [
    row(0, SAID, split="train"),
    row(1, CALL, split="test", pass_rate=0.25),
    row(2, {"type": "function_call_batch", "calls": [CALL, CALL]}, split="train"),
]


def result(number: int, action: Any, output: Any, **more: Any) -> dict[str, Any]:
    """Return a line of results.jsonl about a pivot of the data."""
    about = {"test": f"data.jsonl::t1-d{number}", "pivot_id": f"t1-d{number}", "trajectory_id": "1", "repeat": 1}
    expected = ROWS[number]["expected_action"]["type"]
    graded = {"outcome": "failed", "reward": 0.0, "category": "NO_ACTION_FOUND", "action": action, "output": output}
    return about | {"expected": expected, "attempts": 1} | graded | more


MESSAGE = {"type": "message", "content": "so"}
RIGHT = {"outcome": "passed", "reward": 1.0, "category": "EXPECTED_CHAT_MESSAGE_FOUND"}
RESULTS = [
    result(0, MESSAGE, "so", **RIGHT),
    result(1, CALL, [CALL], outcome="passed", reward=1.0, category="EXPECTED_TOOL_CALL"),
    result(0, MESSAGE, "so", **RIGHT, repeat=2) | {"test": "data.jsonl::t1-d0[r2]"},
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with data, a run of them, and rollouts."""
    monkeypatch.chdir(tmp_path)
    Path("data.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in ROWS))
    run_of(RESULTS)
    assert main(["export", "run", "--to", "nemo-gym-rollouts", "-o", "rollouts.jsonl"]) == 0
    return tmp_path


def run_of(lines: list[Any], name: str = "run") -> None:
    """Write a run of the data with these lines."""
    store = open_store(Path("data.jsonl"))
    sha256 = store.content_hash(Path("data.jsonl"))
    store.close()
    selected = {"name": "data.jsonl", "path": "data.jsonl", "sha256": sha256, "pivots": 3, "selected": 3}
    path = Path(name)
    path.mkdir()
    description = {
        "format": 1,
        "agent": "my_agent:answer",
        "grader": {"name": "nemo-gym:first-call", "settings": {"word_count_similarity_threshold": 0.0}},
        "data": [selected | {"path": str(Path("data.jsonl").absolute())}],
        "repeats": 2,
        "options": {},
        "sessions": [{"started": "2026-01-01", "ended": "2026-01-01", "exit_status": 1}],
        "counts": {"selected": 6, "passed": 3, "failed": 0, "errors": 0, "not_run": 3, "skipped": 0},
    }
    (path / "run.json").write_text(json.dumps(description))
    (path / "results.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in lines))


def export(*arguments: str) -> int:
    """Run the command."""
    return main(["export", *arguments])


def lines_of(path: str) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON lines."""
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def cells() -> Iterator[tuple[str, str, str]]:
    """Yield target, input and text of each cell of the table on the page."""
    (table,) = re.findall(r"^\| `--to` \|.*?\n\n", PAGE.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]
    assert head[1:] == ["data", "a run", "rollouts"]
    for target, *texts in rows:
        yield from ((target.strip("`"), source, text) for source, text in zip(head[1:], texts, strict=True))


INPUTS = {"data": "data.jsonl", "a run": "run", "rollouts": "rollouts.jsonl"}
LENGTHS = {"data": 3, "a run": 2, "rollouts": 2}


@pytest.mark.parametrize(("target", "source", "text"), [pytest.param(*cell, id="-".join(cell[:2])) for cell in cells()])
def test_each_cell(here: Path, capsys: pytest.CaptureFixture[str], target: str, source: str, text: str) -> None:
    """Each cell of the table on the page is true: what is refused names that reason, and all else is written."""
    if target in ("verl", "trl") and not (verl_rows if target == "verl" else trl_rows).SCHEMA.names:
        pytest.skip("the rows for trainers are not part of this package yet")
    ending = target if target in ("parquet", "csv") else "jsonl"
    batches = ["--grader=nemo-gym:any-order"] if target in ("verl", "trl") else []
    code = export(INPUTS[source], "--to", target, "-o", f"out.{ending}", *batches)
    if text.startswith("refused: "):
        assert code == 2
        assert text.removeprefix("refused: ") in capsys.readouterr().err
        assert not Path(f"out.{ending}").exists()
        return
    assert code == 0
    if ending == "parquet":
        found = pq.read_table("out.parquet").to_pylist()
    elif ending == "csv":
        found = list(csv.DictReader(io.StringIO(Path("out.csv").read_text("utf-8"), newline="")))
    else:
        found = lines_of("out.jsonl")
    if "table of pivots" in text:
        assert list(found[0]) == list(pivots.COLUMNS)
        assert [each["id"] for each in found] == ["t1-d0", "t1-d1", "t1-d2"]
        assert [json.loads(each["expected_action"]) for each in found] == [each["expected_action"] for each in ROWS]
    elif "table of results" in text:
        assert list(found[0]) == list(columns.COLUMNS)
        assert [float(each["reward"]) for each in found if each["outcome"] != "not_run"] == [1, 1, 1]
    elif "rollout" in text and target == "nemo-gym-rollouts":
        assert [each["reward"] for each in found] == [1, 1, 1]
        assert [each["_ng_rollout_index"] for each in found] == [0, 1, 0]
    else:
        assert len(found) == LENGTHS[source]
    if target == "nemo-gym":
        assert found == ROWS[: len(found)]
    assert here.exists()


def test_the_page_has_every_cell() -> None:
    """The table has a cell for each target and each kind of input."""
    targets = ["nemo-gym", "nemo-gym-rollouts", "verl", "trl", "parquet", "csv", "jsonl"]
    assert [cell[0] for cell in cells()] == [target for target in targets for _ in range(3)]


# -------------------------------------------------------------------- rollouts of a run

ITEMS = [{"type": "reasoning", "id": "r", "summary": []}, {**CALL, "call_id": "own", "id": "f"}]
RESPONSE = {"id": "resp_7", "created_at": 5.5, "model": "m", "status": "completed", "output": ITEMS}
TWO = {"type": "function_call_batch", "calls": [CALL, CALL]}
SUBMIT = [{"type": "function_call", "name": "submit_message", "arguments": '{"message": "so"}', "call_id": "c"}]
CHAT = {"choices": [{"message": {"role": "assistant", "tool_calls": [{"id": "x", "function": CALL}]}}]}
# The answer, what was graded, and the types, ids and texts of the items that a rollout has.
ANSWERS: dict[str, tuple[Any, Any, list[Any]]] = {
    "text": ("so", MESSAGE, [("message", "msg_0")]),
    "a response": (RESPONSE, CALL, [("reasoning", "r"), ("function_call", "own")]),
    "items that lack ids": ([CALL, CALL], TWO, [("function_call", "call_0"), ("function_call", "call_1")]),
    "a chat completion": (CHAT, CALL, [("function_call", "call_0")]),
    "a message by a call": (SUBMIT, MESSAGE, [("message", "msg_0")]),
    "a fixture changed it": (RESPONSE, MESSAGE, [("message", "msg_0")]),
    "nothing": (None, None, []),
    "malformed": ({"type": "malformed_output", "text": "<tool"}, {"type": "malformed_output", "text": "<tool"}, []),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer(here: Path, case: str) -> None:
    """A rollout's response is read as the action that was graded; what was recorded as Responses items is kept."""
    output, action, items = ANSWERS[case]
    run_of([result(1, action, output, usage={"input_tokens": 3, "output_tokens": 2}, flags=["cut_off"])], "other")
    assert export("other", "--to", "nemo-gym-rollouts", "-o", "out.jsonl") == 0
    (found,) = lines_of("out.jsonl")
    response = found["response"]
    # of the tokens, OpenAI's newest library requires a count that neither a run nor NeMo Gym's own rollouts have
    Response.model_validate({key: value for key, value in response.items() if key != "usage"}, strict=True)
    assert [(item["type"], item.get("call_id", item["id"])) for item in response["output"]] == items
    read = to_action(response)
    if items:
        assert json.loads(expected_action_json(read)) == action
    else:
        assert read.kind == "none"
    assert found["category"] == "No tool call or chat message was found in the response"
    assert response["usage"]["total_tokens"] == 5
    assert response["tools"] == [TOOL]
    own = isinstance(output, dict) and "id" in output
    assert (response["id"], response["model"]) == (("resp_7", "m") if own else ("resp_t1-d1_0", "my_agent:answer"))
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert {key: found[key] for key in ROWS[1]} == ROWS[1]
    assert here.exists()


def test_what_is_no_rollout(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Errors, answers with a secret, unknown pivots and second answers are left out, and each kind is counted."""
    lines = [
        result(0, None, None, outcome="error", reward=None, category=None),
        result(1, CALL, [{**CALL, "arguments": HIDDEN}], redacted=True),
        result(2, TWO, [CALL, CALL]),
        result(2, TWO, [CALL, CALL]) | {"test": "test_own.py::test_x[t1-d2]"},
        result(2, TWO, [CALL, CALL]) | {"test": "data.jsonl::t9-d0", "pivot_id": "t9-d0"},
    ]
    run_of(lines, "other")
    assert export("other", "--to", "nemo-gym-rollouts", "-o", "out.jsonl") == 0
    assert [each["info"]["depth"] for each in lines_of("out.jsonl")] == [2]
    said = capsys.readouterr().out
    for reason in (
        "an error, which has no grade",
        "an answer with *** in place of a secret, which is not what was graded",
        "a second answer to the same repeat of a pivot, by another test",
        "a result whose pivot is not in the data",
    ):
        assert f"note: left out: 1 result: {reason}" in said
    assert here.exists()


def test_a_replay_finds_them(here: Path) -> None:
    """A replay has an answer and a recorded reward for each repeat, under the ids of the data."""
    book = AnswerBook(replays=True)
    book.add_rollouts(here / "rollouts.jsonl")
    assert book.own_rewards == {("t1-d0", 1): 1.0, ("t1-d0", 2): 1.0, ("t1-d1", 1): 1.0}
    assert book.repeats == 2
    book.close()


def test_rollouts_as_they_are(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rollouts come out as they went in; rows without a response are counted, and a damaged line is refused."""
    given = lines_of("rollouts.jsonl")
    assert export("rollouts.jsonl", "--to", "nemo-gym-rollouts", "-o", "same.jsonl") == 0
    assert lines_of("same.jsonl") == given
    bare = {key: value for key, value in given[0].items() if not key.startswith("_ng")}
    left = [bare, ROWS[1], {**given[2], "response": None}]
    Path("some.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in left))
    assert export("some.jsonl", "--to", "nemo-gym-rollouts", "--ng-fields", "-o", "out.jsonl") == 0
    assert lines_of("out.jsonl") == [{"_ng_task_index": 0, "_ng_rollout_index": 0, **bare}]
    said = capsys.readouterr().out
    assert "left out: 1 row: a row without a response" in said
    assert "left out: 1 row: a rollout whose response is null" in said
    with Path("some.jsonl").open("a") as stream:
        stream.write('{"reward": 2}\n')
    assert export("some.jsonl", "--to", "nemo-gym-rollouts", "-o", "bad.jsonl") == 2
    assert "some.jsonl:4: " in capsys.readouterr().err
    assert not Path("bad.jsonl").exists()
    assert export("some.jsonl", "--to", "nemo-gym-rollouts", "-o", "bad.jsonl", "--allow-damaged") == 0
    assert here.exists()


def test_the_table_of_rollouts(here: Path) -> None:
    """The table of rollouts has our names of the categories, the repeats, and an error where no reward is."""
    given = lines_of("rollouts.jsonl")
    del given[1]["reward"]
    given[2]["category"] = "Another one"
    Path("rollouts.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in given))
    assert export("rollouts.jsonl", "--to", "jsonl", "-o", "out.jsonl") == 0
    first, second, third = lines_of("out.jsonl")
    assert (first["category"], first["answered"], first["test"]) == (
        "EXPECTED_CHAT_MESSAGE_FOUND",
        "message",
        "rollouts.jsonl::t1-d0",
    )
    assert (second["outcome"], second["error"], second["repeat"]) == ("error", "the rollout has no reward", 2)
    assert (third["category"], third["called_tool"], third["split"], third["depth"]) == (
        "Another one",
        "find",
        "test",
        1,
    )
    assert here.exists()


@pytest.mark.skipif(not SHARED.is_file(), reason="the third-party example rows are not part of this project")
def test_the_shared_rollouts(tmp_path: Path) -> None:
    """The rewards and categories of NVIDIA's own rollouts come through, also by way of the table."""
    given = [json.loads(line) for line in SHARED.read_text("utf-8").splitlines()]
    out = tmp_path / "out.jsonl"
    assert export(str(SHARED), "--to", "nemo-gym-rollouts", "-o", str(out)) == 0
    assert lines_of(str(out)) == given
    assert export(str(out), "--to", "jsonl", "-o", str(tmp_path / "table.jsonl")) == 0
    table = lines_of(str(tmp_path / "table.jsonl"))
    assert [each["reward"] for each in table] == [1, 1, 0, 1, 0]
    assert [each["category"] for each in table][1:3] == ["EXPECTED_TOOL_CALL", "NO_EXPECTED_TOOL_CALL"]


# -------------------------------------------------------------------- which pivots, and what is told of them


@pytest.mark.parametrize(
    ("options", "depths"),
    [
        (["--split", "train"], [0, 2]),
        (["--where", "depth>=1", "--where", "metadata.pass_rate<0.5"], [1]),
        (["--ids", "ids.txt"], [2]),
        (["--limit", "2"], [0, 1]),
        (["--sample", "2", "--seed", "1"], None),
    ],
)
def test_some_pivots(here: Path, options: list[str], depths: list[int] | None) -> None:
    """The options of a session choose among pivots."""
    Path("ids.txt").write_text("t1-d2\n")
    assert export("data.jsonl", "--to", "nemo-gym", "-o", "out.jsonl", *options) == 0
    found = [each["info"]["depth"] for each in lines_of("out.jsonl")]
    assert found == depths if depths is not None else len(found) == 2
    assert here.exists()


def test_numbers_of_tasks(here: Path) -> None:
    """With --ng-fields, rows have the numbers of task and rollout."""
    assert export("data.jsonl", "--to", "nemo-gym", "--ng-fields", "-o", "out.jsonl") == 0
    found = [(each["_ng_task_index"], each["_ng_rollout_index"]) for each in lines_of("out.jsonl")]
    assert found == [(0, 0), (1, 0), (2, 0)]
    assert here.exists()


def test_broken_rules(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that break a rule of NeMo Gym are written and told by the rule's name, and the exit code is 1."""
    odd = row(3, {**CALL, "name": "look", "arguments": '{"x": NaN}'})
    odd["responses_create_params"]["seed"] = 1
    Path("odd.jsonl").write_text(f"{json.dumps(odd)}\n{json.dumps(row(4, SAID))}\n")
    assert export("odd.jsonl", "--to", "nemo-gym", "-o", "out.jsonl") == 1
    said = capsys.readouterr().out
    assert len(lines_of("out.jsonl")) == 2
    for rule in ("unknown-setting", "unknown-tool", "unreachable-reward"):
        assert f"note: 1 row breaks NeMo Gym's rule {rule} (" in said
    assert "the first: t1-d3: seed" in said
    assert here.exists()


def test_agents(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row keeps the agent that it names; one without gets that of --agent-ref, or none, which is told."""
    bare = {key: value for key, value in row(5, SAID).items() if key != "agent_ref"}
    Path("bare.jsonl").write_text(f"{json.dumps(bare)}\n{json.dumps(row(6, SAID))}\n")
    assert export("bare.jsonl", "--to", "nemo-gym", "-o", "out.jsonl") == 0
    assert "note: 1 row without agent_ref" in capsys.readouterr().out
    assert ["agent_ref" in each for each in lines_of("out.jsonl")] == [False, True]
    assert export("bare.jsonl", "--to", "nemo-gym", "--agent-ref", "mine", "-o", "out.jsonl") == 0
    assert [each["agent_ref"]["name"] for each in lines_of("out.jsonl")] == ["mine", AGENT["name"]]
    assert "note: 1 row named no agent, and has agent_ref mine now" in capsys.readouterr().out
    assert here.exists()


@pytest.mark.parametrize(
    ("repos", "agent"),
    [
        (["nvidia/Nemotron-RL-Agentic-SWE-Pivot-v1"], AGENT["name"]),
        (["nvidia/Nemotron-RL-Agentic-SWE-Pivot-v1", "nvidia/Nemotron-RL-Agentic-Function-Calling-Pivot-v1"], None),
        (["nvidia/Nemotron-RL-Agentic-SWE-Pivot-v1", None], None),
        (["somebody/a-set"], None),
        ([], None),
    ],
)
def test_the_agent_of_a_set(here: Path, repos: list[str | None], agent: str | None) -> None:
    """A row that names no agent gets that of the set, if all of the file is of one set whose agent is known."""
    bare = {key: value for key, value in row(5, SAID).items() if key != "agent_ref"}
    Path("bare.jsonl").write_text(f"{json.dumps(bare)}\n")
    store = open_store(here / "bare.jsonl")
    store.provenance["sources"] = [{"repo": repo} for repo in repos]
    found = GymRows().members(Chosen("bare", store, range(1)), store.read(0)).get("agent_ref")
    wanted = None if agent is None else {"type": "responses_api_agents", "name": agent}
    assert (None if found is None else json.loads(found)) == wanted
    store.close()


def test_what_are_rollouts(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows with a member called response that is text are data; a broken row is refused, unless that is allowed."""
    Path("odd.jsonl").write_text(f"{json.dumps(row(5, SAID, response='yes'))}\n{{}}\n")
    assert export("odd.jsonl", "--to", "jsonl", "-o", "out.jsonl") == 2
    assert "or pass --allow-damaged to leave such rows out" in capsys.readouterr().err
    assert export("odd.jsonl", "--to", "jsonl", "--allow-damaged", "-o", "out.jsonl") == 0
    assert "note: left out: 1 row of the data that cannot be read" in capsys.readouterr().out
    assert [each["id"] for each in lines_of("out.jsonl")] == ["t1-d5"]
    assert here.exists()


REFUSED = {
    "data for data": (["data.jsonl", "--to", "csv", "--data", "data.jsonl", "-o", "o.csv"], "--data: it is for a run"),
    "a run's selection": (
        ["run", "--to", "nemo-gym", "--limit", "1", "-o", "o"],
        "a run, which has selected its pivots",
    ),
    "no pivot": (
        ["data.jsonl", "--to", "csv", "--split", "dev", "-o", "o.csv"],
        "--split=dev left none of the 3 pivots",
    ),
    "over the input": (["data.jsonl", "--to", "jsonl", "-o", "data.jsonl"], "this would replace what is exported"),
    "over the run": (["run", "--to", "nemo-gym", "-o", "run/results.jsonl"], "this is a file of the run itself"),
    "over the data": (["run", "--to", "nemo-gym", "-o", "data.jsonl"], "this would replace the data of the run"),
    "rows as a table": (
        ["run", "--to", "nemo-gym", "-o", "o.csv"],
        "--to asks for nemo-gym, which is written as jsonl",
    ),
    "a trainer's rows as a table": (["run", "--to", "verl", "-o", "o.csv"], "which is written as parquet or jsonl"),
    "a name without an ending": (
        ["run", "--to", "verl", "-o", "rows"],
        "the name has no ending, but --to asks for verl",
    ),
    "an unknown dialect": (
        ["data.jsonl", "--to", "trl", "--dialect", "qwen", "-o", "o.jsonl"],
        "harmony, pythonic; did you mean qwen3-coder?",
    ),
    "rows of a trainer": (
        ["rows.jsonl", "--to", "trl", "-o", "o.jsonl"],
        "rows.jsonl:1: a row for a trainer, made of data to be trained on; name those data",
    ),
    "over the source of the data": (
        ["prepared.parquet", "--to", "nemo-gym", "-o", "data.jsonl"],
        "-o data.jsonl: the data were prepared from this file; name another file",
    ),
    "a dialect": (
        ["run", "--to", "csv", "--dialect", "hermes", "-o", "o.csv"],
        "--dialect: it belongs to --to verl and trl",
    ),
    "a grader": (["run", "--to", "csv", "--grader", "agentic", "-o", "o.csv"], "--grader: it belongs to --to verl"),
    "an agent": (["run", "--to", "csv", "--agent-ref", "a", "-o", "o.csv"], "--agent-ref: it belongs to --to nemo-gym"),
    "a condition": (
        ["data.jsonl", "--to", "csv", "--where", "colour=1", "-o", "o.csv"],
        "--where=colour=1: there is no",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(here: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    """Options that do not belong together, and outputs that must not be replaced, are refused with the reason."""
    arguments, reason = REFUSED[case]
    (here / "rows.jsonl").write_text('{"data_source": "x", "prompt": [], "reward_model": {}}\n')
    assert main(["prepare", "data.jsonl", "-o", "prepared.parquet"]) == 0
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert export(*arguments) == 2
    assert reason in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}


def test_help_names_each_dialect(capsys: pytest.CaptureFixture[str]) -> None:
    """All dialects in which a prompt can be written are in the help of the command."""
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    assert f"calls: {', '.join(DIALECT_NAMES)} (default: hermes)" in " ".join(capsys.readouterr().out.split())


def test_a_run_without_its_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its data, a run gives a table of results, but no pivots and no rollouts; --data names them."""
    Path("data.jsonl").rename("moved.jsonl")
    for target in ("nemo-gym", "nemo-gym-rollouts", "verl"):
        assert export("run", "--to", target, "-o", "out.jsonl") == 2
        assert "give the file: --data FILE" in capsys.readouterr().err
    assert export("run", "--to", "nemo-gym", "--data", "moved.jsonl", "-o", "out.jsonl") == 0
    assert lines_of("out.jsonl") == ROWS[:2]
    assert export("run", "--to", "csv", "-o", "out.csv") == 0
    assert here.exists()


# -------------------------------------------------------------------- the grader of trainers' rows


def grader_of(rows: list[Any], here: Path, **provenance: Any) -> list[dict[str, Any]]:
    """Return the graders of the pivots of some rows."""
    source = here / "graded.jsonl"
    source.write_text("".join(f"{json.dumps(each)}\n" for each in rows))
    store = open_store(source)
    store.provenance |= provenance
    chosen, graders = Chosen("graded", store, range(len(store))), GraderOfPivots(None, None)
    found = [graders.of(chosen, store.read(number)) for number in chosen.rows]
    store.close()
    return found


def test_the_grader_of_each_pivot(here: Path) -> None:
    """The agent of a row decides on the settings, else the set of the data; conversations have another grader."""
    bare = {key: value for key, value in row(5, SAID).items() if key != "agent_ref"}
    key = "word_count_similarity_threshold"
    assert [each["settings"][key] for each in grader_of([row(1, SAID), bare], here)] == [0.0, 0.1]
    swe = {"repo": "nvidia/Nemotron-RL-Agentic-SWE-Pivot-v1"}
    assert [each["settings"][key] for each in grader_of([bare], here, sources=[swe])] == [0.0]
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert [each["name"] for each in grader_of([{"messages": talk}], here)] == ["agentic"]
    with pytest.raises(OptionError, match="these data ask for different graders"):
        grader_of([{"messages": talk}, bare], here)
    first = {"repo": "nvidia/Nemotron-RL-Agentic-Function-Calling-Pivot-v1"}
    with pytest.raises(OptionError, match="rows that name no agent do not tell which is theirs"):
        grader_of([bare], here, sources=[swe, first])


def test_the_grader_that_is_named(here: Path) -> None:
    """A named grader and its settings count for more than the data and the run."""
    store = open_store(here / "data.jsonl")
    chosen = Chosen("data", store, range(3))
    pivot: Pivot = store.read(0)
    recorded = {"name": "nemo-gym:first-call", "settings": {}, "cause": "x"}
    assert GraderOfPivots(None, None, recorded).of(chosen, pivot) == {"name": "nemo-gym:first-call", "settings": {}}
    assert GraderOfPivots("agentic", None, recorded).of(chosen, pivot)["name"] == "agentic"
    named = GraderOfPivots("nemo-gym", {"set": "search"}).of(chosen, pivot)
    assert named["settings"]["word_count_similarity_threshold"] == 0.3
    assert gym_row(pivot) == ROWS[0]
    store.close()


def test_a_pivot_that_the_grader_cannot_judge(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is refused when the rows are written, as by a session, since a training would end there with an error."""
    assert export("data.jsonl", "--to", "verl", "-o", "rows.parquet") == 2
    told = capsys.readouterr().err
    assert "t1-d2: it expects several calls at once, which nemo-gym:first-call cannot judge" in told
    assert "name --grader=nemo-gym:any-order" in told
    assert not (here / "rows.parquet").exists()


def test_rows_of_several_splits(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trainer would train on what is kept for validation: a file of both is told, and one of one split is not."""
    both = ["data.jsonl", "--to", "trl", "--grader=nemo-gym:any-order", "-o", "rows.jsonl"]
    assert export(*both) == 0
    assert "note: the rows are of several splits (train 2, test 1), and a trainer takes all" in capsys.readouterr().out
    assert export(*both, "--split=train") == 0
    assert "splits" not in capsys.readouterr().out
    assert here.exists()


def test_what_a_training_would_grade_otherwise(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Options of the run that rewards do not apply by themselves are told with its rows, and with no other export."""
    about = json.loads((here / "run" / "run.json").read_text())
    options = {"fc_strict_schema": True, "fc_empty_arguments": "object"}
    odd = {"options": options, "judge": {"model": "gpt-5-mini"}, "pass_mark": 0.7}
    assert export("run", "--to", "verl", "-o", "rows.parquet") == 0
    assert "note: the run was graded" not in capsys.readouterr().out
    (here / "run" / "run.json").write_text(json.dumps(about | odd))
    assert export("run", "--to", "verl", "-o", "rows.parquet") == 0
    told = capsys.readouterr().out
    for words in ("--fc-strict-schema", "--fc-empty-arguments=object", "gpt-5-mini", "the pass mark of the run is 0.7"):
        assert words in told
    assert export("run", "--to", "csv", "-o", "rows.csv") == 0
    assert "pass mark" not in capsys.readouterr().out


def test_what_a_dialect_cannot_express(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A number where the schema says text has no text in a dialect that takes types from the schema: it is told."""
    text = {"type": "object", "properties": {"a": {"type": "string"}}}
    odd = row(0, CALL)
    odd["responses_create_params"]["tools"] = [TOOL | {"parameters": text}]
    said = row(1, {"type": "message", "content": "<think>so</think> yes"})  # any message is as good
    (here / "odd.jsonl").write_text(f"{json.dumps(odd)}\n{json.dumps(said)}\n")
    assert export("odd.jsonl", "--to", "trl", "--dialect=qwen3-coder", "-o", "rows.jsonl") == 0
    told = capsys.readouterr().out
    assert "note: 1 pivot whose expected call cannot be written in this dialect" in told
    assert "t1-d0: qwen3-coder cannot express the call of 'find'" in told
    assert export("odd.jsonl", "--to", "trl", "-o", "rows.jsonl") == 0
    assert "dialect" not in capsys.readouterr().out
