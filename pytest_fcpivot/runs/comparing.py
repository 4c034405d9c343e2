"""Compare two runs pivot by pivot: the change of the mean reward, and the pivots that flipped."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.jsontext import one_line, shown
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.data import SAMPLE
from pytest_fcpivot.graders import is_binary, meaning_of, passes
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK, TRUE
from pytest_fcpivot.runs.directory import judge_of_run
from pytest_fcpivot.runs.rewards import PivotRewards, Rewards, totals_of
from pytest_fcpivot.stats.paired import ALPHA, Difference, difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

LEAST_CHANGE = 0.5
_WIDTH = 200
_HASH_SHOWN = 16
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a run, a saved baseline, or a session that is running (with no path).

    `description` has the members of run.json that say what the run was about. `notes` are remarks on what was left out.
    """

    name: str
    path: Path | None
    description: Mapping[str, Any]
    rewards: Rewards
    is_baseline: bool = False
    notes: tuple[str, ...] = ()

    @property
    def mark(self) -> float:
        """The lowest reward that passes."""
        return float(self.description.get("pass_mark", DEFAULT_PASS_MARK))

    @property
    def run_id(self) -> str | None:
        """What tells the run from all others; None for one that does not say when it began."""
        about = self.description
        if not about.get("started"):
            return None
        data = [[data["name"], data["sha256"], data["selected"]] for data in about["data"]]
        return json.dumps([about["started"], about["agent"], about.get("model"), data])


@dataclass(frozen=True, slots=True)
class Pair:
    """The results of one pivot on both sides."""

    base: PivotRewards
    new: PivotRewards

    @property
    def change(self) -> float:
        """The change of the mean over the graded repeats; both sides have some."""
        return (self.new.mean or 0.0) - (self.base.mean or 0.0)


