"""What a session costs before its first test: no module is imported in vain, and none of the package's is rewritten."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

AGENT = """
def answer(pivot):
    return "Certainly."
"""
# Imported by the plugin before it has told Python to import the rest as it is written.
BEFORE = ["pytest_fcpivot.core", "pytest_fcpivot.core.as_written", "pytest_fcpivot.plugin"]
CONFTEST = """
import sys

def pytest_unconfigure():
    ours = sorted(name for name in sys.modules if name.startswith("pytest_fcpivot."))
    rewritten = [name for name in ours if imported_by(name).startswith("_pytest.")]
    print(f"imported {len(ours)}, rewritten {rewritten}, conftest by {imported_by('conftest')}")

def imported_by(name):
    return type(sys.modules[name].__spec__.loader).__module__
"""
# In one process, as tools do that call pytest: the first imports nothing of what the second needs.
TWICE = """
import sys
import pytest

assert pytest.main(["-q", "test_mine.py"]) == 0
sys.exit(pytest.main(["-q", "-s", "--fc-agent=agent:answer", "--fc-limit=1"]))
"""


@pytest.fixture
def watched(project: Project) -> Project:
    """Return a project that says at the end of a session how many modules of ours were imported, and how."""
    project.write("agent.py", AGENT)
    project.write("conftest.py", CONFTEST)
    project.write("test_mine.py", "def test_mine():\n    pass\n")
    return project


def _is_told(result: pytest.RunResult, rewritten: list[str]) -> None:
    lines = [line for line in result.outlines if line.startswith("imported ")]
    assert lines
    for line in lines:
        imported = int(line.removeprefix("imported ").partition(",")[0])
        assert imported > 50  # or the session ran no pivot
        assert line.endswith(f"rewritten {rewritten}, conftest by _pytest.assertion.rewrite")


@pytest.mark.parametrize(
    ("autoload", "arguments", "rewritten"),
    [
        (True, [], BEFORE),
        (True, ["-o", "python_files=*.py"], BEFORE),
        (False, ["-p", "pytest_fcpivot.plugin"], ["pytest_fcpivot.plugin"]),  # all that pytest is told of
    ],
    ids=["entry point", "every file is a test", "no autoload"],
)
def test_modules_as_written(
    watched: Project, monkeypatch: pytest.MonkeyPatch, autoload: bool, arguments: list[str], rewritten: list[str]
) -> None:
    """Of this package, pytest rewrites no more than what has to come first, and a user's conftest as ever."""
    if not autoload:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    run = ["-s", "--fc-agent=agent:answer", "--fc-limit=1", *arguments]
    result = watched.pytester.run(sys.executable, "-m", "pytest", *run, timeout=60)
    assert result.ret == 0
    _is_told(result, rewritten)


def test_modules_as_written_in_a_later_session(watched: Project) -> None:
    """A process that runs several sessions imports what a later one needs as it is written, too."""
    script = watched.write("twice.py", TWICE)
    result = watched.pytester.run(sys.executable, str(script), timeout=60)
    assert result.ret == 0
    *_, last = (line for line in result.outlines if line.startswith("imported "))
    assert int(last.removeprefix("imported ").partition(",")[0]) > 50
    assert f"rewritten {BEFORE}, conftest by" in last


def test_modules_as_written_in_workers(watched: Project) -> None:
    """Each worker of pytest-xdist imports the package as it is written."""
    pytest.importorskip("xdist")
    watched.write("conftest.py", CONFTEST.replace("    print(f", "    open(f'told-{id(sys)}', 'w').write(f"))
    run = ["-n1", "--fc-agent=agent:answer", "--fc-limit=1"]
    result = watched.pytester.run(sys.executable, "-m", "pytest", *run, timeout=60)
    assert result.ret == 0
    told = [path.read_text() for path in watched.path.glob("told-*")]
    assert len(told) == 2  # the controller's and the worker's
    assert all(f"rewritten {BEFORE}, " in each for each in told)


def test_imports_of_a_pivot(project: Project) -> None:
    """A pivot that a plain function answers in words imports no client, event loop, judge, retries or schemas."""
    project.write("agent.py", AGENT)
    run = ["--fc-agent=agent:answer", "--fc-limit=1", "-p", "no:anyio", "-p", "no:hypothesispytest", "-p", "no:syrupy"]
    result = project.pytester.run(sys.executable, "-X", "importtime", "-m", "pytest", *run, timeout=60)
    assert result.ret == 0
    modules = {line.rpartition("|")[2].strip() for line in result.errlines}
    assert "pytest_fcpivot.session.hooks" in modules
    assert not modules & {"asyncio", "jsonschema", "openai", "tenacity"}
    unused = ("agents.openai", "agents.rules", "core.dialects", "graders.judge", "audit", "cli", "data.preparing")
    assert not [name for name in modules if name.startswith(tuple(f"pytest_fcpivot.{each}" for each in unused))]
