"""Texts from templates and words, written as the inside of JSON strings so that rows can be spliced together."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from pytest_fcpivot.data.synth import texts
from pytest_fcpivot.data.synth.draw import Draw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_T = TypeVar("_T")
LANGUAGES = ("en",) * 82 + ("de",) * 6 + ("es",) * 6 + ("fr",) * 4 + ("ja",) * 2  # to be drawn from: per cent
_WORDS = 256  # of every slot; the fewer written ones are repeated, so that a draw needs no length
_SLOT = re.compile(r"\{(\w+)\}")
_NOT_A_LETTER = re.compile(r"[^a-z]+")
_MAIL_DOMAINS = ("example.com", "example.org", "example.net")
_PARAGRAPHS = ("\n\n", *(" ",) * 5)
_LINES = ("\n",)


class Grammar:
    """Writes sentences of one kind; `length` is the mean of a sentence, in characters."""

    def __init__(
        self,
        templates: Sequence[str],
        words: Mapping[str, Sequence[str]],
        escape: Callable[[str], str],
        separators: Sequence[str] = _PARAGRAPHS,
    ) -> None:
        means = {slot: sum(map(len, values)) / len(values) for slot, values in words.items()}
        pools = {slot: _pool([escape(value) for value in values]) for slot, values in words.items()}
        patterns = []
        length = 0.0
        for template in templates:
            slots = _SLOT.findall(template)
            literal = _SLOT.sub("%s", template.replace("%", "%%"))
            patterns.append((escape(literal), tuple(pools[slot] for slot in slots)))
            length += len(literal) - 2 * len(slots) + sum(means[slot] for slot in slots)
        self.length = length / len(patterns) + sum(map(len, separators)) / len(separators)
        self._patterns = _pool(patterns)
        self._separators = tuple(escape(separator) for separator in separators)

    def write(self, draw: Draw, length: int) -> str:
        """Write about `length` characters, at least one sentence; not quoted."""
        random, patterns, separators = draw.random, self._patterns, self._separators
        count = len(separators)
        parts: list[str] = []
        for _ in range(int(length / self.length + 0.5) or 1):
            pattern, pools = patterns[int(random() * _WORDS)]
            parts.append(pattern % tuple([pool[int(random() * _WORDS)] for pool in pools]))
            parts.append(separators[int(random() * count)])
        parts.pop()
        return "".join(parts)


class Prose:
    """All texts in one encoding: JSON escapes for everything that isn't ASCII, or UTF-8 as it is."""

    def __init__(self, *, ascii_only: bool) -> None:
        encoder = json.JSONEncoder(ensure_ascii=ascii_only)
        self.quote = encoder.encode
        draw = Draw("prose")
        common = _common_words(draw)
        english = common | dict(texts.WORDS_EN)
        # a word that has a slot of its own
        english["when"] = [_filled(word, common, draw) for word in texts.WORDS_EN["when"] * 4]
        self.reasoning = Grammar(texts.REASONING_EN, english, self._escape)
        self.policy = Grammar(texts.POLICY_EN, english, self._escape, _LINES)
        self.answers = {"en": Grammar(texts.ANSWERS_EN, english, self._escape)}
        self.users = {"en": Grammar(texts.USERS_EN, english, self._escape, (" ",))}
        for language, (own, answers, users) in texts.OTHERS.items():
            words = common | dict(own)
            self.answers[language] = Grammar(answers, words, self._escape)
            self.users[language] = Grammar(users, words, self._escape, (" ",))
        self._records = Grammar((_RECORD, _LEAN_RECORD), _record_words(english, draw), self._escape_json, (", ",))
        self._notices = Grammar(texts.NOTES_EN, english, self._escape)

    def record(self, draw: Draw, length: int) -> str:
        """Write objects of about this length, separated by commas: the inside of a JSON array."""
        return self._records.write(draw, length)

    def notice(self, draw: Draw) -> str:
        """Write one short sentence; not quoted."""
        return self._notices.write(draw, 0)

    def _escape(self, text: str) -> str:
        return self.quote(text)[1:-1]

    def _escape_json(self, text: str) -> str:
        """Escape what is JSON text already: only what isn't ASCII changes."""
        return "".join(char if char.isascii() else self._escape(char) for char in text)


