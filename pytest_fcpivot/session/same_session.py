"""A worker runs its controller's session, or none: the same names must not stand for something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import DataError, OptionError
from pytest_fcpivot.session.worker_plan import other_version, own_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from pytest_fcpivot.session.datasets import Dataset
    from pytest_fcpivot.session.worker_plan import WorkerPlan

# The session whose modules this process holds, if it is a worker.
_SERVED: dict[str, str] = {}


def check_same_session(config: pytest.Config, plan: WorkerPlan, datasets: Iterable[Dataset]) -> None:
    """Refuse, in a worker, to run something else than the controller's session under its name.

    Raises DataError for another file or selection, OptionError for another version of this package, or for a process
    that holds the modules of an earlier session, as execnet's socket server does.
    """
    if own_version() != plan.version:
        raise OptionError(other_version(plan.version))
    for dataset, data in zip(datasets, plan.data, strict=False):
        found = dataset.describe()
        if found["sha256"] != data["sha256"]:
            raise DataError(
                f"{dataset.label}: {found['path']} there and {data['path']} here are different files "
                f"(sha256 {found['sha256'][:12]}… and {data['sha256'][:12]}…): copy it"
            )
        if found["selected"] != data["selected"]:
            raise DataError(
                f"{dataset.label}: {found['selected']} pivots are selected there and {data['selected']} here: "
                "copy the file of --fc-ids"
            )
    session = config.workerinput["testrunuid"]  # type: ignore[attr-defined] # xdist's
    if _SERVED.setdefault("session", session) != session:
        raise OptionError(
            "this process ran another session, and holds its modules, the agent's among them: start the server anew"
        )
