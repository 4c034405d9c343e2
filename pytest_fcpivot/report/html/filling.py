"""Work out all that the first screen shows from a run, its data and a baseline."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.core.jsontext import shorten
from pytest_fcpivot.options.gate import parse_share
from pytest_fcpivot.options.table import OPTIONS, as_arguments
from pytest_fcpivot.report.html.bins import BINS, TYPES, bin_of
from pytest_fcpivot.report.html.model import (
    Bar,
    Called,
    Confusion,
    Count,
    Example,
    Faults,
    Mark,
    Screen,
    Signed,
    Slice,
    ToolRow,
)
from pytest_fcpivot.report.html.results import CALL, MALFORMED, MESSAGE, NOTHING, without_bias
from pytest_fcpivot.report.merged import subject_of_run
from pytest_fcpivot.report.show_command import show_command
from pytest_fcpivot.report.summary import Figures
from pytest_fcpivot.runs.damage import listed
from pytest_fcpivot.runs.directory import ended_early
from pytest_fcpivot.runs.gate import Verdict, verdict_from
from pytest_fcpivot.runs.reader import line_at, open_regular, result_line
from pytest_fcpivot.stats.interval import mean_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pytest_fcpivot.report.behaviour_text import Watched
    from pytest_fcpivot.report.html.model import PastRun, Rung
    from pytest_fcpivot.report.html.reading import RunRead
    from pytest_fcpivot.report.html.results import Entry
    from pytest_fcpivot.runs.comparing import Comparison
    from pytest_fcpivot.runs.signatures import Cause, Changed

EXAMPLES = 100  # signatures that are shown with an example; all others are in the table
_KNOWN = frozenset(option.dest for option in OPTIONS)
_NO_FAULTS = Faults(0, 0, 0)
_TOOLS = 12
_LONGEST = 2000  # characters of a text of an example
_COLUMNS = 10
_VERDICTS = frozenset(("valid", "invalid", "unknown-tool"))
_TITLES = {"depth": "depth", "tools": "tools on offer", "context": "characters of the conversation", "type": "type"}


def screen_of(
    run: RunRead,
    redact: Callable[[str], str],
    *,
    comparison: Comparison | None = None,
    changed: Changed | None = None,
    before: tuple[Cause, ...] | None = None,
    ladder: tuple[Rung, ...] = (),
    faults: Faults = _NO_FAULTS,
    strip: tuple[PastRun, ...] = (),
    strip_note: str = "",
    watched: Watched | None = None,
    unlisted: int = 0,
) -> Screen:
    """Return the first screen of a run; `changed` tells the signatures that are new or gone since the baseline.

    `before` has all signatures of the baseline, if it is a run of the same tests. `unlisted` counts the results that
    have no row in the table.
    """
    figures = Figures.of(run.results.tally)
    entries = [entry for entry in run.results.entries.values() if entry.answered is not None]
    verdict = run.description.get("verdict")
    return Screen(
        name=run.name,
        subject=subject_of_run(run.description),
        description=run.description,
        figures=figures,
        verdict=None if verdict is None else _recorded(verdict),
        early=ended_early(run.description),
        no_data=None if run.no_data is None else redact(run.no_data),
        notes=tuple(map(redact, _notes(run, unlisted))),
        marks=tuple(_marks(run.description, comparison)),
        comparison=comparison,
        signatures=tuple(_signed(run, figures.causes, changed, redact)),
        gone=() if changed is None else changed.gone,
        before=before,
        matrix=_matrix(entries),
        confusion=_confusion(entries),
        schema=Counter((entry.schema == "valid", entry.outcome == 0) for entry in _checked(entries)),
        unchecked=sum(entry.schema == "unusable-schema" for entry in entries),
        ladder=ladder,
        faults=faults,
        slices=tuple(_slices(without_bias(entries, run.description))),
        strip=strip,
        strip_note=strip_note,
        watched=watched,
        provenance=tuple((term, redact(text)) for term, text in _provenance(run)),
    )


def _recorded(verdict: Mapping[str, Any]) -> Verdict:
    """Return a verdict as run.json has it, of which an edited file may have the word and the sentence alone."""
    try:
        return verdict_from(verdict)
    except (KeyError, TypeError):
        return Verdict(
            word=verdict["word"],
            sentence=verdict["sentence"],
            fails=bool(verdict.get("fails")),
            missing=0,
            rules=(),
        )


def _notes(run: RunRead, unlisted: int) -> Iterator[str]:
    if unlisted:
        yield (
            f"The figures are of all {len(run.results.entries):,} results; the table has no room for {unlisted:,} of "
            "them, passed ones first, chosen as by chance."
        )
    damages = run.results.damages
    if damages:
        yield f"Left out of all figures: {damages.losses()}."
        yield from listed([damages])
    if damages.torn is not None:
        yield f"The last line of the results is incomplete and left out: {damages.torn.size} bytes."


def _marks(description: Mapping[str, Any], comparison: Comparison | None) -> Iterator[Mark]:
    given = description["options"].get("fc_fail_under")
    for text in [given] if isinstance(given, str) else given if isinstance(given, list) else []:
        try:
            share = parse_share(text, "", "")
        except OptionError:
            continue  # a mark of a group, or of the pass rate, which is another axis
        yield Mark("gate", f"gate {share.text}", float(share.value))
    means = None if comparison is None else comparison.means
    if comparison is not None and means is not None:
        yield Mark("baseline", f"baseline {comparison.base.name}", means[0])


def _signed(
    run: RunRead, causes: Sequence[Cause], changed: Changed | None, redact: Callable[[str], str]
) -> Iterator[Signed]:
    path = run.path / "results.jsonl"
    if not causes:
        return
    with open_regular(path) as stream:
        for number, cause in enumerate(causes):
            state = "" if changed is None else "new" if cause.signature in changed.new else "same"
            example = None
            if number < EXAMPLES:
                entry = run.results.entries[cause.example]
                line = result_line(line_at(stream, entry.offset or 0))
                example = Example(
                    test=shorten(entry.test, _LONGEST),
                    expected=entry.expected or entry.tool or entry.wanted,
                    actual=entry.actual,
                    difference=shorten(redact(line.explanation or ""), _LONGEST),
                    show=show_command(run.shown, entry.test) if len(entry.test) <= _LONGEST else "",
                )
            yield Signed(number=number, cause=cause, state=state, example=example)


def _matrix(entries: Iterable[Entry]) -> dict[str, Count]:
    counts: Counter[str] = Counter()
    lost: dict[str, list[float]] = {}
    for entry in entries:
        cell = entry.cell or ""
        counts[cell] += 1
        lost.setdefault(cell, []).append(1.0 - (entry.reward or 0.0))
    return {cell: Count(n, math.fsum(lost[cell])) for cell, n in counts.items()}


def _checked(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the answers that are calls, and whose schema could be used."""
    return (entry for entry in entries if entry.called is not None and entry.schema in _VERDICTS)


