"""The model's own part of a mean's uncertainty, from repeated answers."""

from __future__ import annotations

import random

import pytest

from pytest_fcpivot.stats.noise import Noise, noise


def drawn(rates: list[float], repeats: int, pivots: int = 1) -> dict[str, list[list[float]]]:
    """Return trajectories whose pivots pass at a rate each, drawn with a fixed seed."""
    draw = random.Random(5)  # noqa: S311 (no secret)
    return {
        f"t{i}": [[float(draw.random() < rate) for _ in range(repeats)] for _ in range(pivots)]
        for i, rate in enumerate(rates)
    }


def test_pivots_that_are_alike_leave_only_noise() -> None:
    """If every pivot passes at the same rate, nearly all of the variance is the model's own."""
    found = noise(drawn([0.5] * 2000, 4))
    assert found is not None
    assert found.share > 0.9
    assert found.repeats is not None
    assert 12 <= found.repeats <= 24  # four times as many, or somewhat more


def test_steady_answers_have_no_noise() -> None:
    """If each pivot always passes or always fails, repeats change nothing."""
    assert noise(drawn([0.0, 1.0] * 50, 3)) == Noise(0.0, None)


def test_by_hand() -> None:
    """Four pivots, of which two are steady: the share is what a pencil gives."""
    rewards = {"a": [[1.0, 1.0]], "b": [[0.0, 0.0]], "c": [[1.0, 0.0]], "d": [[1.0, 0.0]]}
    # two pivots with 2 * 0.5 / 64 each, of a variance of (1/4 + 1/4) / (3 * 4)
    found = noise(rewards)
    assert found is not None
    assert found.share == pytest.approx((2 * 2 * 0.5 / 64) / (0.5 / 12))
    assert found.repeats is None


@pytest.mark.parametrize(
    "rewards", [{}, {"a": [[1.0, 0.0]]}, {"a": [[1.0]], "b": [[0.0]]}, {"a": [[1.0] * 2], "b": [[1.0] * 2]}]
)
def test_nothing_to_tell(rewards: dict[str, list[list[float]]]) -> None:
    """Without repeats, with one trajectory or without any variance, there is no share."""
    assert noise(rewards) is None


def test_missing_repeats_are_taken_as_noisy() -> None:
    """A pivot of which only one answer was graded counts with the noise of the others."""
    complete = noise(drawn([0.5] * 400, 2))
    rewards = drawn([0.5] * 400, 2)
    some = noise(
        {name: [values[:1] if int(name[1:]) % 2 else values for values in pivots] for name, pivots in rewards.items()}
    )
    assert complete is not None
    assert some is not None
    assert some.share == pytest.approx(complete.share, abs=0.15)
