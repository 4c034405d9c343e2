r"""Characters that a reader cannot see, or that change how the text around them is shown.

These are controls, the ones that turn the direction of text among them, lone surrogates, line and paragraph separators,
and what Unicode calls default ignorable: zero-width and filling characters, variation selectors, tags. All letters,
marks and symbols of all scripts are seen. An invisible character is left where its script needs it, and only there:

- a joiner or non-joiner (U+200D, U+200C) directly after a letter or mark of a script that is written with them (Arabic,
  the Indic scripts, Khmer, Mongolian, …), where it decides which form a letter takes, and a joiner between two emoji;
- a variation selector directly after an emoji, an ideograph, a Mongolian letter or the digit of a keycap;
- the tags of the three flags that have them.

One such character at a place is all that is left, so that no text can hide in them, nor a line be turned around. Where
texts differ in one, the messages about differences write it out (`joiners` of `jsontext.visible`).
"""

from __future__ import annotations

import re
from json.encoder import encode_basestring_ascii

ZWNJ, ZWJ = "\u200c", "\u200d"
# Default ignorable code points (Unicode, DerivedCoreProperties), as ranges of a pattern.
_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Controls but for tab and newline, separators, surrogates, marks of annotations, and what is no character at all.
_CONTROLS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufff9-\ufffb\ufffe\uffff"
    "\U00013430-\U0001343f\U0001fffe\U0001ffff"
)
_FLAG = "\U0001f3f4"
_FLAGS = "|".join(
    "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f" for region in ("gbeng", "gbsct", "gbwls")
)
_UNSEEN = re.compile(f"(?<={_FLAG})(?:{_FLAGS})|[{_IGNORABLE}{_CONTROLS}]")
_ALWAYS_UNSEEN = re.compile(f"[{_IGNORABLE}{_CONTROLS}]")
_IGNORED = re.compile(f"[{_IGNORABLE}]")
# Scripts whose letters join or not: Arabic and its kin, those of India and around it, Khmer, Mongolian, and their
# letters elsewhere (presentation forms, extensions, historic scripts).
_JOINING = re.compile(
    "[\u0620-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17b3\u17b6-\u17d3\u1807\u180a\u1820-\u18aa\u1b00-\u1bff"
    "\ua800-\ua82f\ua840-\ua8ff\ua980-\ua9df\uaa00-\uaa7f\uabc0-\uabff\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc"
    "\U00010a00-\U00010a5f\U00010ac0-\U00010aff\U00011000-\U00011dff\U0001e900-\U0001e95f]"
)
_MONGOLIAN = re.compile("[\u1820-\u18aa]")
_IDEOGRAPH = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
_EMOJI = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff\ufe0f]"
)
_KEYCAP = "\u20e3"


def escape_unseen(text: str) -> str:
    r"""Escape, as JSON does, what cannot be seen, but for tabs, line ends and what its script needs: `\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSEEN.sub(_escaped_or_kept, text)


def escape_all_unseen(text: str) -> str:
    """Escape likewise, and joiners and selectors that a script needs, too."""
    if text.isascii() and text.isprintable():
        return text
    return _ALWAYS_UNSEEN.sub(lambda found: escaped(found[0]), text)


def without_ignored(text: str) -> str:
    """Leave out what a reader does not miss."""
    return _IGNORED.sub("", text)


def escaped(character: str) -> str:
    r"""Write a character as JSON does in ASCII: `\u202e`, and two such beyond the first 65,536; a tab as `\u0009`."""
    return f"\\u{ord(character):04x}" if character.isascii() else encode_basestring_ascii(character)[1:-1]


def _escaped_or_kept(found: re.Match[str]) -> str:
    text, start, end = found.string, found.start(), found.end()
    if end - start > 1:  # the tags of a flag
        return found[0]
    before, after = text[start - 1 : start] if start else "", text[end : end + 1]
    return found[0] if _is_needed(found[0], before, after) else escaped(found[0])


def _is_needed(character: str, before: str, after: str) -> bool:
    """Tell whether an invisible character does what its script has it for, between its neighbours."""
    if not before:
        return False
    if character in (ZWJ, ZWNJ):
        joins_emoji = character == ZWJ and bool(_EMOJI.match(before)) and bool(_EMOJI.match(after))
        return joins_emoji or bool(_JOINING.match(before))
    if character in ("\ufe0e", "\ufe0f"):
        return bool(_EMOJI.match(before)) and before != "\ufe0f" if after != _KEYCAP else before in "0123456789#*"
    if "\U000e0100" <= character <= "\U000e01ef" or "\ufe00" <= character <= "\ufe02":
        return bool(_IDEOGRAPH.match(before))
    if "\u180b" <= character <= "\u180f":
        return bool(_MONGOLIAN.match(before))
    return False
