"""The plan that pytest-xdist's controller sends to its workers.

A worker may be on another machine, with another environment, ini file and root directory, so it takes its options and
data from the controller instead of reading them itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.session.options import WORKER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

_CALLS = f"{WORKER_KEY}_calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """The controller's session, in types that pytest-xdist can send.

    `run` is the run directory. `calls` is the directory of answers whose tests have not run; None for a worker that
    does not share the disk. `options` has each option's raw value and the name under which it was given. `data`,
    `grader` and `judge` are as in run.json. `version` is that of this package on the controller, None if it is not
    installed.
    """

    run: str | None
    calls: str | None
    options: Mapping[str, tuple[Any, str]]
    data: list[dict[str, Any]]
    grader: dict[str, Any]
    judge: dict[str, Any] | None
    version: str | None

    def to_builtins(self) -> dict[str, Any]:
        """Return the plan as builtin types, for sending."""
        return asdict(self)

    @classmethod
    def from_builtins(cls, sent: Mapping[str, Any]) -> WorkerPlan:
        """Read a plan that was sent; raises OptionError if another version of this package sent it."""
        try:
            return cls(**sent)
        except TypeError:
            raise OptionError(other_version(sent.get("version"))) from None


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


def received_plan(config: pytest.Config) -> WorkerPlan | None:
    """Return the plan that the controller sent to this worker; None in other processes, and without pivots."""
    sent = getattr(config, "workerinput", {}).get(WORKER_KEY)
    return None if sent is None else WorkerPlan.from_builtins(sent)


def send_plan(worker_input: dict[str, Any], plan: WorkerPlan) -> None:
    """Add the plan to the data that pytest-xdist sends to a starting worker."""
    worker_input[WORKER_KEY] = plan.to_builtins()


def received_notes(worker_output: Mapping[str, Any]) -> list[str]:
    """Return the remarks about the judge that a worker sent as it ended."""
    return list(worker_output.get(WORKER_KEY, ()))


def send_notes(config: pytest.Config, notes: Iterable[str]) -> None:
    """Send this worker's remarks about the judge to the controller as it ends."""
    config.workeroutput[WORKER_KEY] = sorted(notes)  # type: ignore[attr-defined] # xdist's


def received_calls_under_way(worker_output: Mapping[str, Any]) -> int:
    """Return how many calls a worker that ended had made for tests that it did not run."""
    return int(worker_output.get(_CALLS, 0))


def send_calls_under_way(config: pytest.Config, number: int) -> None:
    """Tell the controller, as this worker ends, how many calls it has made for tests that it does not run."""
    config.workeroutput[_CALLS] = number  # type: ignore[attr-defined] # xdist's


def own_version() -> str | None:
    """Return the installed version of this package; None if it is not installed."""
    try:
        return version("pytest-fcpivot")
    except PackageNotFoundError:
        return None


def other_version(theirs: str | None) -> str:
    """Write the error for a worker with another version of this package; `theirs` is the controller's."""
    return f"pytest-fcpivot {own_version()} is installed on the worker, and {theirs} here: install the same version"
