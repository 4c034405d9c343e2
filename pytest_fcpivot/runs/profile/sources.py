"""The recorded rollouts that a profile is made of: runs, or files of NeMo Gym's rollouts."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.data.selection import parse_shard
from pytest_fcpivot.runs.comparing import Side, differences_of, same_run
from pytest_fcpivot.runs.damage import listed
from pytest_fcpivot.runs.directory import ended_early
from pytest_fcpivot.runs.reader import Damage
from pytest_fcpivot.runs.rewards import Rewards, rewards_of_run
from pytest_fcpivot.runs.until_mixed import is_until_mixed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_fcpivot.core.model import Action
    from pytest_fcpivot.runs.reader import ResultLine

_NAME = 200


class Answer(NamedTuple):
    """An answer: a hash of its action, equal in this process for equal actions, and where its line begins."""

    digest: int
    offset: int


@dataclass(slots=True, kw_only=True)
class Source:
    """One run, or one file of rollouts.

    `agent` is who answered, None if that is not known. `side` is None for rollouts. `answers` are by node id. `repeats`
    is how often each pivot was to be asked, `results` the number of results, `grader` what gave the rewards;
    `until_mixed`: no pivot was asked further once it had passed and failed. `first_rows` has the offset of each pivot's
    first row, for rollouts, which bring their own pivots, and `content` the hash of their file.
    """

    name: str
    path: Path
    agent: str | None
    rewards: Rewards
    answers: dict[str, Answer]
    repeats: int
    results: int = 0
    grader: str = "NeMo Gym, with settings that the rollouts do not record"
    side: Side | None = None
    until_mixed: bool = False
    first_rows: dict[str, int] = field(default_factory=dict)
    content: str = ""
    notes: list[str] = field(default_factory=list)


def in_order(sources: Sequence[Source]) -> list[Source]:
    """Return the sources in an order that does not depend on the one in which they were given."""

    def key(source: Source) -> tuple[str, ...]:
        started = "" if source.side is None else str(source.side.description.get("started"))
        content = source.content or source.rewards.fingerprint()
        return source.agent or "", started, content, str(source.path.resolve())

    return sorted(sources, key=key) if len(sources) > 1 else list(sources)


def test_of(place: str, pivot_id: str, repeat: int) -> str:
    """Return the node id of a repeat of a pivot of the data."""
    return f"{place}::{pivot_id}" if repeat == 1 else f"{place}::{pivot_id}[r{repeat}]"


def hash_of(action: Action) -> int:
    """Return a hash of an action, equal in this process for equal actions."""
    return hash((action.calls, action.message, action.malformed))


def read_run(path: Path, *, allow_damaged: bool = False) -> Source:
    """Read a run's directory; raises RunError as `rewards_of_run` does, and for a run without results."""
    answers: dict[str, Answer] = {}

    def see(offset: int, line: ResultLine | Damage) -> None:
        if isinstance(line, Damage) or line.reward is None:
            answers.pop(str(line.test), None)
        else:
            # lines of early versions have no action
            digest = hash_of(line.graded()) if line.has_action else hash(bytes(line.output))
            answers[line.test] = Answer(digest, offset)

    found = rewards_of_run(path, allow_damaged=allow_damaged, each=see)
    description = found.description
    notes = []
    end = ended_early(description)
    if end is not None:
        notes.append(f"{end}; what it has of rollouts is counted")
    if found.damages:
        notes += [f"left out: {found.damages.losses()}", *(f"  {line}" for line in listed([found.damages]))]
    if found.damages.torn is not None:
        notes.append(f"its last line is incomplete and left out: {found.damages.torn.size} bytes")
    rewards, own = _of_data(found.rewards, {data["name"] for data in description["data"]})
    if own:
        notes.append(f"left out: {count_of(own, 'pivot')} of your own tests, which may ask for other than the data do")
    if not len(rewards):
        raise RunError(
            f"{path}: this run has results of your own tests only, which may ask for other than the data do; record "
            "one of the data: pytest --fc-data=FILE --fc-repeats=8"
            if own
            else f"{path}: this run has no results"
        )
    model = description.get("model")
    return Source(
        name=str(path),
        path=path,
        agent=str(description["agent"]) + (f" ({model})" if model else ""),
        rewards=rewards,
        answers=answers,
        repeats=int(description["repeats"]),
        grader=str(description["grader"]["name"]),
        results=sum(len(pivot.rewards) + len(pivot.missing) for pivot in found.rewards),
        side=Side(str(path), path, description, rewards),
        until_mixed=is_until_mixed(description),
        notes=notes,
    )


