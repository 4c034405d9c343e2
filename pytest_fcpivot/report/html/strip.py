"""Find the earlier runs of the same data beside a run, for the strip of dots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.core.words import count_of
from pytest_fcpivot.report.html.model import PastRun
from pytest_fcpivot.report.summary_json import FORMAT
from pytest_fcpivot.runs.comparing import Side, differences_of
from pytest_fcpivot.runs.described import RUN_FILE, read_description
from pytest_fcpivot.runs.directory import SUMMARY
from pytest_fcpivot.runs.reader import whole_file
from pytest_fcpivot.runs.rewards import Rewards, rewards_of_run
from pytest_fcpivot.runs.until_mixed import is_until_mixed
from pytest_fcpivot.stats.interval import Interval, mean_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MOST_RUNS = 20
_MOST_BYTES = 48 << 20  # of results that are read for the strip, at about 25 MB a second
_MOST_LOOKED_AT = 1000
_LARGEST = 16 << 20  # bytes of a summary

_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Number = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]


def strip_of(
    path: Path, description: Mapping[str, Any], interval: Interval | None, others: Sequence[Path]
) -> tuple[tuple[PastRun, ...], str]:
    """Return the newest runs of the same data that were graded alike, oldest first, and a note on those left out.

    They are those under the parent directory of the run at `path`, and `others`, which the user names. At most
    MOST_RUNS are shown, and no more results are read than take a second or two.
    """
    own = Side(path.name, path, description, Rewards())
    found: list[tuple[str, Path, Mapping[str, Any]]] = []
    unlike = 0
    places = dict.fromkeys([*(each.resolve() for each in others), *_beside(path)])
    places.pop(path.resolve(), None)
    for each in places:
        try:
            about = read_description(each)
        except RunError:
            continue
        if not _same_data(description, about) or is_until_mixed(about):  # whose mean is biased
            continue
        if next(differences_of(own, Side(each.name, each, about, Rewards())), None) is not None:
            unlike += 1
            continue
        found.append((str(about.get("started") or ""), each, about))
    found.sort(key=lambda each: each[0], reverse=True)
    shown: list[PastRun] = []
    unread, room = 0, _MOST_BYTES
    for started, each, past_description in found[: MOST_RUNS - 1]:
        past = _of_summary(each)
        if past is None:  # an early version's run, or one that was killed
            size = _size(each / "results.jsonl")
            if size > room:
                unread += 1
                continue
            room -= size
            try:
                past = _interval(rewards_of_run(each, allow_damaged=True).rewards)
            except RunError:
                unread += 1
                continue
        if past is not None:
            shown.append(
                PastRun(
                    name=each.name, started=started, agent=past_description["agent"], interval=past, is_subject=False
                )
            )
    if interval is not None:
        started = str(description.get("started") or "")
        shown.append(
            PastRun(name=path.name, started=started, agent=description["agent"], interval=interval, is_subject=True)
        )
    notes = []
    if unlike:
        notes.append(f"{count_of(unlike, 'run')} of the same data, graded in another way, are left out")
    if unread:
        notes.append(f"{count_of(unread, 'run')} could not be read quickly enough")
    if len(found) > MOST_RUNS - 1:
        notes.append(f"only the newest {MOST_RUNS} are shown")
    return tuple(sorted(shown, key=lambda run: run.started)), "; ".join(notes)


def _beside(path: Path) -> Iterator[Path]:
    try:
        names = sorted((each for each in path.resolve().parent.iterdir() if each.is_dir()), reverse=True)
    except OSError:
        return
    yield from (each for each in names[:_MOST_LOOKED_AT] if (each / RUN_FILE).is_file())


def _same_data(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return {each["sha256"] for each in one["data"]} == {each["sha256"] for each in other["data"]}


class _Mean(msgspec.Struct):
    mean: _Share
    low: _Share
    high: _Share
    answers: _Number
    trajectories: _Number


class _Summary(msgspec.Struct):
    """What is read of a run's `summary.json`, which may have been edited."""

    format: int
    mean_reward: _Mean | None = None


_read_summary = msgspec.json.Decoder(_Summary).decode


def _of_summary(path: Path) -> Interval | None:
    """Return the mean reward as a run's summary has it; None if it has none that can be used."""
    try:
        found = _read_summary(whole_file(path / SUMMARY, _LARGEST) or b"")
    except (OSError, RunError, msgspec.MsgspecError):
        return None
    mean = found.mean_reward
    if found.format != FORMAT or mean is None or not mean.low <= mean.mean <= mean.high:
        return None
    return Interval(mean.mean, mean.low, mean.high, mean.answers, mean.trajectories)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _interval(rewards: Rewards) -> Interval | None:
    by_trajectory: dict[str, list[float]] = {}
    for pivot in rewards:
        by_trajectory.setdefault(pivot.trajectory_id, []).extend(pivot.rewards.values())
    return mean_interval(by_trajectory)
