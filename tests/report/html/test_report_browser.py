"""The report in a real browser: opened in each way that people open it, filtered, read, and taken away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from made_pages import detailed_pivot, made_page, report_of_run, served

if TYPE_CHECKING:
    from pathlib import Path

    from browser_pages import Visit
    from playwright.sync_api import Page

pytest_plugins = ["browser_pages"]

# What Jenkins sends with the files of a build, unless its administrator changed it.
JENKINS = "sandbox allow-same-origin; default-src 'none'; img-src 'self'; style-src 'self';"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page with 200 rows, the first 40 with details: 50 rows have another date, 50 a message."""
    return made_page(tmp_path_factory.mktemp("made") / "report.html", 200, detailed=40)


def shown(page: Page) -> str:
    """Return what the page says of the number of rows."""
    return page.locator("#results .count").inner_text()


def ids(page: Page) -> list[str]:
    """Return the ids of the first rows, from the top."""
    return page.locator("#results .body .name").all_inner_texts()[:4]


def focused(page: Page) -> str | None:
    """Return the id of the row that has the focus."""
    text: str | None = page.evaluate("document.activeElement?.querySelector?.('.name')?.textContent ?? null")
    return text


def opened_pivot(page: Page) -> str:
    """Wait until a pivot is shown, and return its title."""
    page.wait_for_selector("#pivot .content:not([aria-busy])")
    return page.locator("#pivot h1 span").last.inner_text()


def reloaded(page: Page, remembers: str) -> None:
    """Load a page again, until it has what it kept: the browser holds that in another process, which may lag behind."""
    for _ in range(10):
        page.reload()
        page.wait_for_selector("html[data-ready]", state="attached")
        if page.evaluate(remembers):
            return
    pytest.fail(f"the page did not keep it: {remembers}")


# ---------------------------------------------------------------- ways to open it


def test_a_real_run_opens_from_disk(visit: Visit, sample_report: Path) -> None:
    """The report of the sample opens as a file, and a pivot shows its conversation, tools and comparison."""
    page = visit(sample_report)
    assert shown(page) == "60 rows"
    page.keyboard.press("f")
    page.get_by_text("the report has no baseline").wait_for()
    page.locator("#results [data-place]").first.click()
    opened_pivot(page)
    for title in ("Conversation", "Tools on offer", "Expected and actual", "Grade"):
        assert page.get_by_role("heading", name=title, exact=True).is_visible()
    assert page.locator("#pivot .bubble").count() > 0


def test_over_http(visit: Visit, made: Path) -> None:
    """The report works from a server."""
    with served(made.parent) as address:
        page = visit(f"{address}/report.html#outcome=failed")
        assert shown(page) == "100 of 200 rows"


def test_in_a_sandboxed_frame(visit: Visit, made: Path) -> None:
    """Inside another page's frame without an origin, the table filters and triage says that it is not kept."""
    (made.parent / "frame.html").write_text(
        '<!doctype html><title>outer</title><iframe sandbox="allow-scripts" src="report.html" width=1300 height=850>',
        encoding="utf-8",
    )
    with served(made.parent) as address:
        page = visit(f"{address}/frame.html", bare=True)
        frame = page.frame_locator("iframe")
        frame.locator("html[data-ready=yes]").wait_for(state="attached")
        frame.get_by_role("button", name="50", exact=True).click()
        assert frame.locator("#results .count").inner_text() == "50 of 200 rows"
        frame.locator("#results [data-place]").first.press("Enter")
        frame.get_by_role("radio", name="gold").check()
        frame.get_by_role("button", name="← All results").click()
        frame.get_by_text("Triage: 1 answer (gold 1)").click()
        assert frame.get_by_text("does not let the page keep it").is_visible()


