"""Writes the result of an audit, as text and as a JSON file."""

from __future__ import annotations

import json
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.audit.comparators import ALONE, DECODED, LADDER, LENIENT, Agentic
from pytest_fcpivot.core.apart import shown_name
from pytest_fcpivot.core.jsontext import one_line, shorten
from pytest_fcpivot.core.words import trajectories
from pytest_fcpivot.graders.categories import (
    NO_ACTION_FOUND,
    NO_EXPECTED_CHAT_MESSAGE,
    NO_EXPECTED_TOOL_CALL,
    UNEXPECTED_TOOL,
)

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Generator, Iterator, Mapping
    from pathlib import Path

    from pytest_fcpivot.audit.running import Audit, Figures, Flip, Step

_WIDTH = max(len(rung.name) for rung in LADDER) + 2
_HEADING = (
    f"{'':{_WIDTH}}{'mean':>8}   {'95 % interval':16}  {'passed':>8}  {'change':>8} {'up':>6} {'down':>6} {'alone':>6}"
)
_WRONG_KIND = "the wrong kind of action"
_IN_WORDS = {
    NO_EXPECTED_TOOL_CALL: _WRONG_KIND,
    NO_EXPECTED_CHAT_MESSAGE: _WRONG_KIND,
    NO_ACTION_FOUND: "no action",
    UNEXPECTED_TOOL: "another tool",
}
_VALUE_WIDTH, _NAME_WIDTH, _ERROR_WIDTH = 60, 80, 400
_MOSTLY, _HARDLY = 0.5, 0.1


def lines(audit: Audit, flips: int) -> Iterator[str]:
    """Yield the lines of the report, with at most `flips` examples for each pair of neighbouring rungs."""
    stored = audit.stored
    mark = "" if stored.pass_mark == 1.0 else f", passed from {stored.pass_mark:g}"
    errors = f"; errors, left out: {stored.errors}" if stored.errors else ""
    yield f"audit of {stored.path}: {one_line(audit.redact(stored.agent), _NAME_WIDTH)} | {_grader(audit)}{mark}"
    mean = audit.rungs[LADDER[0].name].mean() or audit.recorded.mean()
    if not audit.results or mean is None:
        yield f"no answer was graded in it{errors}"
        yield from _notes(audit)
        return
    yield f"{audit.results} graded answers in {trajectories(mean.clusters)}{errors}"
    yield ""
    yield from _table(audit)
    yield ""
    yield from _legend(audit)
    if flips:
        for place, step in enumerate(audit.steps):
            if step.up or step.down:
                yield ""
                yield from _flips(LADDER[place].name, LADDER[place + 1].name, step, flips)
    yield ""
    yield from _notes(audit)
    yield from _identity(audit, flips)
    yield from _verdict(audit)


def _notes(audit: Audit) -> Iterator[str]:
    yield from (f"note: {note}" for note in audit.stored.notes)
    if audit.redacted:
        yield (
            f"note: answers that contained a secret, which was removed when they were recorded: {audit.redacted}; "
            "their recorded rewards count in the first line of the table, but they are not graded again"
        )


def _table(audit: Audit) -> Iterator[str]:
    yield _HEADING
    if audit.recorded.judged:
        yield _row("as recorded", audit.recorded)
    own_rules = {rule.name for rule in ALONE}
    for place, rung in enumerate(LADDER):
        step = audit.steps[place - 1] if place else None
        alone = str(audit.alone[rung.name]) if rung.name in own_rules else ""
        yield _row(rung.name, audit.rungs[rung.name], step, alone)


def _row(name: str, figures: Figures, step: Step | None = None, alone: str = "") -> str:
    mean = figures.mean()
    if mean is None:
        return f"{name:{_WIDTH}}{'none of these can be judged':>8}"
    interval = f"{mean.low:.4f} to {mean.high:.4f}"
    row = f"{name:{_WIDTH}}{mean.mean:>8.4f}   {interval:16}  {figures.pass_rate or 0.0:>8.4f}"
    if step is not None and step.change is not None:
        row += f"  {step.change:>+8.4f} {step.up:>6} {step.down:>6} {alone:>6}"
    return row.rstrip()


def _legend(audit: Audit) -> Iterator[str]:
    cumulative = {rule.name for rule in ALONE}
    for rung in LADDER:
        plus = "+ " if rung.name in cumulative else ""
        unjudged = audit.rungs[rung.name].unjudged
        more = f"; left out, as it cannot judge them: {unjudged}" if unjudged else ""
        if isinstance(rung, Agentic):
            scored = "as the run scored them" if audit.stored.scores_messages else "by keyword overlap"
            more = f"; messages {scored}{more}"
        yield f"{rung.name:{_WIDTH}}{plus}{rung.rule}{more}"
    yield "+ adds to the rung above; alone: how many of exact's failures pass with this one rule added to exact"
    yield "up, down: pass here and not in the rung above, or the other way round. Any message is right, but for agentic"


