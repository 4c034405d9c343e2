"""Write the HTML report of a session that was asked for with --fc-html, once the run is recorded."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import FcPivotError

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fcpivot.session.ledger import Ledger
    from pytest_fcpivot.session.plan import Plan


class Page:
    """The report of a session: `lines` say where it was written, `trouble` why it was not."""

    def __init__(self, plan: Plan, target: Path) -> None:
        self._plan = plan
        self._target = target
        self.lines: tuple[str, ...] = ()
        self.trouble: str | None = None

    def write(self, ledger: Ledger) -> None:
        """Write the report from the recorded run; a file that cannot be written is a trouble, and no exception."""
        from pytest_fcpivot.report.html.building import Asked, build  # noqa: PLC0415 (only for a report)
        from pytest_fcpivot.report.html.writing import said, write  # noqa: PLC0415

        shown, run = self._plan.shown_path(self._target), ledger.recorder.path
        if run is None:
            why = ledger.recorder.trouble or "no result was recorded"
            self.trouble = f"the report {shown} is not written: {why}"
            return
        gating = ledger.gating
        asked = Asked(
            run=run,
            name=run.name,
            path=self._plan.shown_path(run),
            allow_damaged=True,
            base=None if gating is None or gating.comparison is None else gating.comparison.base,
            stores=tuple((dataset.label, dataset.store) for dataset in self._plan.datasets),
        )
        again = f"; write it from the run:  fcpivot report {shlex.quote(asked.path)} -o report.html"
        try:
            built = build(asked)
            size = write(self._target, built.texts)
        except FcPivotError as error:
            self.trouble = f"the report {shown} is not written: {error}{again}"
        except OSError as error:
            self.trouble = f"the report {shown} cannot be written: {error.strerror or error}{again}"
        else:
            self.lines = tuple(said(shown, built, size))
