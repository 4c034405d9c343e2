"""The pivots of stored results that pass only sometimes, and the model's own noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fcpivot.graders import passes
from pytest_fcpivot.stats.noise import Noise, noise

if TYPE_CHECKING:
    from pytest_fcpivot.runs.rewards import Rewards


@dataclass(frozen=True, slots=True)
class Unsteady:
    """The pivots that passed in some repeats only (id, passed and graded answers, by id), and the model's noise."""

    pivots: tuple[tuple[str, int, int], ...]
    noise: Noise | None


def unsteady(rewards: Rewards, mark: float) -> Unsteady | None:
    """Return how steady the answers to repeated pivots are; None without repeats."""
    if all(len(pivot.rewards) < 2 for pivot in rewards):  # noqa: PLR2004 (repeated)
        return None
    pivots = []
    by_trajectory: dict[str, list[list[float]]] = {}
    for pivot in rewards:
        values = list(pivot.rewards.values())
        passed = sum(passes(reward, mark) for reward in values)
        if 0 < passed < len(values):
            pivots.append((pivot.pivot_id, passed, len(values)))
        if values:
            by_trajectory.setdefault(pivot.trajectory_id, []).append(values)
    return Unsteady(tuple(sorted(pivots)), noise(by_trajectory))
