"""Write the first screen: plain HTML and SVG that can be read without the script and without the style sheet."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pytest_fcpivot.audit.comparators import LENIENT
from pytest_fcpivot.audit.report import who_fails
from pytest_fcpivot.core.answer_flags import CALL_LIKE, CUT_OFF, MALFORMED
from pytest_fcpivot.core.apart import shown_name
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.report.html import svg
from pytest_fcpivot.report.html.escape import Markup, element, join
from pytest_fcpivot.report.html.history import history
from pytest_fcpivot.report.html.results import ANSWERS, CALL, MESSAGE, NOTHING, OTHER_TOOL, RIGHT_TOOL
from pytest_fcpivot.report.html.tables import many, table
from pytest_fcpivot.runs.signatures import grouped
from pytest_fcpivot.runs.until_mixed import WHY_NO_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_fcpivot.report.html.model import Faults, Screen, Signed, Slice
    from pytest_fcpivot.report.summary import Figures, UntilMixed
    from pytest_fcpivot.runs.signatures import Cause, CauseGroup

_OPEN = 10  # signatures that are listed at once
_FEW = 30
_GONE = 50
_WIDTH = 300
_DASH = "\u2013"


def title_of(screen: Screen) -> str:
    """Return the title of the page."""
    return one_line(f"{', '.join(screen.subject.data)} | {screen.subject.agent} | {screen.name}", _WIDTH)


def first_screen(screen: Screen) -> Markup:
    """Write the first screen, and the frames that the script fills."""
    return join(
        element(
            "header",
            element("h1", "Function-calling pivots: ", ", ".join(screen.subject.data)),
            element("p", _subject(screen), class_="subject"),
        ),
        "\n",
        element(
            "main",
            *_sections(screen),
            id="first-screen",
        ),
        "\n",
        element(
            "section",
            element("h2", "All results"),
            element(
                "p",
                "The table of all results and the conversations need the script of this page, which does not run here.",
                class_="needs-script",
            ),
            id="results",
        ),
        "\n",
        element("section", id="pivot", hidden=True),
        "\n",
        element("footer", _provenance(screen)),
    )


def _subject(screen: Screen) -> Markup:
    about, subject = screen.description, screen.subject
    judge = subject.judge or {}
    facts = [
        ("agent", subject.agent),
        ("model", about.get("model")),
        ("grader", subject.grader["name"]),
        ("judge", judge.get("model")),
        ("run", screen.name),
        ("date", str(about.get("started") or "unknown")[:16].replace("T", " ") + " UTC"),
    ]
    parts = [join(element("span", f"{term} ", class_="term"), element("b", value)) for term, value in facts if value]
    return join(*_between(parts, " · "))


def _between(parts: Sequence[Markup], mark: str) -> Iterator[object]:
    for number, part in enumerate(parts):
        if number:
            yield mark
        yield part


def _sections(screen: Screen) -> Iterator[object]:
    sections = (
        ("verdict", "Verdict", _verdict(screen)),
        ("figures", "Figures", _figures(screen)),
        ("history", "Runs of the same data", history(screen)),
        ("signatures", "Where the reward went", _signatures(screen)),
        ("matrix", "Expected and answered", _matrix(screen)),
        ("tools", "Which tool was called instead", _tools(screen)),
        ("schema", "Model or matcher?", _schema(screen)),
        ("slices", "Reward by what the pivots are", _slices(screen)),
    )
    for name, heading, content in sections:
        yield element("section", element("h2", heading), *content, id=name)
        yield "\n"


# -------------------------------------------------------------------- the verdict and the figures


def _verdict(screen: Screen) -> Iterator[Markup]:
    figures, verdict = screen.figures, screen.verdict
    if verdict is None:
        sentence = f"{figures.passed:,} of {figures.graded:,} graded answers passed; no gate was set."
        yield element("p", element("strong", "NO GATE", class_="word none"), " ", sentence)
    else:
        kind = "fails" if verdict.fails else "pass" if verdict.word == "PASS" else "open"
        yield element("p", element("strong", verdict.word, class_=f"word {kind}"), " ", verdict.sentence)
        if len(verdict.rules) > 1:
            rows = [(each.word, each.rule, each.sentence) for each in verdict.rules]
            yield table(("verdict", "rule", "reason"), rows)
    if screen.early is not None:
        yield element("p", element("b", "The run is not complete: "), screen.early, class_="warning")
    if screen.no_data is not None:
        yield element(
            "p",
            element("b", "The data of the run are not at hand, "),
            "so that conversations, tools, expected actions and the audit are missing here. ",
            screen.no_data,
            class_="warning",
        )
    for note in screen.notes:
        yield element("p", note, class_="warning")
    if not figures.selected:
        yield element("p", "The run has no results.", class_="warning")


def _figures(screen: Screen) -> Iterator[Markup]:
    figures = screen.figures
    yield element(
        "div",
        element("div", element("h3", "Mean reward"), *_reward(screen), class_="figure reward"),
        element("div", element("h3", "Since the baseline"), *_change(screen), class_="figure change"),
        element("div", element("h3", "Missing and odd answers"), *_trouble(figures), class_="figure trouble"),
        element("div", element("h3", "Cost and time"), *_cost(screen), class_="figure cost"),
        class_="figures",
    )


def _reward(screen: Screen) -> Iterator[Markup]:
    interval = screen.figures.interval
    if screen.figures.until_mixed is not None:
        yield from _until_mixed(screen.figures.until_mixed)
        return
    if interval is None:
        yield element("p", "No answer was graded.")
        return
    label = f"mean reward {interval.mean:.4f}, 95 % interval {interval.low:.4f} to {interval.high:.4f}"
    marks = "".join(f"; {mark.name}: {mark.value:.4f}" for mark in screen.marks)
    yield element("p", element("b", f"{interval.mean:.4f}", class_="value"))
    yield svg.axis(interval, screen.marks, label + marks)
    yield element(
        "p",
        f"95 % interval {interval.low:.4f} to {interval.high:.4f}, over {interval.n:,} answers in "
        f"{many(interval.clusters, 'trajectory', 'trajectories')}{marks}",
    )
    figures, mark = screen.figures, screen.subject.mark
    at = "" if mark is None else f" at a reward of {mark:.12g} or more"
    yield element("p", f"{figures.passed:,} passed{at}, {figures.failed:,} failed")


def _until_mixed(found: UntilMixed) -> Iterator[Markup]:
    """Yield what is known of a run that asked until its pivots were mixed, whose mean over all answers is biased."""
    first = found.first
    if first is not None:
        yield element("p", element("b", f"{first.mean:.4f}", class_="value"))
        yield element(
            "p",
            f"over the first repeats, 95 % interval {first.low:.4f} to {first.high:.4f}, over {first.n:,} answers in "
            f"{many(first.clusters, 'trajectory', 'trajectories')}",
        )
    yield element("p", f"There is no pass rate: {WHY_NO_RATE}.", class_="hint")
    yield element(
        "p",
        f"{many(found.mixed, 'pivot')} passed and failed (mixed), {found.passed:,} only passed, "
        f"{found.failed:,} only failed",
    )


def _change(screen: Screen) -> Iterator[Markup]:
    found = screen.comparison
    if found is None or found.difference is None:
        yield element("p", "This run is not compared with another one.")
        return
    change = found.difference
    yield element("p", element("b", f"{change.change:+.4f}", class_="value"))
    yield element(
        "p",
        f"{100 * (1 - change.alpha):g} % interval {change.lowest:+.4f} to {change.highest:+.4f}, over "
        f"{many(change.n, 'pivot')} that {found.base.name} has too",
    )
    yield element(
        "p",
        element("span", f"↓{len(found.lost):,}", class_="lost", data_filter="flip=lost"),
        " lost, ",
        element("span", f"↑{len(found.won):,}", class_="won", data_filter="flip=won"),
        " won",
    )
    if screen.description["repeats"] > 1:
        yield element("p", "These are pivots; each of a pivot's repeats has a row in the table.", class_="hint")
    for count, where in (
        (len(found.only_base), f"only in {found.base.name}"),
        (len(found.only_new), "only in this run"),
        (len(found.errors_base), f"without a graded answer in {found.base.name}, and left out"),
        (len(found.errors_new), "without a graded answer in this run, and left out"),
    ):
        if count:
            yield element("p", f"{many(count, 'pivot')} {where}")


def _trouble(figures: Figures) -> Iterator[Markup]:
    lines: list[tuple[str, int, str | None]] = [("errors", figures.errors, "outcome=error")]
    lines += [
        (f"{_DASH} {one_line(group.cause, 80)}", group.count, None)
        for group in sorted(figures.error_groups, key=lambda each: -each.count)[:_OPEN]
    ]
    flags = ((CUT_OFF, "cut off at the token limit"), (MALFORMED, "malformed"), (CALL_LIKE, "calls written as text"))
    unneeded = 0 if figures.until_mixed is None else figures.until_mixed.not_run
    lines.append(("not run", figures.not_run, "outcome=not run"))
    if unneeded:
        lines.append((f"{_DASH} not needed, since their pivots are mixed", unneeded, None))
    lines += [(words, figures.flags.get(flag, 0), f"flag={flag}") for flag, words in flags]
    rows = [
        element(
            "tr",
            element("th", what, scope="row"),
            element("td", f"{n:,}", data_filter=None if not n or query is None else _query(query)),
        )
        for what, n, query in lines
    ]
    yield element("table", element("tbody", *rows))


def _query(text: str) -> str:
    key, _, value = text.partition("=")
    return urlencode({key: value})


def _cost(screen: Screen) -> Iterator[Markup]:
    figures, price = screen.figures, screen.subject.price
    rows: list[tuple[str, str]] = []
    tokens = figures.tokens
    if figures.answers_with_tokens:
        if price is not None:
            cost = price.of(tokens.read, tokens.cached, tokens.written)
            rows.append(("cost", f"{cost:,.4f} {price.currency}"))
        rows.append(("tokens in", f"{tokens.read:,}"))
        rows.append(("of them cached", f"{tokens.cached:,}"))
        rows.append(("tokens out", f"{tokens.written:,}"))
    if figures.latency is not None:
        rows.append(("half of the calls within", f"{figures.latency.median:.2f} s"))
        rows.append(("95 % of the calls within", f"{figures.latency.p95:.2f} s"))
    rows.append(("calls", f"{figures.calls:,}"))
    if figures.retried_calls:
        rows.append(("calls with retries", f"{figures.retried_calls:,}"))
    yield element(
        "table",
        element(
            "tbody", *(element("tr", element("th", term, scope="row"), element("td", text)) for term, text in rows)
        ),
    )
    if not figures.answers_with_tokens:
        yield element("p", "The answers do not say how many tokens they took.")


# -------------------------------------------------------------------- signatures


def _signatures(screen: Screen) -> Iterator[Markup]:
    signed = screen.signatures
    if not signed:
        if screen.figures.graded:
            yield element("p", "All graded answers have the whole reward.")
        else:
            yield element("p", "There is no graded answer.")
        yield from _gone(screen.gone)
        return
    total = sum(each.cause.lost for each in signed)
    answers = sum(each.cause.count for each in signed)
    yield element(
        "p",
        f"{answers:,} answers lost {total:,.1f} of {screen.figures.graded:,} in reward, in "
        f"{many(len(signed), 'signature')}. A signature is what went wrong, between which tools, and where. "
        "The table adds them up by what went wrong, and the list has those that cost the most.",
        _told_before(screen),
    )
    yield _groups(
        grouped(each.cause for each in signed),
        screen.figures.categories,
        None if screen.before is None else {group.heading: group.count for group in grouped(screen.before)},
    )
    most = signed[0].cause.lost
    shown = [each for each in signed if each.example is not None]
    yield element("ol", *(_signature(each, most) for each in shown[:_OPEN]), class_="signatures")
    more = shown[_OPEN:]
    if more:
        yield element(
            "details",
            element("summary", many(len(more), "more signature")),
            element("ol", *(_signature(each, most) for each in more), start=_OPEN + 1, class_="signatures"),
        )
    if len(signed) > len(shown):
        rest = sum(each.cause.lost for each in signed[len(shown) :])
        yield element(
            "p", f"{many(len(signed) - len(shown), 'further signature')} lost {rest:,.1f}; the table has them all."
        )
    yield from _gone(screen.gone)


def _gone(gone: Sequence[Cause]) -> Iterator[Markup]:
    """Write the signatures of the baseline that this run has no more."""
    if not gone:
        return
    items = [element("li", _label(cause.signature.label), f" ({cause.count})") for cause in gone[:_GONE]]
    left = len(gone) - _GONE
    verb = "is" if len(gone) == 1 else "are"
    yield element(
        "details",
        element("summary", f"{many(len(gone), 'signature')} of the baseline {verb} gone"),
        element("ul", *items, element("li", f"and {left} more") if left > 0 else None),
    )


def _told_before(screen: Screen) -> str | None:
    if screen.before is None or screen.comparison is None:
        return None
    return f" The column “before” counts the answers of {one_line(screen.comparison.base.name, _WIDTH)}."


def _groups(groups: Sequence[CauseGroup], answers: Mapping[str, int], before: Mapping[str, int] | None) -> Markup:
    """Write the causes by what went wrong, which is short also where every function has causes of its own.

    `answers` counts all graded answers by category; a user's own grader may give one with the whole reward, too.
    `before` has the numbers of the baseline's answers by heading; what only the baseline has comes last.
    """
    of_category = Counter(category for group in groups for category in _categories(group))
    rows = []
    most = groups[0].lost
    for group in groups:
        categories = _categories(group)
        filters = {}
        if len(categories) == 1 and of_category[min(categories)] == 1:
            query = {"category": min(categories)}
            if answers.get(query["category"]) != group.count:
                query["lost"] = "yes"
            filters["data_filter"] = urlencode(query)
        rows.append(
            element(
                "tr",
                element(
                    "td",
                    svg.bar(group.lost / most if most else 0.0, f"lost reward {group.lost:.1f}"),
                ),
                element("th", one_line(group.heading, _WIDTH), scope="row"),
                element("td", f"{group.count:,}", **filters),
                None if before is None else element("td", f"{before.get(group.heading, 0):,}"),
                element("td", f"{group.lost:,.1f}"),
                element("td", f"{len(group.causes):,}"),
            )
        )
    now = {group.heading for group in groups}
    for heading, count in (before or {}).items():
        if heading not in now:
            rows.append(
                element(
                    "tr",
                    element("td", svg.bar(0.0, "lost reward 0.0")),
                    element("th", one_line(heading, _WIDTH), scope="row"),
                    *(element("td", text) for text in ("0", f"{count:,}", "0.0", "0")),
                )
            )
    names = ("share", "what went wrong", "answers", *(() if before is None else ("before",)), "lost", "signatures")
    heads = [element("th", name, scope="col") for name in names]
    return element("table", element("thead", element("tr", *heads)), element("tbody", *rows), class_="causes")


def _categories(group: CauseGroup) -> set[str]:
    return {cause.signature.category for cause in group.causes}


def _label(label: str) -> str:
    return one_line(label, _WIDTH)


def _signature(each: Signed, most: float) -> Markup:
    cause, example = each.cause, each.example
    badge = element("span", each.state, class_=f"badge {each.state}") if each.state == "new" else None
    summary = element(
        "summary",
        svg.bar(cause.lost / most if most else 0.0, f"lost reward {cause.lost:.1f}"),
        " ",
        element("span", _label(cause.signature.label), class_="label"),
        " ",
        element("span", f"n {cause.count:,}", class_="n"),
        " ",
        element("span", f"lost {cause.lost:,.1f}", class_="lost"),
        " " if badge else None,
        badge,
    )
    inside = None
    if example is not None:
        terms = [("expected", example.expected), ("actual", example.actual), ("difference", example.difference)]
        inside = join(
            element("p", "Example: ", element("code", example.test)),
            element("dl", *(join(element("dt", term), element("dd", text)) for term, text in terms if text)),
            element("p", element("code", example.show)) if example.show else None,
        )
    return element(
        "li",
        element("details", summary, inside, class_="signature", data_signature=each.number),
        data_filter=urlencode({"signature": each.number}),
    )


# -------------------------------------------------------------------- what was expected and answered


def _matrix(screen: Screen) -> Iterator[Markup]:
    matrix = screen.matrix
    kinds = [kind for kind in (CALL, MESSAGE, NOTHING) if any(f"{kind}/{answer}" in matrix for answer in ANSWERS)]
    if not kinds:
        yield element("p", "There is no graded answer.")
        return
    head = element("tr", element("th", "expected"), *(element("th", each, scope="col") for each in ANSWERS))
    rows = []
    for kind in kinds:
        cells = []
        for answer in ANSWERS:
            cell = f"{kind}/{answer}"
            found = matrix.get(cell)
            if found is None:
                impossible = kind != CALL and answer == RIGHT_TOOL
                cells.append(element("td", _DASH if impossible else "0", class_="zero"))
            else:
                right = (kind, answer) in ((CALL, RIGHT_TOOL), (MESSAGE, MESSAGE), (NOTHING, NOTHING))
                cells.append(
                    element(
                        "td",
                        f"{found.n:,}",
                        class_="right" if right else "wrong",
                        data_filter=urlencode({"cell": cell}),
                    )
                )
        rows.append(element("tr", element("th", kind, scope="row"), *cells))
    yield element("table", element("thead", head), element("tbody", *rows), class_="matrix")
    yield element(
        "p",
        f"“{RIGHT_TOOL}”: the first expected function is among those that are called, whatever its arguments; "
        f"“{OTHER_TOOL}”: functions are called, and it is not.",
        class_="hint",
    )


def _tools(screen: Screen) -> Iterator[Markup]:
    confusion = screen.confusion
    if not confusion.rows:
        yield element("p", "No expected tool lost any reward.")
        return
    head = element(
        "tr",
        element("th", "expected tool"),
        element("th", "answers", scope="col"),
        element("th", "lost", scope="col"),
        *(element("th", shown_name(column.label, 40), scope="col") for column in confusion.columns),
    )
    rows = []
    for row in confusion.rows:
        cells = []
        for column, n in zip(confusion.columns, row.counts, strict=True):
            query = None
            if n and column.filter is not None:
                query = _tool_query(row.tool, column.filter)
            right = column.filter == ("called", row.tool)
            kind = "zero" if not n else "right" if right else "wrong"
            cells.append(element("td", f"{n:,}", class_=kind, data_filter=query))
        rows.append(
            element(
                "tr",
                element("th", shown_name(row.tool, 60), scope="row"),
                element("td", f"{row.n:,}", data_filter=_tool_query(row.tool)),
                element("td", f"{row.lost:,.1f}"),
                *cells,
            )
        )
    yield element(
        "div", element("table", element("thead", head), element("tbody", *rows), class_="tools"), class_="wide"
    )
    if confusion.more:
        yield element("p", f"{many(confusion.more, 'further tool')} lost reward too.")


def _tool_query(tool: str, other: tuple[str, str] | None = None) -> str | None:
    """Return the filter of a tool; None if a name has lone surrogates, which a query cannot hold."""
    try:
        return urlencode({"tool": tool} | ({other[0]: other[1]} if other else {"graded": "yes"}))
    except UnicodeEncodeError:
        return None


def _faults(faults: Faults) -> Iterator[Markup]:
    """Say in a sentence whose the failures are, in the words of the audit."""
    failed = faults.matcher + faults.model
    if not failed and not faults.messages:
        return
    sentence = ""
    if failed:
        sentence = (
            f" Of {many(failed, 'failed answer')}, {faults.matcher:,} would pass under the most lenient comparator "
            f"({LENIENT.name}), and {faults.model:,} would fail there too."
        )
    if faults.messages:
        sentence += f" Messages that were scored too low, which only agentic judges here: {faults.messages:,}."
    yield element("p", element("strong", f"At fault: {who_fails(faults.matcher, failed)}."), sentence, class_="fault")


def _schema(screen: Screen) -> Iterator[Markup]:
    yield from _faults(screen.faults)
    counts = screen.schema
    head = element(
        "tr",
        element("th", "answers that are calls"),
        *(element("th", each, scope="col") for each in ("passed", "failed")),
    )
    rows = []
    for valid, name in ((True, "arguments fit the schema"), (False, "arguments break it, or the tool is unknown")):
        cells = []
        for passed in (True, False):
            n = counts.get((valid, passed), 0)
            query = {"schema": "valid" if valid else "invalid", "match": "yes" if passed else "no"}
            cells.append(element("td", f"{n:,}", data_filter=urlencode(query) if n else None))
        rows.append(element("tr", element("th", name, scope="row"), *cells))
    yield element("table", element("thead", head), element("tbody", *rows), class_="schema")
    if screen.unchecked:
        yield element("p", f"{many(screen.unchecked, 'call')} of tools whose schema cannot be used are not among them.")
    if not screen.ladder:
        yield element("p", "The audit needs the data of the run.")
        return
    asked, graded = max(rung.judged for rung in screen.ladder), screen.figures.graded
    if asked < graded:
        yield element("p", f"The comparators were asked about {asked:,} of {graded:,} answers.", class_="hint")
    recorded = screen.figures.interval
    rungs: list[Sequence[object]] = []
    if recorded is not None:
        rungs.append(
            ("as recorded", f"{recorded.mean:.4f}", f"{screen.figures.passed:,}", screen.subject.grader["name"])
        )
    rungs += [
        (
            element("b", rung.name) if rung.is_own else rung.name,
            _DASH if rung.mean is None else f"{rung.mean:.4f}",
            f"{rung.passed:,}",
            rung.rule,
        )
        for rung in screen.ladder
    ]
    yield element(
        "p",
        "The same answers under other comparators, from strict to lenient (",
        element("code", "fcpivot audit"),
        "):",
    )
    yield table(("comparator", "mean reward", "passed", "rule"), rungs, "ladder")


def _slices(screen: Screen) -> Iterator[Markup]:
    yield element("div", *(_slice(each) for each in screen.slices), class_="slices")
    yield element("p", f"Bins with fewer than {_FEW} answers are pale: their means say little.", class_="hint")


def _slice(found: Slice) -> Markup:
    rows = []
    for each in found.bars:
        if each.interval is None:
            continue
        pale = each.n < _FEW
        label = f"{each.interval.mean:.3f} ({each.interval.low:.3f} to {each.interval.high:.3f})"
        rows.append(
            element(
                "tr",
                element("th", each.label, scope="row", data_filter=urlencode({found.kind: each.key, "graded": "yes"})),
                element("td", svg.whiskers(each.interval, label, pale=pale)),
                element("td", f"{each.interval.mean:.3f}"),
                element("td", f"n {each.n:,}", class_="n"),
                class_="few" if pale else None,
            )
        )
    unknown = element("p", f"unknown: {found.unknown:,}", class_="hint") if found.unknown else None
    body = (
        element("table", element("tbody", *rows)) if rows else element("p", "The data that say this are not at hand.")
    )
    return element("div", element("h3", found.title), body, unknown, class_="slice")


def _provenance(screen: Screen) -> Markup:
    terms = [join(element("dt", term), element("dd", text)) for term, text in screen.provenance]
    return element("section", element("h2", "Where this comes from"), element("dl", *terms), id="provenance")
