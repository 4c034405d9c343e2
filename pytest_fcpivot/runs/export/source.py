"""Tells what is to be exported: data, a run or rollouts; it is recognised by what it is, not by its name."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from pytest_fcpivot.core.errors import DataError, RowProblem, RunError
from pytest_fcpivot.data import SAMPLE, resolve_data
from pytest_fcpivot.data.files import is_data_file
from pytest_fcpivot.data.jsonparts import fields, is_object
from pytest_fcpivot.data.rows import EXPECTED, PARAMS
from pytest_fcpivot.data.sources import file_source
from pytest_fcpivot.runs.baseline import is_baseline

_RESULTS, _RUN = "results.jsonl", "run.json"
_ROLLOUTS = ".jsonl"


class Kind(Enum):
    """What can be exported; the values are what messages call it."""

    DATA = "data"
    RUN = "a run"
    ROLLOUTS = "rollouts"


class Source(NamedTuple):
    """What is exported, and where it is: a data file, the directory of a run, or a file of rollouts."""

    kind: Kind
    path: Path


def recognised(name: str) -> Source:
    """Return what a path is, or `sample` for the bundled data; raises DataError or RunError if it is none of these."""
    path = Path(name)
    if path.name in (_RESULTS, _RUN) and path.with_name(_RUN).is_file():
        return Source(Kind.RUN, path.parent)
    if path.is_dir():
        return Source(Kind.RUN, path)
    if not path.exists() and name != SAMPLE:
        raise RunError(f"{path}: not a run's directory: there is no such directory, and no data file of this name")
    if path.is_file() and not is_data_file(path):
        raise DataError(
            f"{path}: neither a run's directory nor a data file, by its name; a saved baseline has no answers to export"
        )
    found = resolve_data(name)
    if is_baseline(found):
        raise RunError(f"{path}: a saved baseline, which has no answers to export; name the run's directory")
    return Source(Kind.ROLLOUTS if found.name.endswith(_ROLLOUTS) and _has_rollouts(found) else Kind.DATA, found)


def _has_rollouts(path: Path) -> bool:
    """Return whether the first row of a file is a pivot with a response, which is null if there was no answer."""
    for _, row in file_source(path).open_lines():
        if isinstance(row, RowProblem):
            return False  # reading the data reports it
        try:
            members = row if isinstance(row, dict) else fields(row)
        except (ValueError, RecursionError):
            return False
        if members is None or PARAMS not in members or EXPECTED not in members:
            return False
        response: Any = members.get("response")
        if isinstance(response, bytes):
            return is_object(response) or (response == b"null" and "reward" in members)
        return isinstance(response, dict)
    return False