@pytest.mark.parametrize("headers", [{}, {"Content-Security-Policy": JENKINS}], ids=["script off", "Jenkins' policy"])
def test_without_script_the_first_screen_is_readable(
    visit: Visit, sample_report: Path, headers: dict[str, str]
) -> None:
    """Without script, and without style sheet too under Jenkins' policy, causes are there and open to an example."""
    with served(sample_report.parent, headers) as address:
        page = visit(f"{address}/report.html", script=bool(headers), bare=True)
        assert page.get_by_role("heading", name="Where the reward went").is_visible()
        assert page.get_by_text("The table of all results and the conversations need").is_visible()
        first = page.locator("details.signature").first
        first.locator("summary").click()
        assert first.locator("dd").first.is_visible()
        assert page.locator("#results [data-place]").count() == 0


def test_an_old_browser_is_told(visit: Visit, made: Path) -> None:
    """A browser that cannot decompress says which ones can; the first screen stays."""
    page = visit(made, init="delete globalThis.DecompressionStream")
    assert "cannot decompress" in page.get_by_role("alert").inner_text()
    assert page.get_by_role("heading", name="Where the reward went").is_visible()


def test_a_damaged_page_is_told(visit: Visit, made: Path, tmp_path: Path) -> None:
    """A page whose index or parts were cut says so, and shows what it still has."""
    text = made.read_text(encoding="utf-8")
    start = text.index('id="fc-part-1">') + len('id="fc-part-1">')
    (tmp_path / "part.html").write_text(text[: start + 400] + text[text.index("<", start) :], encoding="utf-8")
    page = visit((tmp_path / "part.html").as_uri() + "#pivot=p2")
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "fc-part-1 cannot be read" in alert.inner_text()
    assert page.get_by_text('tool_0({"date": "day 3"})').is_visible()


# ---------------------------------------------------------------- the table


def test_figures_of_the_first_screen_filter(visit: Visit, made: Path) -> None:
    """A figure becomes a button that shows as many rows as it says; another one takes its place; chips go away."""
    page = visit(made)
    page.get_by_role("button", name="50", exact=True).click()
    assert shown(page) == "50 of 200 rows"
    assert page.get_by_role("button", name="Remove the filter cell: call/message").is_visible()
    page.get_by_role("button", name="Show in the table: search_flights $.date").click()
    assert shown(page) == "50 of 200 rows"
    assert page.locator(".chip").all_inner_texts() == ["search_flights $.date: the value differs \u00d7"]
    page.get_by_role("button", name="valid but different").click()
    assert shown(page) == "50 of 200 rows"
    assert page.locator(".chip").count() == 2
    page.get_by_role("button", name="Remove the filter matches: no").click()
    assert shown(page) == "150 of 200 rows"
    page.get_by_role("button", name="depth 2 to 3").click()
    assert shown(page) == "44 of 200 rows"
    assert page.locator("#matrix button", has_text="0").all_inner_texts() == ["50"]
    page.get_by_role("button", name="Remove the filter depth").click()
    assert shown(page) == "200 rows"


def test_each_figure_is_as_many_rows_as_it_says(visit: Visit, tmp_path: Path) -> None:
    """With errors, and a grader whose category says nothing of the reward, a figure's filter has as many rows."""
    (tmp_path / "mine.py").write_text(
        "from pytest_fcpivot import FunctionCall, Grade\n\n\n"
        "def answer(pivot):\n"
        "    turn = len(pivot.input) % 4\n"
        "    if turn == 0:\n"
        "        raise ValueError('no answer')\n"
        "    return 'hello' if turn == 1 else FunctionCall(pivot.tools[0]['name'], '{}')\n\n\n"
        "def grade(expected, action):\n"
        "    return Grade(float(bool(expected.calls) == bool(action.calls)), 'SCORED')\n"
    )
    page = visit(report_of_run(tmp_path, "mine:answer", "--fc-grader=mine:grade", "--fc-limit=60"))
    figures = page.evaluate("""async () => {
        const rows = new Rows(await Payload.ofPage().index());
        return [...document.querySelectorAll("#first-screen [data-filter]")].map((each) => {
            const { view, problems } = viewOf(each.dataset.filter, rows);
            const text = each.matches("#slices th") ? each.closest("tr").querySelector(".n").textContent
                : each.matches("li") ? each.querySelector(".n").textContent : each.textContent;
            return [each.dataset.filter, Number(text.replace(/[n, ]/g, "")), rows.shown(view).length, problems.length];
        });
    }""")
    filters = "\n".join(name for name, *_ in figures)
    assert all(each in filters for each in ("outcome=error", "category=SCORED", "cell=", "tool=", "schema=", "depth="))
    assert [each for each in figures if each[1] != each[2] or each[3]] == []


