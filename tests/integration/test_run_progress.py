"""How far a run is, while it runs: a live line under pytest's output on a terminal, and lines in a log."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest
from terminal import Terminal

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

# Answers as the puppet does, but waits at a pivot until the test has written a file with its id.
WAITING = """
import asyncio
from pathlib import Path
from puppet import answer as told

async def answer(pivot):
    while not Path(f"go {pivot.id}").exists():
        await asyncio.sleep(0.01)
    return told(pivot)
"""
TALKATIVE = """
import logging
import os
from puppet import answer as told

def answer(pivot):
    print("the agent says", pivot.id, "€" * 30)
    logging.getLogger("agent").warning("logged for %s", pivot.id)
    return told(pivot)
"""
# Each answer takes longer than the time in which results are counted once.
SLOW = """
import time
from puppet import answer as told

def answer(pivot):
    time.sleep(0.3)
    message = {"role": "assistant", "content": told(pivot)}
    return {"choices": [{"message": message}], "usage": {"prompt_tokens": 10, "completion_tokens": 2}}
"""
# What users' own code writes past the capture, whole lines and parts of them.
TALKATIVE_HOOKS = """
import os
import sys

def pytest_runtest_logreport(report):
    if report.when == "call" and "PYTEST_XDIST_WORKER" not in os.environ:
        print("a hook says", report.nodeid, file=sys.stderr)
        print("and half a line", end="", flush=True)
"""


def _waiting(project: Project, count: int) -> list[str]:
    project.write("waiting.py", WAITING)
    options = project.puppet(project.trajectories(*[1] * count))
    return [options[0], "--fc-agent=waiting:answer", "--fc-run=none"]


def _let_go(project: Project, *ids: str) -> None:
    for name in ids:
        project.write(f"go {name}", "")


@pytest.mark.parametrize(
    ("columns", "args"),
    [
        (80, []),
        (40, ["-v"]),
        (80, ["-s"]),
        (80, ["-q", "-x"]),
        (80, ["-v", "-n1"]),
        (60, ["-olog_cli=1"]),
    ],
    ids=str,
)
def test_the_output_is_as_without_the_line(project: Project, columns: int, args: list[str]) -> None:
    """What is left in the terminal at the end is what a session without the line leaves, whatever else is written."""
    if "-n1" in args:
        pytest.importorskip("xdist.plugin")
    project.write("talkative.py", TALKATIVE)
    project.write("conftest.py", TALKATIVE_HOOKS)
    told = [None, "say something else", None, None]
    rows = [project.row(f'call add {{"a": {n}}}', told[n % 4], id=f"{n} {'x' * n}") for n in range(30)]
    options = [project.puppet(rows)[0], "--fc-agent=talkative:answer", "--fc-run=none", "-pno:cacheprovider"]
    project.run_here(*options, "--collect-only")  # which prepares the data, with a line of its own
    texts = []
    for progress in ("off", "auto"):
        with Terminal(project, *options, *args, f"--fc-progress={progress}", columns=columns) as terminal:
            assert terminal.end() == pytest.ExitCode.TESTS_FAILED
            texts.append(re.sub(r"\bin \d+\.\d+s( =*)?", "in <time>", terminal.text))
            assert terminal.is_as_before
            assert (b"\x1b7" in terminal.written) == (progress == "auto")  # it was there
    assert texts[1] == texts[0]


def test_the_line(project: Project) -> None:
    """It shows results and calls as they are, follows the terminal's width, and Ctrl-C leaves nothing of it."""
    with Terminal(project, *_waiting(project, 40), "--fc-concurrency=3") as terminal:
        terminal.wait_for(r"pivots 0/40 \| 3 calls under way$")
        assert terminal.cursor_row == terminal.lines[-2] == "pivots.jsonl"
        _let_go(project, *(f"talk{n}-d0" for n in range(5)))
        terminal.wait_for(r"5/40 \| reward 1\.000 \(0\.\d\d-1\.00\) \| 3 calls(?: \| \d+:\d\d left)?$")
        assert terminal.cursor_row == terminal.lines[-2] == "pivots.jsonl ....."
        terminal.resize(120)
        terminal.wait_for(r"pivots 5/40 \| mean reward 1\.0000 so far \(95 % interval .*\) \| 3 calls under way")
        terminal.resize(24)
        terminal.wait_for(r"5/40$")
        terminal.resize(80)
        terminal.wait_for(r"5/40 \| reward")
        terminal.type("\x03")
        assert terminal.end() == pytest.ExitCode.INTERRUPTED
        assert "KeyboardInterrupt" in terminal.text
        assert "5/40 |" not in terminal.text
        assert terminal.is_as_before


def test_the_line_with_workers(project: Project) -> None:
    """The controller shows what it knows: the results, and not the calls under way in workers."""
    pytest.importorskip("xdist.plugin")
    with Terminal(project, *_waiting(project, 6), "-n1", "--fc-concurrency=1") as terminal:
        terminal.wait_for(r"pivots 0/6$")
        _let_go(project, "talk0-d0", "talk1-d0")
        line = terminal.wait_for(r"(?:pivots )?2/6 \| (?:mean )?reward 1\.0.*").group()
        assert "call" not in line
        _let_go(project, *(f"talk{n}-d0" for n in range(2, 6)))
        assert terminal.end() == pytest.ExitCode.OK
        assert "2/6 |" not in terminal.text


