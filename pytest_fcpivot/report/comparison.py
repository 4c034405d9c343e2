"""Writes comparisons of runs: as text, as Markdown, and as builtins for JSON."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.apart import shown_name
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.core.words import count_of, trajectories
from pytest_fcpivot.report.terminal import noise_line
from pytest_fcpivot.runs.groups import CATEGORY, DEPTH, LEAST_PIVOTS, LEAST_TRAJECTORIES, TOOL, TOOLS, TYPE
from pytest_fcpivot.runs.same_agent import RERUNS
from pytest_fcpivot.runs.unsteady import unsteady
from pytest_fcpivot.stats.paired import holm, mcnemar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_fcpivot.runs.comparing import Comparison, Flip, Side
    from pytest_fcpivot.runs.groups import Group
    from pytest_fcpivot.runs.rewards import PivotRewards
    from pytest_fcpivot.runs.same_agent import SameAgent
    from pytest_fcpivot.stats.paired import Difference

FORMAT = 1
_KINDS = (TYPE, TOOL, DEPTH, TOOLS, CATEGORY)
_NAMED, _ROWS = 5, 8
_NAME, _ID = 60, 200
_LEAST_P = 0.0001


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is reported of a comparison with one run.

    `groups` are its groups; `no_facts` is the reason why there are none by depth and number of tools. `max_drop` is the
    drop that the user asks about. `flips` is the number of flips to list each way. `verbose`: small groups and
    McNemar's test are shown too.
    """

    found: Comparison
    groups: tuple[Group, ...] = ()
    no_facts: str | None = None
    max_drop: float | None = None
    flips: int = 0
    verbose: bool = False


# -------------------------------------------------------------------- text


def lines(report: Report) -> Iterator[str]:
    """Yield the lines of a comparison of two runs."""
    found = report.found
    yield from _heading(found.base, found.new)
    yield ""
    yield from _figures(report)
    yield from _left_out(found)
    yield from _steadiness(found)
    if report.flips and (found.lost or found.won):
        yield ""
        yield from _flips(found, report.flips)
    if found.pairs and not found.identical:
        yield ""
        yield from _groups(report)
    if report.verbose and found.pairs:
        lost, won = (sum(flip.by_mark for flip in flips) for flips in (found.lost, found.won))
        yield ""
        yield (
            f"McNemar's exact test, which ignores trajectories: p {p_text(mcnemar(lost, won))} ({lost} lost and {won} "
            "won by the pass mark); where pivots of a trajectory change together, it alarms too often"
        )


def _heading(base: Side, new: Side) -> Iterator[str]:
    width = max(len(one_line(side.name, _NAME)) for side in (base, new))
    for word, side in (("BASE", base), ("NEW", new)):
        yield f"{word:4}  {one_line(side.name, _NAME):{width}}  {_about(side)}"
        yield from (f"        {note}" for note in side.notes)
    data = ", ".join(one_line(data["name"], _NAME) for data in new.description["data"])
    yield f"graded by {one_line(str(new.description['grader']['name']), _NAME)}" + (f", over {data}" if data else "")


def _about(side: Side) -> str:
    agent = f"agent {one_line(str(side.description.get('agent')), _NAME)}"
    kind = ", a saved baseline" if side.is_baseline else ""
    if side.description.get("replays"):
        kind += f", a replay of {one_line(str(side.description['replays']), _NAME)}"
    return f"{agent}, {count_of(len(side.rewards), 'pivot')}{kind}"


def _figures(report: Report) -> Iterator[str]:
    found = report.found
    difference, means = found.difference, found.means
    if difference is None or means is None:
        yield "no pivot has a graded answer in both runs, so there is nothing to compare"
        return
    yield (
        f"{count_of(difference.n, 'pair')} in {trajectories(difference.clusters)}: {found.unchanged} unchanged, "
        f"{len(found.lost)} lost, {len(found.won)} won"
    )
    if found.identical:
        yield f"mean reward {means[0]:.4f} in both: they are the same run, so nothing can have changed"
        return
    yield (
        f"mean reward {means[0]:.4f} → {means[1]:.4f}: change {difference.change:+.4f}  ({_interval(difference)}; p "
        f"{p_text(difference.p)})"
    )
    yield from _in_words(difference, report.max_drop)


