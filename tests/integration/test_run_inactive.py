"""In a project that asks for no pivots the plugin imports almost nothing and does nothing."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

TESTS = """
import pytest

def test_passes():
    assert True

def test_fails():
    assert [1, 2] == [1, 3]

@pytest.mark.skip(reason="not today")
def test_skips():
    pass
"""


def _shown(project: Project, result: pytest.RunResult) -> list[str]:
    return [line for line in project.redact(result.stdout.str()).split("\n") if not line.startswith("plugins:")]


def _files(project: Project) -> set[str]:
    made_by_the_harness = {"stdout", "stderr"}
    return {
        path.relative_to(project.path).as_posix() for path in project.path.rglob("*") if "__pycache__" not in path.parts
    } - made_by_the_harness


def test_imports(project: Project) -> None:
    """Only pytest, the standard library and the plugin's own few modules are imported."""
    project.write("test_mine.py", TESTS)
    result = project.pytester.run(sys.executable, "-I", "-X", "importtime", "-m", "pytest", timeout=60)
    modules = {line.rpartition("|")[2].strip() for line in result.errlines}
    # pytest's rewriting of asserts hides the modules that it rewrites from -X importtime, as the plugin itself
    ours = {name for name in modules if name.startswith("pytest_fcpivot")}
    assert "pytest_fcpivot.session.options" in ours
    own_few = ("hookspecs", "plugin", "options", "options.table", "session", "session.options")
    assert ours <= {"pytest_fcpivot", *(f"pytest_fcpivot.{name}" for name in own_few)}
    assert not modules & {"pyarrow", "jsonschema", "openai", "numpy", "asyncio"}


def test_output_and_files(project: Project, workers: list[str]) -> None:
    """Output and files are those of a run without the plugin, even with data files in the tree."""
    project.write("test_mine.py", TESTS)
    project.data(project.trajectories(2))
    before = _files(project)
    without = project.run("-p", "no:fcpivot", "-p", "no:cacheprovider", *workers)
    with_plugin = project.run("-p", "no:cacheprovider", *workers)
    assert _shown(project, with_plugin) == _shown(project, without)
    with_plugin.assert_outcomes(passed=1, failed=1, skipped=1)
    # paths, and the list of plugins, may hold the word
    assert "pivot" not in re.sub(r"plugins: .*|\S*[/\\]\S*", "", with_plugin.stdout.str())
    assert _files(project) == before


def test_help_and_markers(project: Project) -> None:
    """The options and the markers are in pytest's own help."""
    result = project.run_here("--help")
    result.stdout.fnmatch_lines(["function-calling pivots:", "*--fc-agent=MODULE:FN*"])
    result = project.run_here("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.function_call: *", "@pytest.mark.message: *"])


def test_fixtures(project: Project) -> None:
    """`pytest --fixtures` documents ours."""
    result = project.run_here("--fixtures")
    for line in ("fc_agent [[]session scope[]] *", "pivot *", "fc_action *", "fc_grade *"):  # pytest has its own order
        result.stdout.fnmatch_lines([line])
