"""The list of what was left out: a line for each, and a bounded file for masses of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.data import listing
from pytest_fcpivot.data.listing import Listing
from pytest_fcpivot.data.preparing import prepare
from pytest_fcpivot.data.sources import file_source

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Read a list."""
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def test_masses_are_one_line(tmp_path: Path) -> None:
    """The first 10,000 have a line each; of the rest, what follows each other for one reason has a line together."""
    path = tmp_path / "out.audit.jsonl"
    made = Listing(path)
    for line in range(1, 50_001):
        made.add("é.jsonl", line, "bad" if line != 40_000 else "worse")
    made.add("é.jsonl", 50_001, "no text", message=3)
    made.finish()
    entries = lines_of(path)
    assert made.lines == len(entries) == 10_004
    assert [entry["line"] for entry in entries[:10_000]] == list(range(1, 10_001))
    assert all(entry.keys() == {"file", "line", "message", "reason"} for entry in entries[:10_000])
    place = {"file": "é.jsonl", "message": None}
    assert entries[10_000:] == [
        place | {"line": 10_001, "reason": "bad", "last_line": 39_999, "count": 29_999},
        place | {"line": 40_000, "reason": "worse"},
        place | {"line": 40_001, "reason": "bad", "last_line": 50_000, "count": 10_000},
        place | {"line": 50_001, "reason": "no text", "message": 3},
    ]


def test_the_list_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound rows are only counted, and a last line tells how many."""
    monkeypatch.setattr(listing, "MOST_LINES", 20_000)
    source = tmp_path / "rows.jsonl"
    row = '{"responses_create_params": {"input": "Hi"}, "expected_action": {"type": "message", "content": "Hello"}}\n'
    source.write_text(row + "".join(f'{{"n": {"9" * (n % 3 + 1)}\n' for n in range(25_000)))
    out = tmp_path / "out.audit.jsonl"
    audit = prepare([file_source(source)], tmp_path / "out.parquet", bad_rows="skip", audit_file=out)
    entries = lines_of(out)
    assert (audit.broken, audit.listed, audit.list_lines, audit.unlisted) == (25_000, 25_000, 20_000, 5_000)
    assert entries[-1] == {
        "file": None, "line": None, "message": None, "reason": "more that are only counted", "count": 5_000
    }  # fmt: skip
    assert sum(entry.get("count", 1) for entry in entries) == audit.broken
