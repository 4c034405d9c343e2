"""A test takes as long as its own call, whenever that was made and however long it was waited for."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from noting_agents import agent, notes, pivots

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

AT_ONCE, IN_TURN = 8, 5
CALL_S = 0.25

# All calls are under way together, and each then takes its own time; p5 raises in the end.
TOGETHER = f"""
crowd = Crowd({AT_ONCE})

def end(pivot):
    note("ended", pivot)
    if pivot.id == "p5":
        raise RuntimeError("no answer")
    return right(pivot) if pivot.id != "p6" else None

def by_thread(pivot):
    crowd.meet(pivot)
    time.sleep({CALL_S} if pivot.id != "p3" else {3 * CALL_S})
    return end(pivot)

async def by_task(pivot):
    await crowd.meet_async(pivot)
    await asyncio.sleep({CALL_S} if pivot.id != "p3" else {3 * CALL_S})
    return end(pivot)
"""


@pytest.mark.parametrize(
    ("kind", "args"),
    [("by_thread", []), ("by_task", ["-n1"])],
    ids=["sync", "async-n1"],
)
def test_calls_at_once(project: Project, kind: str, args: list[str]) -> None:
    """Tests whose calls were made together show each call's own latency."""
    if args:
        pytest.importorskip("xdist.plugin")
    option = agent(project, f"{TOGETHER}\nanswer = {kind}\n")
    data = pivots(project, AT_ONCE)
    began = time.monotonic()
    options = [data, option, f"--fc-concurrency={AT_ONCE}", "--durations=3", "--durations-min=0.1", "-v", *args]
    result, outcomes = project.run_cases(*options)
    took = time.monotonic() - began
    assert {name: outcome for name, outcome in outcomes.items() if outcome != "passed"} == {
        "p5": "error",
        "p6": "failure",
    }
    times = {case.attrib["name"]: float(case.attrib["time"]) for case in project.junit().iter("testcase")}
    long = times.pop("p3")
    assert 3 * CALL_S <= long < took
    assert all(CALL_S <= seconds < 2 * CALL_S for seconds in times.values()), times
    # pytest's own list: the slowest are the calls, first the one that was waited for longest
    slowest = re.findall(r"(\d+\.\d+)s (setup|call) +\S+::(p\d)", result.stdout.str())
    assert slowest[0][1:] == ("call", "p3")
    assert float(slowest[0][0]) == pytest.approx(long, abs=0.02)
    assert len(slowest) == 3
    assert all(CALL_S <= float(seconds) < 2 * CALL_S for seconds, _, _ in slowest[1:])


def test_calls_in_turn(project: Project) -> None:
    """With one call at a time, the tests' times add up to the run's: no wait is counted twice."""
    option = agent(
        project,
        "async def answer(pivot):\n    note('asked', pivot)\n    await asyncio.sleep(0.1)\n    return right(pivot)",
    )
    _, outcomes = project.run_cases(pivots(project, IN_TURN), option, "--fc-concurrency=1")
    assert set(outcomes.values()) == {"passed"}
    times = [float(case.attrib["time"]) for case in project.junit().iter("testcase")]
    assert all(0.1 <= seconds < 0.3 for seconds in times), times
    suite = project.junit().find("testsuite")
    assert suite is not None
    assert sum(times) <= 1.05 * float(suite.attrib["time"])
    assert len(notes(project, "asked")) == IN_TURN


def test_a_call_that_was_waited_for_by_nobody(project: Project) -> None:
    """A call that was over before its test came shows its latency all the same, and its own fixtures' time is kept."""
    project.write(
        "conftest.py",
        """
import time
import pytest

@pytest.fixture(autouse=True)
def slow_fixture(request):
    if request.node.name == "p0":
        time.sleep(0.5)
    yield
""",
    )
    code = """
def answer(pivot):
    time.sleep(0.2)
    return right(pivot)
"""
    project.run_cases(pivots(project, 4), agent(project, code), "--fc-concurrency=4")
    times = {case.attrib["name"]: float(case.attrib["time"]) for case in project.junit().iter("testcase")}
    assert times["p0"] >= 0.7
    assert all(0.2 <= times[name] < 0.5 for name in ("p1", "p2", "p3")), times
