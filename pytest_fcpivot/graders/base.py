"""The protocol of a grader, and the table of bundled graders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pytest_fcpivot.graders.agentic import AgenticGrader
from pytest_fcpivot.graders.nemo_gym import NemoGymGrader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_fcpivot.core.model import Action, Grade

# The tolerance for rounding errors in sums of floats.
ROUNDING = 1e-9
OFF = "off"  # the value of --fc-judge with which no model judges messages


class Grader(Protocol):
    """Grades an action against the expected one.

    `name` is the name that a run records. `binary` is whether every reward is 0 or 1, so that the pass rate equals the
    mean reward. `accepts` returns whether an expected action with this number of calls (0 for a message) can be graded
    at all. `grade` is called in no particular order, and must give the same grade for the same actions. A user's own
    grader needs only `grade`: its name is then the spec it was found by, it is not binary, and it accepts everything.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def binary(self) -> bool: ...  # noqa: D102
    def accepts(self, calls: int) -> bool: ...  # noqa: D102
    def grade(self, expected: Action, actual: Action) -> Grade: ...  # noqa: D102


@runtime_checkable
class ComparesValues(Protocol):
    """The method of a grader that can tell which values inside arguments it takes for equal; bundled ones have it.

    `steps` are the keys and indexes that lead from the arguments to the two values.
    """

    def matches(self, expected: Any, actual: Any, steps: Sequence[str | int] = ()) -> bool: ...  # noqa: D102


class SupportsGrade(Protocol):
    """The method that a user's own grader needs, unless it is a function; it returns a Grade, a number or a bool."""

    def grade(self, expected: Action, actual: Action, /) -> Any: ...  # noqa: D102


# A grader's class may list its `versions`, one of which may follow the name in a spec, after a colon.
GRADERS: Mapping[str, Callable[..., Grader]] = {"nemo-gym": NemoGymGrader, "agentic": AgenticGrader}


def known_specs() -> list[str]:
    """Return the specs of all bundled graders: the names alone, and each name with each version."""
    return [spec for name in GRADERS for spec in (name, *(f"{name}:{version}" for version in versions_of(name)))]


def is_bundled(spec: str) -> bool:
    """Return whether a spec names a bundled grader; its version, if any, is not checked."""
    return spec.partition(":")[0] in GRADERS


def versions_of(name: str) -> tuple[str, ...]:
    """Return the versions of a bundled grader that a spec may name."""
    return getattr(GRADERS[name], "versions", ())


def passes(reward: float, mark: float) -> bool:
    """Return whether a reward reaches the pass mark, up to rounding (0.1 + 0.7 reaches 0.8); 0 never does."""
    return reward > 0 and reward >= mark - ROUNDING
