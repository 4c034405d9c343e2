"""Collect data files: each pivot is a pytest item with a real node id."""

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
    session_fixtures,
    shared_fixtures,
    take_id_apart,
)
from pytest_fcpivot.session.datasets import Dataset
from pytest_fcpivot.session.marks import has_mark
from pytest_fcpivot.session.our_fixtures import NO_AGENT, brings_agent, is_ours
from pytest_fcpivot.session.test_names import repeat_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
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
    """Return the pivot and the repeat that a test runs at; None if it takes none of our pivots, or they are unknown."""
    if isinstance(item, PivotItem):
        return item.entry, item.repeat
    case = getattr(getattr(item, "callspec", None), "params", {}).get("pivot")
    return case[1:] if isinstance(case, tuple) and case and isinstance(case[0], Dataset) else None


def _last_entry(excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
    """Return the part of a traceback that pytest looks at to show an exception by its message alone."""
    return excinfo.traceback[-1:]


class Pivots(Protocol):
    """The parts of a session that data files and their items use."""

    @property
    def plan(self) -> Plan: ...  # noqa: D102
    def check_gradable(self, dataset: Dataset) -> None: ...  # noqa: D102
    def pivot(self, node: pytest.Item, case: tuple[Dataset, IndexEntry, int] | None) -> Pivot: ...  # noqa: D102
    def agent(self) -> Callable[..., Any]: ...  # noqa: D102
    def ask(self, node: pytest.Item, pivot: Pivot, agent: Any) -> Action: ...  # noqa: D102
    def grader_for(self, node: pytest.Item, pivot: Pivot) -> Callable[[Any], Grade]: ...  # noqa: D102


class PivotFile(pytest.Module):
    """A data file: collects one item for each selected pivot, from the index alone.

    It is a pytest Module, with an empty module object, so that fixtures of module scope work.
    """

    pivots: Pivots
    dataset: Dataset
    # `direct`: of our fixtures, at most fc_agent is overridden, and it has session scope. Then `agent` is kept once the
    # fixture has made it; see PivotItem.setup.
    agent: Callable[..., Any] | None = None
    direct = False
    hooks: Any = None
    # The session's fixtures that the items share, as `session_fixtures` returns them; see PivotItem.setup.
    kept: Sequence[tuple[str, Any, Any]] | None = None

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
        # All items share one resolved set of fixtures: resolving it for each is most of the cost of collecting.
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
        """Yield every repeat of every selected pivot; in a replay, only those for which the run has a line."""
        plan = self.pivots.plan
        book = plan.book if plan.replays else None
        for entry in self.dataset.entries:
            for repeat in range(1, plan.repeats + 1):
                if book is None or book.had(f"{self.nodeid}::{repeat_name(entry.id, repeat)}", entry.id, repeat):
                    yield entry, repeat

    def _refuse_without_agent(self, item: PivotItem) -> None:
        """Raise one CollectError for the whole file, not one error for each pivot, if no agent is named."""
        agents = fixture_definitions(item, "fc_agent")
        plan = self.pivots.plan
        if plan.options.agent is None and not plan.replays and agents and not brings_agent(agents):
            raise self.CollectError(NO_AGENT)

    def _nothing_overridden(self, item: PivotItem) -> bool:
        if any(self.config.getoption(name, False) for name in ("setupplan", "setupshow", "setuponly")):
            return False  # these options show or skip fixtures, so real fixtures have to be used
        ours = all(is_ours(fixture_definitions(item, name)[-1]) for name in _OURS)
        return ours and item.agent_fixture().scope == "session"


class PivotItem(pytest.Function):
    """One pivot as a test: its setup asks the agent, its call phase grades the answer."""

    entry: IndexEntry
    repeat: int
    parent: PivotFile
    asked = False  # whether its call was started, ahead or in its turn; after that, lookahead leaves it alone
    funcargs: Any = MappingProxyType({})  # shared by all items until they run, to save memory
    _keyword_matches: set[str] | None = None

    def _initrequest(self) -> None:
        """Make no fixture request at collection; pytest calls this again when the test runs, as it does for a rerun.

        A million requests, made at collection, take half a minute and a gigabyte.
        """
        if has_fixture_request(self):
            super()._initrequest()
        else:
            put_off_fixture_request(self)

    @property
    def extra_keyword_matches(self) -> set[str]:
        """What -k finds besides names and marks; made on demand, since a set for each item is a sixth of its memory."""
        if self._keyword_matches is None:
            self._keyword_matches = {self.entry.expected_type, *self.entry.expected_names}
        return self._keyword_matches

    @extra_keyword_matches.setter
    def extra_keyword_matches(self, matches: set[str]) -> None:
        if matches:  # not the empty set that every node begins with
            self._keyword_matches = matches

    def iter_markers(self, name: str | None = None) -> Iterator[pytest.Mark]:
        """Iterate over the item's markers; pytest and plugins look for a dozen of them, of which a pivot has none."""
        if name is not None and not has_mark(self, (name,)):
            return iter(())
        return super().iter_markers(name)

    def case(self) -> Case:
        """Return the item's case, reading its pivot if that was not done when its call was started ahead."""
        if CASE not in self.stash:
            self.stash[CASE] = Case(self.parent.dataset.store.read(self.entry.row), self.repeat)
        return self.stash[CASE]

    def agent_fixture(self) -> Any:
        """Return the definition of the fixture that makes this item's agent."""
        return fixture_definitions(self, "fc_agent")[-1]

    def setup(self) -> None:
        """Set up the fixtures; the agent is asked last, after every autouse fixture.

        If none of our fixtures is overridden, their values are set here directly, and so are those of fixtures that
        live as long as the session: pytest's machinery for them costs more than everything else that is done for a
        pivot.
        """
        file = self.parent
        if not file.direct:
            super().setup()
            return
        pivots = file.pivots
        pivot = pivots.pivot(self, None)
        values: dict[str, Any] = self.funcargs
        kept = {name: result[0] for name, fixture, result in file.kept or () if fixture.cached_result is result}
        values.update(kept)
        values["pivot"], values["fc_action"] = pivot, None
        values["fc_grade"] = pivots.grader_for(self, pivot)
        request = fixture_request(self)
        if request is not None:
            values["request"] = request
        if pivots.plan.replays:
            file.agent = pivots.agent()  # not the user's fixture: it may need a key, which a replay should not
        if file.agent is not None:
            values["fc_agent"] = file.agent
        super().setup()
        if file.kept is None or len(kept) < len(file.kept):
            file.kept = session_fixtures(self)
        agent = file.agent = values["fc_agent"]
        values["fc_action"] = pivots.ask(self, pivot, agent)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override] # as Function
        """Show a wrong action by its own few lines, without a traceback."""
        if isinstance(excinfo.value, WrongAction):
            shown = excinfo.getrepr(style="value", tbfilter=_last_entry)
            crash = getattr(shown, "reprcrash", None)
            if crash is not None:  # JUnit has the text below this message, and need not have it twice
                crash.message = crash.message.partition("\n")[0]
            return shown
        return super().repr_failure(excinfo)

    @property
    def ihook(self) -> Any:
        """The hooks that apply to the data file's directory, looked up once for all of its items."""
        file = self.parent
        if file.hooks is None:
            file.hooks = file.ihook
        return file.hooks

    @property
    def location(self) -> tuple[str, None, str]:
        """The place shown in reports: the data file as node ids name it, no line, and the item's name."""
        return self.parent.dataset.label, None, self.name

    def reportinfo(self) -> tuple[Path, int, str]:
        """Locate the item at line 0 of its data file: pytest needs a line for a test that a mark skips."""
        return self.path, 0, self.name
