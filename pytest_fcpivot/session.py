"""One object owns a run: the data, the agent, the grader, and what is told to the reports."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot import options
from pytest_fcpivot.actions import to_action
from pytest_fcpivot.agent_output import OutputRouter
from pytest_fcpivot.agents import check_agent, load_agent
from pytest_fcpivot.collector import NO_AGENT, PivotFile, PivotItem
from pytest_fcpivot.data import SAMPLE, SAMPLE_PATH, open_store, resolve_data
from pytest_fcpivot.data.files import is_data_file
from pytest_fcpivot.data.selection import Selection
from pytest_fcpivot.errors import ActionError, AgentError, DataError, FcPivotError, WrongAction
from pytest_fcpivot.graders import DEFAULT_GRADER, make_grader
from pytest_fcpivot.jsontext import well_formed
from pytest_fcpivot.lookahead import WINDOW, AgentCaller, AgentTimeoutError, TooManyHungCallsError
from pytest_fcpivot.model import Action, Grade
from pytest_fcpivot.report.failure import explain_agent_error, explain_wrong_action
from pytest_fcpivot.results import CaseRecord, Tally
from pytest_fcpivot.schemas import tool_set

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from pytest_fcpivot.data.store import IndexEntry, PivotStore
    from pytest_fcpivot.graders import Grader
    from pytest_fcpivot.lookahead import Call
    from pytest_fcpivot.model import Pivot, SchemaVerdict
    from pytest_fcpivot.options import Options

SCHEMA_BROKEN = "SCHEMA_INVALID"
_MAY_NOT_RUN = frozenset({"skip", "skipif", "xfail"})  # marks whose tests are asked only when their turn comes
_PASS_MARK = 1.0
_MOST_AGENTS = 8


@dataclass(slots=True)
class Dataset:
    """An opened data file with its selected pivots; `label` is how node ids and reports name it."""

    label: str
    path: Path
    store: PivotStore
    entries: list[IndexEntry]
    _by_id: dict[str, IndexEntry] | None = None

    def entry(self, pivot_id: str) -> IndexEntry | None:
        """Find a selected pivot by its id."""
        if self._by_id is None:
            self._by_id = {entry.id: entry for entry in self.entries}
        return self._by_id.get(pivot_id)


@dataclass(slots=True)
class _Case:
    """What happens to one test between its setup and its teardown."""

    pivot: Pivot
    call: Call | None = None
    action: Action | None = None
    grade: Grade | None = None
    verdict: SchemaVerdict | None = None
    latency_s: float = 0.0


_CASE = pytest.StashKey[_Case]()


class PivotSession:
    """The plugin object of a session that runs pivots."""

    def __init__(self, config: pytest.Config, chosen: Options) -> None:
        self.config = config
        self.options = chosen
        self.grader: Grader = make_grader(chosen.grader or DEFAULT_GRADER, **dict(chosen.grader_settings))
        self.is_worker = hasattr(config, "workerinput")
        self.tally = Tally()
        self._selection = Selection(chosen.shard, chosen.sample, chosen.seed, chosen.limit)
        self._open: dict[str, Dataset] = {}
        self._named: set[str] = set()
        self._callers: dict[int, tuple[Any, AgentCaller]] = {}
        self._router: OutputRouter | None = None
        self._ahead = 0  # calls that were started and whose test has not come yet
        self._cursor = 0

    @classmethod
    def begin(cls, config: pytest.Config) -> PivotSession:
        """Check the options, open the data, and take part in the session; raises pytest.UsageError."""
        try:
            session = cls(config, options.read(config))
            session._find_data()
            if session.options.agent is not None:
                session._load(session.options.agent, instantiate=False)
        except FcPivotError as error:
            raise pytest.UsageError(str(error)) from error
        config.pluginmanager.register(session, "fcpivot-session")
        config.add_cleanup(gc.unfreeze)
        return session

    @property
    def agent_name(self) -> str:
        """How reports name the agent."""
        return self.options.agent or "fc_agent fixture"

    @property
    def datasets(self) -> list[Dataset]:
        """The data files that this run may read."""
        return list(self._open.values())

    # ---------------------------------------------------------------- data

    def _find_data(self) -> None:
        """Open the data that the options and paths name; with options and no path, the run is that data alone."""
        given = [resolve_data(name, base) for name, base in self.options.data]
        odd = [str(path) for path in given if "[" in path.name or "::" in str(path)]
        if odd:
            raise DataError(f"{odd[0]}: pytest cannot name a file with [ or :: in its name; rename it")
        if self.config.args_source is not self.config.ArgsSource.ARGS and options.on_command_line(self.config):
            given = given or [SAMPLE_PATH]
            self.config.args = [str(path) for path in given]
            self.config.args_source = self.config.ArgsSource.ARGS
            self._named.update(_key(path) for path in given)
        else:
            named = self._named_data()
            self._named.update(_key(path) for path in named)
            given = given + named
        for path in given:
            self._dataset(path)

    def _named_data(self) -> list[Path]:
        """Return the data files among the path arguments, and let `sample` stand for the bundled one."""
        found = []
        for position, argument in enumerate(self.config.args):
            name, separator, rest = argument.partition("::")
            path = self.config.invocation_params.dir / name
            if name == SAMPLE and not path.exists():
                path = SAMPLE_PATH
                self.config.args[position] = f"{path}{separator}{rest}"
            if path.is_file() and is_data_file(path):
                found.append(path)
        return found

    def _dataset(self, path: Path) -> Dataset:
        key = _key(path)
        if key not in self._open:
            store = open_store(path, bad_rows=self.options.bad_rows)
            self._open[key] = Dataset(self._label(path), path, store, self._selection.apply(store.index()))
        return self._open[key]

    def _label(self, path: Path) -> str:
        if path == SAMPLE_PATH:
            return SAMPLE
        try:
            return os.path.relpath(path, self.config.rootpath).replace(os.sep, "/")
        except ValueError:  # another drive
            return path.as_posix()

    def pytest_sessionstart(self) -> None:
        plugins = self.config.pluginmanager
        reporter = plugins.getplugin("terminalreporter")
        if reporter is not None and self.config.getoption("durations", None) is None:
            plugins.register(_ShortMemory(reporter, {dataset.label for dataset in self.datasets}))

    def pytest_collection_finish(self) -> None:
        # Thousands of items live until the end; left to the collector they cost a tenth of the run.
        gc.freeze()

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> PivotFile | None:
        if _key(file_path) not in self._named:
            return None
        return PivotFile.make(parent, file_path, self._open[_key(file_path)], self)

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Run a user's own test over the data."""
        if not self._open:
            self._dataset(SAMPLE_PATH)
        cases = [(dataset, entry) for dataset in self.datasets for entry in dataset.entries]
        for dataset in self.datasets:
            self.check_gradable(dataset)
        marks = {
            kind: getattr(pytest.mark, "message" if kind == "message" else "function_call")
            for kind in ("message", "function_call", "function_call_batch")
        }
        metafunc.parametrize(
            "pivot",
            [pytest.param(case, id=case[1].id, marks=marks[case[1].expected_type]) for case in cases],
            indirect=True,
        )

    def check_gradable(self, dataset: Dataset) -> None:
        """Refuse, as a collection error, data that the grader cannot judge: before any call is paid for."""
        beyond = [entry.id for entry in dataset.entries if not self.grader.accepts(len(entry.expected_names))]
        if beyond:
            raise pytest.Collector.CollectError(
                f"{dataset.label}: {len(beyond)} pivots expect several calls at once (the first: {beyond[0]}), which "
                f"{self.grader.name} cannot judge; pass --fc-grader=nemo-gym:any-order"
            )

    # ---------------------------------------------------------------- one case

    def agent(self) -> Callable[..., Any]:
        """Load the agent that the options name."""
        trouble = NO_AGENT
        if self.options.agent is not None:
            try:
                return self._load(self.options.agent)
            except AgentError as error:
                trouble = str(error)
        pytest.fail(trouble, pytrace=False)

    def _load(self, spec: str, *, where: str | None = None, instantiate: bool = True) -> Callable[..., Any]:
        search = [self.config.rootpath, self.config.invocation_params.dir]
        return load_agent(spec, search, where=where or self.options.agent_from, instantiate=instantiate)

    def pivot(self, node: pytest.Item, case: tuple[Dataset, IndexEntry] | None) -> Pivot:
        """Read the pivot of a test."""
        if isinstance(node, PivotItem):
            dataset, entry = node.parent.dataset, node.entry
        elif case is not None:
            dataset, entry = case
        else:
            raise pytest.UsageError("the fixture pivot needs a test that takes it as an argument")
        if _CASE in node.stash:
            return node.stash[_CASE].pivot  # read already, when its call was started ahead
        pivot = dataset.store.read(entry.row)
        node.stash[_CASE] = _Case(pivot)
        return pivot

    def _case(self, node: pytest.Item, pivot: Pivot) -> _Case:
        """Return what is known of a test; a user's own `pivot` fixture may have given it another pivot."""
        case = node.stash.get(_CASE, None)
        if case is None or case.pivot is not pivot:
            case = node.stash[_CASE] = _Case(pivot)
        return case

    def _look_ahead(self, item: PivotItem, agent: Any, caller: AgentCaller) -> None:
        """Start the calls of the pivots that come next, once half the window is used up."""
        if self._ahead > WINDOW // 2:
            return
        for upcoming in self._upcoming(item):
            if not isinstance(upcoming, PivotItem) or upcoming.parent.agent is not agent or _CASE in upcoming.stash:
                continue
            if any(marker.name in _MAY_NOT_RUN for marker in upcoming.iter_markers()):
                continue
            pivot = self.pivot(upcoming, None)
            upcoming.stash[_CASE].call = caller.start(pivot.view())
            self._ahead += 1

    def _upcoming(self, item: PivotItem) -> list[pytest.Item]:
        """Return what runs after an item.

        A worker of pytest-xdist looks no further than its own item: the rest may be given to others, and were the
        agent to end the process, the blame would fall on the test that happens to run.
        """
        if self.is_worker:
            return []
        items = item.session.items
        try:
            self._cursor = items.index(item, self._cursor)
        except ValueError:  # run again, or in another order than collected
            self._cursor = items.index(item)
        return items[self._cursor + 1 : self._cursor + 1 + WINDOW]

    def ask(self, node: pytest.Item, pivot: Pivot, agent: Any) -> Action:
        """Get the agent's action at a pivot; no action to grade is an error of the setup phase."""
        case = self._case(node, pivot)
        call, case.call = case.call, None
        trouble: str | None = None
        try:
            caller = self._caller(agent)
            if call is None:
                call = caller.start(pivot.view())
            else:
                self._ahead -= 1
            if isinstance(node, PivotItem) and node.parent.agent is agent:
                self._look_ahead(node, agent, caller)
            output = self._finish(caller, call, case)
            case.action = to_action(output, tool_set(pivot.tools_json).names)
        except TooManyHungCallsError as error:
            node.session.shouldstop = trouble = str(error)
        except (AgentError, ActionError) as error:
            trouble = str(error)
        except _AgentRaisedError as error:
            trouble = explain_agent_error(error.error)
        if trouble is not None:
            pytest.fail(trouble, pytrace=False)
        assert case.action is not None  # noqa: S101 (there was no trouble)
        return case.action

    def _finish(self, caller: AgentCaller, call: Call, case: _Case) -> Any:
        """Return the agent's output, with what it printed; what it raised comes as _AgentRaisedError."""
        try:
            return caller.finish(call)
        except (pytest.skip.Exception, pytest.exit.Exception, AgentTimeoutError):
            raise
        except BaseException as error:
            if call.error is not error:
                raise  # not the agent's: the user's Ctrl-C, while waiting
            raise _AgentRaisedError(error) from None
        finally:
            case.latency_s = call.latency_s
            call.printed.release(self._router.log_handlers if self._router else [])

    def _caller(self, agent: Any) -> AgentCaller:
        known = self._callers.get(id(agent))
        if known is None:
            if self._router is None:
                self._router = OutputRouter(self.config)
            function = self._load(agent, where="fixture fc_agent") if isinstance(agent, str) else agent
            check_agent(function, "fixture fc_agent")
            known = self._callers[id(agent)] = (agent, AgentCaller(function, self.options.timeout))
            if len(self._callers) > _MOST_AGENTS:  # a fixture that makes an agent a test leaves no thread a test
                self._callers.pop(next(iter(self._callers)))[1].close()
        return known[1]

    def grader_for(self, node: pytest.Item, pivot: Pivot) -> Callable[[Any], Grade]:
        """Return the function that grades a test's action."""

        def fc_grade(action: Any) -> Grade:
            __tracebackhide__ = True
            return self._grade(node, pivot, action)

        return fc_grade

    def _grade(self, node: pytest.Item, pivot: Pivot, output: Any) -> Grade:
        __tracebackhide__ = True
        tools = tool_set(pivot.tools_json)
        case = self._case(node, pivot)
        action = output if isinstance(output, Action) and output is case.action else to_action(output, tools.names)
        case.action = action
        verdict = case.verdict = tools.check(action)
        grade = self.grader.grade(pivot.expected_action, action)
        if self.options.strict_schema and verdict.status in {"invalid", "unknown-tool"} and grade.reward > 0:
            grade = Grade(0.0, SCHEMA_BROKEN, f"schema: {verdict}; {verdict.explanation}", verdict.path)
        case.grade = grade
        if node.user_properties:  # a test may grade more than once: the last one counts
            node.user_properties[:] = [pair for pair in node.user_properties if not pair[0].startswith("fc.")]
        node.user_properties += _properties(grade.reward, grade.category, str(verdict))
        if grade.reward < _PASS_MARK:
            raise WrongAction(explain_wrong_action(pivot, action, grade, verdict))
        return grade

    # ---------------------------------------------------------------- reports

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if _CASE not in item.stash:
            return report
        case = item.stash[_CASE]
        _make_sendable(report)
        if call.when == "teardown":
            del item.stash[_CASE]  # the conversation is not needed any more
            self._ahead -= case.call is not None  # asked ahead, but the test did not come to it
            return report
        if call.when == "call" or report.failed:
            if case.grade is None and report.failed and isinstance(item, PivotItem):
                as_error(report)  # the grader, not the model, is at fault
            report.fcpivot = _record(case, report, own=isinstance(item, PivotItem)).to_builtins()  # type: ignore[attr-defined]
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not self.is_worker and hasattr(report, "fcpivot"):
            self.tally.add(CaseRecord.from_builtins(report.fcpivot), report)
            report.fcpivot = None  # type: ignore[attr-defined] # pytest keeps the report; the record is counted

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        label, _, pivot_id = crashitem.rpartition("::")
        for dataset in self.datasets:
            entry = dataset.entry(pivot_id) if dataset.label == label else None
            if entry is not None:
                as_error(report)
                record = CaseRecord.of_entry(entry, error=str(report.longrepr))
                report.fcpivot = record.to_builtins()  # type: ignore[attr-defined]

    def pytest_report_header(self) -> str:
        data = ", ".join(self._describe(dataset) for dataset in self.datasets) or "no data"
        return f"fcpivot: {data}; agent {self.agent_name}; grader {self.grader.name}"

    def _describe(self, dataset: Dataset) -> str:
        total, chosen = len(dataset.store), len(dataset.entries)
        skipped = dataset.store.provenance.get("bad_rows", 0)
        note = f", {skipped} broken rows skipped" if skipped else ""
        part = f"{chosen} of " if chosen != total or note else ""
        return f"{dataset.label} ({part}{total} pivots{note})"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        for _, caller in self._callers.values():
            caller.close()
        if self._router is not None:
            self._router.remove()
        if self.is_worker:
            return
        if self.grader.binary and self.tally.identity_broken() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        from pytest_fcpivot.report.junit import write_suite_properties  # noqa: PLC0415 (once, at the end)

        write_suite_properties(self.config, self.tally)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
        from pytest_fcpivot.report.terminal import few_failures, write_summary  # noqa: PLC0415

        with few_failures(terminalreporter, self.tally):
            yield
        write_summary(terminalreporter, self)

    def pytest_unconfigure(self) -> None:
        for dataset in self.datasets:
            dataset.store.close()


