"""Which agents pivots name: read from their metadata, counted while they are prepared, looked up in older stores."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.core.model import Action, Pivot
from pytest_fcpivot.data.agent_refs import AGENT_REFS, AgentRefs, agent_of
from pytest_fcpivot.data.preparing import prepare
from pytest_fcpivot.data.rows import StoredPivot
from pytest_fcpivot.data.sources import file_source
from pytest_fcpivot.data.store import PivotStore, write_store

if TYPE_CHECKING:
    from pathlib import Path


def pivot(number: int, agent_ref: Any = ...) -> Pivot:
    """Return a pivot whose row names an agent, or does not."""
    metadata = {"pass_rate": 0.5} | ({} if agent_ref is ... else {"agent_ref": agent_ref})
    return Pivot(
        id=f"p{number}",
        trajectory_id=f"t{number}",
        expected_action=Action(message="hello"),
        input_json='[{"role": "user", "content": "hello"}]',
        tools_json="[]",
        params_json="{}",
        metadata_json=json.dumps(metadata),
    )


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ('{"agent_ref": {"type": "agents", "name": "swe"}}', "swe"),
        ('{"agent_ref":{"name":" swe "}}', " swe "),  # as it is: only exact names are known
        ('{"agent_ref": {"name": "s\\u0077e"}}', "swe"),
        ('{"agent_ref": {"name": ""}}', ""),
        ('{"pass_rate": NaN, "agent_ref": {"name": "swe"}}', "swe"),
        ("{}", None),
        ('{"agent_ref": null}', None),
        ('{"note": "no agent_ref in it"}', None),
        ('{"note": {"agent_ref": {"name": "swe"}}}', None),
        ('{"agent_ref": "swe"}', '"swe"'),  # of another form: no name, but shown
        ('{"agent_ref": {"type": "agents"}}', '{"type": "agents"}'),
        ('{"agent_ref": {"name": 3}}', '{"name": 3}'),
        ('{"agent_ref": ["swe"]}', '["swe"]'),
    ],
)
def test_the_name(metadata: str, name: str | None) -> None:
    """The name is read exactly; a reference of another form is its own text, and null is none."""
    assert agent_of(metadata.encode()) == name


def test_a_name_that_cannot_be_sent() -> None:
    """A lone surrogate is escaped, and a very long name cut off, so that they can be stored and shown."""
    agent_of(b'{"agent_ref": {"name": "\\ud800"}}').encode()  # type: ignore[union-attr] # it has a name
    found = agent_of(json.dumps({"agent_ref": {"name": "x" * 10_000}}).encode())
    assert found is not None
    assert len(found) < 200


def test_counted_while_prepared(tmp_path: Path) -> None:
    """A prepared store tells its agents from its provenance alone; of some rows, it tells those of these rows."""
    rows = [
        {
            "id": f"p{number}",
            "responses_create_params": {"input": "hello"},
            "expected_action": {"type": "message", "content": "hello"},
            **({"agent_ref": {"type": "agents", "name": name}} if name else {}),
        }
        for number, name in enumerate(["one", "two", "one", None, "one"])
    ]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    prepare([file_source(source)], tmp_path / "pivots.parquet")
    store = PivotStore(tmp_path / "pivots.parquet")
    assert store.provenance[AGENT_REFS] == {"one": 3, "two": 1}
    assert store.agent_refs() == {"one": 3, "two": 1, None: 1}
    assert store.agent_refs([0, 2, 3]) == {"one": 2, None: 1}
    assert store.agent_refs([]) == {}


def test_older_stores(tmp_path: Path) -> None:
    """In a store whose provenance does not count them, over many row groups, all rows and some are looked through."""
    names = [["one", "two", None][number % 3] for number in range(1000)]
    pivots = (pivot(n, ... if name is None else {"name": name}) for n, name in enumerate(names))
    write_store(tmp_path / "pivots.parquet", map(StoredPivot.of, pivots), {})
    store = PivotStore(tmp_path / "pivots.parquet")
    assert store.agent_refs() == Counter(names)
    some = [0, 1, 255, 256, 600, 601, 602, 999]
    assert store.agent_refs(some) == Counter(names[row] for row in some)
    assert store.agent_refs(range(300, 900)) == Counter(names[300:900])


def test_too_many_names() -> None:
    """Names without end do not go into the provenance, which every process holds: the rows are looked through."""
    agents = AgentRefs()
    for number in range(10_000):
        agents.add(json.dumps({"agent_ref": {"name": f"agent {number}"}}))
    assert agents.to_builtins() == {}
