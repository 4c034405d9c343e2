"""Check that a worker runs the same session as its controller: the same files, selection and package version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import DataError, OptionError
from pytest_fcpivot.session.worker_plan import other_version, own_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from pytest_fcpivot.session.datasets import Dataset
    from pytest_fcpivot.session.worker_plan import WorkerPlan

# The session whose modules are loaded in this process, if it is a worker.
_SERVED: dict[str, str] = {}


def check_same_session(config: pytest.Config, plan: WorkerPlan, datasets: Iterable[Dataset]) -> None:
    """Compare a worker's session with its controller's plan.

    Raises DataError for another file or selection, OptionError for another version of this package, or for a process
    that still has the modules of an earlier session, as execnet's socket server does.
    """
    if own_version() != plan.version:
        raise OptionError(other_version(plan.version))
    for dataset, data in zip(datasets, plan.data, strict=False):
        found = dataset.describe()
        if found["sha256"] != data["sha256"]:
            raise DataError(
                f"{dataset.label}: {found['path']} on the worker and {data['path']} here are different files "
                f"(sha256 {found['sha256'][:12]}… and {data['sha256'][:12]}…): copy it to the worker"
            )
        if found["selected"] != data["selected"]:
            raise DataError(
                f"{dataset.label}: the worker selects {found['selected']} pivots, and this session {data['selected']}: "
                "copy the file of --fc-ids to the worker"
            )
    session = config.workerinput["testrunuid"]  # type: ignore[attr-defined] # xdist's
    if _SERVED.setdefault("session", session) != session:
        raise OptionError(
            "this worker's process has run another session, whose modules (such as the agent's) are still loaded: "
            "restart the server"
        )
