"""What a worker of pytest-xdist is told of the session that it takes part in.

Another machine has an environment, an ini file and a root directory of its own, so a worker takes all of this from its
controller.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest


_KEY = "fcpivot"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """The session as its controller has it; all members are of types that pytest-xdist can send.

    `run` is where the run is recorded, `calls` where answers are kept whose tests have not come: None for a worker that
    does not share the disk. `options` holds each option's raw value and the name that it was given under; `data`,
    `grader` and `judge` are described as in run.json; `version` is that of this package, None if it is not installed.
    """

    run: str | None
    calls: str | None
    options: Mapping[str, tuple[Any, str]]
    data: list[dict[str, Any]]
    grader: dict[str, Any]
    judge: dict[str, Any] | None
    version: str | None

    def to_builtins(self) -> dict[str, Any]:
        """Return it as it is sent."""
        return asdict(self)

    @classmethod
    def from_builtins(cls, sent: Mapping[str, Any]) -> WorkerPlan:
        """Read what was sent; raises OptionError if it comes from another version of this package."""
        try:
            return cls(**sent)
        except TypeError:
            raise OptionError(other_version(sent.get("version"))) from None


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


def plan_told(config: pytest.Config) -> WorkerPlan | None:
    """Return what the controller tells this worker; None in another process, and in a session without pivots."""
    sent = getattr(config, "workerinput", {}).get(_KEY)
    return None if sent is None else WorkerPlan.from_builtins(sent)


def tell(worker_input: dict[str, Any], plan: WorkerPlan) -> None:
    """Put the plan into what pytest-xdist sends to a worker that starts."""
    worker_input[_KEY] = plan.to_builtins()


def notes_from(worker_output: Mapping[str, Any]) -> list[str]:
    """Return what a worker that has ended notes of its judge."""
    return list(worker_output.get(_KEY, ()))


def give_notes(config: pytest.Config, notes: Iterable[str]) -> None:
    """Have this worker's notes sent to its controller, when it ends."""
    config.workeroutput[_KEY] = sorted(notes)  # type: ignore[attr-defined] # xdist's


def own_version() -> str | None:
    """Return the version of this package; None if it was not installed."""
    try:
        return version("pytest-fcpivot")
    except PackageNotFoundError:
        return None


def other_version(theirs: str | None) -> str:
    """Say that a worker has another version of this package than its controller."""
    return f"pytest-fcpivot {own_version()} is installed there, and {theirs} here: install the same"
