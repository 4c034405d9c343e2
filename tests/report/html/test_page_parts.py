"""The compressed parts of a page: what they hold, what they share, and how much room they take."""

from __future__ import annotations

import base64
import json
import zlib
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_fcpivot.report.html.parts import Details, Parts, encoded, split

SYSTEM = {"role": "system", "content": "Be kind."}
TOOL = {"type": "function", "name": "add", "parameters": {}}
ROOMY = 10_000_000


def opened(text: str) -> Any:
    """Return what the script of a page reads from a part."""
    return json.loads(zlib.decompress(base64.b64decode(text), wbits=-15))


def details(
    key: int, items: list[Any], tools: list[Any] | None = None, separators: tuple[str, str] = (",", ":")
) -> Details:
    """Return a pivot's details."""
    return Details(key, json.dumps(items, separators=separators), json.dumps(tools or []), encoded({"id": f"p{key}"}))


def packed(*trajectories: list[Details], room: int = ROOMY) -> tuple[Parts, dict[int, Any]]:
    """Pack trajectories, and return the parts as the script reads them."""
    parts = Parts(room, str)
    for each in trajectories:
        if not parts.add(each):
            break
    return parts, {number: opened(text) for number, text in parts.finish()}


def conversation(parts: Parts, read: dict[int, Any], key: int) -> list[Any]:
    """Put a pivot's conversation together, as the script does."""
    part, at = parts.places[key]
    pivots = read[part]["pivots"]
    pivot = pivots[at]
    found = pivot["conversation"]
    if isinstance(found, dict):
        found = pivots[found["of"]]["conversation"][: found["upto"]]
    if pivot["system"] is not None:
        found = [read[pivot["system"][0]]["blocks"][pivot["system"][1]], *found]
    return list(found)


def turns(number: int) -> list[Any]:
    """Return some turns of a conversation."""
    return [{"role": "user", "content": f"turn {n}"} for n in range(number)]


def test_a_conversation_is_stored_once() -> None:
    """The shorter pivots of a trajectory refer to the first items of the longest one."""
    those = [details(n, [SYSTEM, *turns(n + 1)]) for n in range(5)]
    parts, read = packed(those)
    stored = [p for part in read.values() for p in part.get("pivots", ()) if isinstance(p["conversation"], list)]
    assert [pivot["id"] for pivot in stored] == ["p4"]
    assert [conversation(parts, read, n) for n in range(5)] == [[SYSTEM, *turns(n + 1)] for n in range(5)]


@given(
    st.lists(
        st.lists(st.sampled_from([*turns(3), SYSTEM, {"role": "user", "content": 'é\\u202e"]},{'}]), max_size=5),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,", ":")]),
)
def test_every_conversation_comes_back(conversations: list[list[Any]], separators: tuple[str, str]) -> None:
    """Each conversation is put together again as it was, whatever the others are and however the JSON is spaced."""
    parts, read = packed([details(n, items, separators=separators) for n, items in enumerate(conversations)])
    assert [conversation(parts, read, n) for n in range(len(conversations))] == conversations


def test_shared_texts_are_stored_once() -> None:
    """A system text and a tool that several trajectories have are one block of one shared part."""
    parts, read = packed(*[[details(n, [SYSTEM, *turns(n)], [TOOL])] for n in range(3)])
    shared = [part for part in read.values() if part["shared"]]
    assert [part["blocks"] for part in shared] == [[SYSTEM, TOOL]]
    for n in range(3):
        part, at = parts.places[n]
        (tool,) = read[part]["pivots"][at]["tools"]
        assert read[tool[0]]["blocks"][tool[1]] == TOOL


def test_what_has_no_room_is_left_out() -> None:
    """The parts take no more room than they may, and pivots without room have no place."""
    texts = [Random(n).randbytes(100_000).hex() for n in range(9)]  # noqa: S311 (they cannot be compressed)
    noise = [[details(n, [{"content": text}])] for n, text in enumerate(texts)]
    room = 500_000
    parts = Parts(room, str)
    for each in noise:
        if not parts.add(each):
            break
    finished = parts.finish()
    assert 0 < len(parts.places) < 9
    assert sum(len(text) for _, text in finished) <= room


def test_secrets_are_removed_from_parts() -> None:
    """What the given function removes from the JSON text is in no part."""
    parts = Parts(ROOMY, lambda text: text.replace("hunter2hunter2", "***"))
    parts.add(
        [details(0, [{"role": "system", "content": "hunter2hunter2"}, {"role": "user", "content": "hunter2hunter2"}])]
    )
    read = {number: opened(text) for number, text in parts.finish()}
    assert conversation(parts, read, 0) == [{"role": "system", "content": "***"}, {"role": "user", "content": "***"}]


def test_numbers_that_only_python_reads() -> None:
    """NaN and infinite numbers in a conversation become strings, so that a browser can read the part."""
    assert [json.loads(each) for each in split('[{"a": NaN}, {"b": -Infinity}]')] == [{"a": "NaN"}, {"b": "-Infinity"}]
