"""The one function by which text becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fcpivot.report.html.escape import Markup, element, join, text

HOSTILE = (
    "</script><script>alert(1)</script>",
    '" onload="alert(1)',
    "' autofocus onfocus=alert(1) '",
    "<img src=x onerror=alert(1)>",
    "<!--",
    "]]>",
    "&lt;b&gt;",
    "javascript:alert(1)",
)


class Read(HTMLParser):
    """What a parser sees: the elements, their attributes, and the text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element and its attributes."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_stays_text(hostile: str) -> None:
    """Text that looks like markup is the text of an element and the value of an attribute, and nothing more."""
    read = Read(element("p", hostile, title=hostile))
    assert read.tags == ["p"]
    assert read.attributes == [("title", hostile)]
    assert read.text == hostile


@given(st.text())
def test_any_text_makes_no_element(given_text: str) -> None:
    """Whatever a text holds, it makes neither elements nor attributes, and UTF-8 can hold it."""
    read = Read(element("p", given_text, title=given_text).encode().decode())
    assert read.tags == ["p"]
    assert [name for name, _ in read.attributes] == ["title"]


@pytest.mark.parametrize(
    ("unseen", "shown"),
    [("\u202e", r"\u202e"), ("\x00", r"\u0000"), ("\x1b[31m", r"\u001b[31m"), ("\ud800", r"\ud800")],
)
def test_unseen_characters_are_shown(unseen: str, shown: str) -> None:
    """Control characters, marks that turn the direction of text, and lone surrogates are written as escapes."""
    assert text(f"a{unseen}b") == f"a{shown}b"


def test_markup_that_becomes_text_again_is_escaped() -> None:
    """Markup joined to a string is plain text, which is escaped when it is put into an element."""
    assert join("<" + Markup("<b>")) == "&lt;&lt;b&gt;"


@pytest.mark.parametrize("name", ["style", "onclick", "onload"])
def test_forbidden_attributes(name: str) -> None:
    """Attributes that the page's own policy forbids cannot be written."""
    with pytest.raises(ValueError, match=name):
        element("p", **{name: "x"})