_RECORD = (
    '{"id": "{id}", "status": "{status}", "created_at": "{date}T{clock}Z", "owner": {"name": "{name}", '
    '"email": "{email}"}, "city": "{city}", "total": {amount_number}, "items": [{"sku": "{sku}", "quantity": {n}, '
    '"price": {amount_number}}, {"sku": "{sku}", "quantity": {n}, "price": {amount_number}}], "note": "{note}"}'
)
_LEAN_RECORD = (
    '{"id": "{id}", "status": "{status}", "date": "{date}", "location": "{city}", "amount": "{amount_number}", '
    '"active": {flag}, "assigned_to": {person}, "tags": ["{status}", "{sku}"]}'
)


@lru_cache(maxsize=2)
def prose(*, ascii_only: bool) -> Prose:
    """Return the texts in one encoding; they are built once."""
    return Prose(ascii_only=ascii_only)


def _pool(values: Sequence[_T]) -> tuple[_T, ...]:
    return tuple(values[index % len(values)] for index in range(_WORDS))


def _common_words(draw: Draw) -> dict[str, Sequence[str]]:
    emails = [
        f"{_mailbox(name)}{index}@{_MAIL_DOMAINS[index % len(_MAIL_DOMAINS)]}"
        for index, name in enumerate(texts.NAMES * 9)
    ]
    return {
        "name": texts.NAMES,
        "city": texts.CITIES,
        "email": emails,
        "id": [f"{prefix}-{10_000 + _whole(draw, 90_000)}" for prefix in _PREFIXES * 32],
        "date": [
            f"202{5 + _whole(draw, 2)}-{1 + _whole(draw, 12):02}-{1 + _whole(draw, 28):02}" for _ in range(_WORDS)
        ],
        "amount": [f"{_SIGNS[index % 3]}{_money(draw)}" for index in range(_WORDS)],
        "n": [str(1 + _whole(draw, 9_999)) for _ in range(_WORDS)],
    }


_PREFIXES = ("ORD", "INV", "TKT", "REQ", "CASE", "BK", "ACC", "SHP")
_SIGNS = ("$", "€", "£")


def _record_words(english: Mapping[str, Sequence[str]], draw: Draw) -> dict[str, Sequence[str]]:
    people = [f'"{name}"' for name in texts.NAMES]
    return dict(english) | {
        "status": ("open", "closed", "pending", "shipped", "cancelled", "on_hold", "paid", "draft"),
        "clock": [f"{_whole(draw, 24):02}:{_whole(draw, 60):02}:{_whole(draw, 60):02}" for _ in range(_WORDS)],
        "amount_number": [_money(draw) for _ in range(_WORDS)],
        "sku": [f"SKU{1000 + _whole(draw, 9000)}{chr(65 + index % 26)}" for index in range(_WORDS)],
        "note": [_filled(_filled(note, english, draw), english, draw) for note in texts.NOTES_EN * 64],
        "flag": ("true", "false"),
        "person": (*people[:8], "null", *people[8:12]),
    }


def _mailbox(name: str) -> str:
    ascii_name = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return _NOT_A_LETTER.sub(".", ascii_name)


def _filled(text: str, words: Mapping[str, Sequence[str]], draw: Draw) -> str:
    return _SLOT.sub(lambda slot: draw.of(words[slot[1]]), text)


def _whole(draw: Draw, below: int) -> int:
    return int(draw.random() * below)


def _money(draw: Draw) -> str:
    return f"{1 + _whole(draw, 900)}.{10 + _whole(draw, 90)}"
