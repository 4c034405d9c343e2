"""Say how runs answer, one line a run: the shares of messages and calls, and how long they are, beside the reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.core.words import count_of, trajectories
from pytest_fcpivot.runs.behaviour import CALL, MESSAGE, NOTHING, side_by_side
from pytest_fcpivot.runs.drift import (
    ARGUMENTS_LENGTH,
    CALLS,
    LENGTHS,
    MESSAGE_LENGTH,
    MESSAGES,
    MISPLACED,
    NO_ACTION,
    REWARD,
    REWARD_CALL,
    REWARD_MESSAGE,
    SEVERAL,
    UNREAD,
    drift_of,
    may_be_sure,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_fcpivot.runs.behaviour import Behaviour, RunAnswers, SideBySide
    from pytest_fcpivot.runs.drift import Change, Drift, Hint

_NAME, _LONGEST = 32, 4096  # characters of a run's name that are shown, and that are looked at
_DASH = "\u2013"
_TOKENS, _DISTINCT = "tokens", "distinct"
_REWARDS = (REWARD, REWARD_MESSAGE, REWARD_CALL)


class _Column(NamedTuple):
    """A column of the table: its heading in two lines. An `optional` one is left out if no run has anything in it."""

    figure: str
    over: str
    heading: str
    optional: bool = False


_COLUMNS = (
    _Column(REWARD, "mean", "reward"),
    _Column(REWARD_MESSAGE, "of message", "pivots"),
    _Column(REWARD_CALL, "of call", "pivots"),
    _Column(MESSAGES, "", "messages"),
    _Column(MISPLACED, "messages", "for calls"),
    _Column(CALLS, "", "calls"),
    _Column(SEVERAL, "several", "calls", optional=True),
    _Column(NO_ACTION, "no", "action", optional=True),
    _Column(UNREAD, "un-", "readable"),
    _Column(MESSAGE_LENGTH, "message", "length", optional=True),
    _Column(ARGUMENTS_LENGTH, "arguments", "length", optional=True),
    _Column(_TOKENS, "output", "tokens", optional=True),
    _Column(_DISTINCT, "distinct", "answers"),
)
# What each figure is, for a sentence.
_WORDS = {
    REWARD: "the mean reward",
    REWARD_MESSAGE: "the reward where a message is expected",
    REWARD_CALL: "the reward where a call is expected",
    MESSAGES: "messages",
    MISPLACED: "messages where a call is expected",
    CALLS: "calls",
    SEVERAL: "several calls at once",
    NO_ACTION: "answers with neither a message nor a call",
    UNREAD: "answers that cannot be read",
    MESSAGE_LENGTH: "messages",
    ARGUMENTS_LENGTH: "arguments",
}


@dataclass(frozen=True, slots=True)
class Watched:
    """Runs side by side, and what changed between them; `drift` is None if there are fewer than two."""

    runs: SideBySide
    drift: Drift | None


def watch(runs: Sequence[RunAnswers]) -> Watched:
    """Set runs side by side, in their order; raises RunError as `side_by_side` does."""
    beside = side_by_side(runs)
    return Watched(beside, drift_of(beside) if beside.runs else None)


def behaviour_lines(runs: Sequence[RunAnswers]) -> list[str]:
    """Return the lines on how runs answered, in their order, for a command whose subject this is not.

    None if fewer than two of them can be set side by side: a single run, or shards, which answered different pivots.
    Raises RunError as `side_by_side` does.
    """
    watched = watch(runs)
    return [] if watched.drift is None else list(lines(watched))


def lines(watched: Watched) -> Iterator[str]:
    """Yield the lines on runs that are watched."""
    runs, drift = watched.runs, watched.drift
    if drift is None:
        yield "how the runs answered is not shown, since there are no two that can be set side by side:"
        yield from (f"  {note}" for note in runs.notes)
        return
    yield f"how {count_of(len(runs.runs), 'run')} answered {pivots_in_words(runs)}"
    yield from _table(runs, drift)
    if any(change.is_sure for changes in drift.since_before for change in changes.values()):
        yield "  ↑ and ↓: changed since the run before by more than chance alone would make"
    if runs.agents_differ:
        yield "  agents: " + ", ".join(f"{_name(run)} {one_line(run.agent, 60)}" for run in runs.runs)
    sure = [f"  {text}" for text in sure_changes(drift)]
    first = _name(runs.runs[0])
    if sure:
        yield f"  changed from {first} to {_name(runs.runs[-1])} by more than chance alone would make:"
        yield from (f"  {text}" for text in sure)
    elif not may_be_sure(runs):
        few = trajectories(len({pivot.trajectory_id for pivot in runs.means[0]}))
        yield f"  these pivots are of {few}: too few to tell any change from chance"
    else:
        yield f"  nothing changed from {first} to {_name(runs.runs[-1])} by more than chance alone would make"
    yield from (f"warning: {hint_in_words(hint, runs.runs[-1].name)}" for hint in drift.hints)
    yield from (f"  {note}" for note in runs.notes)


def pivots_in_words(runs: SideBySide) -> str:
    """Say which pivots the figures are of, and what these expect."""
    of = "" if runs.pivots == runs.of else f", of the {runs.of} of {_name(runs.runs[-1])}"
    expected = [
        f"{100 * runs.expect[kind]:.1f} % expect {words}"
        for kind, words in ((CALL, "a call"), (NOTHING, "nothing"), (MESSAGE, "a message"))
        if runs.expect[kind] or kind == MESSAGE
    ]
    which = "that all of them answered" if len(runs.runs) > 2 else "that both answered"  # noqa: PLR2004
    return f"the {count_of(runs.pivots, 'pivot')} {which}{of}: {', '.join(expected)}"


# -------------------------------------------------------------------- the table


def columns_of(runs: Sequence[Behaviour]) -> list[tuple[str, str]]:
    """Return the figures of which at least one run has something, each with its heading."""
    return [
        (each.figure, f"{each.over.removesuffix('-')}{'' if each.over.endswith('-') else ' '}{each.heading}".strip())
        for each in _shown(runs)
    ]


def _shown(runs: Sequence[Behaviour]) -> list[_Column]:
    return [each for each in _COLUMNS if not each.optional or any(value_of(run, each.figure) for run in runs)]


def value_of(run: Behaviour, figure: str) -> float | None:
    """Return a figure of a run as a number; of lengths, the mean."""
    if figure == REWARD:
        return run.reward.mean
    found = getattr(run, figure)
    value: float | None = found.mean if figure in LENGTHS and found is not None else found
    return value


def written(figure: str, value: float | None) -> str:
    """Write a figure: shares in percent, rewards with four digits, lengths and tokens as whole numbers."""
    if value is None:
        return _DASH
    if figure in _REWARDS:
        return f"{value:.4f}"
    return f"{value:,.0f}" if figure in (*LENGTHS, _TOKENS) else f"{100 * value:.1f} %"


def _difference(figure: str, old: float | None, new: float | None) -> str:
    if old is None or new is None:
        return _DASH
    change = new - old
    if figure in _REWARDS:
        return f"{change:+.4f}"
    return f"{change:+,.0f}" if figure in (*LENGTHS, _TOKENS) else f"{100 * change:+.1f}"


def arrow_of(change: Change | None, old: float | None, new: float | None) -> str:
    """Return an arrow if a change is more than chance alone would make, and goes the way of the two numbers shown.

    Of lengths, the numbers are means of all answers, and the change is that of the pivots that both answered alike: the
    two may differ.
    """
    if (
        change is None
        or not change.is_sure
        or old is None
        or new is None
        or (new - old) * change.difference.change <= 0
    ):
        return ""
    return "↑" if new > old else "↓"


def _table(runs: SideBySide, drift: Drift) -> Iterator[str]:
    columns = _shown(runs.runs)
    names = [_name(run) for run in runs.runs]
    first, before, last = runs.runs[0], runs.runs[-2], runs.runs[-1]
    rows = []
    for at, (run, changes) in enumerate(zip(runs.runs, drift.since_before, strict=True)):
        row = []
        for each in columns:
            old, new = (value_of(of, each.figure) for of in (runs.runs[max(0, at - 1)], run))
            row.append(f"{written(each.figure, new)} {arrow_of(changes.get(each.figure), old, new) or ' '}")
        rows.append(row)
    for base in dict.fromkeys((first, before)):
        names.append(f"since {_name(base)}")
        rows.append(
            [
                f"{_difference(each.figure, value_of(base, each.figure), value_of(last, each.figure))}  "
                for each in columns
            ]
        )
    widths = [
        max(len(each.over) + 2, len(each.heading) + 2, *(len(row[at]) for row in rows))
        for at, each in enumerate(columns)
    ]
    most = max(len("run"), *map(len, names))

    def line(name: str, cells: Sequence[str]) -> str:
        aligned = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        return f"  {name:{most}} {' '.join(aligned)}".rstrip()

    yield line("", [f"{each.over}  " for each in columns])
    yield line("run", [f"{each.heading}  " for each in columns])
    yield from (line(name, row) for name, row in zip(names, rows, strict=True))


def short_name(name: str) -> str:
    """Return the end of a run's name, by which the names of checkpoints differ."""
    shown = one_line(name, _LONGEST)
    return shown if len(shown) <= _NAME else f"…{shown[1 - _NAME :]}"


