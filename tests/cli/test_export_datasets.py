"""What `fcpivot export` writes, as Hugging Face's `datasets` reads it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from pytest_fcpivot.cli import main
from pytest_fcpivot.data import SAMPLE_PATH, open_store
from pytest_fcpivot.integrations import trl_rows, verl_rows
from pytest_fcpivot.runs.export.files import write_rows

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def load() -> Callable[..., Any]:
    """Return `load_dataset`, which keeps to this machine and says nothing."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    return pytest.importorskip("datasets", "5").load_dataset  # type: ignore[no-any-return] # a package without types


@pytest.fixture
def loaded(load: Callable[..., Any], tmp_path: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Return a function that loads a file and returns its rows."""

    def rows(path: str) -> list[dict[str, Any]]:
        kind = "parquet" if path.endswith(".parquet") else "csv" if path.endswith(".csv") else "json"
        found = load(kind, data_files=path, split="train", cache_dir=str(tmp_path / "cache"))
        return list(found)

    return rows


def test_tables_of_pivots(tmp_path: Path, loaded: Callable[[str], list[dict[str, Any]]]) -> None:
    """The JSON texts of the sample come back byte for byte from each format."""
    store = open_store(SAMPLE_PATH)
    pivots = [store.read(row) for row in range(len(store))]
    store.close()
    for to in ("parquet", "jsonl", "csv"):
        path = str(tmp_path / f"pivots.{to}")
        assert main(["export", "sample", "--to", to, "-o", path]) == 0
        rows = loaded(path)
        assert [row["id"] for row in rows] == [pivot.id for pivot in pivots]
        for name in ("input", "tools", "params", "metadata"):
            assert [row[name] for row in rows] == [getattr(pivot, f"{name}_json") for pivot in pivots], (to, name)


@pytest.mark.parametrize("target", ["verl", "trl"])
def test_rows_for_trainers(tmp_path: Path, loaded: Callable[[str], list[dict[str, Any]]], target: str) -> None:
    """Rows for trainers are the same from Parquet and from JSON lines, and have tools and answers as text."""
    if not (verl_rows if target == "verl" else trl_rows).SCHEMA.names:
        pytest.skip("the rows for trainers are not part of this package yet")
    found = []
    for ending in ("parquet", "jsonl"):
        path = str(tmp_path / f"{target}.{ending}")
        assert main(["export", "sample", "--to", target, "--limit", "50", "-o", path]) == 0
        found.append(loaded(path))
    assert found[0] == found[1]
    assert len(found[0]) == 50


def test_rows_of_nemo_gym(tmp_path: Path, loaded: Callable[[str], list[dict[str, Any]]]) -> None:
    """Rows of NeMo Gym come back whole, but with nulls for the members that only other rows have."""
    path = str(tmp_path / "rows.jsonl")
    assert main(["export", "sample", "--to", "nemo-gym", "-o", path]) == 1
    rows = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
    found = loaded(path)
    members = {name: None for row in rows for name in row}
    assert found == [{**members, **row} for row in rows]


def test_texts_of_any_kind(tmp_path: Path, loaded: Callable[[str], list[dict[str, Any]]]) -> None:
    """Texts that look like JSON, numbers or dates stay the texts that they are, in nested columns too."""
    from pytest_fcpivot.runs.export.files import Layout  # noqa: PLC0415 (only here)

    schema = pa.schema([("text", pa.string()), ("inside", pa.struct([("texts", pa.list_(pa.string()))]))])
    texts = ['{"a": 1}', "[1, 2]", "null", "", " a\r\n\u2028b", "🙂", "1e5"]
    rows = [{"text": text, "inside": {"texts": [text, ""]}} for text in texts]
    for to in ("parquet", "jsonl"):
        path = tmp_path / f"texts.{to}"
        write_rows(rows, Layout(schema), path, to)
        assert loaded(str(path)) == rows
