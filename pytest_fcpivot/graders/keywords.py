"""Keyword overlap: a measure of how much of an expected message's content an answer has, without a model."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import pairwise

# Words that say little about a message's content. An apostrophe splits a word, so both halves are listed separately.
STOP_WORDS = frozenset(
    """
    a about above after again against all also am an and any are aren as at be because been before being below between
    both but by can cannot could couldn d did didn do does doesn doing don down during each else few for from further
    had hadn has hasn have haven having he her here hers herself him himself his how i if in into is isn it its itself
    just ll m may me might more most must mustn my myself no nor not now of off on once only or other our ours ourselves
    out over own please re s same shall she should shouldn so some such t than that the their theirs them themselves
    then there these they this those through to too under until up us ve very was wasn we were weren what when where
    which while who whom whose why will with won would wouldn you your yours yourself yourselves
    """.split()  # noqa: SIM905 (a page of quotes otherwise)
)

# Scripts that write no spaces between words: Thai and Lao, Myanmar, Khmer, the Japanese syllabaries, Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)


class _Separators(dict[int, int | str | None]):
    """The translation of each character: punctuation, symbols and spaces become a space, format characters vanish."""

    def __missing__(self, code: int) -> int | str | None:
        category = unicodedata.category(chr(code))
        value = None if category == "Cf" else " " if category[0] in "PSZC" else code
        self[code] = value
        return value


_separators = _Separators()


def keywords(text: str) -> list[str]:
    """Return a text's distinct keywords in order: case-folded words without punctuation, and without stop words.

    Text in scripts without spaces between words, such as Chinese, Japanese or Thai, is cut into overlapping pairs of
    letters, as search engines do; a single letter is a keyword of its own.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    found: dict[str, None] = {}
    for word in text.casefold().translate(_separators).split():
        if word in STOP_WORDS:
            continue
        if word.isascii():
            found[word] = None
        else:
            found.update(dict.fromkeys(_parts(word)))
    return list(found)


def keyword_overlap(expected: str, answer: str) -> float:
    """Return the share, from 0 to 1, of the expected message's distinct keywords that the answer contains.

    It is 0 for a blank answer; else it is 1 if the expected message has no keywords.
    """
    if not answer.strip():
        return 0.0
    if answer == expected:  # the same result as below, at once
        return 1.0
    wanted = keywords(expected)
    if not wanted:
        return 1.0
    given = set(keywords(answer))
    return sum(word in given for word in wanted) / len(wanted)


def _parts(word: str) -> list[str]:
    """Split a word where it changes between scripts with and without spaces, and cut the latter runs into pairs."""
    parts: list[str] = []
    runs, unspaced = _run_patterns()
    for run in runs.findall(word):
        if not any(map(str.isalnum, run)):
            continue  # marks that belong to an emoji
        if unspaced.match(run):
            letters = _letters(run)
            parts += map("".join, pairwise(letters)) if len(letters) > 1 else letters
        elif run not in STOP_WORDS:
            parts.append(run)
    return parts


@cache
def _run_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the patterns for a run of a word, and for a run without spaces; slow to compile, so only when needed."""
    return re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+"), re.compile(f"[{_UNSPACED}]")


def _letters(run: str) -> list[str]:
    """Split a run into letters, each together with its combining marks."""
    letters: list[str] = []
    for character in run:
        if letters and unicodedata.category(character)[0] == "M":
            letters[-1] += character
        else:
            letters.append(character)
    return letters
