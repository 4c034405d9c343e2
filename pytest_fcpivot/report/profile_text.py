"""Write a profile as text, or as JSON: how many pivots are of which kind, what is unsure about that, what is kept."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.apart import shown_name
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.core.words import count_of, trajectories
from pytest_fcpivot.runs.groups import TYPES, band_of
from pytest_fcpivot.runs.profile.candidates import alike_sources, same_answers
from pytest_fcpivot.runs.profile.choosing import (
    ALL_FAIL,
    ALL_PASS,
    KINDS,
    MIXED,
    TRAIN,
    UNFINISHED,
    VALIDATION,
    expected_by_fit,
    histogram,
    mixed_by_agents,
)
from pytest_fcpivot.stats.beta_binomial import largest_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_fcpivot.audit.suspects import Suspects
    from pytest_fcpivot.runs.profile.candidates import Candidate, Candidates
    from pytest_fcpivot.runs.profile.choosing import Chosen

_NAME, _ID = 60, 80
_ROWS = 10
_LISTED = 5
_KS_SHOWN = 8


def lines(candidates: Candidates, chosen: Chosen, suspects: Suspects, *, output: str | None) -> Iterator[str]:
    """Yield the lines of a profile; `output` is the file that has the kept pivots, None if none is written."""
    yield from _heading(candidates, chosen)
    yield ""
    yield from _counts(candidates, chosen)
    yield ""
    yield from _histogram(candidates, chosen)
    yield ""
    yield from _groups(candidates, chosen)
    doubts = [*_warnings(candidates, chosen), *_all_fail(candidates, chosen), *_suspects(suspects)]
    if doubts:
        yield ""
        yield from doubts
    yield ""
    yield from _kept(chosen, output)


def as_builtins(candidates: Candidates, chosen: Chosen, suspects: Suspects) -> dict[str, Any]:
    """Return the figures of a profile as JSON is written of them."""
    rules, kinds = chosen.rules, Counter(chosen.kinds)
    expected = expected_by_fit(candidates, chosen)
    fitted: dict[str, Any] = (
        {"why_not": expected}
        if isinstance(expected, str)
        else {
            "mean": expected.fitted.mean,
            "correlation": expected.fitted.correlation,
            "all_fail": expected.all_fail,
            "mixed": expected.mixed,
            "all_fail_passing_if_asked_as_often_again": expected.passing_later,
        }
    )
    splits = Counter(chosen.split_of(each) for each in chosen.kept)
    return {
        "sources": [
            {"path": source.name, "agent": source.agent, "repeats": source.repeats, "notes": source.notes}
            for source in candidates.sources
        ],
        "outcome_mark": rules.outcome_mark,
        "min_rollouts": rules.min_rollouts,
        "candidates": len(candidates),
        "kinds": {kind: kinds[kind] for kind in KINDS},
        "rollouts": _rollouts(candidates, chosen),
        "histogram": {
            str(graded): {str(passed): number for passed, number in sorted(counts.items())}
            for graded, counts in histogram(candidates, rules.outcome_mark).items()
        },
        "groups": {
            name: {group: dict(figures) for group, figures in rows} for name, rows in _all_groups(candidates, chosen)
        },
        "fitted": fitted,
        "mixed_by_agents_alone": mixed_by_agents(candidates, chosen),
        "identical_answers": same_answers(candidates),
        "alike_sources": [list(pair) for pair in alike_sources(candidates)],
        "suspect_matcher": [
            {
                "pivot_id": each.candidate.pivot_id,
                "comparator": each.comparator,
                "passing": each.passing,
                "of": each.answers,
                "answer": each.answer,
                "expected": each.expected,
            }
            for each in suspects.matcher
        ],
        "suspect_gold": [
            {
                "pivot_id": each.candidate.pivot_id,
                "answers": each.answers,
                "of": each.of,
                "answer": each.answer,
                "expected": each.expected,
            }
            for each in suspects.gold
        ],
        "kept": len(chosen.kept),
        "kept_messages": sum(each.is_message for each in chosen.kept),
        "steps": [{"rule": rule, "left": left} for rule, left in chosen.steps],
        "splits": None if rules.split is None else {name: splits[name] for name in (TRAIN, VALIDATION)},
        "notes": list(candidates.notes),
    }


# -------------------------------------------------------------------- what was read


def _heading(candidates: Candidates, chosen: Chosen) -> Iterator[str]:
    for source in candidates.sources:
        agent = "an agent that is not known" if source.agent is None else f"agent {one_line(source.agent, _NAME)}"
        stops = ", no further once it had passed and failed" if source.until_mixed else ""
        yield f"{one_line(source.name, _NAME)}  {agent}, each pivot {_times(source.repeats)}{stops}"
        yield from (f"    {note}" for note in source.notes)
    grader = one_line(candidates.sources[0].grader, _NAME)
    yield f"graded by {grader}; a rollout passes from a reward of {chosen.rules.outcome_mark:g}"
    for mark in sorted(_pass_marks(candidates) - {chosen.rules.outcome_mark}):
        yield f"  when recorded, it passed from {mark:g} (--fc-pass-mark); --outcome-mark={mark:g} counts so"
    yield from candidates.notes


def _pass_marks(candidates: Candidates) -> set[float]:
    """Return the pass marks that runs were recorded with, where they say so."""
    told = (source.side.description.get("pass_mark") for source in candidates.sources if source.side is not None)
    return {float(mark) for mark in told if isinstance(mark, int | float)}


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _rollouts(candidates: Candidates, chosen: Chosen) -> dict[str, int]:
    planned = sum(each.planned for each in candidates.pivots)
    graded = sum(each.graded for each in candidates.pivots)
    errors = sum(each.errors for each in candidates.pivots)
    saved = sum(
        max(0, each.planned - each.graded - each.errors)
        for each, kind in zip(candidates.pivots, chosen.kinds, strict=True)
        if each.stopped and kind == MIXED
    )
    without = sum(max(0, each.planned - each.graded - each.errors) for each in candidates.pivots) - saved
    return {"planned": planned, "graded": graded, "errors": errors, "not_run_mixed": saved, "without_result": without}


def _counts(candidates: Candidates, chosen: Chosen) -> Iterator[str]:
    rollouts, kinds, rules = _rollouts(candidates, chosen), Counter(chosen.kinds), chosen.rules
    several = len({each.trajectory_id for each in candidates.pivots})
    parts = [f"{rollouts['graded']:,} graded"]
    if rollouts["errors"]:
        parts.append(count_of(rollouts["errors"], "error"))
    if rollouts["without_result"]:
        parts.append(f"{rollouts['without_result']:,} without a result")
    if rollouts["not_run_mixed"]:
        parts.append(f"{rollouts['not_run_mixed']:,} not run: mixed")
    yield f"{rollouts['planned']:,} rollouts of {count_of(len(candidates), 'pivot')} in {trajectories(several)}: " + (
        ", ".join(parts)
    )
    yield ""
    meanings = {
        ALL_PASS: "every graded rollout passed",
        ALL_FAIL: "none passed",
        MIXED: "some passed, and some did not",
        UNFINISHED: f"fewer than {rules.min_rollouts} graded rollouts, all alike (--min-rollouts)",
    }
    yield f"  {'candidates':<12}{len(candidates):>9,}"
    for kind in KINDS:
        share = f"{100 * kinds[kind] / len(candidates):.1f} %" if len(candidates) else ""
        yield f"  {kind:<12}{kinds[kind]:>9,}{share:>9}   {meanings[kind]}"
    most = max((each.graded for each in candidates.pivots), default=0)
    if 0 < most < rules.min_rollouts:
        yield (
            f"  no pivot has {rules.min_rollouts} graded rollouts, so that none is all-pass or all-fail; "
            f"--min-rollouts={most} takes as many as there are"
        )


def _histogram(candidates: Candidates, chosen: Chosen) -> Iterator[str]:
    yield "pivots by how many of their graded rollouts passed"
    found = histogram(candidates, chosen.rules.outcome_mark)
    for graded in list(found)[:_KS_SHOWN]:
        counts = found[graded]
        if not graded:
            yield f"  no graded rollout: {count_of(counts.total(), 'pivot')}"
            continue
        width = max(len(f"{number:,}") for number in (*counts.values(), graded))
        passed = [number for number in range(graded + 1) if graded <= 16 or counts[number]]  # noqa: PLR2004 (fits)
        yield f"  of {graded:<4} passed " + " ".join(f"{number:>{width}}" for number in passed)
        yield f"  {'pivots':>14} " + " ".join(f"{counts[number]:>{width},}" for number in passed)
    if len(found) > _KS_SHOWN:
        rest = sum(counts.total() for counts in list(found.values())[_KS_SHOWN:])
        yield f"  … and {count_of(rest, 'pivot')} with other numbers of graded rollouts"


# -------------------------------------------------------------------- by group

_Figures = Counter[str]


def _all_groups(candidates: Candidates, chosen: Chosen) -> Iterator[tuple[str, list[tuple[str, _Figures]]]]:
    """Yield the kinds of groups with their groups: by type and by tool the largest first, by depth in its order."""
    by: dict[str, Callable[[Candidate], str | None]] = {
        "type": lambda each: TYPES.get(each.expected, each.expected),
        "tool": lambda each: each.tool,
        "depth": lambda each: band_of(each.depth),
    }
    kept = {each.place for each in chosen.kept}
    for name, key in by.items():
        found: dict[str, _Figures] = {}
        for candidate, kind in zip(candidates.pivots, chosen.kinds, strict=True):
            group = key(candidate)
            if group is not None:
                found.setdefault(group, Counter()).update({"pivots": 1, kind: 1, "kept": int(candidate.place in kept)})
        if name == "depth":
            yield name, sorted(found.items(), key=lambda each: int(each[0].partition(" ")[0]))
        else:
            yield name, sorted(found.items(), key=lambda each: (-each[1]["pivots"], each[0]))


def _groups(candidates: Candidates, chosen: Chosen) -> Iterator[str]:
    columns = ("pivots", *KINDS, "kept")
    for name, rows in _all_groups(candidates, chosen):
        if not rows:
            continue
        shown = rows[:_ROWS]
        names = [shown_name(group, _NAME) if name == "tool" else group for group, _ in shown]
        width = max(len(name) + 3, *(len(each) + 2 for each in names), 16)
        yield f"{f'by {name}':<{width}}" + "".join(f"{column:>12}" for column in columns)
        for label, (_, figures) in zip(names, shown, strict=True):
            yield f"  {label:<{width - 2}}" + "".join(f"{figures[column]:>12,}" for column in columns)
        if len(rows) > len(shown):
            yield f"  … and {count_of(len(rows) - len(shown), name)} more (--table has every pivot)"


# -------------------------------------------------------------------- what is unsure


def _warnings(candidates: Candidates, chosen: Chosen) -> Iterator[str]:
    if same_answers(candidates):
        yield (
            "warning: all answers to each pivot are identical, as with a temperature of 0, which says nothing of "
            "how often the model would solve a pivot; record a run with the temperature of the training"
        )
    alike = alike_sources(candidates)
    for one, other in alike[:_LISTED]:
        yield (
            f"warning: {one_line(one, _NAME)} and {one_line(other, _NAME)} have the same answers to all pivots that "
            "both have: one is a copy of the other, or neither was random (a fixed seed, a temperature of 0); together "
            "they say no more than one"
        )
    if len(alike) > _LISTED:
        yield f"  … and {len(alike) - _LISTED:,} more pairs"
    if len(candidates.agents) > 1:
        by_agents = mixed_by_agents(candidates, chosen)
        yield (
            f"warning: these are rollouts of {len(candidates.agents)} agents, counted together: {by_agents:,} pivots "
            "are mixed for no agent alone; to train one of them, profile its rollouts alone"
        )


def _all_fail(candidates: Candidates, chosen: Chosen) -> Iterator[str]:
    asked = Counter(each.graded for each, kind in zip(candidates.pivots, chosen.kinds, strict=True) if kind == ALL_FAIL)
    if not asked:
        return
    rates = [f"{100 * largest_rate(number):.0f} % after {number}" for number in sorted(asked, reverse=True)]
    few = f" ({count_of(len(rates), 'number')} of rollouts)" if len(rates) > _LISTED else ""
    shown = ", ".join(rates[:_LISTED] if len(rates) <= _LISTED else [rates[0], "…", rates[-1]]) + few
    yield f"all-fail: a pass rate of up to {shown} rollouts is still possible (95 %: 1 - 0.05^(1/K))"
    expected = expected_by_fit(candidates, chosen)
    if isinstance(expected, str):
        yield f"  how many of them would pass at times is not estimated: {expected}"
        return
    kinds = Counter(chosen.kinds)
    yield (
        f"  about {expected.passing_later:,.0f} of {asked.total():,} would pass at least once if each was asked as "
        f"often again, by a beta-binomial fitted to all pivots (mean {expected.fitted.mean:.3f}, correlation "
        f"{expected.fitted.correlation:.3f})"
    )
    yield (
        f"  how well it fits: it expects {expected.all_fail:,.0f} all-fail and {expected.mixed:,.0f} mixed pivots; "
        f"there are {kinds[ALL_FAIL]:,} and {kinds[MIXED]:,}"
    )


def _suspects(suspects: Suspects) -> Iterator[str]:
    if suspects.matcher:
        by = Counter(each.comparator for each in suspects.matcher)
        named = ", ".join(f"{name} {number:,}" for name, number in by.most_common())
        yield (
            f"suspect matcher: {count_of(len(suspects.matcher), 'all-fail pivot')} with an answer that another "
            f"comparator passes, by the strictest that does: {named}"
        )
        for each in suspects.matcher[:_LISTED]:
            yield f"  {one_line(each.candidate.pivot_id, _ID)}  {each.comparator}: {each.passing} of {each.answers}"
            yield f"    expected {each.expected}"
            yield f"    answered {each.answer}"
        yield from _more(len(suspects.matcher))
    if suspects.gold:
        yield (
            f"suspect gold: {count_of(len(suspects.gold), 'all-fail pivot')} to which all agents give one answer, in "
            "more than half of their rollouts"
        )
        for gold in suspects.gold[:_LISTED]:
            yield f"  {one_line(gold.candidate.pivot_id, _ID)}  {gold.answers} of {gold.of}"
            yield f"    expected {gold.expected}"
            yield f"    answered {gold.answer}"
        yield from _more(len(suspects.gold))
    if suspects.unread:
        yield f"not looked at for suspects: {count_of(suspects.unread, 'answer')} that cannot be read, or had a secret"


def _more(number: int) -> Iterator[str]:
    if number > _LISTED:
        yield f"  … and {number - _LISTED:,} more (--table)"


# -------------------------------------------------------------------- what is kept


def _kept(chosen: Chosen, output: str | None) -> Iterator[str]:
    rules, kept = chosen.rules, chosen.kept
    if len(chosen.steps) > 1:
        yield "  →  ".join(f"{rule}: {left:,}" for rule, left in chosen.steps)
    messages = sum(each.is_message for each in kept)
    where = "would be kept (-o FILE writes them)" if output is None else f"kept in {output}"
    several = trajectories(len({each.trajectory_id for each in kept}))
    yield (
        f"{count_of(len(kept), 'pivot')} in {several} {where}: {len(kept) - messages:,} where a call is expected, "
        f"{messages:,} where a message is"
    )
    twice = sum(number > 1 for number in Counter(each.pivot_id for each in kept).values())
    if twice:
        yield (
            f"warning: {twice:,} of the ids are in several data of the runs, and a file that has them all is refused "
            "when it is read as data; profile runs of one data file each"
        )
    if not kept and chosen.steps[0][1]:
        yield "warning: nothing is left of them; choose another --max-mean, --message-share or --limit"
    if rules.split is not None:
        yield from _splits(chosen)


def _splits(chosen: Chosen) -> Iterator[str]:
    by: dict[str, Sequence[Candidate]] = {
        name: [each for each in chosen.kept if chosen.split_of(each) == name] for name in (TRAIN, VALIDATION)
    }
    shown = ", ".join(
        f"{name} {len(those):,} in {trajectories(len({each.trajectory_id for each in those}))}"
        for name, those in by.items()
    )
    yield f"split by whole trajectories: {shown}"
    for name, those in by.items():
        if chosen.kept and not those:
            yield f"warning: {name} is empty; there are too few trajectories for this split, or choose another --seed"