def _in_words(difference: Difference, max_drop: float | None) -> Iterator[str]:
    """Yield what the data show of a drop, and what they leave open."""
    if difference.high < 0:
        yield f"the mean reward fell by at least {-difference.high:.4f}"
    elif difference.low > 0:
        yield f"the mean reward rose by at least {difference.low:.4f}"
    allowed = difference.allowed_drop
    yield (
        f"the largest drop that these data still allow is {allowed:.4f}" if allowed else "these data rule out any drop"
    )
    if max_drop is None:
        return
    if difference.lowest > -max_drop:
        yield f"a drop of more than {max_drop:.4f} is ruled out"
    elif difference.high < -max_drop:
        yield f"the drop is more than {max_drop:.4f}"
    else:
        yield f"whether the drop is more than {max_drop:.4f} is open; {settles(difference, max_drop)}"


def settles(difference: Difference, drop: float) -> str:
    """Write how many trajectories it would take to rule out a drop."""
    needed = difference.trajectories_for(drop)
    if needed is None:
        reason = (
            "no number of trajectories rules out" if drop <= 0 else "one trajectory cannot tell how many would rule out"
        )
        return f"{reason} a drop of {drop:.4f}"
    pivots = math.ceil(needed * difference.n / difference.clusters)
    return (
        f"if nothing has changed, about {needed:,} trajectories like these (about {pivots:,} pivots) would rule it "
        f"out; there are {difference.clusters}"
    )


def _left_out(found: Comparison) -> Iterator[str]:
    for name, those in (("BASE", found.only_base), ("NEW", found.only_new)):
        if those:
            yield f"only in {name}: {_some(those)}"
    for name, those, partly in (
        ("BASE", found.errors_base, found.partly_base),
        ("NEW", found.errors_new, found.partly_new),
    ):
        if those:
            yield f"left out, without a graded answer in {name}: {_some(those)}"
        if partly:
            yield f"pairs with some repeats without a grade in {name}, by the mean of the others: {partly}"
    if found.if_wrong is not None and found.if_right is not None:
        yield (
            f"with the missing answers of NEW all wrong, the change is {found.if_wrong.change:+.4f} "
            f"({_interval(found.if_wrong)}); with all right, {found.if_right.change:+.4f} ({_interval(found.if_right)})"
        )


def _some(pivots: Sequence[PivotRewards]) -> str:
    shown = ", ".join(one_line(pivot.test, _ID) for pivot in pivots[:_NAMED])
    more = len(pivots) - _NAMED
    return f"{count_of(len(pivots), 'pivot')} ({shown}{f' and {more} more' if more > 0 else ''})"


def _steadiness(found: Comparison) -> Iterator[str]:
    """Yield lines on the pivots that pass sometimes, for the sides with repeats."""
    for name, side in (("BASE", found.base), ("NEW", found.new)):
        steadiness = unsteady(side.rewards, side.mark)
        if steadiness is None:
            continue
        those = steadiness.pivots
        if those:
            shown = ", ".join(f"{one_line(each[0], _NAME)} {each[1]}/{each[2]}" for each in those[:_NAMED])
            more = f", and {len(those) - _NAMED} more" if len(those) > _NAMED else ""
            yield f"{name}: {count_of(len(those), 'pivot')} passed only sometimes (passed/graded): {shown}{more}"
        if steadiness.noise is not None:
            yield f"{name}: {noise_line(steadiness.noise)}"


def _flips(found: Comparison, most: int) -> Iterator[str]:
    for word, flips in (("lost", found.lost), ("won", found.won)):
        if not flips:
            continue
        yield f"{word}: {_how_flipped(flips, found.least_change)}"
        yield from (f"  {_flip(flip)}" for flip in flips[:most])
        if len(flips) > most:
            yield f"  … and {len(flips) - most} more (--show-flips={len(flips)})"


