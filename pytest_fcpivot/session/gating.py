"""The gate of a session: what it names is checked before the first call, and it decides at the end."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.report.comparison import Report
from pytest_fcpivot.runs.baseline import save, where_to_save
from pytest_fcpivot.runs.comparing import Side, compare
from pytest_fcpivot.runs.directory import now
from pytest_fcpivot.runs.gate import Evidence, decide
from pytest_fcpivot.runs.gate_baseline import read_baselines, refuse_incomparable
from pytest_fcpivot.runs.gate_groups import Known, find_groups
from pytest_fcpivot.runs.groups import groups
from pytest_fcpivot.runs.rewards import Rewards
from pytest_fcpivot.runs.signatures import Changed, keys_of, signatures_of_run
from pytest_fcpivot.runs.standing import standings
from pytest_fcpivot.session.test_names import TestNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import pytest

    from pytest_fcpivot.options.gate import GateOptions
    from pytest_fcpivot.runs.comparing import Comparison
    from pytest_fcpivot.runs.gate import Verdict
    from pytest_fcpivot.runs.groups import Facts
    from pytest_fcpivot.runs.record import CaseRecord
    from pytest_fcpivot.runs.recorder import Recorder
    from pytest_fcpivot.runs.rewards import PivotRewards
    from pytest_fcpivot.runs.signatures import Cause
    from pytest_fcpivot.runs.standing import SoFar, Standing
    from pytest_fcpivot.session.deciding import Deciding
    from pytest_fcpivot.session.plan import Plan

THIS_RUN = "this run"
_FLIPS = 5
_COLUMNS = ("id", "depth", "n_tools")
_FROM_INI = "ini "


class Gating:
    """The gate of the process that receives all results, the comparison with a baseline, and a baseline to be saved.

    `verdict` and `comparison` are known at the end; both are None if there is nothing to decide or to compare, or if
    the session ended before it was known which tests there are. `early` is what was decided before all answers were
    there; it is the verdict if tests were left out for it. `saved` is the line about the baseline that was saved,
    and `trouble` the reason why it was not.
    """

    def __init__(self, config: pytest.Config, plan: Plan, gate: GateOptions) -> None:
        self._plan = plan
        self._root = config.rootpath
        self.options = gate
        self.rewards = Rewards()
        self.verdict: Verdict | None = None
        self.early: Verdict | None = None
        self.comparison: Comparison | None = None
        self.saved: str | None = None
        self.trouble: str | None = None
        self._names = TestNames(plan)
        self._incomparable = ""
        self._not_found = 0
        self._left: list[str] | None = None
        data = tuple(plan.datasets)
        self._holds = find_groups(gate, Known.of_data(data)) if gate.marks else {}
        self._base: Side | None = None
        if gate.baselines:
            self._base = read_baselines(self._named(gate), self._root, gate.baselines_from)
            ids = (entry.id for dataset in data for entry in dataset.entries)
            refuse_incomparable(self._base, self._side(plan.describe(), None), ids, gate.baselines_from)
        if gate.save is not None:
            try:
                where_to_save(gate.save, self._root)
            except RunError as error:
                raise RunError(f"{gate.save_from}={error}") from error

    def _named(self, gate: GateOptions) -> Sequence[str]:
        """Return the baselines as they were named; a path in the ini file is relative to that file."""
        if not gate.baselines_from.startswith(_FROM_INI):
            return gate.baselines
        return [str(self._root / name) if (self._root / name).exists() else name for name in gate.baselines]

    def _side(self, description: Mapping[str, Any], path: Path | None) -> Side:
        return Side(THIS_RUN, path, description, self.rewards)

    def add(self, record: CaseRecord, test: str) -> None:
        """Take in the result of a test (a node id)."""
        self.rewards.add(record, test)

    def begin_deciding(self, deciding: Deciding, tests: Iterable[str], recorder: Recorder) -> None:
        """Give the rules to what decides early; `tests` are all that were selected."""
        description = {**self._plan.describe(), **recorder.description}
        deciding.begin(
            tests, self._holds, self._base, lambda rewards: Side(THIS_RUN, recorder.path, description, rewards)
        )

    def standings(self, so_far: SoFar) -> list[Standing]:
        """Return where each rule stands, for a gate that decides at the end."""
        return standings(self.options, so_far, self._holds, self._base, self._side({}, None))

    # ---------------------------------------------------------------- the end

    def decide(self, left: Sequence[str] | None, recorder: Recorder) -> None:
        """Compare and decide; `left` are the selected tests without a result, None if it is not known which there are.

        Without any test over a pivot, a gate of the ini file decides nothing: it is there for other sessions.
        """
        if left is None or left == self._left:
            return
        self._left = [*left]
        if self.early is not None and left:
            errors = sum(len(pivot.missing) for pivot in self.rewards)
            self.verdict = replace(self.early, missing=errors + len(left))
            return
        self._add_missing(left)
        if not len(self.rewards) and not self._not_found and self._is_of_ini_file():
            return
        if self._base is not None:
            description = {**self._plan.describe(), **recorder.description}
            try:
                self.comparison = compare(self._base, self._side(description, recorder.path), self.options.alpha)
            except RunError as error:
                self._incomparable = str(error)
        if self.options.decides:
            ended = self._plan.replays_unfinished
            self.verdict = decide(
                self.options,
                Evidence(
                    rewards=self.rewards,
                    pass_mark=self._plan.options.pass_mark,
                    holds=self._holds,
                    comparison=self.comparison,
                    incomparable=self._incomparable,
                    not_run=self._not_found,
                    settle=self._how_to_settle(recorder),
                    unfinished=f"it replays a run that is not complete: {ended}" if ended is not None else "",
                ),
            )

    def _add_missing(self, left: Sequence[str]) -> None:
        self._not_found = 0
        for test in left:
            found = self._names.find(test)
            if found is None:
                self._not_found += 1
            else:
                self.rewards.add_missing(test, found[0], found[1])

    def _is_of_ini_file(self) -> bool:
        gate = self.options
        sources = [*([gate.marks_from] if gate.marks else []), *([gate.baselines_from] if gate.baselines else [])]
        return all(source.startswith(_FROM_INI) for source in sources)

    def _how_to_settle(self, recorder: Recorder) -> str:
        """Return how to get missing answers; "" if there is no run to resume."""
        plan = self._plan
        if plan.replays:
            if plan.stored is None or not plan.stored.is_run:
                return ""
            if plan.stored.description.get("replays"):
                return "resume the run that was replayed first, and replay it again"
            if plan.stored.description.get("selected_by_shard"):
                return "resume the runs of the shards, merge them again, and replay that"
            return f"{self._resume(plan.stored.path)} asks for them, and then replay it again"
        if recorder.path is None:
            return ""
        again = "" if recorder.unmarked is None else " (with its options again)"
        return f"{self._resume(recorder.path)} asks for them{again}"

    def _resume(self, run: Path) -> str:
        return f"pytest --fc-resume={shlex.quote(self._plan.shown_path(run))}"

    def report(self) -> Report | None:
        """Return what is reported of the comparison with the baseline; None if there is none."""
        found = self.comparison
        if found is None:
            return None
        drop = self.options.max_drop
        return Report(
            found=found,
            groups=groups(found.pairs, self._facts()),
            max_drop=None if drop is None else float(drop.value),
            flips=_FLIPS,
        )

    def changed(self, causes: Iterable[Cause], run: Path | None) -> Changed | None:
        """Return which signatures are new and which are gone; None if the baseline is no run, or several.

        `run` is where the session is recorded, None if it is not: then what the baseline was not asked about is new.
        """
        found, base = self.comparison, self._base
        if found is None or base is None or base.path is None or base.is_baseline:
            return None
        causes = tuple(causes)
        before, _ = signatures_of_run(base.path)  # damaged lines were refused when the baseline was read
        shared_before, shared_now = before, causes
        if found.only_base or found.errors_new:
            shared_before, _ = signatures_of_run(base.path, keys_of(pair.base for pair in found.pairs))
        if (found.only_new or found.errors_base) and run is not None:
            shared_now, _ = signatures_of_run(run, keys_of(pair.new for pair in found.pairs))
        return Changed.between(before, causes, in_both_before=shared_before, in_both_now=shared_now)

    def _facts(self) -> Callable[[PivotRewards], Facts | None]:
        """Return what looks up a pivot's depth and number of tools in the session's data."""
        known = Known.of_data(self._plan.datasets)
        wanted = {pivot.pivot_id for pivot in self.rewards}
        by_data = {
            dataset.label: {
                id_: (depth, tools)
                for id_, depth, tools in zip(*(dataset.store.each(name) for name in _COLUMNS), strict=True)
                if id_ in wanted
            }
            for dataset in self._plan.datasets
        }
        return lambda pivot: by_data.get(known.label_of(pivot), {}).get(pivot.pivot_id)

    def described(self) -> dict[str, Any] | None:
        """Return the verdict as run.json has it, without secrets; None if there is none."""
        if self.verdict is None:
            return None
        found: dict[str, Any] = self._plan.redact.within(self.verdict.to_builtins())
        return found

    @property
    def stopped(self) -> dict[str, Any] | None:
        """How the session stopped when its verdict was certain, as run.json has it; None if it did not."""
        stopped = None if self.verdict is None else self.verdict.stopped
        return None if stopped is None else asdict(stopped)

    def save(self, recorder: Recorder, status: int, counts: Mapping[str, int]) -> bool:
        """Save the baseline, if that is asked for; returns whether it was asked for and refused.

        `status` is the session's exit code, and `counts` has the selected tests by outcome.
        """
        name = self.options.save
        if name is None:
            return False
        if self.verdict is not None and self.verdict.fails:
            self.trouble = f"the baseline {name} is not saved: the verdict is {self.verdict.word}"
            return True
        ended = {"started": recorder.description.get("started"), "ended": now(), "exit_status": status}
        description = {**self._plan.describe(), **recorder.description, "counts": dict(counts), "sessions": [ended]}
        try:
            path = save(name, self._root, description, self.rewards, allow_errors=self.options.allow_errors)
        except RunError as error:
            self.trouble = str(error).replace("--allow-errors", "--fc-allow-errors")  # as a session's option is called
            return True
        self.saved = f"baseline saved in {self._plan.shown_path(path)}"
        return False
