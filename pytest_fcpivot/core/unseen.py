r"""Escapes characters that a reader cannot see, or that change how the text around them is displayed.

These are control characters (including those that reverse the direction of text), lone surrogates, line and paragraph
separators, and what Unicode calls default ignorable: zero-width and filler characters, variation selectors, tags.
Letters, marks and symbols of all scripts are visible. An invisible character stays only where its script needs it:

- a joiner or non-joiner (U+200D, U+200C) directly after a letter or mark of a script that is written with them (Arabic,
  the Indic scripts, Khmer, Mongolian, …), where it decides which form a letter takes, and a joiner between two emoji;
- a variation selector directly after an emoji, an ideograph, a Mongolian letter or the digit of a keycap;
- the tags of the three flags that have them.

At most one such character stays in a place, so that they can neither hide text nor reverse a line. Where two texts
differ in one of them, the messages about differences show it escaped (`joiners` of `jsontext.visible`).
"""

from __future__ import annotations

import re
from functools import cache
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

ZWNJ, ZWJ = "\u200c", "\u200d"
# Default ignorable code points (Unicode, DerivedCoreProperties), as ranges of a pattern.
_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Control characters except tab and newline, separators, surrogates, annotation marks, and noncharacters.
_CONTROLS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff"
    "\U00013430-\U0001343f\U0001fffe\U0001ffff"
)
_FLAG = "\U0001f3f4"
_FLAGS = "|".join(
    "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f" for region in ("gbeng", "gbsct", "gbwls")
)
# Scripts that use joiners: Arabic and related scripts, the Indic scripts, Khmer, Mongolian, with their letters in
# further blocks (presentation forms, extensions, historic scripts).
_JOINING = (
    "[\u0620-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17b3\u17b6-\u17d3\u1807\u180a\u1820-\u18aa\u1b00-\u1bff"
    "\ua800-\ua82f\ua840-\ua8ff\ua980-\ua9df\uaa00-\uaa7f\uabc0-\uabff\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc"
    "\U00010a00-\U00010a5f\U00010ac0-\U00010aff\U00011000-\U00011dff\U0001e900-\U0001e95f]"
)
_MONGOLIAN = "[\u1820-\u18aa]"
_IDEOGRAPH = "[\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
_EMOJI = "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff\ufe0f]"
_KEYCAP = "\u20e3"
_UNSEEN_ASCII = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


class _Patterns(NamedTuple):
    """The patterns for non-ASCII texts, compiled for the first such text: that takes longer than the other imports."""

    unseen: re.Pattern[str]
    always_unseen: re.Pattern[str]
    ignored: re.Pattern[str]
    joining: re.Pattern[str]
    mongolian: re.Pattern[str]
    ideograph: re.Pattern[str]
    emoji: re.Pattern[str]


@cache
def _patterns() -> _Patterns:
    hidden = f"[{_IGNORABLE}{_CONTROLS}]"
    sources = (
        f"(?<={_FLAG})(?:{_FLAGS})|{hidden}",
        hidden,
        f"[{_IGNORABLE}]",
        _JOINING,
        _MONGOLIAN,
        _IDEOGRAPH,
        _EMOJI,
    )
    return _Patterns(*map(re.compile, sources))


def escape_unseen(text: str) -> str:
    r"""Escape invisible characters as JSON does (`\u202e`), except tabs, newlines and those that their script needs."""
    if text.isascii():
        return text if text.isprintable() else _UNSEEN_ASCII.sub(lambda found: escaped(found[0]), text)
    return _patterns().unseen.sub(_escaped_or_kept, text)


def escape_all_unseen(text: str) -> str:
    """Escape all that `escape_unseen` escapes, and also the joiners and selectors that a script needs."""
    if text.isascii():
        return escape_unseen(text)
    return _patterns().always_unseen.sub(lambda found: escaped(found[0]), text)


def without_ignored(text: str) -> str:
    """Remove all default ignorable characters, without which the text looks the same or nearly so."""
    return _patterns().ignored.sub("", text)


def escaped(character: str) -> str:
    r"""Write a character as an ASCII JSON escape: `\u202e`, a surrogate pair beyond U+FFFF; a tab as `\u0009`."""
    return f"\\u{ord(character):04x}" if character.isascii() else encode_basestring_ascii(character)[1:-1]


def _escaped_or_kept(found: re.Match[str]) -> str:
    text, start, end = found.string, found.start(), found.end()
    if end - start > 1:  # the tags of a flag
        return found[0]
    before, after = text[start - 1 : start] if start else "", text[end : end + 1]
    return found[0] if _is_needed(found[0], before, after) else escaped(found[0])


def _is_needed(character: str, before: str, after: str) -> bool:
    """Return whether an invisible character serves its purpose between these neighbours."""
    if not before:
        return False
    patterns = _patterns()
    emoji, joining = patterns.emoji.match, patterns.joining.match
    if character in (ZWJ, ZWNJ):
        joins_emoji = character == ZWJ and bool(emoji(before)) and bool(emoji(after))
        return joins_emoji or bool(joining(before))
    if character in ("\ufe0e", "\ufe0f"):
        return bool(emoji(before)) and before != "\ufe0f" if after != _KEYCAP else before in "0123456789#*"
    if "\U000e0100" <= character <= "\U000e01ef" or "\ufe00" <= character <= "\ufe02":
        return bool(patterns.ideograph.match(before))
    if "\u180b" <= character <= "\u180f":
        return bool(patterns.mongolian.match(before))
    return False
