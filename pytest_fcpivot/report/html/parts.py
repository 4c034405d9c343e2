"""Pack the details of pivots into compressed parts, so that a page opens without reading most of itself.

Texts are put together as JSON text, without decoding them: a conversation is stored once for the longest pivot of its
trajectory, and the others refer to its first items; system texts and tools are stored once for the whole page.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pytest_fcpivot.core.jsontext import compact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from typing import Any

PART_BYTES = 256 << 10  # of JSON text, before it is compressed
_LEVEL = 6
_WAITING = 4  # parts that are being compressed at once, so that little text is held
_THREADS = 2
_SYSTEM = ("system", "developer")

_split_quickly = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Item(msgspec.Struct, gc=False):
    role: str | None = None


_read_item = msgspec.json.Decoder(_Item).decode


def _role(item: bytes) -> str | None:
    try:
        return _read_item(item).role
    except msgspec.MsgspecError:  # an item of an odd shape
        return None


def split(text: str) -> list[bytes]:
    """Return the elements of a JSON array as JSON texts that a browser can read.

    Python's NaN and infinite numbers, which JSON does not have, become strings.
    """
    try:
        return [bytes(each) for each in _split_quickly(text)]
    except (msgspec.DecodeError, UnicodeEncodeError):
        values = json.loads(text, parse_constant=str)
        return [compact(value).encode() for value in values]


def encoded(value: Any) -> bytes:
    """Write a value as JSON in UTF-8, with lone surrogates as escapes."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return compact(msgspec.to_builtins(value)).encode()


def packed(data: bytes) -> str:
    """Compress a text (raw deflate), and write it in base64."""
    squeezed = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    return base64.b64encode(squeezed.compress(data) + squeezed.flush()).decode()


class Details(NamedTuple):
    """A pivot's details: its input and tools as JSON text, and its other members, written as JSON."""

    key: int
    input_json: str
    tools_json: str
    rest: bytes


