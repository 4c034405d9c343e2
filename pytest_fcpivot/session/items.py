"""Data files as pytest collectors, pivots as pytest items with real node ids."""

from __future__ import annotations

from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_fcpivot.core.errors import WrongAction
from pytest_fcpivot.session.case import CASE, Case
from pytest_fcpivot.session.compat import (
    fixture_definitions,
    fixture_request,
    has_fixture_request,
    put_off_fixture_request,
    shared_fixtures,
    take_id_apart,
)
from pytest_fcpivot.session.datasets import Dataset
from pytest_fcpivot.session.our_fixtures import NO_AGENT, brings_agent, is_ours
from pytest_fcpivot.session.test_names import repeat_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fcpivot.core.model import Action, Grade, Pivot
    from pytest_fcpivot.data.store import IndexEntry
    from pytest_fcpivot.session.plan import Plan

_OURS = ("pivot", "fc_action", "fc_grade")


@pytest.mark.function_call
def _run_call(fc_action: Action, fc_grade: Callable[[Action], Grade]) -> None:
    fc_grade(fc_action)


@pytest.mark.message
def _run_message(fc_action: Action, fc_grade: Callable[[Action], Grade]) -> None:
    fc_grade(fc_action)


def pivot_of(item: pytest.Item) -> tuple[IndexEntry, int] | None:
    """Return the pivot and the repeat that a test will be run at; None if it is not known, or takes none of ours."""
    if isinstance(item, PivotItem):
        return item.entry, item.repeat
    case = getattr(getattr(item, "callspec", None), "params", {}).get("pivot")
    return case[1:] if isinstance(case, tuple) and case and isinstance(case[0], Dataset) else None


class Pivots(Protocol):
    """What data files and their items need of the session that they are in."""

    @property
    def plan(self) -> Plan: ...  # noqa: D102
    def check_gradable(self, dataset: Dataset) -> None: ...  # noqa: D102
    def pivot(self, node: pytest.Item, case: tuple[Dataset, IndexEntry, int] | None) -> Pivot: ...  # noqa: D102
    def agent(self) -> Callable[..., Any]: ...  # noqa: D102
    def ask(self, node: pytest.Item, pivot: Pivot, agent: Any) -> Action: ...  # noqa: D102
    def grader_for(self, node: pytest.Item, pivot: Pivot) -> Callable[[Any], Grade]: ...  # noqa: D102


class PivotFile(pytest.Module):
    """A data file: collects one item a selected pivot, from ids alone.

    It is a module so that fixtures of module scope have a place to live; the module object is an empty one.
    """

    pivots: Pivots
    dataset: Dataset
    # The agent, once a session-scoped fixture made it, if nobody overrides our other fixtures; see PivotItem.setup.
    agent: Callable[..., Any] | None = None
    direct = False
    hooks: Any = None

    @classmethod
    def make(cls, parent: pytest.Collector, path: Path, dataset: Dataset, pivots: Pivots) -> PivotFile:
        """Create the collector of a data set."""
        node: PivotFile = cls.from_parent(parent, path=path, nodeid=dataset.label)
        node.dataset, node.pivots = dataset, pivots
        return node

    def _getobj(self) -> ModuleType:
        return ModuleType(self.path.name)

    def collect(self) -> Iterator[PivotItem]:
        """Yield the selected pivots as items."""
        self.pivots.check_gradable(self.dataset)
        # One resolved set of fixtures serves all items: resolving them anew is most of the cost of collecting.
        shared: dict[str, Any] = {}
        for entry, repeat in self._cases():
            is_message = entry.expected_type == "message"
            item = PivotItem.from_parent(
                self, name=repeat_name(entry.id, repeat), callobj=_run_message if is_message else _run_call, **shared
            )
            if not shared:
                self._refuse_without_agent(item)
                self.direct = self._nothing_overridden(item)
                shared = shared_fixtures(item) or {"fixtureinfo": None}
            item.entry, item.repeat = entry, repeat
            if repeat > 1:
                take_id_apart(item)
            yield item

    def _cases(self) -> Iterator[tuple[IndexEntry, int]]:
        """Yield what runs: every repeat of every selected pivot; in a replay, those that have, or had, an answer."""
        plan = self.pivots.plan
        book = plan.book if plan.replays else None
        for entry in self.dataset.entries:
            for repeat in range(1, plan.repeats + 1):
                if book is None or book.had(f"{self.nodeid}::{repeat_name(entry.id, repeat)}", entry.id, repeat):
                    yield entry, repeat

    def _refuse_without_agent(self, item: PivotItem) -> None:
        """Say once, not once a pivot, that nobody named an agent."""
        agents = fixture_definitions(item, "fc_agent")
        plan = self.pivots.plan
        if plan.options.agent is None and not plan.replays and agents and not brings_agent(agents):
            raise self.CollectError(NO_AGENT)

    def _nothing_overridden(self, item: PivotItem) -> bool:
        if any(self.config.getoption(name, False) for name in ("setupplan", "setupshow", "setuponly")):
            return False  # these show or skip fixtures, so the fixtures have to be there
        ours = all(is_ours(fixture_definitions(item, name)[-1]) for name in _OURS)
        return ours and item.agent_fixture().scope == "session"