def test_search_filters_and_order(visit: Visit, made: Path) -> None:
    """Words must all be found, in any case; filters combine with them; each column sorts both ways."""
    page = visit(made)
    assert ids(page) == ["p3", "p7", "p11", "p15"]  # the lowest rewards first
    page.get_by_role("searchbox").fill("TOOL_3 message")
    assert shown(page) == "7 of 200 rows"
    page.get_by_role("searchbox").fill("")
    page.get_by_label("Outcome").select_option("failed")
    page.get_by_role("button", name="Flaky only").click()
    assert shown(page) == "10 of 200 rows"
    page.get_by_role("button", name="Pivot", exact=True).click()
    assert ids(page) == ["p10", "p30", "p50", "p70"]
    assert page.get_by_role("columnheader", name="Pivot").get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="Pivot", exact=True).click()
    assert ids(page) == ["p190", "p170", "p150", "p130"]
    page.get_by_role("button", name="Remove all").click()
    for name in ("Change", "Signature", "Repeats", "Schema", "Reward", "Expected → answer"):
        page.get_by_role("button", name=name, exact=True).click()
    page.get_by_role("button", name="Change", exact=True).click()
    assert ids(page) == ["p2", "p6", "p10", "p14"]
    page.get_by_role("searchbox").fill("there is no such word")
    assert page.get_by_text("No row of this report is like that.").is_visible()


def test_flips_of_the_baseline(visit: Visit, made: Path) -> None:
    """Flips are the pivots that were lost or won since the baseline, together or apart."""
    page = visit(made)
    page.keyboard.press("f")
    assert shown(page) == "100 of 200 rows"
    assert page.get_by_role("button", name="Flips only").get_attribute("aria-pressed") == "true"
    page.evaluate("location.hash = 'flip=lost'")
    page.wait_for_function("document.querySelector('.chip')?.textContent.includes('lost')")
    assert shown(page) == "50 of 200 rows"


def test_many_rows_are_not_all_in_the_page(visit: Visit, tmp_path: Path) -> None:
    """Of 100,000 rows, those that can be seen are in the page; the last one is a key away, and has the focus."""
    page = visit(made_page(tmp_path / "report.html", 100_000))
    page.locator("[data-place='0']").focus()
    page.keyboard.press("End")
    assert focused(page) == "p99997"
    assert page.locator("#results [data-place]").count() < 80
    grid = page.get_by_role("grid")
    assert grid.get_attribute("aria-rowcount") == "100001"
    assert page.locator(":focus").get_attribute("aria-rowindex") == "100001"
    page.get_by_role("searchbox").fill("p99998")
    assert shown(page) == "1 of 100,000 rows"


def test_keys(visit: Visit, made: Path) -> None:
    """`/` searches, j and k move, Enter opens, Escape closes and brings the focus back."""
    page = visit(made)
    page.keyboard.press("/")
    page.keyboard.type("message")
    page.keyboard.press("Enter")
    assert focused(page) == "p3"
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert focused(page) == "p7"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert opened_pivot(page) == "p7"
    page.keyboard.press("j")
    page.wait_for_function("document.querySelector('#pivot-title').textContent.includes('p11')")
    assert page.locator("#pivot .where").inner_text() == "3 of 50 in the table"
    page.keyboard.press("Escape")
    assert focused(page) == "p11"


def test_keys_of_single_letters_can_be_turned_off(visit: Visit, made: Path) -> None:
    """People who speak to their computer can turn the single letters off."""
    page = visit(made)
    page.keyboard.press("f")
    assert shown(page) == "100 of 200 rows"
    page.keyboard.press("f")
    page.get_by_text("Keys", exact=True).click()
    page.get_by_label("Use the keys of single letters").uncheck()
    page.keyboard.press("f")
    assert shown(page) == "200 rows"
    reloaded(page, "!fcReport.keys.checked")
    page.keyboard.press("f")
    assert shown(page) == "200 rows"


