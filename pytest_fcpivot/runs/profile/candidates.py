"""The pivots that were asked, each with its rollouts from all sources: the candidates of a profile."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.jsontext import shown
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.graders import passes
from pytest_fcpivot.runs.export.results import selected_rows
from pytest_fcpivot.runs.profile.rollouts import content_of, pivot_at
from pytest_fcpivot.runs.profile.sources import Source, in_order, test_of
from pytest_fcpivot.runs.unfinished import tests_without_result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.data.store import IndexEntry, PivotStore
    from pytest_fcpivot.runs.rewards import PivotRewards

    Stores = Sequence[tuple[str, PivotStore]]

MESSAGE = "message"
_LEAST_ALIKE = 5  # fewer pivots may have the same answers by chance


class Rollout(NamedTuple):
    """One graded rollout: the number of its source, its repeat there, its reward, and its answer.

    `digest` is a hash of the action, and `offset` is where its line begins; -1 if there is no line of it.
    """

    source: int
    repeat: int
    reward: float
    digest: int
    offset: int


@dataclass(slots=True, kw_only=True)
class Candidate:
    """One pivot with its graded rollouts.

    `place` is where its row is: the number of the data file or of the source, and the row or the offset in it.
    `planned` counts the rollouts that were to be recorded, `errors` those without a grade. `stopped`: a run was to ask
    it no further once it had passed and failed.
    """

    place: tuple[int, int]
    pivot_id: str
    trajectory_id: str
    expected: str
    tool: str | None
    depth: int | None
    rollouts: list[Rollout] = field(default_factory=list)
    planned: int = 0
    errors: int = 0
    stopped: bool = False

    @property
    def graded(self) -> int:
        """How many rollouts have a reward."""
        return len(self.rollouts)

    @property
    def is_message(self) -> bool:
        """Whether a message is expected."""
        return self.expected == MESSAGE

    def passed(self, mark: float) -> int:
        """Count the rollouts whose reward reaches the mark."""
        return sum(passes(rollout.reward, mark) for rollout in self.rollouts)

    def rewards(self) -> list[float]:
        """Return the rewards."""
        return [rollout.reward for rollout in self.rollouts]

    def mean(self) -> float | None:
        """Return the mean reward of the graded rollouts; None without any."""
        return math.fsum(self.rewards()) / self.graded if self.rollouts else None

    def deviation(self) -> float | None:
        """Return the sample's standard deviation of the rewards, with n - 1; 0 for one rollout, None without any.

        As NeMo Gym's reward profile has it, which takes pandas' default and puts 0 where that is not a number.
        """
        mean = self.mean()
        if mean is None:
            return None
        if self.graded == 1:
            return 0.0
        return math.sqrt(math.fsum((reward - mean) ** 2 for reward in self.rewards()) / (self.graded - 1))

    def median(self) -> float | None:
        """Return the median reward; None without any rollout."""
        return median(self.rewards()) if self.rollouts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """All candidates in the order of the data, the sources in their own order, and what was left out or is unknown."""

    sources: tuple[Source, ...]
    pivots: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pivots)

    @property
    def agents(self) -> tuple[str, ...]:
        """Who answered, as far as that is known, each once."""
        return tuple(sorted({source.agent for source in self.sources if source.agent is not None}))


class Rows(Protocol):
    """Reads the pivot of a candidate."""

    def read(self, candidate: Candidate) -> Pivot: ...  # noqa: D102


class RowsOfData:
    """Reads pivots from the data of the runs."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def read(self, candidate: Candidate) -> Pivot:
        """Read the pivot of a candidate; raises DataError if the file is damaged there."""
        number, row = candidate.place
        return self._stores[number][1].read(row)


