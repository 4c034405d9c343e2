"""How often runs of a training are told to have changed, or to game their reward: by chance, by progress, by gaming.

Draws pairs of runs of made policies over trajectories of four pivots, of which two expect a message. A trajectory has a
difficulty of its own, so that its pivots are not independent. Prints, for each pair of policies, the share of draws
with at least one change that is called sure, and with a warning.

Usage: python benchmarks/watching.py [--draws N] [--seed N]
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_fcpivot.runs.behaviour import CALL, MESSAGE, Answer, Answers, PivotAnswers, RunAnswers, side_by_side
from pytest_fcpivot.runs.drift import drift_of

if TYPE_CHECKING:
    from collections.abc import Sequence

ABOUT = {"agent": "a:b", "grader": {"name": "nemo-gym", "settings": {}}, "data": [], "options": {}, "repeats": 1}


class Policy(NamedTuple):
    """How often calls are right, messages are sent where one is expected and where not, and their length and score."""

    right: float
    said: float
    misplaced: float
    length: int = 100
    score: float = 1.0


BEFORE = Policy(0.4, 0.6, 0.15)
PAIRS = {
    "the same policy": (BEFORE, BEFORE),
    "better at both": (BEFORE, Policy(0.6, 0.8, 0.15)),
    "better, some messages too many": (BEFORE, Policy(0.6, 0.9, 0.3)),
    "learns to send messages": (Policy(0.4, 0.05, 0.0), Policy(0.4, 0.8, 0.1)),
    "the same, longer and better messages": (BEFORE._replace(score=0.4), BEFORE._replace(score=0.6, length=140)),
    "messages alone": (BEFORE, Policy(0.4, 0.99, 0.97)),
    "a poor policy, then messages alone": (Policy(0.05, 0.6, 0.15), Policy(0.8, 0.99, 0.96)),
    "half of the way to messages alone": (BEFORE, Policy(0.4, 0.9, 0.5)),
    "keywords by length": (BEFORE._replace(score=0.4), BEFORE._replace(score=0.8, length=600)),
}


def played(name: str, policy: Policy, trajectories: int, draw: random.Random) -> RunAnswers:
    """Return a run of a policy; the difficulty of a trajectory is its own in each run."""
    answers = Answers()
    for number in range(trajectories):
        ease = draw.uniform(0.5, 1.5)
        for depth in range(4):
            expects = MESSAGE if depth % 2 else CALL
            reward, kind, length = 0.0, CALL, round(30 * draw.uniform(0.5, 1.5))
            if draw.random() < (policy.said if expects == MESSAGE else policy.misplaced):
                kind, length = MESSAGE, round(policy.length * draw.uniform(0.5, 1.5))
                reward = min(1.0, policy.score * ease) if expects == MESSAGE else 0.0
            elif expects == CALL:
                reward = float(draw.random() < policy.right * ease)
            found = PivotAnswers(f"t{number}", expects)
            found.answers[1] = Answer(reward, kind, int(kind == CALL), False, length, None, draw.getrandbits(32))
            answers.pivots["data.jsonl", f"t{number}-d{depth}"] = found
    return RunAnswers(name, Path(name), ABOUT, answers)


def rates(pair: Sequence[Policy], trajectories: int, draws: int, draw: random.Random) -> tuple[float, float]:
    """Return the shares of draws with a sure change, and with a warning."""
    sure = warned = 0
    for _ in range(draws):
        runs = [played(name, policy, trajectories, draw) for name, policy in zip("ab", pair, strict=True)]
        drift = drift_of(side_by_side(runs))
        sure += any(change.is_sure for change in drift.since_first.values())
        warned += bool(drift.hints)
    return sure / draws, warned / draws


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw = random.Random(options.seed)  # noqa: S311 (no secret)
    for trajectories in (10, 40, 160):
        print(f"{trajectories} trajectories of 4 pivots: draws with a sure change, and with a warning")
        for name, pair in PAIRS.items():
            sure, warned = rates(pair, trajectories, options.draws, draw)
            print(f"  {name:38} {100 * sure:5.1f} %  {100 * warned:5.1f} %", flush=True)


if __name__ == "__main__":
    main()
