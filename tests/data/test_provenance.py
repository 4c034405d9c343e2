"""The metadata of a prepared file are words and counts: never a path, a module or an address, whatever they say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from pytest_fcpivot import cli
from pytest_fcpivot.core.errors import DataError
from pytest_fcpivot.data import SAMPLE_PATH, open_store
from pytest_fcpivot.data.store import METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def forged(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Write the sample as a prepared file with other metadata: what `change` returns, or makes of those it gets."""
    table = pq.read_table(SAMPLE_PATH)
    details = json.loads(pq.read_metadata(SAMPLE_PATH).metadata[METADATA_KEY])
    changed = change(details) or details
    text = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: text}), path)
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"[1]",
        lambda _: b"{",
        lambda _: b"[" * 100_000,
        lambda known: known.update(sources="http://evil.example"),
        lambda known: known.update(sources=[["subprocess:Popen"]]),
        lambda known: known.update(audit=[1]),
        lambda known: known.update(audit={"conversations": "many"}),
        lambda known: known.update(each_repeated=10**9),
        lambda known: known.update(each_repeated="2"),
        lambda known: known.update(bad_rows=-1),
        lambda known: known.update(bad_row_reasons=[{}]),
        lambda known: known.update(told={"refused": ["x"]}),
        lambda known: known.update(agent_refs={"x": []}),
        lambda known: known.update(flags=3),
    ],
    ids=range(14),
)
def test_odd_metadata_are_refused(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Metadata that `prepare` does not write are told with the file, and not used, nor a traceback."""
    with pytest.raises(DataError, match=r"odd\.parquet: its metadata .* are not as fcpivot prepare writes them: "):
        open_store(forged(tmp_path / "odd.parquet", change))


def test_what_metadata_name_is_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A module, a path and an address in the metadata are shown by `info`, and nothing comes of them."""
    (tmp_path / "evil.py").write_text("from pathlib import Path\n\nPath('pwned').touch()\n")
    evil = dict.fromkeys(("grader", "fc_grader", "fc_agent", "source", "prepared_by"), "evil:grade")
    source = dict.fromkeys(("source", "file", "repo", "commit"), "evil:grade") | {"url": "http://127.0.0.1:1/"}

    def change(known: dict[str, Any]) -> None:
        known.update(
            evil, sources=[source], source_sha256="/etc/passwd", path="/etc/passwd", agent_refs={"evil:grade": 3}
        )

    path = forged(tmp_path / "named.parquet", change)
    for command in (["info", str(path)], ["lint", str(path), "--fail-on=never"]):
        assert cli.main(command) == 0
    assert "evil:grade" in capsys.readouterr().out
    store = open_store(path)
    assert len(store) == 314
    assert store.content_hash(path) != "/etc/passwd"
    store.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["evil.py", "named.parquet"]
