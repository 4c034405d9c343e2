"""Which agents the rows of pivots name (`agent_ref.name`): by it NVIDIA configures its verifier for each data set."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from pytest_fcpivot.core.jsontext import one_line, well_formed
from pytest_fcpivot.data.jsonparts import decoded, fields

if TYPE_CHECKING:
    from collections.abc import Mapping

AGENT_REF = "agent_ref"
# Where a store's provenance has how many of its pivots name each agent; one that names none is not in it.
AGENT_REFS = "agent_refs"
_KEY = AGENT_REF.encode()
_SHOWN = 80
_LONGEST = 200
# More names than any data set has: a store has none of them in its provenance then, and its rows are looked at.
_MOST_NAMES = 256


def agent_of(metadata: bytes) -> str | None:
    """Return the name in a pivot's metadata, given as JSON; None if there is none.

    A reference of another form than `{"name": …}`, or with a name of hundreds of characters, is returned as its own
    text, cut off: it is no name that anybody knows, and can be shown.
    """
    if _KEY not in metadata:
        return None
    try:
        ref = bytes(_read(metadata).agent_ref)
    except msgspec.DecodeError:  # what Python's own decoder takes, by whose rules rows are read
        ref = (fields(metadata) or {}).get(AGENT_REF, b"null")
    return _name_in(ref)


class _Metadata(msgspec.Struct, gc=False):
    """The one member that is looked at."""

    agent_ref: msgspec.Raw = msgspec.Raw(b"null")


_read = msgspec.json.Decoder(_Metadata).decode


@lru_cache(maxsize=1024)
def _name_in(text: bytes) -> str | None:
    """Return the name in a reference; the rows of a data set share one, or a few."""
    ref = decoded(text)
    if ref is None:
        return None
    name = ref.get("name") if isinstance(ref, dict) else None
    if isinstance(name, str) and len(name) <= _LONGEST:
        return well_formed(name)
    return one_line(text.decode(), _SHOWN)


class AgentRefs:
    """Counts pivots by the agent that they name, while they are prepared."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._too_many = False
        self._last: tuple[bytes | str, str | None] = b"", None

    def add(self, metadata: bytes | str) -> None:
        """Count a pivot by its metadata."""
        if metadata is not self._last[0]:  # the pivots of a conversation share theirs
            self._last = metadata, agent_of(metadata if isinstance(metadata, bytes) else metadata.encode())
        name = self._last[1]
        if name is None or self._too_many:
            return
        self._counts[name] += 1
        if len(self._counts) > _MOST_NAMES:
            self._counts.clear()
            self._too_many = True

    def told(self) -> dict[str, dict[str, int]]:
        """Return what goes into the provenance: nothing if there are too many names."""
        return {} if self._too_many else {AGENT_REFS: dict(sorted(self._counts.items()))}


def counted_in(provenance: Mapping[str, object], pivots: int) -> Counter[str | None] | None:
    """Return how many pivots of a store name each agent, or none, as its provenance has it; None if it does not."""
    told = provenance.get(AGENT_REFS)
    if not isinstance(told, dict):
        return None
    counts: Counter[str | None] = Counter(told)
    unnamed = pivots - counts.total()
    return counts + Counter({None: unnamed})