def _flips(one: str, other: str, step: Step, flips: int) -> Iterator[str]:
    messages = f" (messages among them: {step.messages})" if step.messages else ""
    yield f"{one} → {other}: {step.up} pass that failed, {step.down} fail that passed{messages}"
    # each direction gets half of the examples, and whatever the other one does not need
    downs = min(len(step.examples_down), max(flips - len(step.examples_up), flips // 2))
    shown = [*step.examples_up[: flips - downs], *step.examples_down[:downs]]
    for flip in shown:
        yield _flip(flip)
    more = step.up + step.down - len(shown)
    if more:
        yield f"  … and {more} more (--flips, --json)"


def _flip(flip: Flip) -> str:
    place = shown_name(flip.tool, _NAME_WIDTH) if flip.tool else "message"
    place += f" {one_line(flip.path, _NAME_WIDTH)}" if flip.path else ""
    sign = "+" if flip.up else "-"
    expected, actual = (shorten(text or "nothing", _VALUE_WIDTH) for text in (flip.expected, flip.actual))
    return f"  {sign} {flip.name}  {place}: {expected} → {actual}"


def _identity(audit: Audit, shown: int) -> Iterator[str]:
    grader = _grader(audit)
    if audit.drifted:
        yield (
            f"ERROR: {grader} does not give {audit.drifted} of {audit.checked} answers the reward that was recorded: "
            "the grader or the file of results has changed since; do not compare this run with newer ones"
        )
        for drift in audit.drifts[: max(shown, 1)]:
            now = "no grade" if drift.now is None else f"{drift.now:g}"
            before = f"{drift.recorded:g} ({one_line(str(drift.recorded_category), _NAME_WIDTH)})"
            yield f"  {drift.name}: recorded {before}, now {now} ({one_line(drift.now_category, _ERROR_WIDTH)})"
    elif audit.checked:
        yield f"{grader} gives all {audit.checked} answers the reward that was recorded"


def _verdict(audit: Audit) -> Iterator[str]:
    verdict, grader = audit.verdict, _grader(audit)
    if not verdict.failed and not verdict.passed:
        return
    matcher, model = verdict.matcher.total(), verdict.model.total()
    judged = matcher + model
    if verdict.failed:
        yield f"verdict: {who_fails(matcher, judged)}"
        saved, lost = _ranked(verdict.matcher, _rule_in_words), _ranked(verdict.model, _in_words)
        yield (
            f"  of {verdict.failed} that fail under {grader}, {matcher}{_share(matcher, judged)} pass under "
            f"{LENIENT.name}{saved}, and {model}{_share(model, judged)} fail there too{lost}"
        )
    else:
        yield f"verdict: nothing fails under {grader}"
    if verdict.messages:
        yield f"  messages that it scored under the mark, which only agentic scores here: {verdict.messages}"
    if verdict.forgiven:
        yield (
            f"  of {verdict.passed} that pass under {grader}, {verdict.forgiven}"
            f"{_share(verdict.forgiven, verdict.passed)} fail under {DECODED.name}: it forgave what differs"
        )


def who_fails(matcher: int, judged: int) -> str:
    """Say in words who is at fault for `judged` failures, of which `matcher` pass under the comparator lenient."""
    if not judged:
        return "neither the model's calls nor their matcher"
    share = matcher / judged
    if share >= _MOSTLY:
        return "mostly the matcher"
    if share > _HARDLY:
        return "mostly the model, and partly the matcher's strictness"
    return "the model" if not matcher else "the model, and hardly the matcher"


def _grader(audit: Audit) -> str:
    return one_line(audit.grader_name, _NAME_WIDTH)


def _in_words(category: str) -> str:
    return _IN_WORDS.get(category, "other arguments")


def _rule_in_words(rung: str) -> str:
    return "several rules at once" if rung == LENIENT.name else rung


def _ranked(counts: Counter[str], name: Callable[[str], str]) -> str:
    named: dict[str, int] = {}
    for key, count in counts.items():
        named[name(key)] = named.get(name(key), 0) + count
    ranked = sorted(named.items(), key=lambda pair: (-pair[1], pair[0]))
    return f" ({', '.join(f'{key} {count}' for key, count in ranked)})" if ranked else ""


def _share(count: int, whole: int) -> str:
    return f" ({count / whole:.1%})" if whole else ""


@contextmanager
def json_file(path: Path) -> Generator[_JsonFile]:
    """Open a JSON file for the summary and all results, one per line; it appears at its path when the audit is done.

    Raises OSError if it cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("w", encoding="ascii") as stream:
            yield _JsonFile(stream)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class _JsonFile:
    """One JSON object, written piece by piece: `results` first, then the summary."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._empty = True
        stream.write('{"results": [')

    def add(self, result: Mapping[str, Any]) -> None:
        """Write one result."""
        self._stream.write("\n" if self._empty else ",\n")
        self._stream.write(json.dumps(result))
        self._empty = False

    def end(self, summary: Mapping[str, Any]) -> None:
        """Close the list of results and write the members of the summary."""
        self._stream.write(f"],\n{json.dumps(summary)[1:]}\n")
