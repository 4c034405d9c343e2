"""Opens what an audit grades again: a run, or NeMo Gym's rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.audit.stored_results import StoredResults
from pytest_fcpivot.audit.stored_rollouts import StoredRollouts
from pytest_fcpivot.core.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_fcpivot.audit.answers import Stored
    from pytest_fcpivot.audit.grader import Named

_ROLLOUTS = ".jsonl"


def open_stored(
    path: Path, data: Sequence[str] = (), grader: Named | None = None, *, allow_damaged: bool = False
) -> Stored:
    """Open a run for an audit: a run directory, its `results.jsonl`, or a file of rollouts.

    `data` are files to use in place of the run's own; `grader` is the one that the user names. Raises RunError if there
    is no such run, or if its data have changed, DataError as `open_store` does, and GraderError and OptionError as
    `grader.choose` does. Reading the results also raises RunError for damaged lines, unless `allow_damaged` is true.
    """
    if path.name == "results.jsonl" and path.with_name("run.json").is_file():
        path = path.parent
    if path.is_file():
        if path.suffix != _ROLLOUTS:
            raise RunError(f"{path}: name a run's directory, or rollouts as .jsonl (not compressed)")
        if data:
            raise RunError(f"{path}: rollouts bring their own pivots; leave out --data")
        if grader is not None:
            raise RunError(
                f"{path}: rollouts do not record which grader gave their rewards; leave out --grader, or grade them "
                f"with it: pytest --fc-replay={path} --fc-grader={grader.spec}"
            )
        return StoredRollouts(path, allow_damaged=allow_damaged)
    if not path.exists():
        raise RunError(f"{path}: there is no such run; runs are recorded under .fcpivot, or where --fc-run says")
    return StoredResults(path, data, grader, allow_damaged=allow_damaged)