def test_a_shared_link_opens_the_same_view(visit: Visit, made: Path) -> None:
    """The address has the search, the filters, the order and the pivot; back and forward go through them."""
    page = visit(made)
    page.get_by_label("Outcome").select_option("failed")
    page.get_by_role("searchbox").fill("tool_2")
    page.get_by_role("button", name="Pivot", exact=True).click()
    before = shown(page), ids(page)
    page.locator("#results [data-place]").nth(1).click()
    title = opened_pivot(page)
    link = page.url
    page.go_back()
    page.wait_for_selector("#results:not([hidden])")
    assert (shown(page), ids(page)) == before
    page.go_forward()
    assert opened_pivot(page) == title
    where = page.locator("#pivot .where").inner_text()
    page = visit(link)
    assert opened_pivot(page) == title
    assert page.locator("#pivot .where").inner_text() == where
    page.keyboard.press("Escape")
    assert (shown(page), ids(page)) == before


def test_a_link_to_what_is_not_there_is_told(visit: Visit, made: Path) -> None:
    """A link with an unknown pivot, filter or order says what it named, and shows the rest."""
    page = visit(made.as_uri() + "#pivot=elsewhere&colour=red&sort=age&outcome=failed")
    said = page.locator("#results .problem").inner_text()
    assert all(each in said for each in ("the pivot “elsewhere”", "a filter “colour”", "an order by “age”"))
    assert shown(page) == "100 of 200 rows"


# ---------------------------------------------------------------- a pivot


def test_a_pivot_in_two_columns(visit: Visit, made: Path) -> None:
    """A pivot shows what the agent saw, what differs first, the baseline's answer, and why it was graded so."""
    page = visit(made.as_uri() + "#signature=0&pivot=p6")
    assert opened_pivot(page) == "p6"
    assert page.locator("#pivot .where").inner_text() == "2 of 50 like this"
    bubbles = page.locator("#pivot .bubbles").last.locator(".bubble").all_inner_texts()
    assert "a flight on the fourth, please" in bubbles[-1]
    assert not page.get_by_text("question 1", exact=True).is_visible()
    page.get_by_text("7 earlier items").click()
    page.get_by_text("question 1", exact=True).wait_for()
    page.get_by_text("System text, 17 characters").click()
    page.get_by_text("You book flights.").wait_for()
    assert '"near": 1.0' in page.locator("#pivot .bubble.call pre").inner_text()  # as it was written
    assert page.locator(".parameters .differs th").inner_text().split() == ["date", "differs"]
    rows = page.locator(".comparison tbody tr:visible").all_inner_texts()
    assert [row.split()[:2] for row in rows[:2]] == [["arguments", "differs"], ["date", "differs"]]
    assert rows[1].split()[2:] == ['"2026-03-04"', '"2026-03-11"', '"2026-03-04"']
    assert page.locator(".comparison mark").all_inner_texts() == ["04", "11"]
    page.get_by_role("button", name="4 equal rows: show").click()
    assert page.locator(".comparison tbody tr:visible").count() == len(rows) + 4
    text = page.locator("#pivot .right").inner_text()
    for told in (
        "It names another day.",
        "lenient",
        "agentic 0.75",
        "names 0.5 of 0.5",
        "HTTP 503",
        "cut off",
        "call 1",
    ):
        assert told in text
    page.get_by_role("button", name="Next").click()
    page.wait_for_function("document.querySelector('#pivot-title').textContent.includes('p10')")


def test_a_long_text_with_nothing_beside_it_is_cut(visit: Visit, sample_report: Path) -> None:
    """Of a long message where a call came, the beginning is shown, so that the call is seen; a click shows all."""
    page = visit(sample_report.as_uri() + "#pivot=t575-d0")
    opened_pivot(page)
    message = page.locator(".comparison .missing .value")
    assert len(message.inner_text()) == 300
    assert page.locator(".comparison").get_by_text("find_patient").is_visible()
    page.locator(".comparison").get_by_role("button", name="Show all").click()
    assert len(message.inner_text()) > 300
    assert page.locator(".comparison").get_by_role("button", name="Show all").count() == 0


