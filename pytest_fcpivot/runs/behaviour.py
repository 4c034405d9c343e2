"""What the answers of runs look like apart from their grades: messages or calls, how long, how many unreadable.

Runs are set side by side, as those of a training's checkpoints, on the pivots that all of them answered: only there do
shares say anything about the agents. `drift` tells what changed between them.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from itertools import starmap
from sys import intern
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_fcpivot.core.actions import MALFORMED_OUTPUT
from pytest_fcpivot.core.answer_flags import UNREAD
from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.jsontext import one_line, shown
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.runs.comparing import Side, differences_of
from pytest_fcpivot.runs.damage import Damages, refuse_losses
from pytest_fcpivot.runs.described import read_description
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.reader import Damage, results_in
from pytest_fcpivot.runs.rewards import Rewards, place_of
from pytest_fcpivot.stats.interval import Interval, mean_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_fcpivot.runs.reader import ResultLine

MESSAGE, CALL, NOTHING = "message", "call", "nothing"
_LEAST_COMMON = 0.5  # of the last run's pivots: a run that answered fewer would leave too little of all others
_WIDTH = 200


class Answer(NamedTuple):
    """A graded answer: what kind it is, and its size.

    `kind` is MESSAGE, CALL, NOTHING or MALFORMED_OUTPUT, and `calls` the number of calls. `is_unread`: it was probably
    not read as the model meant it (one of the flags in `answer_flags.UNREAD`). `length` is in characters: of the
    message, of the arguments of all calls, or of the output that could not be read. `tokens` are those of the output.
    Equal answers have the same `digest`.
    """

    reward: float
    kind: str
    calls: int
    is_unread: bool
    length: int
    tokens: int | None
    digest: int


def answer_of(line: ResultLine, reward: float) -> Answer:
    """Return what a result with this reward says of its answer."""
    action = line.graded()
    if action.calls:
        kind = CALL
    elif action.malformed is not None:
        kind = MALFORMED_OUTPUT
    elif action.message is not None:
        kind = MESSAGE
    else:
        kind = NOTHING
    content = tuple((call.name, call.arguments) for call in action.calls) or action.message or action.malformed
    return Answer(
        reward=reward,
        kind=kind,
        calls=len(action.calls),
        is_unread=not UNREAD.isdisjoint(line.flags),
        length=action.length,
        tokens=None if line.usage is None else line.usage.output,
        digest=hash((kind, content)),
    )


@dataclass(slots=True)
class PivotAnswers:
    """The graded answers of one pivot by repeat; `expects` is MESSAGE, CALL or NOTHING."""

    trajectory_id: str
    expects: str
    answers: dict[int, Answer] = field(default_factory=dict)


class Answers:
    """The graded answers of a run by place and pivot, filled line by line; the last line of a test counts."""

    def __init__(self) -> None:
        self.pivots: dict[tuple[str, str], PivotAnswers] = {}
        self.without_action = 0  # graded answers of an early version, whose lines do not have the action
        self._tests: dict[str, tuple[tuple[str, str], int]] = {}

    def add(self, line: ResultLine | Damage) -> None:
        """Add a line of results.jsonl; an error, or a line that cannot be read, takes its test's answer out."""
        if line.test is None:
            return
        self._forget(line.test)
        if isinstance(line, Damage) or line.reward is None:
            return
        if not line.has_action:
            self.without_action += 1
            return
        key = intern(place_of(line.test, line.pivot_id)), line.pivot_id
        pivot = self.pivots.get(key)
        if pivot is None:
            expects = CALL if line.expected.startswith("function_call") else line.expected
            expects = NOTHING if expects == "none" else intern(expects)
            pivot = self.pivots[key] = PivotAnswers(intern(line.trajectory_id), expects)
        pivot.answers[line.repeat] = answer_of(line, line.reward)
        self._tests[line.test] = key, line.repeat

    def _forget(self, test: str) -> None:
        known = self._tests.pop(test, None)
        if known is None:
            return
        key, repeat = known
        answers = self.pivots[key].answers
        answers.pop(repeat, None)
        if not answers:
            del self.pivots[key]

    @property
    def places(self) -> frozenset[str]:
        """What ran the pivots, as in `Rewards.places`."""
        return frozenset(place for place, _ in self.pivots)


