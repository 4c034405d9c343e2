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
# The plugin's name is all that pytest knows of the package when it begins, so it cannot be imported in another way.
AS_WRITTEN = "rewritten ['pytest_fcpivot.plugin'], conftest by _pytest.assertion.rewrite"
CONFTEST = """
import os
import sys

def pytest_unconfigure():
    ours = sorted(name for name in sys.modules if name.startswith("pytest_fcpivot."))
    rewritten = [name for name in ours if imported_by(name).startswith("_pytest.")]
    print(f"{len(ours)} modules: rewritten {rewritten}, conftest by {imported_by('conftest')}")

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


def _told(lines: list[str]) -> list[str]:
    """Return what was said at the end of each session, or what kept it from running a pivot."""
    told = [line.partition(" modules: ") for line in lines if " modules: " in line]
    return [text if int(number) > 50 else f"no more than {number} were imported" for number, _, text in told]


@pytest.mark.parametrize(
    ("autoload", "arguments"),
    [(True, []), (True, ["-o", "python_files=*.py"]), (False, ["-p", "pytest_fcpivot.plugin"])],
    ids=["entry point", "every file is a test", "no autoload"],
)
def test_modules_as_written(
    watched: Project, monkeypatch: pytest.MonkeyPatch, autoload: bool, arguments: list[str]
) -> None:
    """Of this package, pytest rewrites no more than what has to come first, and a user's conftest as ever."""
    if not autoload:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    run = ["-s", "--fc-agent=agent:answer", "--fc-limit=1", *arguments]
    result = watched.pytester.run(sys.executable, "-m", "pytest", *run, timeout=60)
    assert result.ret == 0
    assert _told(result.outlines) == [AS_WRITTEN]


def test_modules_as_written_in_a_later_session(watched: Project) -> None:
    """A process that runs several sessions imports what a later one needs as it is written, too."""
    script = watched.write("twice.py", TWICE)
    result = watched.pytester.run(sys.executable, str(script), timeout=60)
    assert result.ret == 0
    *_, last = _told(result.outlines)
    assert last == AS_WRITTEN


def test_modules_as_written_in_workers(watched: Project) -> None:
    """Each worker of pytest-xdist imports the package as it is written."""
    pytest.importorskip("xdist")
    watched.write("conftest.py", CONFTEST.replace("    print(f", "    open(f'told-{os.getpid()}', 'w').write(f"))
    run = ["-n1", "--fc-agent=agent:answer", "--fc-limit=1"]
    result = watched.pytester.run(sys.executable, "-m", "pytest", *run, timeout=60)
    assert result.ret == 0
    told = [path.read_text() for path in watched.path.glob("told-*")]
    assert _told(told) == [AS_WRITTEN] * 2  # of the controller and of the worker


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