def _how_flipped(flips: Sequence[Flip], least_change: float) -> str:
    by_mark = sum(flip.by_mark for flip in flips)
    others = len(flips) - by_mark
    parts = [f"{by_mark} by the pass mark"] if by_mark else []
    if others:
        parts.append(f"{others} by a change of the reward of {least_change:g} or more alone")
    return ", ".join(parts)


def _flip(flip: Flip) -> str:
    pair = flip.pair
    what = "message" if pair.new.tool is None else shown_name(pair.new.tool, _NAME)
    before, after = ((pivot.mean or 0.0) for pivot in (pair.base, pair.new))
    one, other = (_usual(pivot) for pivot in (pair.base, pair.new))
    categories = one if one == other else f"{one} → {other}"
    return f"{shlex.quote(flip.test)}  {what}  {before:.4g} → {after:.4g}  {categories}"


def _usual(pivot: PivotRewards) -> str:
    counts = Counter(pivot.categories.values())
    return one_line(min(counts, key=lambda name: (-counts[name], name)), _NAME)


# -------------------------------------------------------------------- groups


def _nothing_changed(report: Report) -> bool:
    """Return whether no pivot flipped, and all groups are as they were, so that a table of them would say nothing."""
    return not (report.found.lost or report.found.won or any(group.change for group in report.groups))


def _groups(report: Report) -> Iterator[str]:
    if _nothing_changed(report) and not report.verbose:
        yield "changes by group: none (--verbose lists the groups)"
        return
    tested = [group for group in report.groups if group.holm is not None]
    if tested:
        yield f"changes by group; p (Holm) is adjusted for one family: {_family(tested)}"
    else:
        yield "changes by group: none is large enough to be tested"
    for by in _KINDS:
        rows = [group for group in report.groups if group.by == by]
        shown, small = _shown(rows, report.verbose)
        if shown:
            yield from _table(by, shown)
        hidden = [group for group in rows if group.holm is not None and group not in shown]
        if hidden:
            yield f"  … and {len(hidden)} more, none of them with a lower p (--verbose)"
        if small:
            yield (
                f"  not tested: {len(small)} with fewer than {LEAST_PIVOTS} pivots or {LEAST_TRAJECTORIES} trajectories"
                + ("" if report.verbose else " (--verbose)")
                if shown
                else f"by {by}: not tested, since all {len(small)} have fewer than {LEAST_PIVOTS} pivots or "
                f"{LEAST_TRAJECTORIES} trajectories" + ("" if report.verbose else " (--verbose)")
            )
    if report.no_facts is not None:
        yield f"by depth and number of tools: left out, since the data are not at hand: {report.no_facts}"


def _family(tested: Sequence[Group]) -> str:
    counts = Counter(group.by for group in tested)
    parts = ", ".join(f"{counts[by]} by {by}" for by in _KINDS if counts[by])
    return f"{count_of(len(tested), 'comparison')} ({parts})"


def _shown(rows: Sequence[Group], verbose: bool) -> tuple[list[Group], list[Group]]:
    """Return the groups of one kind that are shown, and those that are too small to be tested."""
    small = [group for group in rows if group.holm is None]
    if verbose:
        return list(rows), small
    tested = [group for group in rows if group.holm is not None]
    lowest = sorted(tested, key=lambda group: (group.p or 0.0, -group.n))[:_ROWS]
    return [group for group in tested if group in lowest], small


def _table(by: str, rows: Sequence[Group]) -> Iterator[str]:
    width = max(len(by) + 3, *(len(one_line(group.name, _NAME)) + 2 for group in rows))
    heads = [f"{'share' if by == CATEGORY else 'mean'} {side}" for side in ("BASE", "NEW")]
    yield f"{f'by {by}':{width}}  {'pivots':>7}  {heads[0]:>10}  {heads[1]:>9}  {'change':>8}  {'p (Holm)':>8}"
    for group in rows:
        p = "" if group.holm is None else p_text(group.holm).removeprefix("= ")
        yield (
            f"  {one_line(group.name, _NAME):{width - 2}}  {group.n:>7}  {group.base:>10.4f}  {group.new:>9.4f}  "
            f"{group.change:>+8.4f}  {p:>8}"
        ).rstrip()


# -------------------------------------------------------------------- several runs, and one agent


