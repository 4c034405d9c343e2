"""The text of the line that shows how far a run is, cut to the width of a terminal, or whole for a log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.core.words import count_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fcpivot.runs.standing import Standing
    from pytest_fcpivot.stats.interval import Interval

_BETWEEN = " | "
_MINUTE, _HOUR = 60, 3600
_THOUSAND, _MILLION = 1_000, 1_000_000
_RULE = 40  # the most characters of a gate's rule, which names of tools may make long


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is; what is not known is None, and left out of the line.

    `done` of `total` tests over pivots have a result, after `elapsed_s` seconds. `interval` is that of the mean reward
    so far. `calls` are under way now, and `limit` is what an overloaded server has lowered their number to, None if it
    has not. `tokens` were read and written. `cost` is that of the results so far, and `expected_cost` that of the whole
    run if it goes on like this. `left_s` estimates the seconds that are left; `may_stop`: it may take less. `mixed`
    pivots have passed and failed, in a session that asks no further at those.
    """

    done: int
    total: int
    elapsed_s: float = 0.0
    interval: Interval | None = None
    errors: int = 0
    calls: int | None = None
    limit: int | None = None
    retries: int = 0
    tokens: tuple[int, int] | None = None
    cost: float | None = None
    expected_cost: float | None = None
    currency: str = ""
    left_s: float | None = None
    may_stop: bool = False
    mixed: int | None = None
    gate: Sequence[Standing] = field(default=())


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the line in full and in short; of the parts that do not fit, the highest `rank` goes first."""

    full: str
    short: str
    rank: int


def _same(text: str, rank: int) -> _Part:
    return _Part(text, text, rank)


def live_line(progress: Progress, width: int) -> str:
    """Return the line in at most `width` columns: in full, else in short, else without its least important parts."""
    parts = _parts(progress)
    full = _BETWEEN.join(part.full for part in parts)
    if len(full) <= width:
        return full
    kept = parts
    while len(kept) > 1 and len(_BETWEEN.join(part.short for part in kept)) > width:
        last = max(kept, key=lambda part: part.rank)
        kept = [part for part in kept if part is not last]
    return _BETWEEN.join(part.short for part in kept)[: max(0, width)]


def log_line(progress: Progress) -> str:
    """Return the line for a log: all that is known, in full, with the time since the session began to ask."""
    after = f" after {duration(progress.elapsed_s)}"
    first, *others = _parts(progress)
    return _BETWEEN.join([first.full + after, *(part.full for part in others)])


def _parts(progress: Progress) -> list[_Part]:
    done = f"{progress.done}/{progress.total}"
    parts = [_Part(f"pivots {done}", done, 0)]
    interval = progress.interval
    if interval is not None:
        mean, low, high = interval.mean, interval.low, interval.high
        parts.append(
            _Part(
                f"mean reward {mean:.4f} so far (95 % interval {low:.4f} to {high:.4f})",
                f"reward {mean:.3f} ({low:.2f}-{high:.2f})",
                1,
            )
        )
    if progress.mixed is not None:
        parts.append(_same(f"{progress.mixed} mixed", 1))
    if progress.errors:
        parts.append(_same(count_of(progress.errors, "error"), 2))
    if progress.calls is not None:
        calls = count_of(progress.calls, "call")
        full, short = f"{calls} under way", calls
        if progress.limit is not None:
            full += f" (the server is overloaded: at most {progress.limit} at once)"
            short += f" (limit {progress.limit})"
        parts.append(_Part(full, short, 5))
    if progress.retries:
        parts.append(_same(count_of(progress.retries, "retry", "retries"), 6))
    if progress.tokens is not None:
        read, written = map(_number, progress.tokens)
        parts.append(_Part(f"tokens: {read} in, {written} out", f"{read} in, {written} out", 8))
    if progress.cost is not None:
        parts.append(_cost(progress, progress.cost))
    if progress.left_s is not None:
        left = duration(progress.left_s)
        full, short = f"about {left} left", f"{left} left"
        if progress.may_stop:
            full, short = f"{full} at most", f"<= {short}"
        parts.append(_Part(full, short, 3))
    parts += [_gate(each) for each in progress.gate]
    return parts


def _cost(progress: Progress, cost: float) -> _Part:
    unit = f" {progress.currency}" if progress.currency else ""
    if progress.expected_cost is None:
        return _Part(f"cost {cost:.2f}{unit}", f"{cost:.2f}{unit}", 7)
    expected = progress.expected_cost
    return _Part(f"cost {cost:.2f} of about {expected:.2f}{unit}", f"{cost:.2f} of {expected:.2f}{unit}", 7)


def _gate(standing: Standing) -> _Part:
    """Return how far a rule is from decided: its value so far, or between what that of the whole run lies."""
    rule, sign = one_line(standing.rule, _RULE), "+" if standing.is_change else ""
    what = "change " if standing.is_change else ""
    if standing.low is None or standing.high is None:
        now = f"gate {rule}: {what}{standing.now:{sign}.3f}"
        return _Part(f"{now} so far", now, 4)
    if not standing.is_change and (standing.low >= standing.needed or standing.high < standing.needed):
        word = "reached" if standing.low >= standing.needed else "missed"
        return _Part(f"gate {rule}: certain to be {word}", f"gate {rule}: {word}", 4)
    ends = f"{standing.low:{sign}.3f} to {standing.high:{sign}.3f}"
    return _Part(f"gate {rule}: open, the run may end at {what}{ends}", f"gate {rule}: {what}{ends}", 4)


def duration(seconds: float) -> str:
    """Write a time as 0:42, 12:05 or 1:02:05."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // _MINUTE, _HOUR // _MINUTE)
    rest = f"{whole % _MINUTE:02d}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def _number(count: int) -> str:
    """Write a number of tokens with three digits: 812, 34.1k, 1.24M."""
    if count < _THOUSAND:
        return str(count)
    unit, letter = (_THOUSAND, "k") if round(count / _THOUSAND) < _THOUSAND else (_MILLION, "M")
    value = count / unit
    digits = 2 if round(value, 2) < 10 else 1 if round(value, 1) < 100 else 0  # noqa: PLR2004 (three digits in all)
    return f"{value:.{digits}f}{letter}"
