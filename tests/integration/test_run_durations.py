"""A test takes as long as its own call, whenever that was made and however long it was waited for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from noting_agents import agent, notes, pivots

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

AT_ONCE, IN_TURN = 8, 5
CALL_S = 0.25
AROUND_S = 0.4  # what a busy machine may add to a call's own time, and less than what would be counted by mistake

# All calls are under way together, and each then takes its own time: p3 until all others have ended, and as long again
# as they. p5 raises in the end. What each call took is noted.
TOGETHER = f"""
crowd = Crowd({AT_ONCE})

@contextmanager
def timed(pivot):
    began = time.perf_counter()
    try:
        yield
    finally:
        note("took", f"{{pivot.id}}={{time.perf_counter() - began}}")

def pauses(pivot):
    yield {CALL_S}
    if pivot.id == "p3":
        give_up = time.monotonic() + LONG
        while noted("ended") < {AT_ONCE - 1}:
            assert time.monotonic() < give_up
            yield 0.01
        yield {2 * CALL_S}

def end(pivot):
    note("ended", pivot)
    if pivot.id == "p5":
        raise RuntimeError("no answer")
    return right(pivot) if pivot.id != "p6" else None

def by_thread(pivot):
    with timed(pivot):
        crowd.meet(pivot)
        for seconds in pauses(pivot):
            time.sleep(seconds)
        return end(pivot)

async def by_task(pivot):
    with timed(pivot):
        await crowd.meet_async(pivot)
        for seconds in pauses(pivot):
            await asyncio.sleep(seconds)
        return end(pivot)
"""


def _shown(project: Project) -> dict[str, float]:
    """Return each test's time, as JUnit has it."""
    return {case.attrib["name"]: float(case.attrib["time"]) for case in project.junit().iter("testcase")}


def _own(project: Project) -> dict[str, float]:
    """Return what each call took, as the agent noted it."""
    return {name: float(seconds) for name, _, seconds in (note.partition("=") for note in notes(project, "took"))}


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
    options = [data, option, f"--fc-concurrency={AT_ONCE}", "--durations=3", "--durations-min=0.1", "-v", *args]
    result, outcomes = project.run_cases(*options)
    assert {name: outcome for name, outcome in outcomes.items() if outcome != "passed"} == {
        "p5": "error",
        "p6": "failure",
    }
    times, own = _shown(project), _own(project)
    assert own["p3"] > max(seconds for name, seconds in own.items() if name != "p3") + CALL_S
    assert all(own[name] - 0.01 <= times[name] < own[name] + AROUND_S for name in own), (times, own)
    # pytest's own list: the slowest are the calls, first the one that was waited for longest
    slowest = re.findall(r"(\d+\.\d+)s (setup|call) +\S+::(p\d)", result.stdout.str())
    assert slowest[0][1:] == ("call", "p3")
    assert len(slowest) == 3
    assert all(float(seconds) >= own[name] - 0.02 for seconds, when, name in slowest if when == "call")


def test_calls_in_turn(project: Project) -> None:
    """With one call at a time, the tests' times add up to the run's: no wait is counted twice."""
    option = agent(
        project,
        "async def answer(pivot):\n    note('asked', pivot)\n    await asyncio.sleep(0.1)\n    return right(pivot)",
    )
    _, outcomes = project.run_cases(pivots(project, IN_TURN), option, "--fc-concurrency=1")
    assert set(outcomes.values()) == {"passed"}
    times = [float(case.attrib["time"]) for case in project.junit().iter("testcase")]
    assert all(seconds >= 0.1 for seconds in times), times
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
        time.sleep(0.8)
    yield
""",
    )
    code = """
def answer(pivot):
    began = time.perf_counter()
    time.sleep(0.2)
    note("took", f"{pivot.id}={time.perf_counter() - began}")
    return right(pivot)
"""
    project.run_cases(pivots(project, 4), agent(project, code), "--fc-concurrency=4")
    times, own = _shown(project), _own(project)
    assert times["p0"] >= own["p0"] + 0.79
    assert all(own[name] - 0.01 <= times[name] < own[name] + AROUND_S for name in ("p1", "p2", "p3")), (times, own)