def table_lines(reports: Sequence[Report]) -> Iterator[str]:
    """Yield the lines of a comparison of several runs with the first one."""
    base = reports[0].found.base
    yield f"BASE  {one_line(base.name, _NAME)}  {_about(base)}"
    yield from (f"        {note}" for note in base.notes)
    yield f"graded by {one_line(str(base.description['grader']['name']), _NAME)}"
    yield ""
    header, *rows = table_rows(reports)
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        yield "  ".join(
            f"{text:{width}}" if not column else f"{text:>{width}}"
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
    yield f"p (Holm) is adjusted for one family: {count_of(len(reports), 'comparison')} with BASE"
    for report in reports:
        found = report.found
        told = [*found.new.notes]
        if found.difference is not None and report.max_drop is not None and not found.identical:
            told += _in_words(found.difference, report.max_drop)
        told += [*_left_out(found), *_steadiness(found)]
        if report.flips and (found.lost or found.won):
            told += _flips(found, report.flips)
        if told:
            yield f"{one_line(found.new.name, _NAME)}:"
            yield from (f"  {line}" for line in told)


def table_rows(reports: Sequence[Report]) -> list[list[str]]:
    """Return the table of several runs against the first, the header first."""
    level = _level(next((r.found.difference.alpha for r in reports if r.found.difference is not None), 0.05))
    p_name = "p" if len(reports) == 1 else "p (Holm)"
    rows = [["run", "pairs", "mean BASE", "mean NEW", "change", f"{level} interval", p_name, "lost", "won"]]
    p_values = [report.found.difference.p for report in reports if report.found.difference is not None]
    adjusted = iter(holm(p_values))
    for report in reports:
        found = report.found
        difference, means = found.difference, found.means
        if difference is None or means is None:
            rows.append([one_line(found.new.name, _NAME), "0", *[""] * 7])
            continue
        rows.append(
            [
                one_line(found.new.name, _NAME),
                str(difference.n),
                f"{means[0]:.4f}",
                f"{means[1]:.4f}",
                f"{difference.change:+.4f}",
                f"{difference.lowest:+.4f} to {difference.highest:+.4f}",
                p_text(next(adjusted)).removeprefix("= "),
                str(len(found.lost)),
                str(len(found.won)),
            ]
        )
    return rows


def same_agent_lines(found: Comparison, measured: SameAgent | None) -> Iterator[str]:
    """Yield the lines on two runs of one unchanged agent."""
    yield from _heading(found.base, found.new)
    yield ""
    if measured is None or found.difference is None or found.means is None:
        yield "no pivot has a graded answer in both runs, so there is nothing to measure"
        return
    rate = measured.flip_rate
    yield (
        f"taken as two runs of one unchanged agent: {100 * rate.mean:.2f} % of {count_of(rate.n, 'pivot')} flipped "
        f"(95 % interval {100 * rate.low:.2f} % to {100 * rate.high:.2f} %; {len(found.lost)} lost, "
        f"{len(found.won)} won)"
    )
    yield f"mean reward {found.means[0]:.4f} and {found.means[1]:.4f}"
    if math.isinf(measured.noise):
        yield "how much the mean varies from run to run cannot be known from one trajectory"
    else:
        yield f"from run to run, the mean has a standard deviation of {measured.noise:.4f} by the model's own noise"
    if found.difference.high < 0 or found.difference.low > 0:
        yield (
            f"warning: the change of {found.difference.change:+.4f} is more than noise (p "
            f"{p_text(found.difference.p)}): the agent, or what it uses, was not the same in both runs"
        )
    for turns in measured.turns:
        said = (
            f"the second run said {turns.second}"
            if turns.first is None
            else f"the runs said {turns.first} and {turns.second}"
        )
        yield f"{turns.rule}: {said}; of {RERUNS} reruns, about {turns.turned:.1f} would not say {turns.word}"
    yield from _left_out(found)


def same_agent_markdown(found: Comparison, measured: SameAgent | None) -> Iterator[str]:
    """Yield the same lines as a list in Markdown."""
    yield from (f"- {_escaped(line.strip())}" for line in same_agent_lines(found, measured) if line)


# -------------------------------------------------------------------- Markdown


def markdown(reports: Sequence[Report]) -> Iterator[str]:
    """Yield the lines of one or several comparisons in Markdown."""
    base = reports[0].found.base
    yield f"### Comparison with {_code(base.name)}"
    yield ""
    header, *rows = table_rows(reports)
    names = [_code(report.found.new.name) for report in reports]
    yield from _markdown_table(header, [[name, *row[1:]] for name, row in zip(names, rows, strict=True)])
    for report in reports:
        yield ""
        if len(reports) > 1:
            yield f"#### {_code(report.found.new.name)}"
            yield ""
        yield from (f"- {_escaped(line)}" for line in _told(report))
        if report.flips:
            yield from _markdown_flips(report)
        tested = [group for group in report.groups if group.holm is not None]
        if tested and len(reports) == 1 and not _nothing_changed(report):
            yield ""
            yield f"Changes by group; p (Holm) is adjusted for one family: {_family(tested)}."
            yield ""
            yield from _markdown_table(
                ["group", "pivots", "BASE", "NEW", "change", "p (Holm)"],
                [
                    [
                        f"{group.by} {_code(group.name)}",
                        str(group.n),
                        f"{group.base:.4f}",
                        f"{group.new:.4f}",
                        f"{group.change:+.4f}",
                        p_text(group.holm or 0.0).removeprefix("= "),
                    ]
                    for group in sorted(tested, key=lambda group: group.p or 0.0)[:_ROWS]
                ],
            )


def _told(report: Report) -> Iterator[str]:
    found = report.found
    yield from (note for side in (found.base, found.new) for note in side.notes)
    if found.identical:
        yield "they are the same run, so nothing can have changed"
    elif found.difference is not None:
        yield from _in_words(found.difference, report.max_drop)
    yield from _left_out(found)
    yield from _steadiness(found)


def _markdown_flips(report: Report) -> Iterator[str]:
    for word, flips in (("lost", report.found.lost), ("won", report.found.won)):
        if not flips:
            continue
        yield ""
        yield f"{len(flips)} {word} ({_how_flipped(flips, report.found.least_change)}):"
        yield ""
        yield "```text"
        yield from (_flip(flip).replace("```", "'''") for flip in flips[: report.flips])
        if len(flips) > report.flips:
            yield f"… and {len(flips) - report.flips} more"
        yield "```"


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield f"| {' | '.join(['---', *['---:'] * (len(header) - 1)])} |"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _code(text: str) -> str:
    return f"`{one_line(text, _NAME).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def _escaped(text: str) -> str:
    """Return a line in which Markdown and HTML mean nothing."""
    for character in "\\`*_<>[]|":
        text = text.replace(character, f"\\{character}")
    return text


# -------------------------------------------------------------------- builtins


def as_builtins(reports: Sequence[Report]) -> dict[str, Any]:
    """Return one or several comparisons as builtins, with all flips and groups."""
    base = reports[0].found.base
    return {"format": FORMAT, "base": _side(base), "comparisons": [_comparison(report) for report in reports]}


def as_figures(report: Report) -> dict[str, Any]:
    """Return a comparison of two runs as builtins of a bounded size, with numbers in place of lists of pivots."""
    found = report.found
    whole = _comparison(report)
    lists = ("lost", "won", "only_base", "only_new", "errors_base", "errors_new")
    alike = ("identical", "pairs", "means", "difference", "if_missing_wrong", "if_missing_right", "unchanged")
    return {
        "base": found.base.name,
        "base_agent": found.base.description.get("agent"),
        **{name: whole[name] for name in alike},
        **{name: len(whole[name]) for name in lists},
        **{name: whole[name] for name in ("partly_base", "partly_new")},
        "least_change": found.least_change,
        "groups": [_group(group) for group in report.groups if group.holm is not None],
    }


def _comparison(report: Report) -> dict[str, Any]:
    found = report.found
    means = found.means
    return {
        "new": _side(found.new),
        "identical": found.identical,
        "pairs": len(found.pairs),
        "means": None if means is None else list(means),
        "difference": _difference(found.difference, report.max_drop),
        "if_missing_wrong": _difference(found.if_wrong, report.max_drop),
        "if_missing_right": _difference(found.if_right, report.max_drop),
        "unchanged": found.unchanged,
        "lost": [_flip_builtins(flip) for flip in found.lost],
        "won": [_flip_builtins(flip) for flip in found.won],
        "only_base": [pivot.test for pivot in found.only_base],
        "only_new": [pivot.test for pivot in found.only_new],
        "errors_base": [pivot.test for pivot in found.errors_base],
        "errors_new": [pivot.test for pivot in found.errors_new],
        "partly_base": found.partly_base,
        "partly_new": found.partly_new,
        "family": sum(group.holm is not None for group in report.groups),
        "groups": [_group(group) for group in report.groups],
        "no_facts": report.no_facts,
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "agent": side.description.get("agent"),
        "baseline": side.is_baseline,
        "replays": side.description.get("replays"),
        "pivots": len(side.rewards),
        "notes": list(side.notes),
        "steadiness": _steadiness_builtins(side),
    }


def _steadiness_builtins(side: Side) -> dict[str, Any] | None:
    found = unsteady(side.rewards, side.mark)
    if found is None:
        return None
    noise = found.noise
    return {
        "pivots": [{"pivot": name, "passed": passed, "graded": graded} for name, passed, graded in found.pivots],
        "noise_share": None if noise is None else noise.share,
        "repeats_to_halve": None if noise is None else noise.repeats,
    }


def _difference(difference: Difference | None, max_drop: float | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    found: dict[str, Any] = {
        "change": difference.change,
        "interval": [difference.lowest, difference.highest],
        "plain_interval": [difference.low, difference.high],
        "alpha": difference.alpha,
        "p": difference.p,
        "pivots": difference.n,
        "trajectories": difference.clusters,
        "allowed_drop": difference.allowed_drop,
    }
    if max_drop is not None:
        found |= {"max_drop": max_drop, "trajectories_needed": difference.trajectories_for(max_drop)}
    return found


def _flip_builtins(flip: Flip) -> dict[str, Any]:
    base, new = flip.pair.base, flip.pair.new
    return {
        "test": flip.test,
        "pivot": new.pivot_id,
        "trajectory": new.trajectory_id,
        "tool": new.tool,
        "by_mark": flip.by_mark,
        "reward": [base.mean, new.mean],
        "passed": list(flip.passed),
        "category": [_usual(base), _usual(new)],
    }


def _group(group: Group) -> dict[str, Any]:
    return {
        "by": group.by,
        "name": group.name,
        "pivots": group.n,
        "trajectories": group.trajectories,
        "base": group.base,
        "new": group.new,
        "change": group.change,
        "p": group.p,
        "p_holm": group.holm,
    }


def same_agent_builtins(found: Comparison, measured: SameAgent | None) -> dict[str, Any]:
    """Return what was measured on two runs of one agent as builtins."""
    about: dict[str, Any] = {"format": FORMAT, "runs": [_side(found.base), _side(found.new)], "pairs": len(found.pairs)}
    if measured is None or found.means is None:
        return about
    rate = measured.flip_rate
    return about | {
        "means": list(found.means),
        "flip_rate": rate.mean,
        "flip_rate_interval": [rate.low, rate.high],
        "lost": len(found.lost),
        "won": len(found.won),
        "noise": None if math.isinf(measured.noise) else measured.noise,
        "difference": _difference(found.difference, None),
        "verdicts": [
            {
                "rule": turns.rule,
                "word": turns.word,
                "first": turns.first,
                "second": turns.second,
                "turned_of_four": turns.turned,
            }
            for turns in measured.turns
        ],
    }


# -------------------------------------------------------------------- words and numbers


def _interval(difference: Difference) -> str:
    return f"{_level(difference.alpha)} interval {difference.lowest:+.4f} to {difference.highest:+.4f}"


def _level(alpha: float) -> str:
    return f"{100 * (1 - alpha):.6g} %"


def p_text(p: float) -> str:
    """Write a p-value with its sign: "= 0.0312", or "< 0.0001"."""
    return f"< {_LEAST_P}" if p < _LEAST_P else f"= {p:.4f}"