class RowsOfRollouts:
    """Reads pivots from the rollouts that bring them."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def read(self, candidate: Candidate) -> Pivot:
        """Read the pivot of a candidate; raises RunError if the file has changed since."""
        number, offset = candidate.place
        return pivot_at(self._sources[number].path, offset)


def candidates_of_runs(sources: Sequence[Source], stores: Stores) -> Candidates:
    """Put the rollouts of runs together by the pivots of their data.

    The data of all runs have the same content; `stores` are by the hash that the runs record. Pivots that a run
    selected and has no result of are candidates too, if its options tell which these are; if not, a note says so.
    """
    sources = in_order(sources)
    index = [store.index() for _, store in stores]
    rows = [{entry.id: entry.row for entry in entries} for entries in index]
    depths = [list(store.each("depth")) for _, store in stores]
    found: dict[tuple[int, int], Candidate] = {}
    notes: list[str] = []

    def at(number: int, row: int) -> Candidate:
        candidate = found.get((number, row))
        if candidate is None:
            candidate = found[number, row] = _of_entry((number, row), index[number][row], depths[number][row])
        return candidate

    for number, source in enumerate(sources):
        lost, silent, unknown = 0, [], False
        for place, data, asked in _selected(source, stores):
            seen = set()
            for pivot in (each for each in source.rewards if each.place == data):
                row = rows[place].get(pivot.pivot_id)
                if row is None:
                    lost += 1
                else:
                    _add(at(place, row), source, number, pivot)
                    seen.add(row)
            unknown = unknown or asked is None
            silent += [(place, row) for row in asked or () if row not in seen]
        left = _without_result(source)
        if left == 0:  # what else is selected was left out by pytest's own options
            silent, unknown = [], False
        elif len(silent) * source.repeats > (left or 0):
            silent, unknown = [], True
        for place, row in silent:
            at(place, row).planned += source.repeats
        if lost:
            notes.append(f"{source.name}: left out: {count_of(lost, 'pivot')} that its data do not have")
        if unknown:
            notes.append(
                f"{source.name}: which pivots it selected is not known from its options; those without any result are "
                "not among the candidates"
            )
    ordered = tuple(found[key] for key in sorted(found))
    return Candidates(sources=tuple(sources), pivots=ordered, notes=tuple(notes))


def candidates_of_rollouts(sources: Sequence[Source]) -> Candidates:
    """Put the rollouts of files together by the ids of their pivots; raises RunError for one id with other content."""
    sources = in_order(sources)
    found: dict[str, Candidate] = {}
    contents: dict[str, bytes] = {}
    for number, source in enumerate(sources):
        for pivot in source.rewards:
            offset = source.first_rows[pivot.pivot_id]
            candidate = found.get(pivot.pivot_id)
            if candidate is None or len(sources) > 1:
                row = pivot_at(source.path, offset)
                if contents.setdefault(row.id, content_of(row)) != content_of(row):
                    raise RunError(
                        f"{source.name}: the pivot {shown(row.id)} has another conversation, other tools or another "
                        "expected action than in the other rollouts; these are rollouts of different data"
                    )
                if candidate is None:
                    candidate = found[row.id] = Candidate(
                        place=(number, offset),
                        pivot_id=row.id,
                        trajectory_id=row.trajectory_id,
                        expected=pivot.expected,
                        tool=pivot.tool,
                        depth=row.depth,
                    )
            _add(candidate, source, number, pivot)
    ordered = sorted(found.values(), key=lambda candidate: candidate.place)
    return Candidates(sources=tuple(sources), pivots=tuple(ordered))


def same_answers(candidates: Candidates) -> bool:
    """Return whether each agent gave one answer alone to each pivot, although it was asked several times."""
    several = False
    for candidate in candidates.pivots:
        answers: dict[str | None, set[int]] = {}
        asked: Counter[str | None] = Counter()
        for rollout in candidate.rollouts:
            agent = candidates.sources[rollout.source].agent
            answers.setdefault(agent, set()).add(rollout.digest)
            asked[agent] += 1
        if any(len(digests) > 1 for digests in answers.values()):
            return False
        several = several or max(asked.values(), default=0) > 1
    return several


def alike_sources(candidates: Candidates) -> list[tuple[str, str]]:
    """Return the names of sources of which each two gave the same answers, although answers to one pivot differ.

    One of them may be a copy in another form, or neither was random. Two sources are alike if they have
    the same answers, as often, to each pivot that both answered, among them _LEAST_ALIKE pivots whose answers differ.
    """
    answers: list[dict[tuple[int, int], list[int]]] = [{} for _ in candidates.sources]
    differing = set()
    for candidate in candidates.pivots:
        for rollout in candidate.rollouts:
            answers[rollout.source].setdefault(candidate.place, []).append(rollout.digest)
        if len({rollout.digest for rollout in candidate.rollouts}) > 1:
            differing.add(candidate.place)
    found = []
    for number, one in enumerate(answers):
        for before, other in enumerate(answers[:number]):
            common = one.keys() & other.keys()
            if len(common & differing) >= _LEAST_ALIKE and all(
                sorted(one[place]) == sorted(other[place]) for place in common
            ):
                found.append((candidates.sources[before].name, candidates.sources[number].name))
    return found


def _of_entry(place: tuple[int, int], entry: IndexEntry, depth: int | None) -> Candidate:
    return Candidate(
        place=place,
        pivot_id=entry.id,
        trajectory_id=entry.trajectory_id,
        expected=entry.expected_type,
        tool=next(iter(entry.expected_names), None),
        depth=depth,
    )


def _add(candidate: Candidate, source: Source, number: int, pivot: PivotRewards) -> None:
    candidate.planned += source.repeats
    candidate.errors += len(pivot.missing)
    candidate.stopped = candidate.stopped or source.until_mixed
    for repeat in sorted(pivot.rewards):
        answer = source.answers.get(test_of(pivot.place, pivot.pivot_id, repeat))
        digest, offset = (0, -1) if answer is None else answer
        candidate.rollouts.append(Rollout(number, repeat, pivot.rewards[repeat], digest, offset))


def _without_result(source: Source) -> int | None:
    assert source.side is not None  # noqa: S101 (only runs have counts)
    return tests_without_result(source.side.description, source.results)


def _selected(source: Source, stores: Stores) -> list[tuple[int, str, Sequence[int] | None]]:
    """Return for each data file of a run its number among the stores, its name in the run, and the selected rows.

    The rows are None if the run's options do not tell them. `stores` are by the hash that a run records.
    """
    assert source.side is not None  # noqa: S101 (only runs have data)
    description = source.side.description
    found = []
    for data in description["data"]:
        place = next(place for place, (digest, _) in enumerate(stores) if digest == data["sha256"])
        store = stores[place][1]
        found.append((place, data["name"], selected_rows(description, data, store)))
    return found
