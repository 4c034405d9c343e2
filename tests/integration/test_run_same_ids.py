"""A test of the user's own over data sets with pivots of the same id: each result is shown with its own pivot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pivot_project import Project

pytest_plugins = ["pivot_project"]

TEST = "test_mine.py::test_it"


@pytest.fixture
def own(project: Project) -> Project:
    """Make four data sets of one pivot each, with other numbers of tools; all but the second are named `same`."""
    tools = project.row("say no")["responses_create_params"]["tools"]
    rows = [
        project.row('call add {"a": 1}', id="same", tools=tools),
        project.row("say two", id="another", tools=[*tools, {**tools[0], "name": "other"}]),
        project.row('call find {"filters": []}', id="same", tools=tools[1:2]),
        project.row("say four", id="same", tools=tools[:2]),
    ]
    for number, row in enumerate(rows, 1):
        project.puppet([row], f"{number}.jsonl")
    project.write("test_mine.py", "def test_it(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    return project


def recorded(project: Project, run: str, *options: str) -> None:
    """Run the test over all data sets."""
    data = [f"--fc-data={number}.jsonl" for number in range(1, 5)]
    result = project.run_here("test_mine.py", "--fc-agent=puppet:answer", *data, f"--fc-run={run}", "-q", *options)
    assert result.ret == 0


def exported(project: Project, run: str) -> dict[str, tuple[str | None, int | None]]:
    """Return the expected tool and the number of tools of each test, as the exported table has them."""
    result = project.command("export", run, "--to", "jsonl", "-o", "table.jsonl")
    assert result.ret == 0, result.errlines
    rows: list[dict[str, Any]] = list(map(json.loads, (project.path / "table.jsonl").read_text("utf-8").splitlines()))
    return {row["test"]: (row["tool"], row["n_tools"]) for row in rows}


def test_an_export_has_what_the_right_data_say(own: Project) -> None:
    """The number of tools is that of the pivot that was asked, also where an earlier data set's was not selected."""
    recorded(own, "run")
    assert exported(own, "run") == {
        f"{TEST}[same]": ("add", 3),
        f"{TEST}[another]": (None, 4),
        f"{TEST}[same@3]": ("find", 1),
        f"{TEST}[same@4]": (None, 2),
    }
    recorded(own, "some", "--fc-where=n_tools<=2")
    assert exported(own, "some") == {f"{TEST}[same]": ("find", 1), f"{TEST}[same@4]": (None, 2)}


def test_show_and_report_have_the_right_pivot(own: Project) -> None:
    """`fcpivot show` shows the pivot that was asked, and the report's comparators are asked about that one."""
    recorded(own, "run")
    for test, data in (("same", "1.jsonl"), ("another", "2.jsonl"), ("same@3", "3.jsonl"), ("same@4", "4.jsonl")):
        lines = own.command("show", "run", f"{TEST}[{test}]").outlines
        assert [line.split()[1].rstrip(",") for line in lines if line.startswith("data ")] == [data]
    result = own.command("report", "run", "-o", "report.html")
    assert result.ret == 0, result.errlines
    page = (own.path / "report.html").read_text("utf-8")
    assert page.count("<td>1.0000</td><td>4</td>") >= 2  # as recorded, and by the grader again


def test_an_audit_grades_against_the_right_pivot(own: Project) -> None:
    """Graded again by the run's own grader, all answers have the reward that was recorded."""
    recorded(own, "run")
    lines = own.command("audit", "run").outlines
    right = {line.partition("  ")[0] for line in lines if "  1.0000 " in line}
    assert {"as recorded", "exact", "nemo-gym:first-call"} <= right