def _confusion(entries: Iterable[Entry]) -> Confusion:
    by_tool: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.tool is not None:
            by_tool.setdefault(entry.tool, []).append(entry)
    lost = {tool: math.fsum(1.0 - (each.reward or 0.0) for each in those) for tool, those in by_tool.items()}
    ranked = sorted((tool for tool in by_tool if lost[tool] > 0), key=lambda tool: (-lost[tool], tool))
    worst = ranked[:_TOOLS]
    counts = {tool: Counter(_called(entry) for entry in by_tool[tool]) for tool in worst}
    totals: Counter[tuple[str, str]] = Counter()
    for counted in counts.values():
        totals.update(counted)
    listed_first = sorted(totals, key=lambda key: (-totals[key], key))[:_COLUMNS]
    columns = [
        Called(name if kind == "called" else name.partition("/")[2], (kind, name)) for kind, name in listed_first
    ]
    others = len(totals) > len(listed_first)
    rows = []
    for tool in worst:
        shown = [counts[tool][key] for key in listed_first]
        rest = [counts[tool].total() - sum(shown)] if others else []
        rows.append(ToolRow(tool=tool, n=len(by_tool[tool]), lost=lost[tool], counts=(*shown, *rest)))
    return Confusion(
        columns=(*columns, *([Called("other", None)] if others else [])),
        rows=tuple(rows),
        more=len(ranked) - len(worst),
    )


