"""Show how far a session is while it runs: a live line on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.options.table import LOG_EVERY_S
from pytest_fcpivot.report.progress_line import Progress, live_line, log_line
from pytest_fcpivot.runs.standing import SoFar
from pytest_fcpivot.session.compat import begin_line, terminal_file, write_to
from pytest_fcpivot.session.items import pivot_of
from pytest_fcpivot.session.live_line import LiveLine
from pytest_fcpivot.stats.interval import mean_interval

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_fcpivot.runs.standing import Standing
    from pytest_fcpivot.session.asking import Asker
    from pytest_fcpivot.session.closing import Closing
    from pytest_fcpivot.session.ledger import Ledger
    from pytest_fcpivot.session.plan import Plan

_COUNT_EVERY_S = 0.1
_LOOK_EVERY_S = 0.25
# Intervals and gates are computed over all results so far. They may take this part of the time, however many there are.
_SHARE_OF_TIME = 0.01
_LEAST_WAIT_S = 0.25
# The time left is estimated from the results of the last minute: those that a resumed run has already come at once.
_RATE_OVER_S = 60.0
_RATE_NEEDS_S = 3.0
_GRACE_S = 1.0  # a result that comes now writes the line, in a better place
_QUIET = -2


def progress_of(
    config: pytest.Config, plan: Plan, ledger: Ledger, asker: Asker, closing: Closing
) -> ProgressReport | None:
    """Return what shows the progress of a session; None if nothing is to be shown."""
    chosen = plan.options.progress
    if chosen == "off" or plan.only_looks or plan.only_sets_up or config.option.verbose <= _QUIET:
        return None
    if terminal_file(config) is None:
        return None
    return ProgressReport(config, plan, ledger, asker, closing)


def is_live(file: Any) -> bool:
    """Return whether a file leads to a terminal in which text can be replaced, and which somebody looks at."""
    if sys.platform == "win32" or os.environ.get("TERM", "dumb") == "dumb":
        return False
    in_ci = any(os.environ.get(name) for name in ("CI", "BUILD_NUMBER"))  # as pytest finds out
    return not in_ci and _leads_to_terminal(file)


def _leads_to_terminal(file: Any) -> bool:
    try:
        return os.isatty(file.fileno())
    except (AttributeError, OSError, ValueError):  # no real file, or one that is closed
        return False


def _next(began: float) -> float:
    """Return when something may be computed again that began at this time, and has just ended."""
    return began + max(_LEAST_WAIT_S, (time.monotonic() - began) / _SHARE_OF_TIME)


def _copy_of(file: Any) -> int | None:
    """Return a descriptor of the file that stays what it is while pytest captures; None if it has none."""
    try:
        return os.dup(file.fileno())
    except (AttributeError, OSError, ValueError):
        return None


class ProgressReport:
    """The plugin object that shows how far the session is, from the first test to the last.

    The figures are taken from the ledger at most ten times a second, when results come. When none come, because the
    agent or its server is slow, a thread of its own does that, and shows that the session still waits.
    """

    def __init__(self, config: pytest.Config, plan: Plan, ledger: Ledger, asker: Asker, closing: Closing) -> None:
        self._config = config
        self._plan = plan
        self._ledger = ledger
        self._asker = asker
        self._closing = closing
        self._session: pytest.Session | None = None
        self._line: LiveLine | None = None
        self._undo: list[tuple[Any, Any]] = []
        self._writer: tuple[Any, Any] | None = None
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._began = 0.0
        self._total: int | None = None
        self._counted: Progress | None = None
        self._counting = threading.Lock()
        self._count_at = self._interval_at = self._gate_at = 0.0
        self._of_interval = 0  # how many results there were when the interval was computed
        self._gate: list[Standing] = []
        self._recent: deque[tuple[float, int]] = deque()
        chosen = plan.options.progress
        self._every_s = chosen if isinstance(chosen, float) else LOG_EVERY_S
        self._log_at = 0.0
        self._log: int | None = None
        self._lock = threading.Lock()

    # ---------------------------------------------------------------- pytest's hooks

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Show the progress as long as tests run, however that ends."""
        self._session = session
        self._begin()
        try:
            return (yield)
        finally:
            self.end()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        """Count the results that have come, and show them, if it is time to."""
        now = time.monotonic()
        if now < self._count_at:
            return
        self._count_at = now + _COUNT_EVERY_S
        self._count(now)
        if self._line is not None:
            self._line.draw()
        elif now >= self._log_at:
            self._write_log_line(now)

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """Show how many tests there are, as soon as a worker has collected them."""
        self._count(time.monotonic())

    def pytest_enter_pdb(self) -> None:
        """Take the line away while somebody debugs."""
        if self._line is not None:
            self._line.pause()

    def pytest_leave_pdb(self) -> None:
        """Draw the line again."""
        if self._line is not None:
            self._line.resume()

    # ---------------------------------------------------------------- the beginning and the end

    def _begin(self) -> None:
        found = terminal_file(self._config)
        if found is None or self._thread is not None:
            return
        writer, file = found
        self._began = time.monotonic()
        self._log_at = self._began + self._every_s
        self._count(self._began)
        if self._plan.options.progress == "auto" and is_live(file):
            self._line = LiveLine(file.fileno(), self._live_text)
            self._writer = writer, file
            write_to(writer, self._line.under(file))
            for stream in self._asker.terminal_streams():
                if _leads_to_terminal(stream.stream):
                    self._undo.append((stream, stream.stream))
                    stream.stream = self._line.under(stream.stream)
        else:
            self._log = _copy_of(file)
        self._config.add_cleanup(self.end)
        self._thread = threading.Thread(target=self._watch, name="fc-progress", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take the line away, and leave the terminal to others."""
        self._over.set()
        if self._line is not None:
            self._line.end()
        with self._lock:
            if self._log is not None:
                os.close(self._log)
                self._log = None
        for stream, file in self._undo:
            stream.stream = file
        self._undo = []
        if self._writer is not None:
            write_to(*self._writer)
            self._writer = None

    def _watch(self) -> None:
        """Show that time passes, in a thread of its own."""
        while not self._over.wait(_LOOK_EVERY_S):
            if self._total:
                self._take_figures(time.monotonic(), self._total)
            if self._line is not None:
                self._line.draw()
            elif time.monotonic() >= self._log_at + _GRACE_S:
                self._write_log_line_past_capture()

    # ---------------------------------------------------------------- what is shown

    def _live_text(self, width: int) -> str:
        counted = self._counted
        return "" if counted is None else live_line(self._now(counted, time.monotonic()), width)

    def _log_line(self, now: float) -> str:
        self._log_at = now + self._every_s
        return "" if self._counted is None else f"fcpivot: {log_line(self._now(self._counted, now))}"

    def _write_log_line(self, now: float) -> None:
        found, line = terminal_file(self._config), self._log_line(now)
        if found is None or not line:
            return
        writer, _ = found
        if writer.width_of_current_line:
            writer.line()
        writer.line(line)
        writer.flush()

    def _write_log_line_past_capture(self) -> None:
        """Write the line while a test waits, when pytest may capture what goes to the standard output."""
        found, line = terminal_file(self._config), self._log_line(time.monotonic())
        if found is None or not line or self._log is None:
            return
        writer, file = found
        start = "\n" if writer.width_of_current_line else ""
        text = f"{start}{line}\n".encode(getattr(file, "encoding", None) or "ascii", "replace")
        with self._lock, suppress(OSError):
            if not self._over.is_set():
                os.write(self._log, text)
                begin_line(writer)

    def _now(self, counted: Progress, now: float) -> Progress:
        """Add what changes without results; may be called by any thread."""
        calls = limit = None
        if not self._has_workers and not self._plan.replays:
            calls, limit = self._asker.under_way()
        return replace(counted, calls=calls, limit=limit, elapsed_s=now - self._began, left_s=self._left(counted, now))

    def _left(self, counted: Progress, now: float) -> float | None:
        """Estimate the seconds left; None as long as too little has happened for that."""
        if not self._recent:
            return None
        began, done = self._recent[0]
        if now - began < _RATE_NEEDS_S or counted.done <= done:
            return None
        return (now - began) / (counted.done - done) * (counted.total - counted.done)

    @property
    def _has_workers(self) -> bool:
        others = self._closing.distribution
        return others is not None and others.distributes

    def _tests(self) -> int | None:
        """Return how many tests over pivots were selected; None as long as that is not known."""
        assert self._session is not None  # noqa: S101 (tests run)
        others = self._closing.distribution
        if others is None or not others.distributes:
            return sum(pivot_of(item) is not None for item in self._session.items)
        tests = others.tests()
        return None if tests is None else sum(1 for _ in tests)

    def _count(self, now: float) -> None:
        """Take in all that the ledger has counted, in the thread that counts."""
        if self._total is None:
            self._total = self._tests()
        if not self._total:
            return
        if now >= self._gate_at:
            tally = self._ledger.tally
            self._gate = self._standings(SoFar(tally.graded, tally.passed, tally.total_reward, self._total))
            if self._gate:
                self._gate_at = _next(now)
        self._take_figures(now, self._total)

    def _take_figures(self, now: float, total: int) -> None:
        """Take in the figures; may be called by any thread."""
        tally = self._ledger.tally
        with self._counting:
            counted = self._counted
            interval = None if counted is None else counted.interval
            mixed = tally.mixed if tally.until_mixed else None
            done = tally.graded + tally.errors + tally.skipped
            if mixed is None and now >= self._interval_at and (counted is None or done != self._of_interval):
                interval, self._of_interval = mean_interval(tally.rewards_so_far()), done
                if interval is not None:
                    self._interval_at = _next(now)
            price, usage = self._plan.options.price, tuple(tally.usage)
            cost = price.of(*usage[:3]) if price is not None and tally.with_usage else None
            self._counted = Progress(
                done=done,
                total=total,
                interval=interval,
                errors=tally.errors,
                retries=sum(tally.retries.copy().values()),
                tokens=(usage[0], usage[2]) if tally.with_usage else None,
                cost=cost,
                expected_cost=None if cost is None or not done or mixed is not None else cost / done * total,
                currency="" if price is None else price.currency,
                may_stop=self._plan.stops_early or mixed is not None,
                mixed=mixed,
                gate=self._gate,
            )
            self._remember_rate(now, done)

    def _remember_rate(self, now: float, done: int) -> None:
        recent = self._recent
        if not recent or now - recent[-1][0] >= 1:
            recent.append((now, done))
        while len(recent) > 1 and now - recent[1][0] > _RATE_OVER_S:
            recent.popleft()

    def _standings(self, so_far: SoFar) -> list[Standing]:
        gating, deciding = self._ledger.gating, self._closing.deciding
        if gating is None or not gating.options.decides:
            return []
        return gating.standings(so_far) if deciding is None else deciding.standings()
