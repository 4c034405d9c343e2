"""What an agent prints and logs shows under its own test, though calls start ahead of their tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

TALKATIVE = """
import asyncio, logging, sys, threading, time

def answer(pivot):
    print(f"to stdout for {pivot.id}.")
    time.sleep(0.002)
    print(f"to stderr for {pivot.id}.", file=sys.stderr)
    logging.getLogger("agent").warning("logged for %s.", pivot.id)

async def answer_async(pivot):
    print(f"to stdout for {pivot.id}.")
    await asyncio.sleep(0.002)
    print(f"to stderr for {pivot.id}.", file=sys.stderr)
    await asyncio.to_thread(logging.getLogger("agent").warning, "logged for %s.", pivot.id)
"""
COUNT = 40


@pytest.mark.parametrize("agent", ["answer", "answer_async"])
def test_output_shows_under_its_own_test(project: Project, plugin_args: list[str], agent: str) -> None:
    """Each failing test shows its own agent's output and log, and nothing of a neighbour's."""
    project.data(project.trajectories(COUNT))
    project.write("talkative.py", TALKATIVE)
    project.run_here("--fc-data=pivots.jsonl", f"--fc-agent=talkative:{agent}", "--junitxml=cases.xml", *plugin_args,
                "-ojunit_logging=all")  # fmt: skip
    for case in project.junit().iter("testcase"):
        name = case.attrib["name"]
        said = "".join(case.itertext())
        for channel in ("to stdout", "to stderr", "logged"):
            assert re.findall(rf"{channel} for (\S+)\.", said) == [name]


def test_output_without_capturing(project: Project) -> None:
    """With -s, what agents print goes to the terminal, all of it and in the order of the tests."""
    project.data(project.trajectories(COUNT))
    project.write("talkative.py", TALKATIVE)
    result = project.run("--fc-data=pivots.jsonl", "--fc-agent=talkative:answer", "-s", "--tb=no", "-rN")
    assert re.findall(r"to stdout for (\S+)\.", result.stdout.str()) == [f"talk0-d{n}" for n in range(COUNT)]


def test_the_users_own_output_is_left_alone(project: Project) -> None:
    """What a user's fixture prints while agents run ahead shows under the test that the fixture serves."""
    project.data(project.trajectories(COUNT))
    project.write("talkative.py", TALKATIVE)
    project.write(
        "conftest.py",
        """
import pytest

@pytest.fixture(autouse=True)
def around(request):
    print(f"before {request.node.name}.")
    yield
    print(f"after {request.node.name}.")
""",
    )
    options = ["--fc-data=pivots.jsonl", "--fc-agent=talkative:answer"]
    project.run_here(*options, "--junitxml=cases.xml", "-ojunit_logging=all")
    for case in project.junit().iter("testcase"):
        said = "".join(case.itertext())
        name = case.attrib["name"]
        assert re.findall(r"(before \S+|to stdout for \S+|after \S+)\.", said) == [
            f"before {name}", f"to stdout for {name}", f"after {name}",
        ]  # fmt: skip


def test_output_that_utf8_cannot_hold(project: Project, plugin_args: list[str]) -> None:
    """Lone surrogates in what an agent prints, logs and gives as a reason end neither the run nor a worker."""
    project.data(project.trajectories(4))
    project.write(
        "odd.py",
        """
import logging, sys
import pytest

def answer(pivot):
    if pivot.id.endswith("d3"):
        pytest.skip("skipped \\ud800")
    print("printed \\ud800")
    print("to stderr \\udfff", file=sys.stderr)
    logging.getLogger("odd").warning("logged \\ud800 %s", pivot.id)
""",
    )
    # in a process of its own: what a session prints in this one is a part of this test's report, too
    result = project.run("--fc-data=pivots.jsonl", "--fc-agent=odd:answer", *plugin_args)
    result.assert_outcomes(failed=3, skipped=1)
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
