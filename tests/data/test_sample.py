"""The bundled sample: what it promises, where it comes from, and that an agent sees no answer in it."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_fcpivot import Pivot, PivotView, check_schema, grade, load_pivots
from pytest_fcpivot.data import SAMPLE_PATH, open_store

SAMPLE = Path(__file__).resolve().parents[2] / "fixtures" / "sample"
# A text that names a record: letters and digits together, as in BK-20931 or usr_4471; not a date or a time.
ID_LIKE = re.compile(r"(?=[\w#-]*\d{2})(?=[\w#-]*[A-Za-z])[\w#-]{5,}")
TIME = re.compile(r"\d{4}-\d{2}(-\d{2}(T[\d:.]+(Z|[+-]\d{2}:?\d{2})?)?)?|\d{4}-[QW]\d+|P(T?\d+[A-Z])+")


@pytest.fixture(scope="module")
def pivots() -> list[Pivot]:
    """Read the sample once."""
    return load_pivots()


def test_its_size(pivots: list[Pivot]) -> None:
    """It has enough pivots, trajectories and services to try anything on, and messages and calls in balance."""
    assert len(pivots) >= 200
    assert len({pivot.trajectory_id for pivot in pivots}) >= 40
    tool_lists = {pivot.tools_json for pivot in pivots}
    assert len(tool_lists) >= 8
    kinds = Counter(pivot.expected_action.kind for pivot in pivots)
    assert set(kinds) == {"message", "function_call"}
    assert 0.45 <= kinds["message"] / len(pivots) <= 0.55


def test_its_ids(pivots: list[Pivot]) -> None:
    """Ids are unique and short, and say trajectory and depth."""
    assert len({pivot.id for pivot in pivots}) == len(pivots)
    for pivot in pivots:
        assert re.fullmatch(r"t\d+-d\d+", pivot.id)
        assert pivot.id == f"t{pivot.trajectory_id}-d{pivot.depth}"


def test_trajectories_grow(pivots: list[Pivot]) -> None:
    """Within a trajectory, depth counts up from 0 and the conversation only grows."""
    trajectories: dict[str, list[Pivot]] = {}
    for pivot in pivots:
        trajectories.setdefault(pivot.trajectory_id, []).append(pivot)
    for found in trajectories.values():
        assert [pivot.depth for pivot in found] == list(range(len(found)))
        sizes = [len(pivot.input) for pivot in found]
        assert sizes == sorted(set(sizes))


def test_its_expected_calls(pivots: list[Pivot]) -> None:
    """Every expected call decodes to an object and names an offered tool; nearly all fit their schema."""
    verdicts = Counter[str]()
    for pivot in pivots:
        for call in pivot.expected_action.calls:
            assert isinstance(json.loads(call.arguments), dict)
            verdicts[check_schema(pivot.expected_action, pivot.tools).status] += 1
    assert set(verdicts) <= {"valid", "invalid"}
    assert verdicts["valid"] >= 0.97 * verdicts.total()


@pytest.mark.parametrize("grader", ["nemo-gym:first-call", "nemo-gym:any-order"])
def test_the_expert_earns_everything(pivots: list[Pivot], grader: str) -> None:
    """Every expected action, given as an answer, earns the full reward."""
    assert all(grade(pivot.expected_action, pivot.expected_action, grader).reward == 1.0 for pivot in pivots)


def test_calls_do_not_guess_ids(pivots: list[Pivot]) -> None:
    """What looks like a record's id in an expected call was said or returned before."""
    checked = 0
    for pivot in pivots:
        known = json.dumps([item for item in pivot.input if item.get("type") != "reasoning"], ensure_ascii=False)
        for call in pivot.expected_action.calls:
            for text in texts(json.loads(call.arguments)):
                if ID_LIKE.fullmatch(text) and not TIME.fullmatch(text):
                    checked += 1
                    assert text in known, pivot.id
    assert checked >= 50


