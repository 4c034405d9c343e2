"""The Markdown summary for the page of a CI job, as a renderer reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

from pytest_fcpivot.report.step_summary import append

if TYPE_CHECKING:
    from pathlib import Path

    from pivot_project import Project

pytest_plugins = ["pivot_project"]

STEP = "GITHUB_STEP_SUMMARY"


def rendered(text: str) -> str:
    """Return the HTML that a renderer makes of Markdown with tables."""
    return str(MarkdownIt("commonmark").enable("table").render(text))


def cells(html: str) -> list[str]:
    """Return the cells of all tables."""
    return [part.partition(">")[2].rpartition("</td")[0] for part in html.split("<td")[1:]]


def test_figures_on_the_page_of_a_job(
    project: Project, monkeypatch: pytest.MonkeyPatch, plugin_args: list[str]
) -> None:
    """Figures, signatures, worst tools and categories are tables, written once, whatever the number of processes."""
    page = project.path / "page.md"
    page.write_text("from another step\n")
    monkeypatch.setenv(STEP, str(page))
    rows = {
        "good": ('call add {"a": 1}', None),
        "wrong": ('call add {"a": 1}', 'call add {"a": 2}'),
        "lost": ("say hello", "raises no connection"),
    }
    project.run_here(*project.puppet(project.rows(rows)), *plugin_args)
    text = page.read_text()
    assert text.startswith("from another step\n### Function")
    html = rendered(text)
    found = cells(html)
    assert html.count("<table>") == 4
    for name, value in [("mean reward", "<strong>0.5000</strong>"), ("passed", "1"), ("failed", "1"), ("errors", "1")]:
        assert found[found.index(name) + 1] == value
    signature = ["<code>add</code> <code>$.a</code>: the value differs", "1", "1", "<code>pivots.jsonl::wrong</code>"]
    assert found[found.index(signature[0]) :][:4] == signature
    assert found[found.index("<code>add</code>") :][:3] == ["<code>add</code>", "1", "2"]
    assert "--fc-agent=puppet:answer" in html.partition('<code class="language-sh">')[2]


def test_names_are_no_markup(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names from data and models cannot break the table, nor be links, mentions or HTML."""
    page = project.path / "page.md"
    monkeypatch.setenv(STEP, str(page))
    odd = "a|b`c``d <img src=x> @team [x](http://y) | *b*"
    row = project.row(f"call {json.dumps('x')} {{}}", "nothing")
    row["expected_action"] = {"type": "function_call", "name": odd, "arguments": "{}"}
    project.run_here(*project.puppet([row], "my_*data*|x.jsonl"))
    html = rendered(page.read_text())
    assert "<img" not in html.replace("&lt;img", "")
    assert "<a " not in html
    assert "<em>" not in html
    signature, name = [cell for cell in cells(html) if "img" in cell]
    assert name == "<code>a|b`c``d &lt;img src=x&gt; @team [x](http://y) | *b*</code>"
    assert signature == f"{name} → nothing: neither a call nor a message"
    assert "my_*data*|x.jsonl</h3>" in html


def test_a_page_that_cannot_be_written(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's result does not depend on the page; the trouble is told."""
    monkeypatch.setenv(STEP, str(project.path / "missing" / "page.md"))
    result = project.run_here(*project.puppet(project.trajectories(2)))
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["the summary for the job's page cannot be written to *page.md: No such file*"])


def test_nothing_to_tell(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session without pivots leaves the page alone."""
    page = project.path / "page.md"
    monkeypatch.setenv(STEP, str(page))
    project.write("test_other.py", "def test_it():\n    pass\n")
    project.run_here("test_other.py")
    assert not page.exists()


def test_a_page_with_little_room(tmp_path: Path) -> None:
    """What does not fit into the page is counted, because a page that is too large is not shown at all."""
    page = tmp_path / "page.md"
    page.write_bytes(b"x" * 960)
    append(page, [f"line {n:2}" for n in range(10)], room=1000)
    assert page.read_text()[960:].split("\n") == [
        "line  0",
        "line  1",
        "line  2",
        "line  3",
        "line  4",
        "",
        "… and 5 lines more",
        "",
    ]