@dataclass(frozen=True, slots=True)
class RunAnswers:
    """A run that is set beside others: its name, its path, its description as in run.json, and its graded answers."""

    name: str
    path: Path
    description: Mapping[str, Any]
    answers: Answers

    @property
    def agent(self) -> str:
        """Who answered: the agent, with its model if the run says which."""
        model = self.description.get("model")
        return f"{self.description['agent']}" + (f" ({model})" if model else "")


def read_answers(path: Path, name: str, *, allow_damaged: bool = False) -> RunAnswers:
    """Read the answers of a run, in one pass over its results.

    Raises RunError for a directory that is not a run, and for damaged lines unless `allow_damaged`, as
    `rewards_of_run` does.
    """
    description = read_description(path)
    answers, damages = Answers(), Damages()
    results = RunDirectory(path).results
    if results.exists():  # a run that was killed at its start has none
        for _, line in damages.watch(results_in(results)):
            answers.add(line)
    if not allow_damaged:
        refuse_losses(path, damages)
    return RunAnswers(name, path, description, answers)


def read_all(paths: Sequence[Path], *, allow_damaged: bool = False) -> list[RunAnswers]:
    """Read the answers of several runs, in their order; raises as `read_answers` does."""
    return [
        read_answers(path, name, allow_damaged=allow_damaged) for path, name in zip(paths, names_of(paths), strict=True)
    ]


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return names for runs: the last parts of their paths if these differ, otherwise the paths as they are."""
    short = [path.resolve().name for path in paths]
    return short if len(set(short)) == len({path.resolve() for path in paths}) else list(map(str, paths))


# -------------------------------------------------------------------- side by side


class Length(NamedTuple):
    """The characters of `n` answers of a kind: mean and median."""

    mean: float
    median: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How a run answered the pivots that all runs answered.

    Each pivot counts once, by the mean over its graded repeats; lengths and tokens are of all `n` answers. There is a
    mean reward of all pivots, and one of those that expect a message or a call; None where there are none. `messages`,
    `calls`, `several` (calls at once), `nothing` and `unread` are shares of the answers; the last one overlaps with the
    others. `misplaced` is the share of messages where a call is expected, `distinct` that of different answers among
    the first graded repeats. `tokens` is None unless all answers say theirs.
    """

    name: str
    agent: str
    n: int
    reward: Interval
    reward_message: float | None
    reward_call: float | None
    messages: float
    misplaced: float | None
    calls: float
    several: float
    nothing: float
    unread: float
    message_length: Length | None
    arguments_length: Length | None
    tokens: float | None
    distinct: float