class _AgentRaisedError(Exception):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class _ShortMemory:
    """Drops the reports of pivots' uneventful setups and teardowns, which pytest keeps for output and durations.

    They are two thirds of what a run of pivots would hold in memory.
    """

    def __init__(self, reporter: Any, labels: set[str]) -> None:
        self._stats = reporter.stats
        self._labels = labels

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed" or report.sections:
            return
        kept = self._stats.get("")
        if kept and kept[-1] is report and report.nodeid.rpartition("::")[0] in self._labels:
            kept.pop()


@lru_cache(maxsize=1024)
def _properties(reward: float, category: str, schema: str) -> tuple[tuple[str, object], ...]:
    """Return the JUnit properties of a result; thousands of tests share a few of them."""
    return ("fc.reward", reward), ("fc.category", category), ("fc.schema", schema)


def _make_sendable(report: pytest.TestReport) -> None:
    """Escape, in what an agent printed, logged or gave as the reason of a skip, what a worker could not send."""
    if report.sections:
        report.sections = [(name, well_formed(content)) for name, content in report.sections]
    if isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = path, line, well_formed(reason)


def as_error(report: pytest.TestReport) -> None:
    """Make a failed report an error: pytest, JUnit and CI call a failed setup so."""
    report.when = "setup"


def _record(case: _Case, report: pytest.TestReport, *, own: bool) -> CaseRecord:
    error = None
    if case.grade is None and report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        error = (crash.message if crash is not None else str(report.longrepr)).removeprefix("Failed: ")
    return CaseRecord.of_case(
        case.pivot, case.action, case.grade, case.verdict, latency_s=case.latency_s, error=error, own=own
    )


def _key(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (no link is resolved, as pytest does)
