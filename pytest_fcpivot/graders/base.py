"""What a grader is, and which are bundled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pytest_fcpivot.graders.agentic import AgenticGrader
from pytest_fcpivot.graders.nemo_gym import NemoGymGrader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_fcpivot.core.model import Action, Grade

# What sums of floats may be off by.
ROUNDING = 1e-9
OFF = "off"  # what is named in a judge's place, so that no model judges messages


class Grader(Protocol):
    """Judges one action against the expected one.

    `name` is what a run records; `binary` tells whether every reward is 0 or 1, so that the pass rate is the mean
    reward; `accepts` tells whether an expected action of so many calls (0 for a message) can be judged at all. `grade`
    is called in no certain order, and judges the same actions in the same way. A grader of a user's own may leave all
    but `grade` out: it then goes by the name it was asked for, is not binary, and accepts everything.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def binary(self) -> bool: ...  # noqa: D102
    def accepts(self, calls: int) -> bool: ...  # noqa: D102
    def grade(self, expected: Action, actual: Action) -> Grade: ...  # noqa: D102


class SupportsGrade(Protocol):
    """What a grader of a user's own has to have, if it is no function: returns a Grade, a number or a bool."""

    def grade(self, expected: Action, actual: Action, /) -> Any: ...  # noqa: D102


# A grader's class may name its `versions`, which a spec may ask for after a colon.
GRADERS: Mapping[str, Callable[..., Grader]] = {"nemo-gym": NemoGymGrader, "agentic": AgenticGrader}


def known_specs() -> list[str]:
    """List the bundled graders that `make_grader` takes: their names, and those with a version."""
    return [spec for name in GRADERS for spec in (name, *(f"{name}:{version}" for version in versions_of(name)))]


def is_bundled(spec: str) -> bool:
    """Return whether a spec means one of the bundled graders, be it in a version that there is not."""
    return spec.partition(":")[0] in GRADERS


def versions_of(name: str) -> tuple[str, ...]:
    """Name the versions of a bundled grader that a spec may ask for."""
    return getattr(GRADERS[name], "versions", ())


def passes(reward: float, mark: float) -> bool:
    """Return whether a reward reaches the pass mark. Sums may be rounded: 0.1 + 0.7 reaches 0.8; 0 reaches none."""
    return reward > 0 and reward >= mark - ROUNDING
