"""The script of the report: its functions by themselves, in the browser that runs them, and rules for its text."""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from made_pages import made_page

from pytest_fcpivot.core.unseen import escape_unseen
from pytest_fcpivot.report.html.page import script, style_sheet

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest_plugins = ["browser_pages"]

SOURCES = {each.name: each.read_text("utf-8") for each in files("pytest_fcpivot.report.html").joinpath("js").iterdir()}


@pytest.fixture(scope="module")
def page(window: Page, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Open a page with 40 rows, none of them with details, once for all tests, which only call functions."""
    window.goto(made_page(tmp_path_factory.mktemp("made") / "report.html", 40).as_uri())
    window.wait_for_selector("html[data-ready=yes]", state="attached")
    return window


# ---------------------------------------------------------------- rules for its text

FORBIDDEN = {
    "markup made of text": r"innerHTML|outerHTML|insertAdjacentHTML|ContextualFragment|setHTMLUnsafe|DOMParser|srcdoc",
    "writing into the document's source": r"document\s*\.\s*write",
    "code made of text": r"\beval\s*\(|new\s+Function\b|\bFunction\s*\(|setTimeout\s*\(\s*[\"'`]|\bimport\s*\(",
    "asking the network": r"\bfetch\s*\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|new\s+Worker|new\s+Image\b",
    "attributes with styles or handlers": r"[\"']style[\"']|cssText|setAttribute\(\s*[\"']on|\bon[a-z]+\s*=[^=>]",
    "addresses that a text could choose": r"location\s*=[^=]|location\.(assign|replace)|\.src\s*=|window\.open",
    "output for the script's authors": r"\bconsole\.|\bdebugger\b|\balert\s*\(",
    "loose comparison": r"[^=!<>]==[^=]|!=[^=]",
    "old declarations": r"\bvar\s",
}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_what_the_script_does_without(name: str) -> None:
    """No text of a run can become markup, code, an address or a request; comments are left out of the search."""
    code = re.sub(r"(?m)^\s*(//|\*|/\*).*$", "", SOURCES[name])
    assert [rule for rule, pattern in FORBIDDEN.items() if re.search(pattern, code)] == []


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_files_are_strict_and_of_bounded_width(name: str) -> None:
    """Each file is strict by itself, says in a comment what it is for, and has no line that nobody reads to its end."""
    first, second, *rest = SOURCES[name].splitlines()
    assert first == '"use strict";'
    assert second.startswith("// ")
    assert [line for line in rest if len(line) > 180] == []


def test_script_and_style_stay_inside_their_elements() -> None:
    """Nothing in the script or the style sheet ends its element, or makes the parser wait for another end."""
    for text in (script(), style_sheet()):
        assert re.search(r"</(script|style)|<!--|<script", text, re.IGNORECASE) is None
    assert re.search(r"url\(|@import|expression\(", style_sheet()) is None


# ---------------------------------------------------------------- texts


def test_invisible_characters_are_escaped_as_python_does(page: Page) -> None:
    """Each character of Unicode is shown by the script as by the rest of the project."""
    # Of what Python's tables do not have yet, the browser's may know more.
    characters = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Co", "Lo")]
    shown = page.evaluate("(texts) => JSON.parse(texts).map(visible)", json.dumps(characters))
    different = [
        (f"{ord(each):x}", ours) for each, ours in zip(characters, shown, strict=True) if ours != escape_unseen(each)
    ]
    assert different == []


@pytest.mark.parametrize(
    "text",
    [
        "👩‍💻 works",
        "❤️",
        "क्‍ष",
        "می‌خواهم",
        "a\u200db",
        "x\u200d",
        "\u200d",
        "\ufe0f",
        "tab\tline\nend",
        "\ud83d alone",
        "e\u0301",
    ],
)
def test_joiners_inside_words_and_emoji_stay(page: Page, text: str) -> None:
    """What a script or an emoji needs is kept where it is needed, and nowhere else."""
    assert page.evaluate("(text) => visible(JSON.parse(text))", json.dumps(text)) == escape_unseen(text)


@pytest.mark.parametrize("word", ["p1", "a b", "it's", "$HOME", "`id`", "", "ünïcode", "a;b", 'say "hi"', "-x", "a\\b"])
def test_words_are_quoted_for_a_shell(page: Page, word: str) -> None:
    """A quoted word is one word to a shell, whatever is in it."""
    assert shlex.split(page.evaluate("shellQuoted", word) if word else page.evaluate("shellQuoted('')")) == [word]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('{"a":1.0,"b":[],"c":{}}', '{\n  "a": 1.0,\n  "b": [],\n  "c": {}\n}'),
        ("[12345678901234567890]", "[\n  12345678901234567890\n]"),
        ('{"a": "x:{},[]"}', '{\n  "a": "x:{},[]"\n}'),
        ('{"a": 1', '{"a": 1'),
        ("plain", "plain"),
    ],
)
def test_json_gets_indents_and_keeps_its_values(page: Page, text: str, written: str) -> None:
    """JSON text is indented without being decoded, so that 1.0 stays 1.0; what is not JSON stays as it is."""
    assert page.evaluate("indented", text) == written


# ---------------------------------------------------------------- views and addresses

VIEWS: list[dict[str, Any]] = [
    {},
    {"q": 'words "and" & signs = # %'},
    {"filters": {"cell": "call/right tool", "tool": "a&b=c", "signature": "1"}},
    {"sort": "id", "desc": True},
    {"sort": "signature", "filters": {"flip": "lost"}, "q": "x", "open": 3},
]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_read_from_its_address(page: Page, view: dict[str, Any]) -> None:
    """An address gives back the view that it was written from."""
    written, read = page.evaluate(
        """(change) => {
            const view = { ...emptyView(), ...change };
            return [view, viewOf(hashOf(view, fcReport.rows), fcReport.rows)];
        }""",
        view,
    )
    assert read == {"view": written, "problems": []}


def test_orders_are_total_and_stable(page: Page) -> None:
    """Each order has every row once; ascending and descending are the reverse of each other but for equal rows."""
    for sort in page.evaluate("SORTS"):
        rows = page.evaluate("(sort) => [false, true].map((desc) => fcReport.rows.order(sort, desc))", sort)
        assert [sorted(each) for each in rows] == [list(range(40))] * 2, sort
    rewards = page.evaluate("fcReport.rows.order('delta', true).map((row) => fcReport.rows.delta(row))")
    assert rewards[-10:] == [None] * 10  # rows without a value are last in both directions
    assert (
        page.evaluate("fcReport.rows.order('delta', false).slice(-10).map((row) => fcReport.rows.delta(row))")
        == [None] * 10
    )


def test_numbers_in_ids_are_sorted_as_numbers(page: Page) -> None:
    """p2 comes before p10."""
    assert page.evaluate("fcReport.rows.order('id', false).slice(0, 12)") == list(range(12))