class Means(NamedTuple):
    """One pivot of a run, by the mean over its graded repeats; lengths are None if there is no such answer.

    `rewarded_unread` is the reward that answers with an unread flag earned.
    """

    trajectory_id: str
    expects: str
    reward: float
    message: float
    call: float
    several: float
    nothing: float
    unread: float
    rewarded_unread: float
    message_length: float | None
    arguments_length: float | None


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Runs on the pivots that all of them answered, in the order given.

    `runs` and `means` are empty if fewer than two runs can be set side by side. `means` has the same pivots in the same
    order for each run. `of` is the number of pivots that the last run answered, `expect` the share of the common pivots
    that expect a message, a call or nothing. `notes` say which runs were left out, and why.
    """

    runs: tuple[Behaviour, ...]
    means: tuple[tuple[Means, ...], ...]
    pivots: int
    of: int
    expect: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def agents_differ(self) -> bool:
        """Whether the runs are of agents with different names, or models."""
        return len({run.agent for run in self.runs}) > 1


def side_by_side(runs: Sequence[RunAnswers]) -> SideBySide:
    """Set runs side by side, as those of a training's checkpoints, in their order; the last one is the subject.

    Left out, with a note, are runs that cannot be compared with the last one (other data, another grader), that
    answered less than half of its pivots, that have no actions, and that are named twice. Raises RunError if a pivot
    belongs to different trajectories.
    """
    notes: list[str] = []
    kept = list(_comparable(runs, notes))
    by_id_alone = all(len(run.answers.places) == 1 for run in kept)
    tables = [_by_key(run.answers, by_id_alone=by_id_alone) for run in kept]
    last = tables[-1] if tables else {}
    if kept and not last:
        notes.append(f"{_name(kept[-1])} has no graded answer")
    for number in reversed(range(len(kept) - 1)) if last else ():
        common = len(last.keys() & tables[number].keys())
        if common < _LEAST_COMMON * len(last) or not common:
            notes.append(
                f"{_name(kept[number])} is left out: it has graded answers to {common} of the "
                f"{count_of(len(last), 'pivot')} that {_name(kept[-1])} answered"
            )
            del kept[number], tables[number]
    keys = [key for key in last if all(key in table for table in tables)]
    if len(kept) > 1 and last and not keys:
        notes.append("there is no pivot that all of them answered")
    if len(kept) < 2 or not keys:  # noqa: PLR2004 (nothing is beside it)
        return SideBySide((), (), 0, len(last), {}, tuple(notes))
    for run, table in zip(kept, tables, strict=True):
        for key in keys:
            if (table[key].trajectory_id, table[key].expects) != (last[key].trajectory_id, last[key].expects):
                raise _another_pivot(key[1], (run, table[key]), (kept[-1], last[key]))
    late = _out_of_order(kept)
    if late is not None:
        earlier, later = map(_name, late)
        notes.append(
            f"{later} is named before {earlier}, and was recorded after it; name runs in the order of the training, "
            "since changes are told from each to the next"
        )
    expected = [last[key].expects for key in keys]
    pivots = [[table[key] for key in keys] for table in tables]
    means = tuple(tuple(map(_means, each)) for each in pivots)
    return SideBySide(
        runs=tuple(starmap(_behaviour, zip(kept, pivots, means, strict=True))),
        means=means,
        pivots=len(keys),
        of=len(last),
        expect={kind: expected.count(kind) / len(keys) for kind in (MESSAGE, CALL, NOTHING)},
        notes=tuple(notes),
    )


def _comparable(runs: Sequence[RunAnswers], notes: list[str]) -> Iterator[RunAnswers]:
    """Yield the runs that can be compared with the last one, and note the others."""
    if not runs:
        return
    last = runs[-1]
    subject = Side(last.name, last.path, last.description, Rewards())
    seen = {last.path.resolve()}
    for run in runs[:-1]:
        place = run.path.resolve()
        difference = next(differences_of(subject, Side(run.name, run.path, run.description, Rewards())), None)
        if place in seen:
            notes.append(f"{_name(run)} is named twice, and shown once")
        elif difference is not None:
            notes.append(f"{_name(run)} is left out: it cannot be compared with {_name(last)} ({difference})")
        elif run.answers.without_action:
            notes.append(f"{_name(run)} is left out: an early version wrote it, whose results do not have the actions")
        else:
            yield run
        seen.add(place)
    if last.answers.without_action:
        notes.append(f"{_name(last)}: an early version wrote this run, whose results do not have the actions")
    else:
        yield last


def _out_of_order(runs: Sequence[RunAnswers]) -> tuple[RunAnswers, RunAnswers] | None:
    """Return the first run that was recorded before the run named before it, and that run; None if there is none.

    Nothing is said if a run does not tell when it was recorded: names like step-100 and step-20 tell nothing either.
    """
    told = (run.description.get("started") for run in runs)
    started = [each for each in told if isinstance(each, str)]
    if len(started) < len(runs):
        return None
    found = (at for at in range(1, len(runs)) if started[at] < started[at - 1])
    return next(((runs[at], runs[at - 1]) for at in found), None)


def _name(run: RunAnswers) -> str:
    return one_line(run.name, _WIDTH)


def _by_key(answers: Answers, *, by_id_alone: bool) -> dict[tuple[str, str], PivotAnswers]:
    """Return the pivots as runs have them in common: by id alone if a data file may have moved, as in `matched`."""
    if not by_id_alone:
        return answers.pivots
    return {("", pivot_id): pivot for (_, pivot_id), pivot in answers.pivots.items()}


def _another_pivot(
    pivot_id: str, one: tuple[RunAnswers, PivotAnswers], other: tuple[RunAnswers, PivotAnswers]
) -> RunError:
    """Return the error for a pivot that is not the same one in two runs."""
    (run, pivot), (last, expected) = one, other
    return RunError(
        f"{one_line(pivot_id, _WIDTH)}: it belongs to trajectory {shown(pivot.trajectory_id)} and expects a "
        f"{pivot.expects} in {_name(run)}, and to {shown(expected.trajectory_id)} and a {expected.expects} in "
        f"{_name(last)}, so one of them is not what was recorded"
    )


def _means(pivot: PivotAnswers) -> Means:
    answers = list(pivot.answers.values())
    if len(answers) == 1:  # in a third of the time
        (one,) = answers
        return Means(
            pivot.trajectory_id,
            pivot.expects,
            one.reward,
            float(one.kind == MESSAGE),
            float(one.kind == CALL),
            float(one.calls > 1),
            float(one.kind == NOTHING),
            float(one.is_unread),
            one.reward if one.is_unread else 0.0,
            float(one.length) if one.kind == MESSAGE else None,
            float(one.length) if one.kind == CALL else None,
        )
    return Means(
        pivot.trajectory_id,
        pivot.expects,
        _mean(each.reward for each in answers) or 0.0,
        _share(each.kind == MESSAGE for each in answers),
        _share(each.kind == CALL for each in answers),
        _share(each.calls > 1 for each in answers),
        _share(each.kind == NOTHING for each in answers),
        _share(each.is_unread for each in answers),
        _mean(each.reward if each.is_unread else 0.0 for each in answers) or 0.0,
        _mean(each.length for each in answers if each.kind == MESSAGE),
        _mean(each.length for each in answers if each.kind == CALL),
    )


def _behaviour(run: RunAnswers, pivots: Sequence[PivotAnswers], means: Sequence[Means]) -> Behaviour:
    answers = [answer for pivot in pivots for answer in pivot.answers.values()]
    by_trajectory: dict[str, list[float]] = {}
    for mean in means:
        by_trajectory.setdefault(mean.trajectory_id, []).append(mean.reward)
    reward = mean_interval(by_trajectory)
    if reward is None:
        raise ValueError(f"{run.name}: no graded answer")  # the caller looks for common pivots first
    firsts = {pivot.answers[min(pivot.answers)].digest for pivot in pivots}
    return Behaviour(
        name=run.name,
        agent=run.agent,
        n=len(answers),
        reward=reward,
        reward_message=_mean(each.reward for each in means if each.expects == MESSAGE),
        reward_call=_mean(each.reward for each in means if each.expects == CALL),
        messages=_mean(each.message for each in means) or 0.0,
        misplaced=_mean(each.message for each in means if each.expects == CALL),
        calls=_mean(each.call for each in means) or 0.0,
        several=_mean(each.several for each in means) or 0.0,
        nothing=_mean(each.nothing for each in means) or 0.0,
        unread=_mean(each.unread for each in means) or 0.0,
        message_length=_length(each.length for each in answers if each.kind == MESSAGE),
        arguments_length=_length(each.length for each in answers if each.kind == CALL),
        tokens=_tokens(answers),
        distinct=len(firsts) / len(pivots),
    )


def _tokens(answers: Sequence[Answer]) -> float | None:
    """Return the mean of the output tokens; None unless all answers say theirs."""
    found = [answer.tokens for answer in answers if answer.tokens is not None]
    return _mean(found) if len(found) == len(answers) else None


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return math.fsum(found) / len(found) if found else None


def _share(values: Iterable[bool]) -> float:
    found = list(values)
    return sum(found) / len(found)


def _length(lengths: Iterable[int]) -> Length | None:
    found = list(lengths)
    if not found:
        return None
    return Length(math.fsum(found) / len(found), float(statistics.median(found)), len(found))
