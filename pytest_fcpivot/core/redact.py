"""Removes secrets from text: known values in every form in which they may be written, and whatever looks like a key.

Everything that is stored or shown passes through a Redactor. Two rules apply, for two kinds of text:

- Shown text, and text about an answer (errors, explanations): every known value of six characters or more is removed.
- Answers, which may be graded again later: only values that cannot be ordinary text are removed, that is, those of
  twelve characters or more with both letters and digits. A changed answer cannot be graded again, so the code that
  stores it must mark it.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import threading
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from pytest_fcpivot.core import secret_values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HIDDEN = "***"
SHORTEST = 6  # characters; shorter values are never hidden
SHORTEST_IN_ANSWERS = 12
_LETTER, _DIGIT = re.compile(r"[^\W\d_]"), re.compile(r"\d")
_PATTERNS = (
    re.compile(r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)(\b(?:proxy-)?authorization\b['\"]?\s*[:=]\s*['\"]?(?:[a-z]+\s+)?)[^\s'\",;}]+"),
    re.compile(
        r"(?i)(\b(?:x-)?(?:api|access|secret|subscription)[-_]?(?:key|token)\b['\"]?\s*[:=]\s*['\"]?)(?!\$)[^\s'\",;&}]+"
    ),
    re.compile(r"()\b(?:sk|pk|rk|hf|gsk|xai|ghp|glpat)[-_][A-Za-z0-9_*-]{8,}"),
    re.compile(r"(://)[^/\s:@]+:[^/\s@]+(?=@)"),
)
# Every match of a pattern contains one of these; searching for them takes a tenth of the time of a pattern.
_SIGNS = (
    *("bearer", "basic", "authorization", "key", "token", "@"),
    *(f"{prefix}{joined}" for prefix in ("sk", "pk", "rk", "hf", "xai", "ghp", "glpat") for joined in "-_"),
)
# pytest names the test that runs, anew for each of its phases: all else that is there is then as it was.
_TEST = getattr(os.environ, "encodekey", str)("PYTEST_CURRENT_TEST")
_JSON_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"')  # possessive: backtracking would cost memory
_PERCENT = re.compile(r"%[0-9A-F]{2}")
_PLAIN_RUN = re.compile("[A-Za-z0-9]+")
_ESCAPED = frozenset("\\'\"")
_WRITTEN_ALIKE = re.compile(r"[A-Za-z0-9_.-]+")
# Cached because all forms of all secrets are needed again whenever another secret is added.
_remembered = lru_cache(maxsize=4096)
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")


class Redactor:
    """Replaces secrets in text: values that are or once were in the environment, and those added by `add`.

    The environment is read again at each use, because an agent or a conftest may put a key there at any time.
    Thread-safe.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._values: set[str] = set()
        self._seen: dict[Any, Any] = {}
        self._shown = self._in_answers = _Finder(())
        self.add(values)
        self._look()

    def add(self, values: Iterable[str]) -> None:
        """Treat further values as secrets; values shorter than six characters are ignored."""
        with self._lock:
            new = {value for value in values if len(value) >= SHORTEST} - self._values
            if new:
                self._values |= new
                self._shown = _Finder(self._values, cut=True)
                self._in_answers = _Finder(value for value in self._values if _is_unmistakable(value))

    def _look(self) -> None:
        """Add the secrets that were put into the environment since the last look; removed ones stay secret."""
        held = getattr(os.environ, "_data", os.environ)  # decoding all of it takes twenty times as long
        seen = self._seen
        test = held.get(_TEST)
        if test is not None and test != seen.get(_TEST) and not secret_values.may_hold_address(os.fsdecode(test)):
            seen[_TEST] = test
        if held == seen:
            return
        now = dict(held)  # a copy in one step: other threads may change the environment meanwhile
        changed = {key: value for key, value in now.items() if seen.get(key) is not value}
        new = {os.fsdecode(key): os.fsdecode(value) for key, value in changed.items()}
        self.add(secret_values.in_environment(new))
        self._seen = now

    def __call__(self, text: str) -> str:
        """Return a text without the known secrets, and without anything that looks like a key, a token or a header."""
        self._look()
        text = self._shown.clean(text)
        lowered = text.lower()
        if any(sign in lowered for sign in _SIGNS):
            for pattern in _PATTERNS:
                text = pattern.sub(rf"\1{HIDDEN}", text)
        return text

    def within(self, value: Any) -> Any:
        """Return a JSON value with the secrets removed from its strings; object keys and other values stay the same."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {key: self.within(part) for key, part in value.items()}
        return [self.within(part) for part in value] if isinstance(value, list | tuple) else value

    def is_in_answer(self, *texts: str | None) -> bool:
        """Return whether the JSON texts of an answer have secrets that `answer` removes."""
        self._look()
        return any(text is not None and self._in_answers.holds(text) for text in texts)

    def answer(self, text: str) -> str:
        """Return the JSON text of an answer without the secrets that cannot be ordinary text; it remains valid JSON."""
        self._look()
        if not self._in_answers.holds(text):
            return text
        return _JSON_STRING.sub(lambda found: self._clean_string(found[0]), text)

    def _clean_string(self, written: str) -> str:
        # decoded first: in the escaped form, a match may begin inside an escape such as the n of \nabc
        decoded = json.loads(written)
        clean = self._in_answers.clean(decoded)
        return written if clean == decoded else json.dumps(clean)


def _is_unmistakable(value: str) -> bool:
    return len(value) >= SHORTEST_IN_ANSWERS and bool(_LETTER.search(value) and _DIGIT.search(value))


class _Finder:
    """Finds any of many secrets in a text, in a time that hardly depends on the number of secrets.

    If there are many, the text is sampled: pieces of `size` characters are taken every `step` characters and looked up
    in an index. A secret of at least `size + step - 1` characters contains one of these pieces whole, wherever it
    stands.
    """

    _SHORT = (4, 3)  # size of a piece, and step from one to the next, for secrets of 6 characters or more
    _LONG = (6, 7)  # the same for secrets of 12 or more
    _FEW = 64  # up to this many, searching for them one by one is faster
    _AT_LEAST = sum(_LONG) - 1
    _ENDS = 10  # the characters at either end by which a secret is recognised when a message shows it shortened

    def __init__(self, values: Iterable[str], *, cut: bool = False) -> None:
        self._encoded: set[str] = set()  # base64 forms; the base64 characters next to them belong to the secret as well
        self._heads: dict[str, list[str]] = {}
        self._tails: dict[str, list[str]] = {}
        short: set[str] = set()
        long: set[str] = set()
        self._escaped: list[tuple[str, re.Pattern[str]]] = []
        for value in values:
            if not (value.isascii() and value.isprintable()) or not _ESCAPED.isdisjoint(value):
                self._escaped.append((max(_PLAIN_RUN.findall(value), key=len, default=""), _escaped(value)))
            encoded = _encodings(value)
            self._encoded |= encoded
            for form in _forms(value) | encoded:
                (long if len(form) >= self._AT_LEAST else short).add(form)
                if cut and len(form) >= self._AT_LEAST:
                    self._tails.setdefault(form[-self._ENDS :], []).append(form)
                    if "://" not in form[: self._ENDS]:  # many addresses begin alike
                        self._heads.setdefault(form[: self._ENDS], []).append(form)
        short |= self._heads.keys() | self._tails.keys()
        self._few: list[str] = []
        self._many: list[tuple[int, int, Mapping[str, list[str]]]] = []
        for (size, step), forms in ((self._SHORT, short), (self._LONG, long)):
            if len(forms) <= self._FEW:
                self._few += forms
            else:
                self._many.append((size, step, _by_piece(forms, size, step)))

    def _found(self, text: str) -> list[str]:
        """Return the known secrets that a text contains, the longest first."""
        found = {form for form in self._few if form in text}
        for size, step, by_piece in self._many:
            for piece in by_piece.keys() & {text[at : at + size] for at in range(0, len(text), step)}:
                found.update(form for form in by_piece[piece] if form in text)
        return sorted(found, key=len, reverse=True)

    def holds(self, text: str) -> bool:
        """Return whether a text contains any of the secrets."""
        if not (self._few or self._many):
            return False  # nearly always; each answer is searched
        return any(part in text and written.search(text) for part, written in self._escaped) or bool(self._found(text))

    def clean(self, text: str) -> str:
        """Replace every secret in a text."""
        for part, written in self._escaped:
            if part in text:
                text = written.sub(HIDDEN, text)
        for form in self._found(text):
            if form in self._encoded:
                text = _without_run(text, form)
            elif form in self._heads or form in self._tails:
                text = self._without_rest(text, form)
            else:
                text = text.replace(form, HIDDEN)
        return text

    def _without_rest(self, text: str, end: str) -> str:
        """Replace what remains of shortened secrets: `end` is the beginning or the end of some, already found."""
        before = [form[: -len(end)] for form in self._tails.get(end, ())]
        after = [form[len(end) :] for form in self._heads.get(end, ())]
        parts, done = [], 0
        while (start := text.find(end, done)) >= 0:
            stop = start + len(end)
            left = [_in_common(text[max(done, start - len(form)) : start], form, -1) for form in before]
            right = [_in_common(text[stop : stop + len(form)], form) for form in after]
            parts += [text[done : start - max(left, default=0)], HIDDEN]
            done = stop + max(right, default=0)
        return "".join([*parts, text[done:]])


def _in_common(text: str, form: str, step: int = 1) -> int:
    """Return the length of the common prefix of two texts; with a step of -1, that of their common suffix."""
    pairs = zip(text[::step], form[::step], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _by_piece(forms: Iterable[str], size: int, step: int) -> Mapping[str, list[str]]:
    """Index secrets by the `step` pieces at their first offsets; sampling at that distance always meets one of them."""
    found: dict[str, list[str]] = {}
    for form in forms:
        for at in range(step):
            found.setdefault(form[at : at + size], []).append(form)
    return found


def _without_run(text: str, core: str) -> str:
    """Replace the whole run of base64 around a known part, such as the user name encoded before the password."""
    parts, done = [], 0
    while (start := text.find(core, done)) >= 0:
        end = start + len(core)
        while start > done and text[start - 1] in _BASE64:
            start -= 1
        while end < len(text) and (text[end] in _BASE64 or text[end] == "="):
            end += 1
        parts += [text[done:start], HIDDEN]
        done = end
    return "".join([*parts, text[done:]])


@_remembered
def _escaped(value: str) -> re.Pattern[str]:
    """Match a value as written in JSON or a Python repr, also nested in each other, which only adds backslashes."""
    return re.compile("".join(map(_escaped_character, value)))


def _escaped_character(character: str) -> str:
    if character == "\\":
        return r"\\+"
    if character in "'\"":
        return rf"\\*{character}"
    if character.isascii() and character.isprintable():
        return re.escape(character)
    ways = dict.fromkeys(way(character)[1:-1] for way in (json.dumps, repr, ascii))
    written = ["".join(rf"\\+{re.escape(unit)}" for unit in way.split("\\")[1:]) for way in ways]
    raw = "".join(rf"\\+{re.escape(repr(bytes([byte]))[3:-1])}" for byte in _bytes(character))
    return f"(?:{'|'.join(filter(None, [re.escape(character), *written, raw]))})"


@_remembered
def _forms(value: str) -> frozenset[str]:
    """Return the forms of a value in text that does not escape with backslashes: URLs, HTML and XML."""
    if _WRITTEN_ALIKE.fullmatch(value):
        return frozenset((value,))
    forms = {
        value,
        " ".join(value.split()),  # as in reports, which fold white space
        value.replace("/", "\\/"),  # as some servers write JSON
        html.escape(value),
        html.escape(value, quote=False),
        html.escape(value).replace("&#x27;", "&#39;"),
        html.escape(value).replace("&#x27;", "&apos;"),
        html.escape(value, quote=False).replace('"', "&quot;"),
        quote(_bytes(value), safe=""),
        quote(_bytes(value)),
        quote_plus(_bytes(value)),
    }
    forms |= {_PERCENT.sub(lambda found: found[0].lower(), form) for form in forms}
    return frozenset(form for form in forms | set(map(html.escape, forms)) if len(form) >= SHORTEST)


@_remembered
def _encodings(value: str) -> frozenset[str]:
    """Return the base64 characters that a value yields at each of the three possible offsets in the encoded bytes."""
    raw, found = _bytes(value), set()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        core = encoded[(8 * before + 5) // 6 : 8 * (before + len(raw)) // 6]
        found |= {core, core.replace("+", "-").replace("/", "_"), quote(core, safe="")}
    return frozenset(core for core in found if len(core) >= SHORTEST)


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape" if value.isprintable() else "surrogatepass")
