"""The bundled baseline: an agent of rules only. No model, no network, no randomness.

It reads the state of the conversation, scores each tool by word overlap and by what can be filled in, and calls the
best one if that beats writing a message. Conversations and schemas are data nobody vouches for: no expression of
theirs is ever run, every walk is bounded, and a shape that makes no sense counts as absent.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import islice
from math import log
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.model import FunctionCall, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_fcpivot.model import PivotView

_MAX_TEXT = 4_000  # characters of one text that are read
_MAX_TEXTS = 5
_MAX_FACTS = 1_500
_MAX_TOOLS = 200
_MAX_CODES = 400
_MAX_PARTS = 200  # of one object or list
_MAX_FILLS = 300  # values of one call, looked for in vain or not
_MANY = 40
_MAX_DEPTH = 6
_SCHEMA_DEPTH = 30
_FEW = 4  # words that say what is wanted
_LONG_AGO = 365 * 5  # days
_SHORT = 6  # words of a turn that says little by itself
_STEM = 6  # letters; crude, and enough to bring "reserve" and "reservation" together


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_STOP = _set(
    """
    a about after all also am an and any are as ask at be been before but by can could did do does for from get go
    had has have he her here hi hello him his how i if in into is it its just let like list me more my need new no not
    now of ok on one or our out over please read search set so some such than thank thanks that the their them then
    there these they this those to too up us use want was we were what when where which who why will with would yes
    you your
    """
)
_LOOKUPS = _set("get list search find check read lookup track verify calculate query fetch show view describe count")
_IDENTIFY = _set("verify find identify authenticate login lookup")
_WRITING = _set("write draft explain why translate summarise summarize recommend tip tips advice how")
_YES = _set("yes yep yeah yup ok okay sure confirm confirmed correct agreed exactly perfect absolutely")
_YES_PHRASES = ("go ahead", "do it", "do that", "please do", "sounds good", "that's fine", "that is fine", "fine by me")
_CONSENT = {"acknow", "accept", "agre", "confir", "consen"}  # stems
_NO = _set("no not don't dont without never off disable stop none neither")
_IDS = _set("id ids number no code key ref reference sku isbn barcode locator serial uuid token")
_FAILURES = _set("error errors failed failure invalid exception denied unauthorized")
_PROSE = _set(
    """
    query reason summary comment description question note notes message text body subject purpose instructions
    details detail content title issue keywords
    """
)
_SAME_NAME = ({"surname", "last_name", "family_name", "lastname"}, {"given_name", "first_name", "firstname"})
_LAST = _set("to end until out return checkout departure")
_SIGNS = ("$", "€", "£", "¥")
_MONEY = _set("price amount fee cost total budget sum payment dollars euros pounds usd eur gbp")
_COUNTS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS = re.compile(r"[^\W_]+(?:'[a-z]+)?")
_TOKEN = re.compile(r"[#\w][\w/.@+#-]{0,80}\w")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,5}")
_PHONE = re.compile(r"\+\d[\d ()-]{6,18}\d")
_CLOCK = re.compile(r"\b([01]?\d|2[0-3]):([0-5]\d)\b")
_NUMBER = re.compile(r"(?<![\w.#/:-])(?:\d{1,3}(?:,\d{3}){1,3}|\d{1,12})(?:\.\d{1,6})?(?![\w#/-]|[.:]\d)")
_NAMES = re.compile(r"\b[^\W\d_a-z][^\W\d_]*(?:[ '\u2019-][^\W\d_a-z][^\W\d_]+){0,3}\b")
_QUOTED = re.compile(r"[\"“«]([^\"”»\n]{1,200})[\"”»]|`([^`\n]{1,200})`")
_MONTH = (
    r"(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DATES = re.compile(
    rf"(?P<iso>\d{{4}}-\d\d-\d\d)|\b{_MONTH} (\d{{1,2}})(?:st|nd|rd|th)?(?:,? (\d{{4}}))?\b(?!:)"
    rf"|\b(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH}(?:,? (\d{{4}}))?\b"
    r"|\b(?P<near>today|tonight|tomorrow|yesterday)\b|\b(?P<day>mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}day\b",
    re.IGNORECASE,
)
_CALENDAR = re.compile(rf"{_MONTH}|(mon|tues|wednes|thurs|fri|satur|sun)day", re.IGNORECASE)
_CLASS = re.compile(r"(\[[^\[\]]{1,40}\]|\\[dw])(?:\{(\d{1,2})(,\d*)?\}|([+*]))?")
_LITERALS = re.compile(r"[\w#@:/ -]*")


@lru_cache(maxsize=8192)
def _stem(word: str) -> str:
    for ending in ("'s", "ing", "ies", "ed", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) > 2:  # noqa: PLR2004 (a stem keeps three letters)
            word = word[: -len(ending)]
            break
    return word[:_STEM]


def _words(text: Any) -> list[str]:
    """Split a text or an identifier into lower-case words."""
    return _WORDS.findall(_CAMEL.sub(" ", text[:_MAX_TEXT]).lower()) if isinstance(text, str) else []


def _stems(text: Any) -> set[str]:
    return {_stem(word) for word in _words(text) if word not in _STOP}


_MONEY_STEMS = {_stem(word) for word in _MONEY}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(content: Any) -> str:
    """Return the text of a message's content, which may be a string or a list of parts."""
    if isinstance(content, str):
        return content[:_MAX_TEXT]
    parts = (_dict(part).get("text") for part in _list(content))
    return "\n".join(part for part in parts if isinstance(part, str))[:_MAX_TEXT]


