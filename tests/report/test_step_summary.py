"""The signatures on the page of a CI job, as a renderer of Markdown reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from summaries import record, summary_of

from pytest_fcpivot.report.step_summary import step_summary
from pytest_fcpivot.runs.signatures import Changed, Signatures

if TYPE_CHECKING:
    from pytest_fcpivot.report.summary import Summary


def page(summary: Summary) -> str:
    """Return the HTML of a job's page."""
    return str(MarkdownIt("commonmark").enable("table").render("\n".join(step_summary(summary))))


def row_of(html: str, text: str) -> list[str]:
    """Return the cells of the only row that has a text."""
    (row,) = [row for row in html.split("<tr>") if text in row]
    return [part.partition(">")[2].rpartition("</td")[0] for part in row.split("<td")[1:]]


def test_the_first_ten() -> None:
    """The ten signatures that cost the most have an example each, the others are counted, and the sum is above them."""
    answers = [record(10 * n + k, path=f"$.key{n}") for n in range(12) for k in range(12 - n)]
    html = page(summary_of(answers))
    example = ["<code>find</code> <code>$.key0</code>: the value differs", "12", "12", "<code>data.jsonl::t0-d0</code>"]
    assert row_of(html, "$.key0<") == example
    assert "$.key9<" in html
    assert "$.key10<" not in html
    assert "… and 2 more causes, of 3 answers and 3 of the reward" in html
    assert row_of(html, "another value in the arguments") == ["another value in the arguments", "78", "78", "12"]
    assert "baseline" not in html


def test_beside_a_baseline() -> None:
    """Signatures that the baseline did not have are marked as new, and those that only it had are told."""
    before = Signatures()
    for n in range(7):
        before.add(record(n, path=f"$.key{n}"), f"data.jsonl::t0-d{n}", passed=False)
    answers = [record(0, path="$.key0"), record(1, path="$.fresh")]
    changed = Changed.between(before.ranked(), summary_of(answers).figures.causes)
    html = page(summary_of(answers, changed=changed))
    assert "in all" not in html
    assert row_of(html, "$.key0<")[3] == ""
    assert row_of(html, "$.fresh<")[3] == "<strong>new</strong>"
    assert "Gone since the baseline: <code>find</code> <code>$.key1</code>: the value differs; " in html
    assert "$.key5<" in html
    assert "$.key6<" not in html
    assert "the value differs; and 1 more" in html


def test_functions_and_words() -> None:
    """A function that has the name of something else is told from that by the way it is written."""
    answer = record(0)
    answer.tool = "a message"
    answer.action_json = "null"
    assert "<code>a message</code> → nothing: the value differs" in page(summary_of([answer]))
