"""The running tally of a run's results; its memory grows with results and trajectories, not with their text."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_fcpivot.core.answer_flags import UNREAD
from pytest_fcpivot.runs.behaviour_counts import BehaviourCounts
from pytest_fcpivot.runs.error_groups import group_of
from pytest_fcpivot.runs.record import RUN_AGAIN
from pytest_fcpivot.runs.signatures import Signatures
from pytest_fcpivot.runs.until_mixed import NOT_RUN_MIXED, first_test
from pytest_fcpivot.stats.interval import Interval, mean_interval, pass_at_k
from pytest_fcpivot.stats.noise import Noise, noise

if TYPE_CHECKING:
    from pytest_fcpivot.runs.record import CaseRecord

_EXAMPLES_PER_CATEGORY = 3
_TOLERANCE = 1e-9


@dataclass(slots=True)
class _Repeated:
    """The graded answers of a pivot that is asked several times."""

    pivot_id: str
    trajectory_id: str
    rewards: list[float] = field(default_factory=list)
    passed: int = 0

    @property
    def is_mixed(self) -> bool:
        return 0 < self.passed < len(self.rewards)


class Tally:
    """Counts results as they are reported; the figures do not depend on the order."""

    def __init__(self, repeats: int = 1, *, until_mixed: bool = False) -> None:
        self.repeats = repeats
        self.until_mixed = until_mixed
        self.passed = 0
        self.failed = 0
        self.errors = 0
        self.skipped = 0  # by a mark, a fixture or the agent, or expected failures; not among the selected
        self.not_run = 0  # selected tests without a report at the session's end
        self.not_run_mixed = 0  # those of them that were not needed, because their pivots were mixed
        self.again = 0  # errors whose tests were run again
        self.redacted = 0  # answers that were recorded with *** in place of a secret
        self.repeated = 0  # results of tests that already had one, which are not counted
        self.categories: Counter[str] = Counter()
        self.schemas: Counter[str] = Counter()
        self.error_causes: Counter[str] = Counter()
        self.error_texts: dict[str, tuple[str, bool]] = {}  # by cause: one text, and whether there are others
        self.confusion: Counter[tuple[str, str]] = Counter()
        self.tools_graded: Counter[str] = Counter()
        self.tools_failed: Counter[str] = Counter()
        self.signatures = Signatures()
        self.behaviour = BehaviourCounts()
        self.example_ids: set[str] = set()
        self.unexplained: set[str] = set()  # tests that failed with the whole reward, for reasons of their own
        self._rewards: dict[str, list[float]] = {}
        self._own_passed = 0
        self._own_rewards: list[float] = []
        self._examples: Counter[str] = Counter()
        self.usage = [0, 0, 0, 0]  # tokens of input, cached input, output, reasoning
        self.with_usage = 0
        self.latencies = array("f")
        self.judged: Counter[str] = (
            Counter()
        )  # messages by who scored them: the judge, its cache, keywords in its place
        self.judge_usage = [0, 0, 0, 0]
        self.judge_faults: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.retried = 0
        self.flags: Counter[str] = Counter()  # oddities of answers
        self.unread = 0  # answers with a flag for --fc-max-unread: probably not what the model meant
        self._by_pivot: dict[str, _Repeated] = {}  # by node id of the first repeat, if pivots are repeated
        self.mixed = 0  # pivots that have passed and failed
        self._first_rewards: dict[str, list[float]] = {}  # of the first repeats, by trajectory

    def add(self, record: CaseRecord, test: str, outcome: str) -> None:
        """Count one result by pytest's outcome; skips and expected failures are counted separately."""
        if outcome in ("passed", "failed"):
            self.count(record, test, passed=outcome == "passed")
        elif outcome == "skipped":
            self.skipped += 1

    def count(self, record: CaseRecord, test: str, *, passed: bool) -> None:
        """Count one result of a test (a node id); without a reward, it is an error, unless it passed."""
        self._add_call(record)
        self.redacted += record.redacted
        if record.reward is None:
            if not passed:
                self.errors += 1
                group, text = group_of(record.cause, record.error)
                self.error_causes[group] += 1
                self._note_text(group, text)
                self._keep_example(group, test)
            return
        self.passed += passed
        self.failed += not passed
        self._rewards.setdefault(record.trajectory_id, []).append(record.reward)
        if record.own:
            self._own_passed += passed
            self._own_rewards.append(record.reward)
        if self.repeats > 1:
            if record.repeat == 1:
                self._first_rewards.setdefault(record.trajectory_id, []).append(record.reward)
            name = first_test(test, record.repeat)
            repeated = self._by_pivot.setdefault(name, _Repeated(record.pivot_id, record.trajectory_id))
            was_mixed = repeated.is_mixed
            repeated.rewards.append(record.reward)
            repeated.passed += passed
            self.mixed += repeated.is_mixed and not was_mixed
        self.categories[record.category or ""] += 1
        self.signatures.add(record, test, passed=passed)
        self.behaviour.add(record)
        self.schemas[record.schema or ""] += 1
        self.confusion[_side(record.expected), _side(record.actual or "none")] += 1
        if record.tool is not None:
            self.tools_graded[record.tool] += 1
            self.tools_failed[record.tool] += not passed
        if not passed:
            self._keep_example(record.category or "", test)
            if record.reward >= 1.0:
                self.unexplained.add(test)

    def _add_call(self, record: CaseRecord) -> None:
        if record.attempts:
            self.latencies.append(record.latency_s)
        if record.retried:
            self.again += record.retried.count(RUN_AGAIN)
            retries = [reason for reason in record.retried if reason != RUN_AGAIN]
            self.retried += bool(retries)
            self.retries.update(retries)
        if record.flags:
            self.flags.update(record.flags)
            self.unread += not UNREAD.isdisjoint(record.flags)
        if record.judge is not None:
            by, _, _, tokens, cause = record.judge
            self.judged[by] += 1
            self.judge_usage = [total + n for total, n in zip(self.judge_usage, tokens or (0, 0, 0, 0), strict=True)]
            if cause is not None:
                self.judge_faults[cause] += 1
        if record.usage is not None:
            self.with_usage += 1
            self.usage = [total + count for total, count in zip(self.usage, record.usage, strict=True)]

    def _note_text(self, group: str, text: str) -> None:
        known, varies = self.error_texts.get(group, (text, False))
        self.error_texts[group] = min(known, text), varies or known != text

    def _keep_example(self, cause: str, nodeid: str) -> None:
        if self._examples[cause] < _EXAMPLES_PER_CATEGORY:
            self._examples[cause] += 1
            self.example_ids.add(nodeid)

    @property
    def graded(self) -> int:
        """How many answers were graded."""
        return self.passed + self.failed

    @property
    def selected(self) -> int:
        """How many tests count: all but skipped ones, and the user's own tests that passed and graded nothing."""
        return self.passed + self.failed + self.errors + self.not_run

    def counts(self) -> dict[str, int]:
        """Return the tests by outcome: `selected` is the sum of the next four; `skipped` is separate."""
        names = ("selected", "passed", "failed", "errors", "not_run", "skipped")
        mixed = {NOT_RUN_MIXED: self.not_run_mixed} if self.until_mixed else {}
        return {name: getattr(self, name) for name in names} | mixed

    def is_mixed(self, test: str, repeat: int) -> bool:
        """Return whether the pivot of a test (a node id) that runs at this repeat has passed and failed."""
        found = self._by_pivot.get(first_test(test, repeat))
        return found is not None and found.is_mixed

    def outcomes(self, first: str) -> tuple[bool, ...]:
        """Return the outcomes that a pivot has had, each once, by the node id of its first repeat."""
        found = self._by_pivot.get(first)
        return () if found is None else (True,) * bool(found.passed) + (False,) * (found.passed < len(found.rewards))

    def uniform(self) -> tuple[int, int]:
        """Return how many of the pivots that are not mixed have passed and failed; some may lack answers."""
        passed = [bool(each.passed) for each in self._by_pivot.values() if not each.is_mixed]
        return sum(passed), len(passed) - sum(passed)

    @property
    def pass_rate(self) -> float | None:
        """Share of passed tests among those graded; None if repeats were asked until mixed, which biases it."""
        return self.passed / self.graded if self.graded and not self.until_mixed else None

    @property
    def total_reward(self) -> float:
        """The sum of all rewards."""
        return math.fsum(r for values in self._rewards.values() for r in values)

    def rewards_so_far(self) -> dict[str, tuple[float, ...]]:
        """Return a copy of the rewards by trajectory; may be called by any thread."""
        return {trajectory: tuple(rewards) for trajectory, rewards in list(self._rewards.items())}

    def mean_reward(self) -> Interval | None:
        """Mean reward over the graded, with its interval; None if repeats were asked until mixed, which biases it."""
        return None if self.until_mixed else mean_interval(self._rewards)

    def mean_of_first(self) -> Interval | None:
        """Mean reward over the first repeats, which are asked in any case, with its interval."""
        return mean_interval(self._first_rewards)

    def mean_with_errors(self) -> float | None:
        """Mean reward with every error counted as 0; None if repeats were asked until mixed, which biases it."""
        total = self.graded + self.errors
        return self.total_reward / total if total and not self.until_mixed else None

    def latency_quantiles(self, *shares: float) -> list[float]:
        """Return quantiles of the calls' latencies in seconds, nearest rank; an empty list without calls."""
        ranked = sorted(self.latencies)
        return [ranked[max(0, math.ceil(share * len(ranked)) - 1)] for share in shares] if ranked else []

    def pass_at(self, k: int) -> tuple[float, float, int] | None:
        """Return pass@k, pass^k, and the number of pivots graded at least k times; None if there are none.

        It is None as well if repeats were asked until mixed: only pivots that are not have all of them.
        """
        if self.until_mixed:
            return None
        return pass_at_k(((len(each.rewards), each.passed) for each in self._by_pivot.values()), k)

    def sometimes(self) -> list[tuple[str, int, int]]:
        """Return the pivots that passed in some repeats only: id, passed and graded answers, in order of id."""
        each = self._by_pivot.values()
        return sorted((p.pivot_id, p.passed, len(p.rewards)) for p in each if p.is_mixed)

    def noise(self) -> Noise | None:
        """Return the model's own part of the variance of the mean reward; None if it cannot be known."""
        if self.until_mixed:
            return None
        by_trajectory: dict[str, list[list[float]]] = {}
        for each in self._by_pivot.values():
            by_trajectory.setdefault(each.trajectory_id, []).append(each.rewards)
        return noise(by_trajectory)

    def identity_broken(self) -> bool:
        """Return whether the pass rate of the pivots' own items is not their mean reward, as a 0/1 grader promises."""
        return abs(self._own_passed - math.fsum(self._own_rewards)) > _TOLERANCE * max(1, len(self._own_rewards))

    def identity_figures(self) -> tuple[int, float, int]:
        """Return the numbers of the identity check: passed items, the sum of rewards, and all items."""
        return self._own_passed, math.fsum(self._own_rewards), len(self._own_rewards)


def _side(kind: str) -> str:
    return "call" if kind.startswith("function_call") else kind