def _pruned(data: Any, depth: int = _MAX_DEPTH) -> Any:
    """Copy JSON data down to some depth, so that nothing later can run out of stack."""
    if isinstance(data, dict):
        return {str(k): _pruned(v, depth - 1) for k, v in islice(data.items(), _MAX_PARTS)} if depth else None
    if isinstance(data, list):
        return [_pruned(value, depth - 1) for value in data[:_MAX_PARTS]] if depth else None
    return data


def _decode(text: Any) -> Any:
    """Decode JSON or the repr of plain Python data; anything else is None."""
    if not isinstance(text, str):
        return _pruned(text)
    swapped = text.replace("'", '"').replace("True", "true").replace("False", "false").replace("None", "null")
    for attempt in (text, swapped):
        try:
            return _pruned(json.loads(attempt))
        except (ValueError, RecursionError):
            continue
    return None


@dataclass(frozen=True, slots=True)
class _Fact:
    """One value that a tool returned, or that an earlier call was given."""

    key: str
    value: Any
    near: frozenset[str]  # the words of the object it stands in
    fresh: bool  # came after the last user turn


def _facts(data: Any, *, fresh: bool) -> Iterator[_Fact]:
    """Walk a decoded output, breadth first, and yield its values under their keys."""
    level: list[tuple[str, Any, frozenset[str]]] = [("", data, frozenset())]
    for _ in range(_MAX_DEPTH):
        below: list[tuple[str, Any, frozenset[str]]] = []
        for key, node, near in level:
            if isinstance(node, dict):
                words = frozenset(_stems(" ".join(str(value)[:200] for value in islice(node.values(), _MANY))))
                below += [(f"{key}_id" if name == "id" else name, value, words) for name, value in node.items()]
            elif isinstance(node, list):
                below += [(key.removesuffix("s"), value, near) for value in node]
            if key and not isinstance(node, list):
                yield _Fact(key, node, near, fresh)
        level = below[:_MAX_FACTS]