def test_the_command_is_copied(visit: Visit, made: Path) -> None:
    """The command that runs a pivot again is copied as it is shown; where the browser refuses, that is said."""
    page = visit(made.as_uri() + "#pivot=p2")
    opened_pivot(page)
    page.get_by_role("button", name="Copy the command").first.click()
    page.get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "pytest 'flights.jsonl::p2' --fc-agent=mine:answer"
    page.evaluate(
        "navigator.clipboard.writeText = () => Promise.reject(new Error()); document.execCommand = () => false"
    )
    page.get_by_role("button", name="Copy the command").first.click()
    page.get_by_text("does not allow this page to copy").wait_for()


def test_what_was_left_out_has_its_command(visit: Visit, made: Path) -> None:
    """A pivot without details shows its line, and the command that shows it in a terminal."""
    page = visit(made.as_uri() + "#pivot=p199")
    opened_pivot(page)
    assert "fcpivot show run 'p199[r1]'" in page.locator("#pivot .command").inner_text()
    assert page.get_by_text('message "Which day?"').is_visible()


def test_triage_is_kept_and_taken_away(visit: Visit, made: Path) -> None:
    """Triage survives a reload, is copied as a file for --fc-ids, and is downloaded as JSON."""
    page = visit(made.as_uri() + "#signature=0&pivot=p2")
    opened_pivot(page)
    page.get_by_role("radio", name="matcher").check()
    page.get_by_label("Note").fill("the time zone\nis ignored")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Next").click()
    page.wait_for_function("document.querySelector('#pivot-title').textContent.includes('p6')")
    page.get_by_role("radio", name="agent").check()
    reloaded(page, "fcReport.triage.entries.size === 2")
    assert opened_pivot(page) == "p6"
    assert page.get_by_role("radio", name="agent").is_checked()
    page.keyboard.press("Escape")
    page.get_by_text("Triage: 2 answers (agent 1, matcher 1)").click()
    page.get_by_label("Ids with").select_option("matcher")
    page.get_by_role("button", name="Copy ids file").click()
    page.get_by_text("Copied.").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "# matcher: the time zone is ignored\np2\n"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download JSON").click()
    written = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert written["triage"] == [
        {
            "pivot_id": "p2",
            "repeat": 1,
            "test": "flights.jsonl::p2",
            "label": "matcher",
            "note": "the time zone\nis ignored",
        },
        {"pivot_id": "p6", "repeat": 1, "test": "flights.jsonl::p6", "label": "agent", "note": ""},
    ]


def test_pivots_of_one_id_are_told_apart(visit: Visit, tmp_path: Path) -> None:
    """In tests of one's own over two data sets with the same id, triage is of one test, and repeats are found."""
    row = {
        "id": "same",
        "responses_create_params": {"input": "Hello", "tools": []},
        "expected_action": {"type": "message", "content": "Hi."},
    }
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "mine.py").write_text("def answer(pivot):\n    return None\n")
    (tmp_path / "test_mine.py").write_text("def test_it(pivot, fc_action, fc_grade):\n    fc_grade(fc_action)\n")
    options = ("test_mine.py", "--fc-data=one.jsonl", "--fc-data=two.jsonl", "--fc-repeats=2")
    report = report_of_run(tmp_path, "mine:answer", *options)
    page = visit(report.as_uri() + "#row=1")
    opened_pivot(page)
    assert page.locator("#pivot .repeats button").all_inner_texts() == ["\u2717 r1", "\u2717 r2"]
    page.get_by_role("radio", name="gold").check()
    page.get_by_role("button", name="Next").click()
    for _ in range(3):
        opened_pivot(page)
        assert not page.get_by_role("radio", name="gold").is_checked()
        page.keyboard.press("j")
    assert page.evaluate("[...fcReport.triage.entries.keys()]") == ["test_mine.py::test_it[same]"]


