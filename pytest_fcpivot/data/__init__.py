"""Loads pivots from files; a source file is prepared automatically, into a parquet store in the cache directory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fcpivot.core.cachedir import cache_dir
from pytest_fcpivot.core.errors import DataError
from pytest_fcpivot.data.files import SUFFIXES, is_data_file
from pytest_fcpivot.data.progress import no_progress

if TYPE_CHECKING:
    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.data.preparing import BadRows, SamePivot
    from pytest_fcpivot.data.progress import Reached
    from pytest_fcpivot.data.store import PivotStore

SAMPLE = "sample"
SAMPLE_PATH = Path(__file__).with_name("sample.parquet")
_PREPARED_BY = 5  # increase it whenever the same source file would now give different pivots


def resolve_data(name: str, base: Path | None = None) -> Path:
    """Return the file that a data name stands for: a path relative to `base`, or `sample` for the bundled file.

    Raises DataError if there is no such file, or if its name has none of the known endings.
    """
    path = Path(base or Path(), name).expanduser()
    if name == SAMPLE and not path.is_file():
        return SAMPLE_PATH
    if not path.exists():
        raise DataError(f"data file not found: {name} (looked for {path.absolute()})")
    refuse_no_file(path, name)
    if not is_data_file(path):
        raise DataError(f"{name}: not the name of a data file; known endings: {', '.join(SUFFIXES)}")
    return path


def refuse_no_file(path: Path, name: str) -> None:
    """Raise DataError for a path that exists but is not a regular file, such as a pipe, which can be read only once."""
    if path.is_dir():
        raise DataError(f"{name}: not a file; name a file that ends in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise DataError(
            f"{name}: not a file but a pipe or a device, which can be read only once; prepare the data from it first, "
            "and name the result:  fcpivot prepare - -o data.parquet < PIPE"
        )


def load_pivots(path: str | Path = SAMPLE, *, bad_rows: BadRows = "refuse") -> list[Pivot]:
    """Read all pivots of a file: `.jsonl[.gz|.zst]`, `.parquet`, or `sample` for the bundled one.

    Raises DataError if the file cannot be read or holds no pivot, or, unless `bad_rows` is `skip`, holds broken rows.
    """
    store = open_store(resolve_data(str(path)), bad_rows=bad_rows)
    try:
        return [store.read(row) for row in range(len(store))]
    finally:
        store.close()


def open_store(
    path: Path,
    *,
    bad_rows: BadRows = "refuse",
    same_pivot: SamePivot = "problem",
    progress: Reached = no_progress,
) -> PivotStore:
    """Open a data file as a store; a source file is first prepared into the cache, unless that was done before.

    Raises DataError as `load_pivots` does. With `same_pivot="problem"`, a second row for a pivot is a broken row; with
    "repeat", as for rollouts, it is one more repeat of the pivot. `progress` is called while the file is prepared, with
    the number of rows and bytes read so far.
    """
    from pytest_fcpivot.data.store import PivotStore, is_store  # noqa: PLC0415 (pyarrow is heavy)

    if path.name.endswith(".parquet") and is_store(path):
        store = PivotStore(path)
    else:
        store = PivotStore(_prepared(path, bad_rows, same_pivot, progress))
    if not len(store):
        store.close()
        raise DataError(f"{path}: no pivots in it")
    return store


def _prepared(path: Path, bad_rows: BadRows, same_pivot: SamePivot, progress: Reached) -> Path:
    """Return the cached store of a source file; prepare it now if there is none for this content."""
    digest = file_hash(path)
    how = f"{path.suffix} {_PREPARED_BY} {bad_rows} {same_pivot}"
    key = hashlib.sha256(f"{digest} {how}".encode()).hexdigest()[:32]
    target = cache_dir() / f"{key}.parquet"
    if not target.exists():
        # imported here because most sessions find their data prepared, and need no code that reads rows
        from pytest_fcpivot.data.preparing import prepare  # noqa: PLC0415
        from pytest_fcpivot.data.sources import file_source  # noqa: PLC0415

        provenance = {"source": path.name, "source_sha256": digest}
        prepare(
            [file_source(path)],
            target,
            bad_rows=bad_rows,
            provenance=provenance,
            same_pivot=same_pivot,
            progress=progress,
        )
    return target


def has_hash(path: Path, sha256: str) -> bool:
    """Return whether `PivotStore.content_hash` of this file would be the given hash, without opening it as data.

    Raises DataError if it cannot be read.
    """
    if path.name.endswith(".parquet") and _footer_hash(path) == sha256:
        return True
    return file_hash(path) == sha256


def _footer_hash(path: Path) -> str | None:
    from pytest_fcpivot.data.store import footer_hash  # noqa: PLC0415 (pyarrow is heavy)

    try:
        return footer_hash(path)
    except OSError:  # too short for a footer, or unreadable, which file_hash then reports
        return None


def is_source(path: Path, store: PivotStore) -> bool:
    """Return whether a file is one that the pivots of a store were prepared from, by its name and content."""
    named = [each for each in store.provenance.get("sources") or () if each.get("file") == path.name]
    return bool(named) and path.is_file() and file_hash(path) in {each.get("sha256") for each in named}


def file_hash(path: Path) -> str:
    """Return the sha256 of a file's content, in hexadecimal; raises DataError if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