class _Talk:
    """What the rules know of a conversation."""

    def __init__(self, items: list[Any]) -> None:
        self.users: list[str] = []  # newest first, like all lists here
        self.proposal = ""
        self.calls: list[tuple[str, Any]] = []
        self.since: list[str] = []  # names of the tools called since the last user turn
        self.facts: list[_Fact] = []
        self.latest: set[str] = set()  # values that came with the result at the end, and with nothing before
        self.failed = False  # that result tells of an error
        self.today: date | None = None
        self.answered = False  # the last thing said is a tool's result
        for item in reversed(items):
            self._read(item if isinstance(item, dict) else {})
        self.now = self.users[0] if self.users else ""
        lower = self.now.lower()
        self.confirmed = bool(self.proposal) and (
            any(phrase in lower for phrase in _YES_PHRASES) or not _YES.isdisjoint(_words(lower)[:12])
        )
        older = self.users[1:_MAX_TEXTS]
        self.texts = [self.now, self.proposal, *older] if self.confirmed else [self.now, *older, self.proposal]
        self.focus = _stems(self.now)
        if sum(stem.isalpha() for stem in self.focus) < _FEW and older:
            self.focus |= _stems(older[0])  # bare details answer a question about what was wanted before
        self.earlier = _stems(" ".join(self.texts[1:4]))
        self.given = {str(value) for _, call in self.calls for value in _dict(call).values()}
        said = " ".join(self.users[:_MAX_TEXTS])
        self.latest = {value for value in self.latest if value not in said} - self.given

    def _read(self, item: dict[str, Any]) -> None:
        kind, role = item.get("type"), item.get("role")
        if kind == "function_call":
            arguments = _decode(item.get("arguments"))
            self.calls.append((str(_pruned(item.get("name"))), arguments))
            if not self.users:
                self.since.append(str(_pruned(item.get("name"))))
            self._learn(arguments)
        elif kind == "function_call_output":
            latest = not (self.answered or self.users or self.proposal)
            self.answered = self.answered or latest
            output, known = item.get("output"), len(self.facts)
            output = _text(output) if isinstance(output, list) else output
            self._learn(_decode(output))
            if latest:
                self.failed = isinstance(output, str) and not _FAILURES.isdisjoint(_words(output[:200]))
                self.latest = {str(fact.value) for fact in self.facts[known:]}
        elif role == "user":
            self.users.append(_text(item.get("content")))
        elif role == "assistant" and not self.proposal:
            self.proposal = _text(item.get("content"))
        elif role in ("system", "developer"):
            dates = list(_dates(_text(item.get("content")), None))
            self.today = dates[0] if dates else self.today

    def _learn(self, data: Any) -> None:
        self.facts += islice(_facts(data, fresh=not self.users), max(0, _MAX_FACTS - len(self.facts)))


def _dates(text: str, today: date | None) -> Iterator[date]:
    """Yield the dates that a text names; relative ones and ones without a year need today's."""
    matches = list(_DATES.finditer(text))
    explicit = [match for match in matches if not match["day"]]  # in "Monday, May 4" the weekday is no second date
    for match in explicit or matches:
        groups = match.groups()
        month, day, year = (groups[1:4] if groups[1] else (groups[5], groups[4], groups[6]))[:3]
        try:
            if match["iso"]:
                yield date.fromisoformat(match["iso"])
            elif month and (year or today):
                chosen = int(year) if year else today.year if today else 0
                yield date(chosen, _MONTHS.index(month[:3].lower()) + 1, int(day))
            elif match["near"] and today:
                shift = {"tomorrow": 1, "yesterday": -1}.get(match["near"].lower(), 0)
                yield today + timedelta(days=shift)
            elif match["day"] and today:
                ahead = (_WEEKDAYS.index(match["day"].lower()) - today.weekday()) % 7
                yield today + timedelta(days=ahead)
        except (ValueError, OverflowError):
            continue


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> str | None:
    """Turn a plain pattern (literals, classes, repeats) into a glob, which cannot run away; None if it is not plain."""
    body = pattern[:200].removeprefix("^").removesuffix("$")
    parts = _CLASS.split(body)  # literals, then class, least, open end, sign, literals, and so on
    glob = parts[0]
    for class_, least, more, sign, literals in zip(*(parts[at::5] for at in range(1, 6)), strict=True):
        chars = class_.strip("[]").replace(r"\d", "0-9").replace(r"\w", "a-zA-Z0-9_").replace("\\", "")
        chars = "!" + chars[1:] if chars.startswith("^") else chars
        glob += f"[{chars}]" * int(least or sign != "*") + "*" * bool(more or sign) + literals
    plain = _LITERALS.fullmatch("".join(parts[::5])) and glob.count("*") <= 2  # noqa: PLR2004 (more could be slow)
    return glob if plain and glob else None


@lru_cache(maxsize=64)
def _codes(text: str) -> tuple[str, ...]:
    """Return the tokens of a text that may be ids; every parameter of every tool asks for them."""
    tokens = (match[0] for match in islice(_TOKEN.finditer(text), _MAX_CODES))
    return tuple(token for token in tokens if not _EMAIL.fullmatch(token))


def _shape(token: str) -> str:
    """Write a token's outline: capitals, small letters and digits by their kind, the rest as it is."""
    return re.sub(r"\d", "9", re.sub(r"[^\W\d_A-Z]", "a", re.sub(r"[A-Z]", "A", token[:60])))