class Parts:
    """The parts of a page; `room` is how many characters they may have in all.

    `around` is what each of them takes besides. `clean` removes secrets from a JSON text. `places` has the part of each
    pivot, by its key, and the position in it.
    """

    def __init__(self, room: int, clean: Callable[[str], str], around: int = 0) -> None:
        self.places: dict[int, tuple[int, int]] = {}
        self._room = room
        self._clean = clean
        self._around = around
        self._texts: dict[int, str] = {}
        self._raw = self._written = 0  # bytes before, and characters after compression
        self._waiting: deque[tuple[int, int, list[int], Future[str]]] = deque()
        self._pool = ThreadPoolExecutor(_THREADS)
        self._count = 0
        self._blocks: dict[bytes, bytes] = {}  # by text: the reference
        self._tools: dict[str, bytes] = {}  # by JSON text: the references of the tools in it
        self._shared = self._next()
        self._shared_blocks: list[bytes] = []
        self._shared_size = 0
        self._part = -1
        self._pivots: list[bytes] = []
        self._keys: list[int] = []
        self._size = 0
        self.full = False

    def _next(self) -> int:
        self._count += 1
        return self._count - 1

    # ---------------------------------------------------------------- adding

    def add(self, trajectory: Sequence[Details]) -> bool:
        """Add the pivots of one trajectory; returns whether there may be room for more.

        After it has returned False, nothing more is added.
        """
        if self.full:
            return False
        if self._part < 0:
            self._part = self._next()
        longest: list[_Conversation] = []
        for details in sorted(trajectory, key=lambda each: -len(each.input_json)):
            self._add(details, longest)
        if self._size >= PART_BYTES:
            self._close()
        ahead = self._size + self._shared_size + sum(size for _, size, _, _ in self._waiting)
        ratio = self._written / self._raw if self._raw else 0.3
        if self._written + ahead * ratio > self._room:
            self._close()
            self._settle()
            self.full = self._written + self._shared_size * ratio > self._room
        return not self.full

    def _add(self, details: Details, longest: list[_Conversation]) -> None:
        conversation = None
        for known in longest:
            count = known.begins_with(details.input_json)
            if count is not None:
                conversation = b'{"of":%d,"upto":%d}' % (known.place, count)
                system = known.system
                break
        else:
            items = split(details.input_json)
            system = b"null"
            lifted = bool(items) and _role(items[0]) in _SYSTEM
            if lifted:
                system = self._block(items[0])
            conversation = b"[%s]" % b",".join(items[lifted:])
            longest.append(_Conversation(len(self._pivots), details.input_json, items, lifted=lifted, system=system))
        written = b'{"conversation":%s,"system":%s,"tools":%s,%s' % (
            conversation,
            system,
            self._tools_of(details.tools_json),
            details.rest[1:],
        )
        self._pivots.append(written)
        self._keys.append(details.key)
        self._size += len(written)

    def _tools_of(self, tools_json: str) -> bytes:
        found = self._tools.get(tools_json)
        if found is None:
            found = b"[%s]" % b",".join([self._block(tool) for tool in split(tools_json)])
            self._tools[tools_json] = found
        return found

    def _block(self, text: bytes) -> bytes:
        """Return the reference of a text that pivots share."""
        found = self._blocks.get(text)
        if found is None:
            if self._shared_size >= PART_BYTES:
                self._close_shared()
            found = self._blocks[text] = b"[%d,%d]" % (self._shared, len(self._shared_blocks))
            self._shared_blocks.append(text)
            self._shared_size += len(text)
        return found

    # ---------------------------------------------------------------- compressing

    def _close_shared(self) -> None:
        self._submit(self._shared, b'{"shared":true,"blocks":[%s]}' % b",".join(self._shared_blocks), [])
        self._shared, self._shared_blocks, self._shared_size = self._next(), [], 0

    def _close(self) -> None:
        if self._pivots:
            self._submit(self._part, b'{"shared":false,"pivots":[%s]}' % b",".join(self._pivots), self._keys)
        self._part, self._pivots, self._keys, self._size = -1, [], [], 0

    def _submit(self, number: int, data: bytes, keys: list[int]) -> None:
        self._waiting.append((number, len(data), keys, self._pool.submit(self._pack, data)))
        while len(self._waiting) > _WAITING:
            self._take()

    def _pack(self, data: bytes) -> str:
        return packed(self._clean(data.decode()).encode())

    def _take(self) -> None:
        number, size, keys, future = self._waiting.popleft()
        written = future.result()
        if keys and self._written + len(written) + self._around > self._room:
            self.full = True  # a part that has no room is left out; shared ones, which others refer to, never are
            return
        self._texts[number] = written
        self._written += len(written) + self._around
        self._raw += size
        for position, key in enumerate(keys):
            self.places[key] = number, position

    def _settle(self) -> None:
        while self._waiting:
            self._take()

    def finish(self) -> list[tuple[int, str]]:
        """Return the parts: number and text."""
        self._close()
        if self._shared_blocks:
            self._close_shared()
        self._settle()
        self._pool.shutdown()
        return sorted(self._texts.items())


class _Conversation:
    """A conversation that is stored, with the places where its items end in its JSON text."""

    def __init__(self, place: int, text: str, items: list[bytes], *, lifted: bool, system: bytes) -> None:
        self.place = place
        self.system = system
        self._text = text
        self._lifted = lifted
        self._items = items
        self._ends: dict[int, int] | None = None

    def begins_with(self, other: str) -> int | None:
        """Return how many of the stored items are those of another conversation, if they begin this one; else None."""
        head = other.rstrip()[:-1]
        if len(head) > len(self._text) or not self._text.startswith(head):
            return None
        if self._ends is None:
            # in characters, if the items are divided by a comma alone; otherwise no end is found
            ends = list(accumulate((len(item.decode()) + 1 for item in self._items), initial=0))
            self._ends = {end: number for number, end in enumerate(ends)} if ends[-1] == len(self._text) - 1 else {}
        count = self._ends.get(len(head))
        return None if count is None or count < self._lifted else count - self._lifted
