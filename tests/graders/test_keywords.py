"""Keyword overlap: what counts as a keyword, in any script, and the share of them."""

from __future__ import annotations

import string
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_fcpivot.graders.keywords import STOP_WORDS, keyword_overlap, keywords

PROPERTY = settings(deadline=None)
messages = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from(["refund", "Refund!", "the", "order", "A-12", "é", "東京", "ค่ะ"]), max_size=8).map(
        " ".join
    ),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\t", []),
        ("!?… — 👍", []),
        ("❤️ 👩‍💻", []),  # what is left of emoji without their symbols
        ("❤️你好", ["你好"]),
        ("Is it the one that you have?", ["one"]),
        ("Your refund of $42.50 is on its way!", ["refund", "42", "50", "way"]),
        ("Refund, REFUND and refund.", ["refund"]),
        ("order_id: A-1234", ["order", "id", "1234"]),
        ("You're sure it wasn't John's?", ["sure", "john"]),
        ("You’re sure it wasn’t John’s?", ["sure", "john"]),  # noqa: RUF001 (as people write it)
        ("**Total:** `12` kg", ["total", "12", "kg"]),
        ("first line\nsecond\tline", ["first", "line", "second"]),
        ("STRASSE Straße", ["strasse"]),
        ("Crème brûlée", ["crème", "brûlée"]),
        (unicodedata.normalize("NFD", "Crème"), ["crème"]),
        ("ＡＢＣ　１２", ["abc", "12"]),  # noqa: RUF001 (full width)
        ("soft\u00adhyphen", ["softhyphen"]),
        ("Ваш заказ готов", ["ваш", "заказ", "готов"]),
        ("आपका ऑर्डर", ["आपका", "ऑर्डर"]),
        ("주문이 완료", ["주문이", "완료"]),
        ("你的订单", ["你的", "的订", "订单"]),
        ("好", ["好"]),
        ("东京，京都", ["东京", "京都"]),  # noqa: RUF001 (their comma)
        ("ご注文はiPhone15です", ["ご注", "注文", "文は", "iphone15", "です"]),
        ("สวัสดี", ["สวั", "วัส", "สดี"]),
        ("bad \ud800 surrogate", ["bad", "surrogate"]),
        ("refund\x00order\x1b[31m", ["refund", "order", "31m"]),
    ],
)
def test_keywords(text: str, expected: list[str]) -> None:
    """Keywords are the distinct case-folded words but stop words; scripts without spaces are cut into pairs."""
    assert keywords(text) == expected


def test_stop_words_are_words_as_they_are_compared() -> None:
    """Each stop word is one word after case-folding and the loss of punctuation, so that it can be met at all."""
    assert all(word.isalpha() and word == word.casefold() for word in STOP_WORDS)
    assert keywords(" ".join(STOP_WORDS).upper()) == []


@pytest.mark.parametrize(
    ("expected", "answer", "overlap"),
    [
        ("Your refund is on its way", "The refund is under way", 1.0),
        ("Your refund is on its way", "Refund", 0.5),
        ("Your refund is on its way", "No idea", 0.0),
        ("refund refund refund way", "way", 0.5),
        ("refund", "refund " + "other words " * 50, 1.0),
        ("refund", "refunds", 0.0),
        ("order 12, 13, 14 shipped", "shipped: order 14", 0.6),
        ("", "anything", 1.0),
        ("Is it you?", "anything", 1.0),
        ("Is it you?", "…", 1.0),
        ("Is it you?", " \n", 0.0),
        ("", "", 0.0),
        ("refund", "", 0.0),
        ("refund", " \t\u3000", 0.0),
        ("您的订单已发货", "订单已经发货", 3 / 6),
    ],
)
def test_overlap(expected: str, answer: str, overlap: float) -> None:
    """The overlap is the share of distinct expected keywords found; 1 if there are none, 0 for a blank answer."""
    assert keyword_overlap(expected, answer) == pytest.approx(overlap)


@PROPERTY
@given(messages, messages)
def test_overlap_is_a_share(expected: str, answer: str) -> None:
    """Whatever the texts, the overlap is from 0 to 1."""
    assert 0.0 <= keyword_overlap(expected, answer) <= 1.0


@PROPERTY
@given(messages)
def test_the_same_message_overlaps_in_full(text: str) -> None:
    """A message that is not blank has all of its own keywords, whatever its letters' case."""
    assert keyword_overlap(text, text) == (1.0 if text.strip() else 0.0)
    if text.isascii():
        assert keyword_overlap(text, text.swapcase()) == keyword_overlap(text, text)


@PROPERTY
@given(messages, messages, messages)
def test_more_words_never_cost(expected: str, answer: str, more: str) -> None:
    """Words added to an answer cannot lower the overlap."""
    assert keyword_overlap(expected, f"{answer} {more}") >= keyword_overlap(expected, answer)


@PROPERTY
@given(messages, messages, st.sampled_from(string.punctuation))
def test_punctuation_does_not_matter(expected: str, answer: str, mark: str) -> None:
    """Punctuation around an answer changes nothing."""
    if answer.strip():
        assert keyword_overlap(expected, f"{mark} {answer}{mark}") == keyword_overlap(expected, answer)