@dataclass(frozen=True, slots=True)
class _Found:
    """A value for a parameter; not `sure` if it is only a guess or a free text."""

    value: Any
    sure: bool = True


class _Filler:
    """Fills one tool's arguments from the conversation."""

    def __init__(self, talk: _Talk, root: dict[str, Any], name: str = "") -> None:
        self.talk = talk
        self.root = root
        self.used: set[str] = set()
        self.fills = 0
        self.ranks: dict[str, list[tuple[float, _Fact]]] = {}
        # Two objects named in one breath are treated one after the other, so what this tool was given goes last.
        done = [arguments for called, arguments in talk.calls[: len(talk.since)] if called == name]
        self.done = {(key, str(value)) for arguments in done for key, value in _dict(arguments).items()}

    def arguments(self) -> dict[str, _Found] | None:
        """Return every required argument and the optional ones that are clearly named; None if one is missing."""
        return self._properties(self._resolve(self.root), 0)

    def _properties(self, schema: dict[str, Any], depth: int) -> dict[str, _Found] | None:
        properties, required = _dict(schema.get("properties")), _list(schema.get("required"))
        filled: dict[str, _Found] = {}
        # What a pattern describes is told apart first, so that looser shapes take from what is left.
        ordered = sorted(islice(properties.items(), 60), key=lambda item: "pattern" not in _dict(item[1]))
        for name, part in ordered:
            found = self._fill(name, part, depth, name in required)
            if found:
                filled[name] = found
            elif name in required:
                return None
        return filled

    def _resolve(self, schema: Any) -> dict[str, Any]:
        """Follow references inside the schema, and pick the first branch of a union that is not null."""
        found: dict[str, Any] = _dict(schema)
        for _ in range(_MAX_DEPTH):
            if isinstance(found.get("$ref"), str):
                target: Any = self.root
                for step in found["$ref"].removeprefix("#").strip("/").split("/")[:20]:
                    target = _dict(target).get(step) if step else target
                found = _dict(target)
                continue
            branches = [_dict(b) for key in ("anyOf", "oneOf", "allOf") for b in _list(found.get(key))]
            branch = next((b for b in branches if b.get("type") != "null"), None)
            if branch is None:
                break
            found = {k: v for k, v in found.items() if k not in ("anyOf", "oneOf", "allOf")} | branch
        return found

    def _fill(self, name: str, part: Any, depth: int, required: bool) -> _Found | None:
        schema = self._resolve(part)
        kinds = schema.get("type")
        kind = next((k for k in kinds if k != "null"), None) if isinstance(kinds, list) else kinds
        self.fills += 1
        if depth > _MAX_DEPTH or self.fills > _MAX_FILLS:
            return None
        if "const" in schema:
            return _Found(schema["const"], sure=False)
        if isinstance(schema.get("enum"), list):
            return self._enum(name, schema["enum"], required)
        if kind == "boolean":
            return self._boolean(name, required)
        if kind in ("integer", "number"):
            return self._number(name, schema, whole=kind == "integer", required=required)
        if kind == "array":
            return self._array(name, schema, depth, required)
        if kind == "object":
            return self._object(name, schema, depth, required)
        return self._string(name, schema, required)

    def _enum(self, name: str, options: list[Any], required: bool) -> _Found | None:
        for text in self.talk.texts if required else self.talk.texts[:1]:
            said = _stems(text) | set(_words(text))
            hits = [o for o in options if isinstance(o, str) and _stems(o) and _stems(o) <= said]
            if hits:  # the words as they stand beat their stems, and more words beat fewer
                return _Found(max(hits, key=lambda option: len(said.intersection(_words(option)))))
        if not required:
            return None
        fact = self._fact(name)
        if fact and fact.value in options:
            return _Found(fact.value)
        focus = set().union(*(_stems(text) for text in self.talk.texts))
        partly = next((o for o in options if not _stems(o).isdisjoint(focus)), options[-1] if options else None)
        return _Found(partly, sure=False)

    def _boolean(self, name: str, required: bool) -> _Found | None:
        said, wanted = [_stem(word) for word in _words(self.talk.now)], _stems(name)
        at = next((i for i, word in enumerate(said) if word in wanted), None)
        if at is not None and wanted <= set(said):
            negated = any(word in _NO for word in _words(self.talk.now)[max(0, at - 3) : at])
            return _Found(not negated)
        if not required:
            return None
        if not wanted.isdisjoint(_CONSENT):
            return _Found(self.talk.confirmed)
        switch = not wanted or not wanted.isdisjoint({"enabl", "activ", "value"})  # "on" and "do" are stop words
        return _Found(switch and _NO.isdisjoint(_words(self.talk.now)), sure=False)

    def _number(self, name: str, schema: dict[str, Any], *, whole: bool, required: bool) -> _Found | None:
        """Find a number next to words of its name, among the facts, or the only one there is."""
        money = not _MONEY.isdisjoint(_words(name))
        wanted = _stems(name) | (_MONEY_STEMS if money else set())
        if required:
            wanted |= _stems(schema.get("description"))
        for age, text in enumerate(self.talk.texts if required else self.talk.texts[:1]):
            numbers = list(islice(self._numbers(text, whole=whole), _MANY))
            for value, around in numbers:
                if not wanted.isdisjoint(around):
                    return _Found(value)
            if age == 0 and required:
                for _, fact in self._ranked(name):
                    if type(fact.value) is int or (type(fact.value) is float and not whole):
                        # Books hold charges as negative, requests name the plain amount.
                        return _Found(abs(fact.value) if money else fact.value)
                if len(numbers) == 1:
                    return _Found(numbers[0][0], sure=False)
        return None

    def _numbers(self, text: str, *, whole: bool) -> Iterator[tuple[int | float, set[str]]]:
        """Yield the numbers of a text with the words around each."""
        for match in _NUMBER.finditer(text):
            if whole and "." in match[0]:
                continue
            before, after = text[max(0, match.start() - 40) : match.start()], text[match.end() : match.end() + 40]
            around = _words(before)[-3:] + _words(after)[:2]
            if before.rstrip()[-1:] in _SIGNS or after.lstrip()[:1] in _SIGNS:
                around.append("price")
            digits = match[0].replace(",", "")
            yield (float(digits) if "." in digits else int(digits)), {_stem(word) for word in around}
        said = _words(text)
        for at, word in enumerate(said):
            if word in _COUNTS:
                yield _COUNTS.index(word), {_stem(near) for near in said[max(0, at - 1) : at + 3]}

    def _array(self, name: str, schema: dict[str, Any], depth: int, required: bool) -> _Found | None:
        items = self._resolve(schema.get("items"))
        if isinstance(items.get("enum"), list):
            said = self.talk.focus
            options = [o for o in items["enum"] if isinstance(o, str) and _stems(o) and _stems(o) <= said]
            return _Found(options) if options else None
        if not required:
            return None
        single = name.removesuffix("s")
        if items.get("type") == "object" or "properties" in items:
            found = self._object(single, items, depth, required)
            return _Found([found.value], found.sure) if found else None
        tokens = self._tokens(single, items, self.talk.now)
        if tokens:
            return _Found(tokens)
        ranked = self._ranked(single)
        if not ranked:
            found = self._fill(single, items, depth + 1, required)
            return _Found([found.value], found.sure) if found else None
        everything = not {"all", "both", "every", "everything"}.isdisjoint(_words(self.talk.now))
        best = ranked[0][0]
        values = [fact.value for score, fact in ranked if everything or score >= best]
        return _Found(list(dict.fromkeys(v for v in values if isinstance(v, str | int))))

    def _object(self, name: str, schema: dict[str, Any], depth: int, required: bool) -> _Found | None:
        fact = self._fact(name)
        wanted = [key for key in _list(schema.get("required")) if isinstance(key, str)]
        if fact and isinstance(fact.value, dict) and set(wanted) <= set(fact.value):
            return _Found(fact.value)
        filled = self._properties(schema, depth + 1)
        if not filled or not (required or all(found.sure for found in filled.values())):
            return None
        value = {key: found.value for key, found in filled.items()}
        return _Found(value, all(found.sure for found in filled.values()))

    def _string(self, name: str, schema: dict[str, Any], required: bool) -> _Found | None:
        words, hint = set(_words(name)), str(schema.get("description") or "").lower()[:300]
        form = schema.get("format")
        if form == "email" or not words.isdisjoint({"email", "mail"}):
            return self._spelled(name, _EMAIL.findall, required)
        if not words.isdisjoint({"phone", "telephone", "mobile"}):
            return self._spelled(name, _PHONE.findall, required)
        if form == "date" or not words.isdisjoint({"date", "birth", "dob"}) or "yyyy" in hint or "iso date" in hint:
            birth = not words.isdisjoint({"birth", "dob", "birthday"})
            return self._spelled(name, lambda text: self._days(text, birth=birth), required)
        if form == "time" or "hh:mm" in hint or not words.isdisjoint({"time", "start", "end"}):
            return self._spelled(name, lambda text: (f"{int(h):02}:{m}" for h, m in _CLOCK.findall(text)), required)
        if not words.isdisjoint(_PROSE) and not self._is_id(words, schema):
            return self._prose(words) if required else None
        tokens = self._tokens(name, schema, self.talk.now)
        patterned = "pattern" in schema
        sure = patterned or bool(self._outlines(name, schema))
        if tokens and (required or patterned):
            self.used.add(tokens[0])
            return _Found(tokens[0], sure or self._cued(name, tokens[0], self.talk.now))
        if not required:
            return None
        fact = self._fact(name)
        if fact and isinstance(fact.value, str | int | float) and not isinstance(fact.value, bool):
            return _Found(str(fact.value))
        for text in self.talk.texts[1:]:
            if tokens := self._tokens(name, schema, text):
                self.used.add(tokens[0])
                return _Found(tokens[0], sure or self._cued(name, tokens[0], text))
        if self._is_id(words, schema):
            return None
        return self._named(words)

    def _spelled(self, name: str, values: Callable[[str], Iterable[str]], required: bool) -> _Found | None:
        """Find a value that its spelling gives away, in the texts or else among the facts."""
        last = not _LAST.isdisjoint(_words(name))
        for text in self.talk.texts if required else self.talk.texts[:1]:
            found = list(islice(values(text), 20))
            if found and (required or not set(_words(name)).isdisjoint(_words(text))):
                return _Found(found[-1 if last else 0])
        fact = self._fact(name) if required else None
        return _Found(fact.value) if fact and isinstance(fact.value, str) else None

    def _days(self, text: str, *, birth: bool) -> Iterator[str]:
        """Yield the dates of a text: those of births, long ago, or the others."""
        today = self.talk.today
        for day in _dates(text, today):
            if today is None or birth == ((today - day).days > _LONG_AGO):
                yield day.isoformat()

    def _prose(self, words: set[str]) -> _Found | None:
        """Sum up what the user wants: content words for a query, else the newest turns as they are."""
        turns = [turn for turn in self.talk.users if turn.strip()]
        if not turns:
            return None
        if words & {"query", "keywords", "title", "subject"}:
            for turn in turns[:_MAX_TEXTS]:
                said = [w for w in _words(_EMAIL.sub(" ", turn)) if w not in _STOP and w.isalpha() and w not in _YES]
                if len(said) > 1:
                    return _Found(" ".join(dict.fromkeys(said[:12])), sure=False)
            return None
        spoken = turns[:1] if len(_words(turns[0])) >= _SHORT else turns[1::-1]  # a bare "yes" says nothing
        return _Found(" ".join(turn.strip() for turn in spoken), sure=False)

    def _named(self, words: set[str]) -> _Found | None:
        """Find a name: quoted, or capitalised, best right after the parameter's own word."""
        for text in self.talk.users[:_MAX_TEXTS]:
            if match := _QUOTED.search(text):
                return _Found(match[1] or match[2])
            names = [m for m in islice(_NAMES.finditer(text), _MANY) if not self._ordinary(m[0], text)]
            if not names:
                continue
            cues = [bool(words & set(_words(text[: m.start()][-40:])[-2:])) for m in names]
            person = not words.isdisjoint({"name", "surname", "lastname", "firstname"})
            fresh = [not any(m[0] in value for _, value in self.done) for m in names]
            apart = [self._apart(text, m.start(), m.end()) for m in names]
            whole = [" " in m[0] or "-" in m[0] for m in names]
            ranks = list(zip(fresh, cues, whole, apart, strict=True))
            best = names[ranks.index(max(ranks))][0]
            if words & {"surname", "last", "family", "lastname"}:
                best = best.split(" ")[-1]
            elif words & {"first", "given", "firstname"}:
                best = best.split(" ")[0]
            return _Found(best, person or max(ranks)[1])
        return None

    def _apart(self, text: str, start: int, end: int) -> int:
        """Count on how many sides punctuation or the text's end sets a phrase apart, as in "Doe, 1970-01-01"."""
        before, after = text[:start].rstrip(" "), text[end : end + 1]
        return (not before or before[-1] in ",;/\n(") + (after in ("", ",", ".", ";", "\n", ")", "!", "?"))

    def _ordinary(self, name: str, text: str) -> bool:
        """Tell whether a capitalised word is so only because it starts a sentence or is a day or a month."""
        first = name.lower().split(" ")[0]
        at = text.find(name)
        opens = at == 0 or text[:at].rstrip(" \n\"'(")[-1:] in ("", ".", "!", "?", ":", "\n")
        alone = opens and " " not in name and len(name) < len(text) - 1
        return alone or _CALENDAR.fullmatch(name) is not None or first.split("'")[0] in _STOP

    def _is_id(self, words: set[str], schema: dict[str, Any]) -> bool:
        return "pattern" in schema or any(w in _IDS or w.endswith(("code", "number")) for w in words)

    def _tokens(self, name: str, schema: dict[str, Any], text: str) -> list[str]:
        """Return the tokens of a text that look like a value of this parameter, the likeliest first."""
        tokens = [t for t in _codes(text) if t not in self.used]
        if glob := _glob(str(schema.get("pattern") or "")):
            tokens = [t for t in tokens if fnmatchcase(t, glob)]
        elif shapes := self._outlines(name, schema):
            tokens = [t for t in tokens if _shape(t) in shapes]
        elif self._is_id(set(_words(name)), schema):
            tokens = [t for t in tokens if any(c.isdigit() for c in t) and not (_DATES.fullmatch(t) or "." in t)]
        else:
            return []
        ranks = {
            t: (not self._cued(name, t, text), (name, t) in self.done, not any(c.isupper() for c in t)) for t in tokens
        }
        return sorted(ranks, key=lambda token: ranks[token])

    def _cued(self, name: str, token: str, text: str) -> bool:
        """Tell whether a word of the parameter's name stands right before the token."""
        return not _stems(name).isdisjoint(_stem(word) for word in _words(text[: text.find(token)][-60:])[-4:])

    def _outlines(self, name: str, schema: dict[str, Any]) -> set[str]:
        """Return the outlines that values of this parameter have: in its description, and where it occurred."""
        examples = _TOKEN.findall(str(schema.get("description") or "")[:300])
        known = [fact.value for _, fact in self._ranked(name)[:20] if isinstance(fact.value, str)]
        return {_shape(e) for e in [*examples, *known] if any(c.isdigit() for c in e)}

    def _ranked(self, name: str) -> list[tuple[float, _Fact]]:
        """Return the known values of a key, best first: named by the user, near what was said, exact key, newest."""
        if name in self.ranks:
            return self.ranks[name]
        same = next((group for group in _SAME_NAME if name in group), {name})
        wanted = _stems(name) - _IDS or _stems(name)
        now, focus, earlier = self.talk.now.lower(), self.talk.focus, self.talk.earlier
        ranked = []
        for age, fact in enumerate(self.talk.facts):
            exact = fact.key in same
            if not exact and not self._same(wanted, fact):
                continue
            said = isinstance(fact.value, str) and len(fact.value) > 1 and fact.value.lower() in now
            overlap = len(fact.near & focus) + 0.4 * len(fact.near & earlier)
            overlap -= 9.0 * ((name, str(fact.value)) in self.done)
            ranked.append((8.0 * said + overlap + 2.0 * exact + 1.5 * fact.fresh - 0.002 * age, fact))
        self.ranks[name] = sorted(ranked, key=lambda pair: -pair[0])
        return self.ranks[name]

    def _same(self, wanted: set[str], fact: _Fact) -> bool:
        """Tell whether a key says nearly the same as a parameter's name."""
        key = _stems(fact.key)
        if isinstance(fact.value, str):
            return (key - _IDS or key) == wanted
        return isinstance(fact.value, int | float) and len(wanted) > 1 and wanted <= key

    def _fact(self, name: str) -> _Fact | None:
        ranked = self._ranked(name)
        return ranked[0][1] if ranked else None