@dataclass(frozen=True, slots=True)
class Flip:
    """A pivot that changed: `passed` has the shares of its repeats that passed, before and after.

    `by_mark`: these shares changed by half or more. If they did not, the mean reward changed by the least change or
    more. `test` is the node id.
    """

    test: str
    pair: Pair
    passed: tuple[float, float]
    by_mark: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What changed from one run to another, on the pivots that have graded answers in both.

    `difference` is None without any such pivot. `if_wrong` and `if_right` are the difference with NEW's missing answers
    all taken as wrong, or all as right; both are None if none is missing, and both also have the pivots of
    `errors_new`. `only_base` and `only_new` are pivots, or whole places, that one side does not have; `errors_base` and
    `errors_new` those of both sides that one has no graded answer to. `partly_base` and `partly_new` count pairs with
    some graded repeats and some missing ones. `lost` and `won` are the flips, the largest first. `identical`: both
    sides are the same run.
    """

    base: Side
    new: Side
    pairs: tuple[Pair, ...]
    difference: Difference | None
    if_wrong: Difference | None
    if_right: Difference | None
    only_base: tuple[PivotRewards, ...]
    only_new: tuple[PivotRewards, ...]
    errors_base: tuple[PivotRewards, ...]
    errors_new: tuple[PivotRewards, ...]
    partly_base: int
    partly_new: int
    lost: tuple[Flip, ...]
    won: tuple[Flip, ...]
    identical: bool
    least_change: float = LEAST_CHANGE
    unchanged: int = field(default=0)

    @property
    def means(self) -> tuple[float, float] | None:
        """The mean reward of both sides over the pairs, each pivot by the mean of its repeats; None without pairs."""
        if not self.pairs:
            return None
        count = len(self.pairs)
        return (
            math.fsum(pair.base.mean or 0.0 for pair in self.pairs) / count,
            math.fsum(pair.new.mean or 0.0 for pair in self.pairs) / count,
        )


def compare(base: Side, new: Side, alpha: float = ALPHA, *, least_change: float = LEAST_CHANGE) -> Comparison:
    """Compare two sides; `least_change` is the change of a pivot's mean reward that makes it a flip in any case.

    Pivots pair by id alone if both sides have one place each, since a data file may have moved; otherwise by place and
    id. Raises RunError if they have no pivot in common, or if one is of another trajectory on either side. It does not
    check what the sides are about, as `refuse_different` does.
    """
    both, only_base, only_new = matched(base, new)
    pairs = [pair for pair in both if pair.base.rewards and pair.new.rewards]
    errors_new = [pair for pair in both if not pair.new.rewards]
    lost, won = _flips(pairs, new.mark, least_change)
    some_missing = any(pair.new.missing for pair in both if pair.base.rewards)
    return Comparison(
        base=base,
        new=new,
        pairs=tuple(pairs),
        difference=_difference(pairs, alpha, lambda pair: pair.change),
        if_wrong=_reading(both, alpha, 0.0) if some_missing else None,
        if_right=_reading(both, alpha, 1.0) if some_missing else None,
        only_base=only_base,
        only_new=only_new,
        errors_base=tuple(pair.base for pair in both if not pair.base.rewards),
        errors_new=tuple(pair.new for pair in errors_new),
        partly_base=sum(bool(pair.base.missing) for pair in pairs),
        partly_new=sum(bool(pair.new.missing) for pair in pairs),
        lost=lost,
        won=won,
        identical=same_run(base, new),
        least_change=least_change,
        unchanged=sum(abs(pair.change) <= _TOLERANCE for pair in pairs),
    )


def same_run(base: Side, new: Side) -> bool:
    """Return whether two sides are the same run with the same results, by its id or its path.

    Equal rewards alone do not make it the same: without flips, which is common in small data, two runs of different
    agents have equal rewards too.
    """
    if base.run_id is not None and base.run_id == new.run_id:
        return base.rewards.fingerprint() == new.rewards.fingerprint()
    if base.path is None:
        return False
    replayed = new.description.get("replays")
    if new.path is not None and os.path.realpath(base.path) == os.path.realpath(new.path):
        return True
    # only by its text: what a run names is not looked up
    return (
        isinstance(replayed, str)
        and os.path.abspath(replayed) == os.path.abspath(base.path)  # noqa: PTH100 (does not look it up)
        and base.rewards.fingerprint() == new.rewards.fingerprint()
    )


def matched(base: Side, new: Side) -> tuple[list[Pair], tuple[PivotRewards, ...], tuple[PivotRewards, ...]]:
    """Return the pivots that both sides have, in the order of `new`, and those of one side only.

    Raises RunError as `compare` does.
    """
    by_id_alone = len(base.rewards.places) == 1 == len(new.rewards.places)
    (place,) = base.rewards.places if by_id_alone else ("",)
    both, only_new, seen = [], [], set()
    for pivot in new.rewards:
        other = base.rewards.get(place if by_id_alone else pivot.place, pivot.pivot_id)
        if other is None:
            only_new.append(pivot)
            continue
        if other.trajectory_id != pivot.trajectory_id:
            raise RunError(
                f"{one_line(pivot.test, _WIDTH)}: it belongs to trajectory {shown(other.trajectory_id)} in {base.name} "
                f"and to {shown(pivot.trajectory_id)} in {new.name}, so one of them is not what was recorded"
            )
        seen.add((other.place, other.pivot_id))
        both.append(Pair(other, pivot))
    if not both:
        raise RunError(
            f"{base.name} and {new.name} have no pivot in common: {count_of(len(base.rewards), 'pivot')} of "
            f"{_places(base)}, and {count_of(len(new.rewards), 'pivot')} of {_places(new)}"
        )
    only_base = tuple(pivot for pivot in base.rewards if (pivot.place, pivot.pivot_id) not in seen)
    return both, only_base, tuple(only_new)


def _places(side: Side) -> str:
    return one_line(", ".join(sorted(side.rewards.places)), _WIDTH) or "nothing"


def _difference(pairs: Sequence[Pair], alpha: float, change: Callable[[Pair], float]) -> Difference | None:
    totals = totals_of((pair.new.trajectory_id, 1, change(pair)) for pair in pairs)
    return difference(totals, alpha) if totals else None


def _reading(both: Sequence[Pair], alpha: float, reward: float) -> Difference | None:
    """Return the difference with NEW's missing answers taken as having this reward."""

    def change(pair: Pair) -> float:
        new = pair.new
        answers = len(new.rewards) + len(new.missing)
        return (new.total + reward * len(new.missing)) / answers - (pair.base.mean or 0.0)

    return _difference([pair for pair in both if pair.base.rewards], alpha, change)


def _flips(pairs: Sequence[Pair], mark: float, least_change: float) -> tuple[tuple[Flip, ...], tuple[Flip, ...]]:
    lost: list[Flip] = []
    won: list[Flip] = []
    for pair in pairs:
        before, after = passed(pair.base, mark), passed(pair.new, mark)
        by_mark = abs(after - before) >= LEAST_CHANGE - _TOLERANCE
        if not by_mark and abs(pair.change) < least_change - _TOLERANCE:
            continue
        falls = after < before if by_mark else pair.change < 0
        (lost if falls else won).append(Flip(pair.new.test, pair, (before, after), by_mark))
    lost.sort(key=lambda flip: (flip.pair.change, flip.test))
    won.sort(key=lambda flip: (-flip.pair.change, flip.test))
    return tuple(lost), tuple(won)


def passed(pivot: PivotRewards, mark: float) -> float:
    """Return the share of a pivot's graded repeats that passed."""
    return sum(passes(reward, mark) for reward in pivot.rewards.values()) / len(pivot.rewards)