def texts(value: Any) -> list[str]:
    """Return every text in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [found for inner in value for found in texts(inner)]
    return [value] if isinstance(value, str) else []


def test_its_variety(pivots: list[Pivot]) -> None:
    """It has the quirks of published rows, so that what works on it works on them."""
    items = [item for pivot in pivots for item in pivot.input]
    kinds = {item.get("type") for item in items}
    assert kinds >= {None, "message", "reasoning", "function_call", "function_call_output"}
    assert any(isinstance(item.get("content"), list) for item in items)
    assert any(item.get("type") == "function_call_output" and not isinstance(item["output"], str) for item in items)
    assert any(set(pivot.metadata) & {"pass_rate", "meta_info", "scenario"} for pivot in pivots)
    assert any("agent_ref" not in pivot.metadata for pivot in pivots)
    assert {pivot.params["parallel_tool_calls"] for pivot in pivots} == {True, False}
    assert any(tool["description"] is None for pivot in pivots for tool in pivot.tools)
    assert any(call.arguments == "{}" for pivot in pivots for call in pivot.expected_action.calls)


def test_the_package_holds_what_the_source_gives(pivots: list[Pivot]) -> None:
    """The parquet in the package has the ids and payloads of the source rows, and the hash of that file."""
    rows = (SAMPLE / "sample.jsonl").read_text("utf-8").split("\n")
    expected = [Pivot.from_row(json.loads(row), line) for line, row in enumerate(rows, start=1) if row]
    names = [name.removesuffix("_json") for name in Pivot.__slots__ if name != "source_line"]  # texts are spaced freely
    assert [[getattr(pivot, name) for name in names] for pivot in pivots] == [
        [getattr(pivot, name) for name in names] for pivot in expected
    ]
    store = open_store(SAMPLE_PATH)
    assert (store.provenance["rows"], store.provenance["bad_rows"]) == (len(expected), 0)
    store.close()


def test_the_source_is_what_the_script_writes() -> None:
    """The source rows are those that the script gives for its seed."""
    command = [sys.executable, str(SAMPLE / "make_sample.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_small() -> None:
    """What every installation carries stays under a megabyte."""
    assert SAMPLE_PATH.stat().st_size < 1_000_000


# What an agent sees

HIDDEN = "the answer nobody may see"


def reachable(thing: Any) -> list[Any]:
    """Return all data that can be reached from an object, without going through types, modules and functions."""
    seen: dict[int, Any] = {}
    waiting = [thing]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, type | ModuleType) or callable(found):
            continue
        seen[id(found)] = found
        waiting.extend(gc.get_referents(found))
    return list(seen.values())


def use(view: PivotView) -> list[Any]:
    """Ask a view for everything it offers."""
    return [getattr(view, name) for name in dir(view) if not name.startswith("_")]


@pytest.mark.parametrize(
    "expected",
    [
        {"type": "message", "content": HIDDEN},
        {"type": "function_call", "name": HIDDEN, "arguments": json.dumps({"x": HIDDEN})},
        {"type": "function_call_batch", "calls": [{"name": "f", "arguments": json.dumps({HIDDEN: 1})}] * 2},
    ],
    ids=lambda expected: expected["type"],
)
def test_a_view_holds_no_answer(expected: dict[str, Any]) -> None:
    """Neither attributes, slots, representation nor anything reachable from a view has the answer or metadata."""
    row = {
        "responses_create_params": {"input": "Hi", "tools": [], "metadata": {"answer": HIDDEN}},
        "expected_action": expected,
        "pass_rate": 0.5,
        "notes": [HIDDEN],
        "trajectory_id": 1,
    }
    pivot = Pivot.from_row(row)
    view = pivot.view()
    offered = use(view)
    for thing in (repr(view), str(view), repr(offered), repr(dir(view)), repr(pivot), f"{view}"):
        assert HIDDEN not in thing
    assert not hasattr(view, "__dict__")
    assert not hasattr(view, "expected_action")
    assert not any(isinstance(found, Pivot) for found in reachable(view))
    assert not any(HIDDEN in found for found in reachable(view) if isinstance(found, str))


def test_no_view_of_the_sample_holds_its_answer(pivots: list[Pivot]) -> None:
    """No expected message of the sample is in its own view, and no metadata is in any."""
    for pivot in pivots:
        everything = "\n".join(map(json.dumps, use(pivot.view())))
        if len(pivot.expected_action.message or "") >= 20:
            assert json.dumps(pivot.expected_action.message)[1:-1] not in everything, pivot.id
        for name in pivot.metadata:
            assert name == "info" or f'"{name}"' not in everything