# ---------------------------------------------------------------- hostile texts

ATTACKS = (
    "</script><script>globalThis.broken = 1</script>",
    '<img src=x onerror="globalThis.broken = 1">',
    "javascript:globalThis.broken=1",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202eright to left\u2066\u200b",
    "nul\x00nul",
    "lone\ud800surrogate",
    "' onmouseover=globalThis.broken=1 x='",
    "{{constructor.constructor('globalThis.broken=1')()}}",
)
AS_SHOWN = (
    "</script><script>globalThis.broken",
    "<img src=x onerror=",
    "javascript:globalThis",
    "\\u001b[31mred",
    "\\u202eright",
    "nul\\u0000nul",
    "lone\\ud800surrogate",
    "' onmouseover=",
    "{{constructor",
)


def test_hostile_texts_are_shown_and_do_nothing(visit: Visit, tmp_path: Path) -> None:
    """Markup, handlers, escapes, bidi marks, NUL and lone surrogates in every text are shown as text."""
    hostile = " ".join(ATTACKS)

    def change(index: dict[str, Any], pivots: list[dict[str, Any]]) -> None:
        index["strings"] = [
            f"{text} {hostile}" if text.startswith(("p", "tool")) else text for text in index["strings"]
        ]
        index["run"]["name"] = index["run"]["base"] = hostile
        for signature in index["signatures"]:
            signature["label"] = hostile
        for pivot in pivots:
            pivot["conversation"] = [
                {"role": hostile, "content": hostile},
                {"type": hostile, "x": hostile},
                {"type": "function_call", "call_id": hostile, "name": hostile, "arguments": hostile},
                {"type": "function_call_output", "call_id": hostile, "output": "w" * 1_000_000},
                {"role": "user", "content": [{"type": "input_text", "text": hostile}]},
            ]
            pivot["note"] = hostile
            pivot["tools"] = [[0, 1]]
            (result,) = pivot["results"]
            result["test"] = f"{result['test']} {hostile}"
            for key in ("category", "explanation", "path", "output", "rerun", "error", "cause"):
                result[key] = hostile
            result["judge"]["reason"] = hostile
            for row in result["rows"]:
                row["key"] = row["expected"] = row["remark"] = hostile
            result["comparators"] = {hostile: 1.0}

    page = visit(made_page(tmp_path / "report.html", 8, detailed=4, change=change))
    page.get_by_role("button", name="Show in the table").first.click()
    table = page.locator("#results").inner_text()
    page.locator("#results [data-place]").first.press("Enter")
    title = opened_pivot(page)
    page.get_by_role("button", name="Show all 1,000,000 characters").click()
    pivot = page.locator("#pivot").inner_text()
    for text in AS_SHOWN:
        assert text in table
        assert text in title
        assert pivot.count(text) > 10
    assert page.locator("#pivot .bubble.result pre").last.evaluate("(each) => each.textContent.length") == 1_000_000
    assert page.evaluate("globalThis.broken") is None
    assert page.locator("img, iframe, object, embed, a[href], [onerror], [onmouseover]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    link = page.url
    assert opened_pivot(visit(link)) == title  # though no address can hold its id


HOSTILE_AGENT = """
import json

def answer(pivot):
    with open("texts.json") as stream:
        hostile = json.load(stream)
    if pivot.id.endswith("0"):
        raise RuntimeError(hostile)
    return hostile if pivot.id.endswith("1") else {"name": hostile, "arguments": json.dumps({hostile: hostile})}
"""


def test_a_hostile_run_is_shown_and_does_nothing(visit: Visit, tmp_path: Path) -> None:
    """A real run in which data and agent wrote such texts wherever they can opens, and nothing of it is obeyed."""
    hostile = " ".join(ATTACKS)
    tool = {"type": "function", "name": "look", "description": hostile, "parameters": {"properties": {hostile: {}}}}
    rows = [
        {
            "id": f"{hostile.split(maxsplit=1)[0]} {number}",
            "responses_create_params": {"input": [{"role": "user", "content": hostile}], "tools": [tool]},
            "expected_action": {"type": "function_call", "name": "look", "arguments": json.dumps({hostile: hostile})},
        }
        for number in range(4)
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "texts.json").write_text(json.dumps(hostile), encoding="utf-8")
    (tmp_path / "hostile.py").write_text(HOSTILE_AGENT, encoding="utf-8")
    page = visit(report_of_run(tmp_path, "hostile:answer", "data.jsonl"))
    assert shown(page) == "4 rows"
    for number in range(4):
        page.locator(f"#results [data-place='{number}']").press("Enter")
        opened_pivot(page)
        text = page.locator("#pivot").inner_text()
        assert "\\u202eright" in text
        assert "<img src=x onerror=" in text
        page.keyboard.press("Escape")
    assert page.evaluate("globalThis.broken") is None
    assert page.locator("img, iframe, object, embed, a[href], [onerror], [onmouseover], [style*=url]").count() == 0


# ---------------------------------------------------------------- for everybody


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong, by its rule and the first element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(page).response["violations"]
    return [f"{each['id']} ({each['impact']}): {each['nodes'][0]['html'][:200]}" for each in found]


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(visit: Visit, sample_report: Path, made: Path, theme: str, width: int) -> None:
    """First screen, table and pivot are sound to axe-core, light and dark, wide and narrow; nothing is cut off."""
    page = visit(sample_report, width=width, theme=theme)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#results [data-place]").first.press("Enter")
    opened_pivot(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page = visit(made.as_uri() + "#pivot=p2", width=width, theme=theme)
    opened_pivot(page)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1440, 390])
