"""Parts shared by the dialects: the type of an attempted call, and the test whether a mark in a text begins one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pytest_fcpivot.core.dialects.schema_types import parameter_types

Call = tuple[str, str]  # a name, and arguments as JSON text

_BLANK_LINE = re.compile(r"[ \t]*(?:\r?\n|\Z)")
_BEGINS_A_CALL = re.compile(r"\s*[\[{]")
_DEEPEST_INDENT = 100
_MOST_TYPES = 10_000
_QUOTES = "`\"'\u201c\u2018\u00ab"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The range of a text that attempts calls, and these calls: none if the intended function cannot be identified.

    If the function of a call is clear but its arguments cannot be read, its arguments are the raw text in their place,
    which is not valid JSON.
    """

    start: int
    end: int
    calls: tuple[Call, ...] = ()


class Tools:
    """The tools that a text may call: their names, and the JSON types of their parameters.

    Tools may be flat function tools, or nested ones as in Chat Completions. Many texts, and several
    threads, can share an object.
    """

    __slots__ = ("_parameters", "_types", "names")

    def __init__(self, tools: Iterable[Mapping[str, Any]] = ()) -> None:
        self._parameters: dict[str, Any] = {}
        for given in tools:
            nested = given.get("function")
            tool = nested if isinstance(nested, Mapping) else given
            if isinstance(tool.get("name"), str):
                self._parameters.setdefault(tool["name"], tool.get("parameters"))
        self.names = frozenset(self._parameters)
        self._types: dict[tuple[str, str], frozenset[str]] = {}

    @classmethod
    def named(cls, names: Iterable[str]) -> Tools:
        """Make tools of which only the names are known."""
        return cls({"name": name} for name in names)

    def with_names(self, names: Iterable[str]) -> Tools:
        """Return these tools and further ones, of which only the names are known."""
        own = ({"name": name, "parameters": parameters} for name, parameters in self._parameters.items())
        return Tools((*own, *({"name": name} for name in names)))

    def types(self, tool: str, parameter: str) -> frozenset[str]:
        """Return the JSON types that a tool's schema allows for a parameter; empty if it does not name any."""
        key = tool, parameter
        if key not in self._types:
            if tool not in self.names:
                return frozenset()
            if len(self._types) >= _MOST_TYPES:  # a model may write any number of names
                self._types.clear()
            self._types[key] = parameter_types(self._parameters[tool], parameter)
        return self._types.get(key, frozenset())


# Finds the first attempted call in a text at or after a position.
Find = Callable[[str, int, Tools], Attempt | None]
# Writes calls, whose arguments are the JSON text of an object, with the dialect's special tokens or without.
Write = Callable[[Sequence[Call], bool], str]


def stands(text: str, start: int, inside: int) -> bool:
    """Return whether the mark from `start` to `inside` really begins a call, and is not merely mentioned in a sentence.

    It does if it is not quoted and either JSON follows it, or it is alone on its line.
    """
    if quoted(text, start):
        return False
    if _BEGINS_A_CALL.match(text, inside):
        return True
    return begins_line(text, start) and _BLANK_LINE.match(text, inside) is not None


def begins_line(text: str, start: int) -> bool:
    """Return whether only blanks precede a position in its line."""
    before = text[max(0, start - _DEEPEST_INDENT) : start]
    blanks = len(before) - len(before.rstrip(" \t"))
    return blanks == start or before[: len(before) - blanks].endswith("\n")


def quoted(text: str, start: int) -> bool:
    """Return whether a quotation mark or a backtick directly precedes a position: the text there is an example.

    A quotation mark at the beginning of the text does not count: there is nothing that the example would be part of.
    """
    if start == 0 or text[start - 1] not in _QUOTES:
        return False
    return bool(text[max(0, start - 1 - _DEEPEST_INDENT) : start - 1].strip())


def quotes(text: str, start: int, end: int) -> bool:
    """Return whether quotation marks or backticks enclose a range of a text within a sentence."""
    return end < len(text) and text[end] in _QUOTES and quoted(text, start)


@lru_cache(maxsize=8)
def last(text: str, mark: str) -> int:
    """Return the last position of a mark in a text, -1 if there is none.

    Marks are looked for at many positions of a text. Each search to its end would make that quadratic; here only the
    first one goes through the text.
    """
    return text.rfind(mark)
