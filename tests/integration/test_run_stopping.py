"""Runs that stop early: few calls beyond those that were needed, a prompt end, nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from noting_agents import agent, notes, pivots, processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from pivot_project import Project

pytest_plugins = ["pivot_project"]

COUNT = 200
CONCURRENCY = 4
WINDOW = 2 * CONCURRENCY  # a generous bound of what may be asked ahead in a run that stops at failures
PROMPT_S = 60.0  # far less than the calls that are under way would take, and more than a busy machine does

# Every call but the first hangs; the first does as it is told when others are under way.
HANGING = """
ENDING = {
    "fails": lambda: {"name": "add", "arguments": {"a": -1}},
    "raises": lambda: 1 / 0,
    "exits-pytest": lambda: pytest.exit("that is enough", 7),
    "hangs": lambda: None,
}

def by_thread(pivot):
    note("asked", pivot)
    if pivot.id != "p0" or ENDS == "hangs":
        time.sleep(600)
    while noted("asked") < 3:
        time.sleep(0.01)
    note("ended", pivot)
    return ENDING[ENDS]()

async def by_task(pivot):
    note("asked", pivot)
    try:
        if pivot.id != "p0" or ENDS == "hangs":
            await asyncio.sleep(600)
        while noted("asked") < 3:
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        note("cancelled", pivot)
        raise
    note("ended", pivot)
    return ENDING[ENDS]()
"""


def _hanging(project: Project, kind: str, ends: str, data_size: int = COUNT) -> list[str]:
    option = agent(project, f"ENDS = {ends!r}\n{HANGING}\nanswer = {kind}\n")
    return [pivots(project, data_size), option, f"--fc-concurrency={CONCURRENCY}"]


def _gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def _wait_for(condition: Callable[[], bool]) -> None:
    """Wait, with a bound that only a broken run reaches."""
    give_up = time.monotonic() + PROMPT_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def _check_the_end(project: Project, kind: str, stderr: str, stdout: str) -> None:
    """Check that nothing is left of a run, on the terminal and in the machine."""
    assert stderr == ""
    for trace in ("Traceback", "INTERNALERROR", "Task was destroyed", "never awaited", "Exception ignored"):
        assert trace not in stdout
    for process in processes(project):
        _wait_for(lambda process=process: _gone(process))  # type: ignore[misc] # mypy: a lambda's default
    if kind == "by_task":
        under_way = set(notes(project, "asked")) - set(notes(project, "ended"))
        assert set(notes(project, "cancelled")) == under_way


def _interrupted(
    project: Project, options: list[str], ready: Callable[[], bool], kill: Callable[[int, int], None]
) -> tuple[int, str, str]:
    """Send SIGINT to a session when it is ready: to its group, as a terminal does, or to it alone.

    Returns its exit status and what it wrote.
    """
    command = project.process(*options)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=project.path, start_new_session=True, **pipes) as run:
        try:
            _wait_for(ready)
            kill(run.pid, signal.SIGINT)
            stdout, stderr = run.communicate(timeout=PROMPT_S)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
    return run.returncode, stdout, stderr


@pytest.mark.parametrize(("kind", "ends"), [("by_thread", "raises"), ("by_task", "fails")])
def test_stop_at_the_first_failure(project: Project, kind: str, ends: str) -> None:
    """With -x, a first test that fails ends the run at once, with few calls made and those under way cancelled."""
    began = time.monotonic()
    result = project.run(*_hanging(project, kind, ends), "-x")
    assert time.monotonic() - began < PROMPT_S
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=ends == "fails", errors=ends == "raises")
    asked = notes(project, "asked")
    assert len(asked) == len(set(asked)) <= 1 + WINDOW
    _check_the_end(project, kind, result.stderr.str(), result.stdout.str())


def test_stop_at_the_first_failure_of_several_processes(project: Project) -> None:
    """With -x and workers, a first test that fails ends the run soon: the other worker makes few calls more."""
    pytest.importorskip("xdist.plugin")
    code = """
async def answer(pivot):
    note("asked", pivot)
    if pivot.id == "p0":
        while noted("asked") < 3:
            await asyncio.sleep(0.01)
        note("ended", pivot)
        return None
    await asyncio.sleep(1)  # some time for the news, in which only what fits the window is under way
    return right(pivot)
"""
    options = [pivots(project, COUNT), agent(project, code), f"--fc-concurrency={CONCURRENCY}", "-x", "-n2"]
    result = project.run(*options)
    assert result.ret != pytest.ExitCode.OK
    assert result.parseoutcomes()["failed"] == 1
    asked = notes(project, "asked")
    assert len(asked) == len(set(asked)) <= 2 * (1 + WINDOW)
    for process in processes(project):
        _wait_for(lambda process=process: _gone(process))  # type: ignore[misc] # mypy: a lambda's default


def test_maxfail(project: Project) -> None:
    """With --maxfail=3, no call is made far beyond the third failure."""
    code = """