def _verb(name: str) -> str:
    return (_words(name) or [""])[0]


def _options(talk: _Talk, tools: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, float]]]:
    """Yield each tool whose required arguments can be filled, with the arguments and the signs for and against it."""
    vocabularies = [(_stems(tool["name"]), _stems(tool.get("description"))) for tool in tools]
    counts = Counter(stem for names, descriptions in vocabularies for stem in names | descriptions)
    proposed = set() if talk.answered else _stems(talk.proposal)
    wanted = talk.focus.difference(*(_stems(name) for name in talk.since))  # what has not been served yet

    def weigh(stems: set[str]) -> float:
        """Count words, rare ones more: a word that every tool has tells nothing."""
        return sum(log((len(tools) + 1) / counts[stem]) for stem in stems) / log(len(tools) + 2)

    for tool, (names, descriptions) in zip(tools, vocabularies, strict=True):
        name = tool["name"]
        found = _Filler(talk, _dict(tool.get("parameters")), name).arguments()
        arguments = {key: one.value for key, one in (found or {}).items()}
        if found is None or (name, arguments) in talk.calls:
            continue
        lookup = _verb(name) in _LOOKUPS
        details = [str(one.value) for one in found.values() if one.sure]
        signs = {
            "name said": weigh(names & wanted),
            "description said": weigh((descriptions - names) & wanted),
            "name proposed": weigh(names & proposed),
            "lookup": lookup,
            "lookup after result": lookup and talk.answered,
            "identify at the start": _verb(name) in _IDENTIFY and not talk.calls,
            "action at the start": not lookup and not talk.calls,
            "unlocked": any(str(value) in talk.latest for value in arguments.values()),
            "new detail": sum(detail in talk.now and detail not in talk.given for detail in details),
            "unsure": min(3, len(found) - len(details)),
            "size": log(1 + len(names | descriptions)),
        }
        yield name, arguments, signs


