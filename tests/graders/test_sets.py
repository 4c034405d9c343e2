"""The verifier's settings by data set: exact names alone, and what a file of several sets asks for."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_fcpivot import Pivot
from pytest_fcpivot.core.errors import GraderError
from pytest_fcpivot.data.sources import KNOWN
from pytest_fcpivot.graders import describe_grader, make_grader, meaning_of
from pytest_fcpivot.graders.sets import asked_by, listed, settings_for, settings_of_pivot, settings_of_set

TOOLCALL = "toolcall_schema_single_step_tool_use_with_argument_comparison_agent"
SWE = "single_step_tool_use_with_argument_comparison_swe"
THRESHOLD = "word_count_similarity_threshold"
FUNCTION_CALLING = "nvidia/Nemotron-RL-Agentic-Function-Calling-Pivot-v1"
SWE_SET = "nvidia/Nemotron-RL-Agentic-SWE-Pivot-v1"


@pytest.mark.parametrize(
    ("name", "threshold"),
    [
        (TOOLCALL, 0.1),
        (SWE, 0.0),
        (FUNCTION_CALLING, 0.1),
        ("nvidia/Nemotron-RL-Agentic-Conversational-Tool-Use-Pivot-v1", 0.1),
        (SWE_SET, 0.0),
        (f" {SWE}", None),
        (SWE.upper(), None),
        (f"{SWE}_agent", None),
        ("swe_pivot", None),  # a verifier of NeMo Gym's own, which is looser
        ("swe", None),
        ("parallel", None),
        ("someone/Nemotron-RL-Agentic-SWE-Pivot-v1", None),
        ("", None),
    ],
)
def test_names_in_data(name: str, threshold: float | None) -> None:
    """Only exact names of agents and of sets, with their owner, are known."""
    assert settings_for(name) == (None if threshold is None else {THRESHOLD: threshold})


def test_every_pivot_set_that_prepare_knows_has_settings() -> None:
    """Each set of pivots among the names of `prepare` is known by what the Hub calls it."""
    repos = [known.repo for known in KNOWN.values() if "Pivot" in known.repo]
    assert len(repos) == 3
    assert all(settings_for(repo) for repo in repos)


@pytest.mark.parametrize(
    ("name", "threshold"), [("toolcall_schema", 0.1), ("swe", 0.0), ("droid", 0.0), ("search", 0.3), (SWE_SET, 0.0)]
)
def test_configurations(name: str, threshold: float) -> None:
    """A user may name a configuration, or a set or agent that is known."""
    assert settings_of_set(name) == {THRESHOLD: threshold}


def test_the_parallel_configuration() -> None:
    """It judges calls in any order and counts them, by f1, so that its rewards are not only 0 and 1."""
    grader = make_grader("nemo-gym", **settings_of_set("parallel"))
    assert (grader.name, grader.binary) == ("nemo-gym:any-order", False)
    assert meaning_of(describe_grader(grader, settings_of_set("parallel")))["settings"] == {
        THRESHOLD: 0.1,
        "parallel_tool_call_rewarding": True,
        "allow_subset": True,
        "allow_superset": True,
        "parallel_tool_call_reward_mode": "f1",
    }


@pytest.mark.parametrize("name", ["swe-pivot-v1", "", 3.0, True, [], {"swe": 1}])
def test_no_such_configuration(name: Any) -> None:
    """Another name is refused, and the known ones are listed."""
    with pytest.raises(
        GraderError, match=rf"^set={re.escape(str(name))}: .*known: toolcall_schema, swe, droid, search, parallel, "
    ):
        settings_of_set(name)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("a", "a"),
        ("ab", "a or b"),
        ("abc", "a, b or c"),
        ("abcd", "a, b, c or 1 more"),
        ("abcdefgh", "a, b, c or 5 more"),
    ],
)
def test_a_list_of_names(names: str, text: str) -> None:
    """Up to three names are written out, and the others counted."""
    assert listed(list(names), "or") == text


@pytest.mark.parametrize(("agent_ref", "threshold"), [({"name": SWE}, 0.0), ({"name": "x"}, 0.1), (None, 0.1)])
def test_one_pivot(agent_ref: Any, threshold: float) -> None:
    """A pivot alone has the settings of the agent that its row names, or the first."""
    row = {
        "responses_create_params": {"input": "hello"},
        "expected_action": {"type": "message", "content": "hello"},
        "agent_ref": agent_ref,
    }
    assert settings_of_pivot(Pivot.from_row(row)) == {THRESHOLD: threshold}


LOCAL = {"repo": None, "sha256": "00" * 32}
HASHED = {"repo": None, "sha256": KNOWN["swe-pivot-v1"].sha256["train.jsonl"]}


@pytest.mark.parametrize(
    ("agents", "sources", "asked"),
    [
        ({SWE: 3}, [LOCAL], [(0.0, f"agent_ref {SWE}", 3)]),
        ({SWE: 3, TOOLCALL: 2}, [LOCAL], [(0.0, f"agent_ref {SWE}", 3), (0.1, f"agent_ref {TOOLCALL}", 2)]),
        ({None: 3}, [LOCAL], [(0.1, "the default: the data name no set", 3)]),
        ({None: 3}, [], [(0.1, "the default: the data name no set", 3)]),
        ({"b": 3, "a": 2}, [LOCAL], [(0.1, "the default: no settings are known for agent_ref a or agent_ref b", 5)]),
        ({None: 3}, [{"repo": SWE_SET}], [(0.0, f"set {SWE_SET}", 3)]),
        ({"a": 3}, [{"repo": SWE_SET}, {"repo": SWE_SET}], [(0.0, f"set {SWE_SET}", 3)]),
        ({None: 3}, [HASHED], [(0.0, f"set {SWE_SET}", 3)]),
        # the row's own agent decides
        ({TOOLCALL: 3}, [{"repo": SWE_SET}], [(0.1, f"agent_ref {TOOLCALL}", 3)]),
        (
            {SWE: 1, None: 2},
            [{"repo": "someone/else"}],
            [
                (0.0, f"agent_ref {SWE}", 1),
                (0.1, "the default: no settings are known for set someone/else", 2),
            ],
        ),
        (
            {None: 2},
            [{"repo": SWE_SET}, LOCAL],
            [(0.0, f"set {SWE_SET}", 2), (0.1, "the default: the data name no set", 2)],
        ),
        ({}, [LOCAL], []),
    ],
)
def test_what_a_file_asks_for(
    agents: dict[str | None, int], sources: list[dict[str, Any]], asked: list[tuple[float, str, int]]
) -> None:
    """A known agent decides, else the set by its name or by its file's hash, else the default is taken."""
    found = [(one.settings[THRESHOLD], one.cause, one.pivots) for one in asked_by(agents, sources)]
    assert found == asked


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {THRESHOLD: 0.1}, True),
        ({THRESHOLD: 0.1}, {THRESHOLD: 0.1, "allow_subset": False}, True),
        ({}, {THRESHOLD: 0.0}, False),
        ({THRESHOLD: 0.0}, {THRESHOLD: 0}, True),
    ],
)
def test_what_recorded_settings_mean(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    """Settings that were left out are the defaults, and why a grader has its settings makes no difference."""
    graders = [
        {"name": "nemo-gym:any-order", "settings": one},
        {"name": "nemo-gym:any-order", "settings": other, "cause": "set x"},
    ]
    assert (meaning_of(graders[0]) == meaning_of(graders[1])) == same


@pytest.mark.parametrize(
    "described",
    [None, [], {}, {"name": 3}, {"name": "nemo-gym:old", "settings": {}}, {"name": "nemo-gym", "settings": {"x": 1}}],
)
def test_a_grader_that_is_not_one(described: Any) -> None:
    """What is recorded and means no grader is compared as it is."""
    assert meaning_of(described) == described