def refuse_unlike(sources: Sequence[Source], *, graded_again: bool) -> None:
    """Raise RunError for sources that are not rollouts of the same pivots, graded in the same way, each given once.

    The grader may differ if all are graded again.
    """
    runs = [source for source in sources if source.side is not None]
    if runs and len(runs) < len(sources):
        other = next(source for source in sources if source.side is None)
        raise RunError(
            f"{runs[0].name} is a run, and {other.name} has rollouts, which do not record how they were graded; grade "
            f"them as a run, and name that:  pytest --fc-replay={other.name}"
        )
    for number, source in enumerate(sources):
        for other in sources[:number]:
            _refuse_same(other, source)
    for source in runs[1:]:
        _refuse_other_data(runs[0], source)
        if not graded_again:
            _refuse_other_grader(runs[0], source)
    if all(source.repeats == 1 for source in sources) and _asked_once(sources):
        raise RunError(
            f"{', '.join(source.name for source in sources)}: each pivot was asked once, which cannot tell the pivots "
            "that pass sometimes; record several answers to each:  pytest --fc-repeats=8"
        )


def shards_not_given(sources: Sequence[Source]) -> str | None:
    """Say which shards of the runs were not given; None if all were, or if they are no shards."""
    given: dict[int, set[int]] = {}
    for source in sources:
        if source.side is None:
            continue
        about = source.side.description
        options = about["options"] | about.get("selected_by_shard", {})
        merged = [text for run in about.get("merged") or () for text in run["shards"]]
        texts = [options["fc_shard"]] if options.get("fc_shard") is not None else merged
        if not texts:
            return None  # a run of everything
        for text in texts:
            shard, count = parse_shard(str(text))
            given.setdefault(count, set()).add(shard)
    found = [
        f"{shard} of {count}" for count, shards in given.items() for shard in range(1, count + 1) if shard not in shards
    ]
    return ", ".join(found) or None


def with_rewards(source: Source, side: Side) -> Source:
    """Return a source whose answers were graded again, as this side."""
    rewards, _ = _of_data(side.rewards, {each.place for each in source.rewards})
    grader = str(side.description["grader"]["name"])
    return replace(source, side=side, rewards=rewards, grader=grader, notes=[*source.notes, *side.notes])


def _of_data(rewards: Rewards, names: set[str]) -> tuple[Rewards, int]:
    """Return the rewards of tests of the data alone, and how many pivots of other tests there are."""
    others = sum(pivot.place not in names for pivot in rewards)
    if not others:
        return rewards, 0
    found = Rewards()
    for pivot in rewards:
        if pivot.place in names:
            found.put(pivot)
    return found, others


def _asked_once(sources: Sequence[Source]) -> bool:
    seen: set[str] = set()
    for source in sources:
        ids = {pivot.pivot_id for pivot in source.rewards}
        if not seen.isdisjoint(ids):
            return False
        seen |= ids
    return True


def _refuse_same(one: Source, other: Source) -> None:
    twice = f"{one.name} and {other.name}"
    if one.side is None or other.side is None:
        if one.content == other.content:
            raise RunError(f"{twice} are the same rollouts, which would count twice")
        return
    if same_run(one.side, other.side) or same_run(other.side, one.side):
        raise RunError(f"{twice} are the same run, which would count twice")
    if _origin(one.side) == _origin(other.side):
        raise RunError(f"{twice} have the same answers, since one replays the other's; they would count twice")
    for whole, part in ((one.side, other.side), (other.side, one.side)):
        begun = _sessions(part.description.get("sessions"))
        for each in whole.description.get("merged") or ():
            if begun and begun <= _sessions(each.get("sessions")) and _is_named(each["run"], part):
                raise RunError(f"{part.name} is a part of {whole.name}, so its answers would count twice")


def _origin(side: Side) -> str:
    """Return where the answers were recorded; a path that a run names is only compared as text."""
    return os.path.abspath(str(side.description.get("replays") or side.path))  # noqa: PTH100 (does not look it up)


def _sessions(sessions: object) -> set[str]:
    return {json.dumps(each.get("started")) for each in sessions or ()}  # type: ignore[attr-defined] # checked when read


def _is_named(name: str, side: Side) -> bool:
    return side.path is not None and os.path.basename(name) == side.path.resolve().name  # noqa: PTH119 (only text)


def _refuse_other_data(one: Source, other: Source) -> None:
    assert one.side is not None and other.side is not None  # noqa: S101, PT018 (only runs are compared)
    hashes = [{data["sha256"] for data in each.side.description["data"]} for each in (one, other) if each.side]
    if hashes[0] != hashes[1]:
        listed_data = "\n".join(f"  {line}" for line in (*_data_of(one.side), *_data_of(other.side)))
        raise RunError(f"{one.name} and {other.name} are runs of different data:\n{listed_data}\nprofile them apart")


def _data_of(side: Side) -> Iterator[str]:
    for data in side.description["data"]:
        yield f"{side.name}: {one_line(data['name'], _NAME)}, sha256 {one_line(data['sha256'][:16], _NAME)}…"


def _refuse_other_grader(one: Source, other: Source) -> None:
    assert one.side is not None and other.side is not None  # noqa: S101, PT018 (only runs are compared)
    differences = list(differences_of(one.side, other.side))
    if differences:
        shown = "\n".join(f"  {line}" for line in differences)
        raise RunError(
            f"{one.name} and {other.name} were not graded in the same way:\n{shown}\ngrade the answers of all of them "
            "again, with one grader: --grader=SPEC"
        )
