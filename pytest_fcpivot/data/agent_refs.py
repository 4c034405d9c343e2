"""The agents that pivots name in `agent_ref.name`, by which NVIDIA selects the verifier's settings for each dataset."""

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
# The key of a store's provenance for the number of pivots that name each agent; pivots without one are not counted.
AGENT_REFS = "agent_refs"
_KEY = AGENT_REF.encode()
_SHOWN = 80
_LONGEST = 200
# More names than any dataset has. Beyond this, none are kept in the provenance, and readers scan the rows instead.
_MOST_NAMES = 256


def agent_of(metadata: bytes) -> str | None:
    """Return the agent's name in a pivot's metadata, given as JSON; None if there is none.

    A reference of another form than `{"name": …}`, or with an overlong name, is returned as its shortened JSON text: it
    cannot equal a known name, and can be shown in messages.
    """
    if _KEY not in metadata:
        return None
    try:
        ref = bytes(_read(metadata).agent_ref)
    except msgspec.DecodeError:  # JSON that only Python's more lenient decoder accepts
        ref = (fields(metadata) or {}).get(AGENT_REF, b"null")
    return _name_in(ref)


class _Metadata(msgspec.Struct, gc=False):
    """The metadata of a row, of which only this one member is decoded."""

    agent_ref: msgspec.Raw = msgspec.Raw(b"null")


_read = msgspec.json.Decoder(_Metadata).decode


@lru_cache(maxsize=1024)
def _name_in(text: bytes) -> str | None:
    """Return the name in a reference; cached, because the rows of a dataset share one or a few."""
    ref = decoded(text)
    if ref is None:
        return None
    name = ref.get("name") if isinstance(ref, dict) else None
    if isinstance(name, str) and len(name) <= _LONGEST:
        return well_formed(name)
    return one_line(text.decode(), _SHOWN)


class AgentRefs:
    """Counts pivots by the agent that they name, while they are being prepared."""

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

    def to_builtins(self) -> dict[str, dict[str, int]]:
        """Return the counts as an entry of the provenance; empty if there are too many names."""
        return {} if self._too_many else {AGENT_REFS: dict(sorted(self._counts.items()))}


def counted_in(provenance: Mapping[str, object], pivots: int) -> Counter[str | None] | None:
    """Return the counts of pivots by agent (None: no agent) from a store's provenance; None if it has no counts."""
    counted = provenance.get(AGENT_REFS)
    if not isinstance(counted, dict):
        return None
    counts: Counter[str | None] = Counter(counted)
    unnamed = pivots - counts.total()
    return counts + Counter({None: unnamed})