def _message_signs(talk: _Talk) -> dict[str, float]:
    """Return the signs for and against a message."""
    verb = _verb(talk.since[0]) if talk.since else ""
    answers = "?" in talk.proposal[-300:] and "?" not in talk.now and not talk.answered
    return {
        "message": 1,
        "message at the start": not talk.calls,
        "message to an answer": answers,
        "message to writing": not talk.answered and not _WRITING.isdisjoint(_words(talk.now)),
        "message after result": talk.answered,
        "message after results": min(3, len(talk.since)),
        "message after action": talk.answered and verb not in _LOOKUPS,
        "message after identifying": talk.answered and verb in _IDENTIFY,
        "message after failure": talk.failed,
    }


# Rounded from a fit on the bundled sample; fitted to a part of its domains they do nearly as well on the rest.
_WEIGHTS: dict[str, float] = {
    "name said": 3.3,
    "description said": 1.4,
    "name proposed": 1.8,
    "lookup": 1.2,
    "lookup after result": 1.3,
    "identify at the start": 2.9,
    "action at the start": -1.7,
    "unlocked": 4.3,
    "new detail": 2.2,
    "unsure": -2.0,
    "size": -1.7,
    "message": 3.0,
    "message at the start": -3.4,
    "message to an answer": -2.2,
    "message to writing": 2.1,
    "message after result": 1.6,
    "message after results": 1.2,
    "message after action": 2.4,
    "message after identifying": -2.6,
    "message after failure": 0.6,
}


def _score(signs: dict[str, float]) -> float:
    return sum(_WEIGHTS[sign] * value for sign, value in signs.items())


class RuleAgent:
    """Answer a pivot by rules: one call of the best tool, or a message."""

    def __call__(self, pivot: PivotView) -> FunctionCall | Message:
        """Return the action for one pivot; never raises, whatever the data."""
        talk = _Talk(_list(pivot.input))
        offered = [_dict(_pruned(tool, _SCHEMA_DEPTH)) for tool in _list(pivot.tools)[:_MAX_TOOLS]]
        tools = [tool for tool in offered if isinstance(tool.get("name"), str)]
        best: FunctionCall | Message = Message("Could you tell me a little more about that, please?")
        best_score = _score(_message_signs(talk))
        for name, arguments, signs in _options(talk, tools):
            score = _score(signs)
            if score > best_score:
                best, best_score = FunctionCall(name, arguments), score
        return best