# -------------------------------------------------------------------- what may be compared


def refuse_different(base: Side, new: Side) -> None:
    """Raise RunError, which names each difference, if two runs are of other data, or were graded differently.

    The agent, the model and the choice of pivots may differ.
    """
    differences = list(differences_of(base, new))
    if differences:
        listed = "\n".join(f"  {line}" for line in differences)
        raise RunError(
            f"{base.name} and {new.name} cannot be compared, since they are not of the same data, or were not graded "
            f"in the same way:\n{listed}"
        )


def differences_of(base: Side, new: Side) -> Iterator[str]:
    """Yield what makes two runs not comparable, a line each: the data, the grader, settings, the pass mark, the judge.

    Of several data sets, those that only one side has are left out of account, unless they have none in common.
    """
    before, after = ({data["name"]: data["sha256"] for data in side.description["data"]} for side in (base, new))
    if not before or not after:  # tests of the user's own, without data of their own, run over the sample
        if not {SAMPLE}.issuperset(before | after):
            yield f"data: {_data(before) or SAMPLE} → {_data(after) or SAMPLE}"
    elif len(before) == 1 == len(after):
        if set(before.values()) != set(after.values()):
            yield f"data: {_data(before)} → {_data(after)}"
    elif before.keys().isdisjoint(after):
        yield f"data: {_data(before)} → {_data(after)}"
    else:
        yield from (
            f"data {name}: sha256 {_cut(before[name])} → {_cut(after[name])}"
            for name in sorted(before.keys() & after.keys())
            if before[name] != after[name]
        )
    one, other = _how_graded(base.description), _how_graded(new.description)
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            yield f"{name}: {one.get(name, 'not set')} → {other.get(name, 'not set')}"


def _data(hashes: Mapping[str, str]) -> str:
    return ", ".join(f"{one_line(name)} (sha256 {_cut(digest)})" for name, digest in hashes.items())


def _cut(digest: str) -> str:
    return one_line(digest if len(digest) <= _HASH_SHOWN else f"{digest[:_HASH_SHOWN]}…")


def _how_graded(description: Mapping[str, Any]) -> dict[str, str]:
    """Return what decides the reward of an answer, and whether it passes, by name, as text."""
    grader, options = description["grader"], description["options"]
    found = {
        "grader": _text(meaning_of(grader)),
        "judge": _text(judge_of_run(description)),
        "--fc-strict-schema": str(str(options.get("fc_strict_schema")).lower() in TRUE).lower(),
        "--fc-empty-arguments": str(options.get("fc_empty_arguments") or "text"),
        "--fc-judge-fallback": str(options.get("fc_judge_fallback") or "error"),
    }
    if not is_binary(grader):  # where every reward is 0 or 1, the mark changes nothing
        found["pass mark"] = f"{float(description.get('pass_mark', DEFAULT_PASS_MARK)):.12g}"
    return {name: one_line(value, 4 * _WIDTH) for name, value in found.items()}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


# -------------------------------------------------------------------- several runs as one


def pool(sides: Sequence[Side]) -> Side:
    """Put several runs of the same data together, as repeats of each other.

    Raises RunError if they cannot be compared with each other, or if one is named twice.
    """
    first, *others = sides
    if not others:
        return first
    for number, side in enumerate(sides):
        for other in sides[:number]:
            refuse_different(other, side)
            if same_run(other, side):
                raise RunError(f"{other.name} and {side.name} are the same run, which would count twice")
    alone = all(len(side.rewards.places) == 1 for side in sides)
    together: dict[tuple[str, str], PivotRewards] = {}
    offset = 0
    for side in sides:
        most = 0
        for pivot in side.rewards:
            key = "" if alone else pivot.place, pivot.pivot_id
            known = together.get(key)
            if known is None:
                known = together[key] = replace(pivot, rewards={}, categories={}, missing=set())
            elif known.trajectory_id != pivot.trajectory_id:
                raise RunError(f"{one_line(pivot.test, _WIDTH)}: it belongs to another trajectory in {side.name}")
            known.rewards.update((offset + repeat, reward) for repeat, reward in pivot.rewards.items())
            known.categories.update((offset + repeat, category) for repeat, category in pivot.categories.items())
            known.missing.update(offset + repeat for repeat in pivot.missing)
            most = max(most, *pivot.rewards, *pivot.missing, 0)
        offset += most
    rewards = Rewards()
    only = next(iter(first.rewards.places), "")
    for known in together.values():
        known.place = only if alone else known.place
        rewards.put(known)
    name = " + ".join(side.name for side in sides)
    notes = tuple(f"{side.name}: {note}" for side in sides for note in side.notes)
    return Side(name, None, {**first.description, "started": None, "repeats": offset}, rewards, notes=notes)