def _name(run: Behaviour) -> str:
    return short_name(run.name)


# -------------------------------------------------------------------- in words


def sure_changes(drift: Drift) -> Iterator[str]:
    """Yield what changed from the first run to the last, beyond chance."""
    for figure, change in drift.since_first.items():
        if change.is_sure:
            yield _in_words(figure, change)


def _in_words(figure: str, change: Change) -> str:
    found = change.difference
    if figure in LENGTHS:
        both = f"{count_of(found.n, 'pivot')} that both answered with {'one' if figure == MESSAGE_LENGTH else 'them'}"
        return (
            f"{_WORDS[figure]} are longer on {100 * change.longer:.0f} % and shorter on {100 * change.shorter:.0f} % "
            f"of the {both}: in the median {change.before:,.0f} → {change.after:,.0f} characters"
        )
    if figure in _REWARDS:
        interval = f"{found.lowest:+.4f} to {found.highest:+.4f}"
    else:
        interval = f"{100 * found.lowest:+.1f} to {100 * found.highest:+.1f} points"
    return (
        f"{_WORDS[figure]} {'rose' if found.change > 0 else 'fell'} from {written(figure, change.before)} to "
        f"{written(figure, change.after)} (95 % interval {interval})"
    )


_NOT_ON_CALLS = "with no gain where a call is expected"
_ENDS: Mapping[str, str] = {
    "messages": f"{_NOT_ON_CALLS}: the policy may be answering everything with a message",
    "no calls": f"{_NOT_ON_CALLS}: the policy may have stopped calling",
    "unread": "and such answers earn more of it: the policy may be writing what the grader takes for an answer",
    "long messages": "the policy may be earning reward by the length of its messages",
}


def hint_in_words(hint: Hint, last: str) -> str:
    """Say which sign there is that a policy games its reward."""
    between = f"from {short_name(hint.base)} to {short_name(last)}"
    drift = hint.drift
    went = f"the mean reward went from {hint.reward.before:.4f} to {hint.reward.after:.4f}"
    if hint.kind == "long messages":
        return (
            f"{between}, messages where one is expected became longer, from {drift.before:,.0f} to {drift.after:,.0f} "
            f"characters in the median, while their reward rose from {hint.reward.before:.4f} to "
            f"{hint.reward.after:.4f}: {_ENDS[hint.kind]}"
        )
    what = {
        "messages": "messages where a call is expected rose",
        "no calls": "calls where one is expected fell",
        "unread": "answers that cannot be read rose",
    }[hint.kind]
    shares = f"from {100 * drift.before:.1f} % to {100 * drift.after:.1f} %"
    return f"{between}, {what} {shares} while {went}, {_ENDS[hint.kind]}"