def test_what_is_pressed_is_large_enough(visit: Visit, made: Path, width: int) -> None:
    """Buttons, fields and rows are 24 pixels or more in both directions, in the table and in a pivot."""
    page = visit(made, width=width)
    small = """[...document.querySelectorAll("button, select, input[type=search], .choice, summary, [data-place]")]
        .filter((each) => each.checkVisibility())
        .filter((each) => each.getBoundingClientRect().height < 24 || each.getBoundingClientRect().width < 24)
        .map((each) => each.outerHTML.slice(0, 120))"""
    assert page.evaluate(small) == []
    page.locator("#results [data-place]").first.press("Enter")
    opened_pivot(page)
    assert page.evaluate(small) == []


def test_a_narrow_row_has_two_lines(visit: Visit, made: Path) -> None:
    """On a telephone a row has its id and reward above, and what was expected and answered below."""
    page = visit(made, width=390)
    row = page.locator("#results [data-place='0']")
    places = [row.locator(f".cell.{name}").bounding_box() for name in ("id", "reward", "answer")]
    upper, reward, lower = [box["y"] for box in places if box is not None]
    assert abs(upper - reward) < 4
    assert lower > upper + 15


def test_light_and_dark(visit: Visit, made: Path) -> None:
    """The page follows the system's theme; a button overrules it, and is obeyed after a reload."""
    ground = "getComputedStyle(document.body).backgroundColor"
    page = visit(made, theme="dark")
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Theme: automatic").click()
    light = page.evaluate(ground)
    assert dark != light == "rgb(255, 255, 255)"
    reloaded(page, "document.documentElement.dataset.theme === 'light'")
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(ground) == dark


def test_details_of_the_made_pages_are_as_real_ones(sample_report: Path, visit: Visit) -> None:
    """The pages that these tests make have the members that real pages have, so that they test what users get."""
    page = visit(sample_report)
    index, pivot = page.evaluate(
        """(async () => {
            const parts = await Promise.all([0, 1].map((number) => unpacked(`fc-part-${number}`)));
            return [await unpacked("fc-index"), parts.find((part) => part.pivots !== undefined).pivots[0]];
        })()"""
    )
    made = detailed_pivot(0)
    assert set(pivot) == set(made)
    assert set(pivot["results"][0]) - {"redacted", "schema_explanation"} == set(made["results"][0]) - {
        "redacted",
        "schema_explanation",
    }
    assert {"id", "test", "before", "steady", "part", "at"} <= set(index["columns"])