async def answer(pivot):
    note("asked", pivot)
    await asyncio.sleep(0.01)
    return None if int(pivot.id[1:]) % 5 == 0 else right(pivot)
"""
    options = [pivots(project, COUNT), agent(project, code), f"--fc-concurrency={CONCURRENCY}", "--maxfail=3"]
    result = project.run(*options)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=3, passed=8)
    asked = notes(project, "asked")
    assert len(asked) == len(set(asked)) <= 11 + WINDOW


@pytest.mark.parametrize(
    ("kind", "args"),
    [("by_thread", []), ("by_task", []), ("by_thread", ["-n2"])],
    ids=["sync", "async", "sync-n2"],
)
def test_ctrl_c(project: Project, kind: str, args: list[str]) -> None:
    """Ctrl-C ends a run at once, whatever its calls do, with pytest's exit code, a count, and nothing left behind."""
    if args:
        pytest.importorskip("xdist.plugin")
    options = [*_hanging(project, kind, "hangs"), *args]
    status, stdout, stderr = _interrupted(
        project, options, lambda: len(notes(project, "asked")) >= CONCURRENCY * (2 if args else 1), os.killpg
    )
    assert status == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in stdout
    assert f"passed 0, failed 0, errors 0, not run {COUNT} of {COUNT}\n" in stdout
    assert "INTERNALERROR" not in stdout
    if args:
        for process in processes(project):
            _wait_for(lambda process=process: _gone(process))  # type: ignore[misc] # mypy: a lambda's default
    else:
        _check_the_end(project, kind, stderr, stdout)


def test_an_interrupted_controller(project: Project) -> None:
    """SIGINT to the controller of two workers alone, as `kill -INT` sends it, ends the run with the usual summary."""
    pytest.importorskip("xdist.plugin")
    code = """
def answer(pivot):
    if int(pivot.id[1:]) >= 8:
        note("hangs", pivot)
        time.sleep(600)
    note("ended", pivot)
    return right(pivot)
"""
    options = [pivots(project, 40), agent(project, code), f"--fc-concurrency={CONCURRENCY}", "--fc-run=run"]
    results = project.path / "run" / "results.jsonl"

    def half_done() -> bool:
        return results.exists() and results.read_bytes().count(b"\n") == 8 and len(processes(project)) == 2

    status, stdout, _ = _interrupted(project, [*options, "-n2", "--dist=worksteal"], half_done, os.kill)
    assert status == pytest.ExitCode.INTERRUPTED
    lines = stdout.splitlines()
    assert any(re.match(r"=+ pivots: ", line) for line in lines), stdout
    for line in ("mean reward 1.0000 ", "passed 8, failed 0, errors 0, not run 32 of 40", "run recorded in run"):
        assert any(found.startswith(line) for found in lines), stdout
    assert "run the tests that are missing or ended in an error:  pytest --fc-resume=run" in lines
    assert any("8 passed" in line for line in lines[-1:]), stdout
    assert "INTERNALERROR" not in stdout
    for process in processes(project):
        _wait_for(lambda process=process: _gone(process))  # type: ignore[misc] # mypy: a lambda's default


def test_pytest_exit(project: Project) -> None:
    """An agent that calls pytest.exit ends the run with its message and exit code, and so do calls under way."""
    began = time.monotonic()
    result = project.run(*_hanging(project, "by_task", "exits-pytest", 12))
    assert time.monotonic() - began < PROMPT_S
    assert result.ret == 7
    result.stdout.fnmatch_lines(["*Exit: that is enough*"])
    _check_the_end(project, "by_task", result.stderr.str(), result.stdout.str())


def test_stop_when_calls_are_late(project: Project) -> None:
    """With -x and --fc-timeout, the first call that is late ends the run; the others do not hold it up."""
    result = project.run(*_hanging(project, "by_thread", "hangs"), "-x", "--fc-timeout=0.3", "--fc-retries=0")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(errors=1)
    assert len(notes(project, "asked")) <= 1 + WINDOW
    assert result.stderr.str() == ""
    assert "Traceback" not in result.stdout.str()


def test_late_work_of_a_thread(project: Project) -> None:
    """An async agent whose own thread hangs is late too, and does not keep the process from ending."""
    code = "async def answer(pivot):\n    note('asked', pivot)\n    await asyncio.to_thread(time.sleep, 600)\n"
    result = project.run(pivots(project, 3), agent(project, code), "--fc-timeout=0.3", "--fc-retries=0")
    result.assert_outcomes(errors=3)
    assert result.stderr.str() == ""