class PivotItem(pytest.Function):
    """One pivot: setup asks the agent, the call grades the answer."""

    entry: IndexEntry
    repeat: int
    parent: PivotFile
    asked = False  # ahead or in its own turn: whoever runs it again asks anew, and nobody asks ahead
    funcargs: Any = MappingProxyType({})  # until it runs
    _keyword_matches: set[str] | None = None

    def _initrequest(self) -> None:
        """Put off the fixture request until the test runs: pytest asks again then, as it does for a rerun.

        Made at collection, a million requests are half a minute and a gigabyte.
        """
        if has_fixture_request(self):
            super()._initrequest()
        else:
            put_off_fixture_request(self)

    @property
    def extra_keyword_matches(self) -> set[str]:
        """What -k finds besides names and marks: a set for each of a million items is a sixth of what they take."""
        if self._keyword_matches is None:
            self._keyword_matches = {self.entry.expected_type, *self.entry.expected_names}
        return self._keyword_matches

    @extra_keyword_matches.setter
    def extra_keyword_matches(self, matches: set[str]) -> None:
        if matches:  # not the empty set that every node begins with
            self._keyword_matches = matches

    def case(self) -> Case:
        """Read the item's case, unless that was done already, when its call was started ahead."""
        if CASE not in self.stash:
            self.stash[CASE] = Case(self.parent.dataset.store.read(self.entry.row), self.repeat)
        return self.stash[CASE]

    def agent_fixture(self) -> Any:
        """Return the definition of the fixture that makes this item's agent."""
        return fixture_definitions(self, "fc_agent")[-1]

    def setup(self) -> None:
        """Set up the fixtures; the agent is asked last, after every autouse fixture.

        Where nobody overrides our own fixtures, their values are put in place here: the machinery of four fixtures a
        test costs more than everything else that is done for a pivot.
        """
        file = self.parent
        if not file.direct:
            super().setup()
            return
        pivots = file.pivots
        pivot = pivots.pivot(self, None)
        values: dict[str, Any] = self.funcargs
        values["pivot"], values["fc_action"] = pivot, None
        values["fc_grade"] = pivots.grader_for(self, pivot)
        request = fixture_request(self)
        if request is not None:
            values["request"] = request
        if pivots.plan.replays:
            file.agent = pivots.agent()  # a fixture of the user's might want a key for the agent that it makes
        if file.agent is not None:
            values["fc_agent"] = file.agent
        super().setup()
        agent = file.agent = values["fc_agent"]
        values["fc_action"] = pivots.ask(self, pivot, agent)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override] # as Function
        """Show a wrong action by its own few lines, without a traceback."""
        if isinstance(excinfo.value, WrongAction):
            return excinfo.getrepr(style="value")
        return super().repr_failure(excinfo)

    @property
    def ihook(self) -> Any:
        """The hooks for the data file's directory, looked up once for all of its items."""
        file = self.parent
        if file.hooks is None:
            file.hooks = file.ihook
        return file.hooks

    @property
    def location(self) -> tuple[str, None, str]:
        """Where reports place the item: its data file, by the name in node ids, and its own name."""
        return self.parent.dataset.label, None, self.name

    def reportinfo(self) -> tuple[Path, int, str]:
        """Locate the item in its data file, as a whole: pytest wants a line for a test that is skipped by a mark."""
        return self.path, 0, self.name
