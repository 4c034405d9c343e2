"""Write a plan: a table for each rule, what it means, and what the calls cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.runs.gate import FAIL, INCONCLUSIVE, PASS, REGRESSION
from pytest_fcpivot.runs.planning import OFTEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.options.values import Price
    from pytest_fcpivot.runs.planning import Planned, Row, Tokens

_WORDS = (FAIL, REGRESSION, INCONCLUSIVE, PASS)


def plan_lines(planned: Planned, calls: int, tokens: Tokens | None, price: Price | None) -> Iterator[str]:
    """Yield the lines of one rule: a row for each truth, with the words, and the calls if the session may stop.

    `calls` is the number of calls of a whole run.
    """
    words = [word for word in _WORDS if word in planned.rows[0].words]
    of_mark = FAIL in words
    yield planned.rule
    costs = "" if tokens is None or price is None else f"{'their cost':>12}"
    head = f"  {'true mean' if of_mark else 'true change':>12}" + "".join(f"{word:>14}" for word in words)
    yield f"{head}{'calls if it stops when decided':>34}{costs}"
    for row in planned.rows:
        truth = f"{row.truth:.4g}" if of_mark else "none" if row.truth == 0 else f"{row.truth:+.4g}"
        asked = row.asked * calls
        line = f"  {truth:>12}" + "".join(f"{percent(row.words[word]):>14}" for word in words)
        line += f"{f'{asked:,.0f} ({percent(row.asked)})':>34}"
        if costs and tokens is not None and price is not None:
            line += f"{tokens.cost(asked, price):>12,.2f}"
        yield line
    how = "a normal distribution" if planned.counted is None else f"{planned.counted} simulated runs a row"
    yield f"  shares of the words from {how}; calls from simulated runs"
    if not of_mark:
        yield f"  {conclusion(planned)}"


def conclusion(planned: Planned) -> str:
    """Return the sentence on what a largest drop can decide."""
    unchanged, dropped = _row(planned, 0.0), _row(planned, -planned.seen)
    passes, seen = unchanged.words[PASS], dropped.words[REGRESSION]
    can = {
        (True, True): "this gate can decide",
        (True, False): "this gate can say PASS, but misses such a drop too often",
        (False, True): "this gate sees such a drop, but says PASS too rarely",
        (False, False): "this gate cannot decide",
    }[passes >= OFTEN, seen >= OFTEN]
    sees = f"a drop of {planned.seen:g} is seen in {percent(seen)} of runs"
    facts = f"{sees}, and without a change, PASS is said in {percent(passes)}"
    more = ""
    if passes < OFTEN and planned.enough is not None:
        more = f"; about {planned.enough:,} trajectories would rule out the drop that is allowed"
    return f"{facts}: {can}{more}"


def percent(share: float) -> str:
    """Write a share in per cent; one that is neither 0 nor 1 is not shown as such."""
    if 0 < share < 0.005:  # noqa: PLR2004 (what rounds to 0 %)
        return "<1 %"
    if 0.995 <= share < 1:  # noqa: PLR2004 (what rounds to 100 %)
        return ">99 %"
    return f"{100 * share:.0f} %"


def _row(planned: Planned, truth: float) -> Row:
    return next(row for row in planned.rows if row.truth == truth)