def test_the_line_while_one_debugs(project: Project) -> None:
    """A debugger has the terminal to itself, and the line comes back after it."""
    options = project.puppet(project.rows({"one": ("say hello", "nothing"), "two": ("say hello", "hangs")}))
    with Terminal(project, *options, "--fc-run=none", "--pdb", "--fc-timeout=0") as terminal:
        terminal.wait_for(r"\(Pdb\)")
        terminal.type("continue\n")
        terminal.wait_for(r"(pivots )?1/2 \| .* \| 1 call")
        assert "pivots 0/2" not in terminal.text


def test_the_line_when_a_hook_fails(project: Project) -> None:
    """An internal error of pytest's leaves nothing of the line."""
    options = _waiting(project, 2)
    project.write("conftest.py", "def pytest_runtest_logfinish():\n    raise RuntimeError('a broken hook')\n")
    with Terminal(project, *options) as terminal:
        terminal.wait_for(r"pivots 0/2 \|")
        _let_go(project, "talk0-d0", "talk1-d0")
        assert terminal.end() == pytest.ExitCode.INTERNAL_ERROR
        assert "a broken hook" in terminal.text
        assert "pivots 0/2" not in terminal.text
        assert terminal.is_as_before


def test_the_line_of_a_process_that_is_killed(project: Project) -> None:
    """A process that is killed leaves the terminal as it was, with the cursor above the line."""
    with Terminal(project, *_waiting(project, 2)) as terminal:
        terminal.wait_for(r"pivots 0/2 \|")
        terminal.wait_for_cursor_in("pivots.jsonl")  # a line can be seen before the last of its drawing is written
        terminal.process.send_signal(signal.SIGKILL)
        assert terminal.end() == -signal.SIGKILL
        assert terminal.is_as_before
        assert terminal.cursor_row == "pivots.jsonl"


@pytest.mark.parametrize("variable", ["CI=true", "TERM=dumb"])
def test_a_terminal_that_nobody_looks_at(project: Project, variable: str) -> None:
    """In CI, and where text cannot be replaced, no live line is drawn, even if there is a terminal."""
    options = project.puppet(project.trajectories(3))
    with Terminal(project, *options, "--fc-run=none", env=dict([variable.split("=")])) as terminal:
        assert terminal.end() == pytest.ExitCode.OK
        assert b"\x1b7" not in terminal.written


# -------------------------------------------------------------------- in a log

LINE = r"fcpivot: pivots (\d+)/(\d+) after 0:\d\d \| "


def test_lines_in_a_log(project: Project) -> None:
    """In a log, a line of its own says now and then how far the run is, with what the gate still needs."""
    project.write("slow.py", SLOW)
    rows = project.rows({"one": ("say hello", None), "two": ("say hello", "nothing"), "three": ("say hello", "raises")})
    options = [project.puppet(rows)[0], "--fc-agent=slow:answer", "--fc-run=none", "--fc-concurrency=1"]
    gate = ["--fc-fail-under=0.9", "--fc-min-pivots=1", "--fc-price=1000/1000/2000 EUR"]
    result = project.run_here(*options, *gate, "--fc-progress=0.000001")
    lines = [line for line in result.outlines if re.match(r"fcpivot: pivots \d", line)]
    shown = [re.sub(r"0:\d\d| \d calls? under way \|", "", line) for line in lines]
    assert shown == [
        (
            "fcpivot: pivots 1/3 after  | mean reward 1.0000 so far (95 % interval 0.0000 to 1.0000) |"
            " tokens: 10 in, 2 out | cost 0.01 of about 0.04 EUR | gate 0.9: open, the run may end at 0.333 to 1.000"
        ),
        (
            "fcpivot: pivots 2/3 after  | mean reward 0.5000 so far (95 % interval 0.0015 to 0.9985) |"
            " tokens: 20 in, 4 out | cost 0.03 of about 0.04 EUR | gate 0.9: certain to be missed"
        ),
        (
            "fcpivot: pivots 3/3 after  | mean reward 0.5000 so far (95 % interval 0.0015 to 0.9985) | 1 error |"
            " tokens: 20 in, 4 out | cost 0.03 of about 0.03 EUR | gate 0.9: certain to be missed"
        ),
    ]
    assert [line for line in result.outlines if re.fullmatch(r"[.FE]( +\[.*)?", line)] == ["F", "E"]


@pytest.mark.parametrize("args", [["--fc-progress=off"], ["--fc-progress=0.000001", "-q", "-q"], []])
def test_no_lines(project: Project, args: list[str]) -> None:
    """Nothing is said if that is turned off, with -q -q, and in a short run."""
    result = project.run_here(*project.puppet(project.trajectories(3)), "--fc-run=none", *args)
    result.stdout.no_fnmatch_line("*fcpivot: pivots */*")
    assert result.ret == pytest.ExitCode.OK


def test_a_line_while_a_test_waits(project: Project) -> None:
    """Where no result comes, a line past the capture says that calls are under way."""
    with Terminal(project, *_waiting(project, 2), "--fc-progress=0.1") as terminal:
        terminal.wait_for(r"fcpivot: pivots 0/2 after 0:\d\d \| 2 calls under way$")
        assert b"\x1b7" not in terminal.written
        _let_go(project, "talk0-d0", "talk1-d0")
        assert terminal.end() == pytest.ExitCode.OK