def _called(entry: Entry) -> tuple[str, str]:
    """Return the filter that finds what an answer called: a function, or else the cell of the matrix."""
    if entry.called is not None:
        return "called", entry.called
    return "cell", f"{CALL}/{entry.answered if entry.answered in (MESSAGE, MALFORMED) else NOTHING}"


def _slices(entries: Sequence[Entry]) -> Iterator[Slice]:
    for kind in BINS:
        by_bin: dict[str, dict[str, list[float]]] = {}
        unknown = 0
        for entry in entries:
            number = getattr(entry, kind)
            if number is None or entry.reward is None:
                unknown += 1
                continue
            those = by_bin.setdefault(bin_of(kind, number).key, {})
            those.setdefault(entry.trajectory_id, []).append(entry.reward)
        bars = [_bar(each.key, each.label, by_bin.get(each.key)) for each in BINS[kind]]
        yield Slice(kind, _TITLES[kind], tuple(bars), unknown)
    by_type: dict[str, dict[str, list[float]]] = {}
    for entry in entries:
        by_type.setdefault(entry.kind, {}).setdefault(entry.trajectory_id, []).append(entry.reward or 0.0)
    bars = [_bar(key, label, by_type.get(key)) for key, label in TYPES.items()]
    yield Slice("type", _TITLES["type"], tuple(bars), 0)


def _bar(key: str, label: str, rewards: Mapping[str, Sequence[float]] | None) -> Bar:
    found = mean_interval(rewards or {})
    return Bar(key, label, 0 if found is None else found.n, found)


def _provenance(run: RunRead) -> Iterator[tuple[str, str]]:
    about = run.description
    for name, store in run.stores:
        facts = store.provenance
        for source in facts.get("sources") or [{"source": facts.get("source")}]:
            # data that were not prepared beforehand are the file itself, whose copy in the cache may know an older name
            parts = [str(source.get("source") or name)] if name.endswith(".parquet") else []
            parts += [f"{key} {source[key]}" for key in ("repo", "commit", "split") if source.get(key)]
            licence = source.get("licence") or facts.get("licence")
            parts.append(f"licence {licence}" if licence else "no licence is recorded")
            if source.get("attribution"):
                parts.append(str(source["attribution"]))
            yield f"data {name}", "; ".join(parts)
    for each in about["data"]:
        yield f"data {each['name']}", f"sha256 {each['sha256']}, {each['selected']} of {each['pivots']} pivots selected"
    yield "run", run.shown
    yield "recorded", f"{about.get('started') or 'unknown'} to {about.get('ended') or 'unknown'}"
    packages = about.get("packages")
    if isinstance(packages, dict):
        yield "packages", ", ".join(f"{name} {version}" for name, version in packages.items())
    for key in ("python", "platform"):
        if about.get(key):
            yield key, str(about[key])
    git = about.get("git")
    if git:
        yield "git", ", ".join(f"{key} {value}" for key, value in git.items()) if isinstance(git, dict) else str(git)
    given = {name: value for name, value in about["options"].items() if value not in (None, "", [])}
    yield "options", shlex.join(word for name in sorted(given) for word in _as_words(name, given[name])) or "none"


def _as_words(name: str, value: Any) -> list[str]:
    """Return an option as on a command line, also one of another version, which is not known here."""
    return as_arguments(name, value) if name in _KNOWN else [f"--{name.replace('_', '-')}={value}"]
