"""Keeps what was decoded of texts, up to a number of characters, for the many answers that share a row's texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class KeptTexts(Generic[T]):
    """Decodes texts, and keeps the values of those that were asked for last, of at most `most` characters in all.

    A longer text is decoded each time. There is no lock, which a forked process could inherit in its locked state: of
    threads that collide, one decodes a text again.
    """

    def __init__(self, decode: Callable[..., T], most: int) -> None:
        self._decode = decode
        self._most = most // 2
        self._new: dict[str, T] = {}
        self._old: dict[str, T] = {}  # those that are asked for again become new ones, the others go
        self._size = 0

    def __call__(self, text: str, *about: Any) -> T:
        """Return the value of a text; `about` is passed on to the function that decodes, and raises as that does."""
        found = self._new.get(text)
        if found is None:
            found = self._old.get(text)
            if found is None:
                found = self._decode(text, *about)
            self._keep(text, found)
        return found

    @property
    def characters(self) -> int:
        """How many characters the texts have that are kept."""
        return sum(map(len, self._new)) + sum(map(len, self._old))

    def _keep(self, text: str, value: T) -> None:
        if len(text) > self._most:
            return
        if self._size + len(text) > self._most:
            self._old, self._new, self._size = self._new, {}, 0
        self._new[text] = value
        self._size += len(text)
