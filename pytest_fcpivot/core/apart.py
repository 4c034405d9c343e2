"""Shows two texts so that the reader can see where they differ, even in blanks, case, Unicode form or look-alikes.

Long texts that differ only in the middle are cut to a window around the first difference.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.jsontext import quoted, shorten, shown, visible
from pytest_fcpivot.core.unseen import without_ignored

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_COMPARED = 10_000  # characters; longer texts are shown, but not tested for differences that are hard to see
_BEFORE_THE_DIFFERENCE = 20  # characters shown of the common part that precedes the first difference
# Characters that look like ASCII ones: Cyrillic and Greek letters, quotes and dashes.
_LOOKS_LIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухԁԛԝһΑΒΕΖΗΙΚΜΝΟΡΤΥΧνο‘’‚‛“”„‟‐‑‒–—―−ı∕⁄",  # noqa: RUF001 (the point of it)
    "ABESIJKMHOPCTYXaesijopcyxdqwhABEZHIKMNOPTYXvo''''\"\"\"\"-------i//",
)


def _without_blanks(text: str) -> str:
    return "".join(text.split())


_ASPECTS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("white space", _without_blanks),
    ("case", str.casefold),
    ("characters that cannot be seen", without_ignored),
    ("Unicode form", lambda text: unicodedata.normalize("NFKC", text)),
    ("characters that look alike", lambda text: text.translate(_LOOKS_LIKE)),
)
_OF_ASCII = _ASPECTS[:2]
_SEEN = frozenset(("case",))
_NEED_ESCAPES = frozenset(("Unicode form", "characters that look alike"))


def _alike_in(one: str, other: str) -> tuple[str, ...]:
    """Return the aspects that alone account for the difference of two texts; empty if they differ in anything else."""
    if one == other or len(one) > _LONGEST_COMPARED or len(other) > _LONGEST_COMPARED:
        return ()
    aspects = _OF_ASCII if one.isascii() and other.isascii() else _ASPECTS
    if _reduced(one, aspects) != _reduced(other, aspects):
        return ()
    for aspect in aspects:
        if aspect[1](one) == aspect[1](other):
            return (aspect[0],)
    needed = []
    for aspect in aspects:
        others = [each for each in aspects if each is not aspect]
        if _reduced(one, others) != _reduced(other, others):
            needed.append(aspect[0])
    return tuple(needed) or tuple(name for name, _ in aspects)


def _reduced(text: str, aspects: Any) -> str:
    for _, reduce in reversed(aspects):  # Unicode forms and look-alikes first: they may turn characters into blanks
        text = reduce(text)
    return text


def texts_apart(one: str, other: str, limit: int) -> tuple[str, str]:
    """Return both texts as single lines of up to about `limit` characters that include the first difference."""
    aspects = _alike_in(one, other)
    if not _NEED_ESCAPES.isdisjoint(aspects):
        one, other = (quoted(text)[1:-1].replace('\\"', '"') for text in (one, other))
    one, other = visible(one, joiners=True), visible(other, joiners=True)
    short = shorten(one, limit), shorten(other, limit)
    if short[0] != short[1] or one == other:
        return short
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, at - _BEFORE_THE_DIFFERENCE)
    return _window(one, start, limit), _window(other, start, limit)


def _window(text: str, start: int, limit: int) -> str:
    return ("…" if start else "") + text[start : start + limit] + ("…" if len(text) > start + limit else "")


def values_apart(wanted: Any, given: Any, limit: int = 80) -> tuple[str, str, str]:
    """Return two unequal values as short JSON, and a remark if the difference is hard to see (else an empty text)."""
    one, other = shown(wanted, limit), shown(given, limit)
    if isinstance(wanted, str) and isinstance(given, str):
        aspects = _alike_in(wanted, given)
    elif isinstance(wanted, dict | list) and isinstance(given, dict | list):
        aspects = _alike_in(shown(wanted, _LONGEST_COMPARED), shown(given, _LONGEST_COMPARED))
    else:
        aspects = ()
    if one == other or not _SEEN.issuperset(aspects):
        one, other = texts_apart(shown(wanted, _LONGEST_COMPARED), shown(given, _LONGEST_COMPARED), limit)
    return one, other, _remark(aspects)


def shown_name(name: str, limit: int = 80) -> str:
    """Return a tool's name for display: unchanged, or in quotes if it has blanks or invisible characters."""
    clean = visible(name, joiners=True)
    plain = clean == name and not any(character.isspace() for character in name)
    return shorten(name if plain else shown(name, 8 * len(name) + 2), limit)


def names_apart(wanted: str, given: str, limit: int = 80) -> tuple[str, str, str]:
    """Return two unequal names for display, and a remark if the difference is hard to see (else an empty text)."""
    aspects = _alike_in(wanted, given)
    one, other = shown_name(wanted, limit), shown_name(given, limit)
    if one == other or not _SEEN.issuperset(aspects):
        one, other = texts_apart(shown(wanted, _LONGEST_COMPARED), shown(given, _LONGEST_COMPARED), limit)
    return one, other, _remark(aspects)


def nearly_the_same(one: str, other: str) -> bool:
    """Return whether two unequal texts differ only in what is hard to see: blanks, case, Unicode form, look-alikes."""
    return bool(_alike_in(one, other))


def _remark(aspects: tuple[str, ...]) -> str:
    return f" (they differ only in {' and '.join(aspects)})" if aspects else ""
