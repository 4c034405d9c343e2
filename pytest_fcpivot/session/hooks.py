"""One object owns a run: the data, the agent, the grader, and what is told to the reports."""

from __future__ import annotations

import gc
import os
import shlex
import tempfile
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.agents import load_agent
from pytest_fcpivot.calls.call import CallLog, TooManyHungCallsError
from pytest_fcpivot.calls.servers import Servers
from pytest_fcpivot.core.actions import to_action
from pytest_fcpivot.core.errors import ActionError, AgentError, FatalAgentError, FcPivotError, GraderError, WrongAction
from pytest_fcpivot.core.jsontext import on_screen, one_line, well_formed
from pytest_fcpivot.core.model import Action, Grade, SchemaVerdict
from pytest_fcpivot.distributed.machines import Machines, check_same_session
from pytest_fcpivot.distributed.workers import Untold, Workers, listen_for_stop, stop_workers
from pytest_fcpivot.graders import NemoGymGrader, is_bundled, passes
from pytest_fcpivot.graders.categories import SCHEMA_INVALID
from pytest_fcpivot.options.table import DEFAULT_PASS_MARK
from pytest_fcpivot.report.failure import as_error, explain_error, explain_wrong_action
from pytest_fcpivot.report.grader import settings_line
from pytest_fcpivot.runs import CaseRecord, Tally
from pytest_fcpivot.runs.call_log import CallFile, Crashes
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.ending import Ending, exit_status, is_interrupted, joined_parts
from pytest_fcpivot.runs.output import refuse_too_long
from pytest_fcpivot.runs.own_rewards import OwnRewards
from pytest_fcpivot.runs.record import shown_category
from pytest_fcpivot.schema.toolset import tool_set
from pytest_fcpivot.session import forked, options
from pytest_fcpivot.session.asking import AgentRaisedError, Asker
from pytest_fcpivot.session.case import CASE, EARLIER_REASONS, FIRST_GRADED, NOT_ASKED, Case
from pytest_fcpivot.session.datasets import Dataset, Datasets
from pytest_fcpivot.session.first_grades import about_kept, first_grade, why_not_kept
from pytest_fcpivot.session.grader_choice import choose_grader
from pytest_fcpivot.session.hiding import Hiding, secrets_in_options
from pytest_fcpivot.session.items import PivotFile, PivotItem, pivot_of, repeat_name
from pytest_fcpivot.session.judging import JudgeRaisedError, make_judging
from pytest_fcpivot.session.option_reader import OptionReader
from pytest_fcpivot.session.own_tests import NO_AGENT, NOT_TOLD
from pytest_fcpivot.session.peers import has_xdist
from pytest_fcpivot.session.refusals import Refusals
from pytest_fcpivot.session.reruns import OneCaseEach, Reruns
from pytest_fcpivot.session.stored import Recorder, StoredRun, surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.data.store import IndexEntry
    from pytest_fcpivot.graders import Grader
    from pytest_fcpivot.options.values import Options
    from pytest_fcpivot.runs.answers import FirstGrade
    from pytest_fcpivot.schema.toolset import ToolSet

_FAILED = "Failed: "
_TO_THE_END = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)


class PivotSession:
    """The plugin object of a session that runs pivots."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.redact = Hiding.begin(config).redact
        self.is_worker = hasattr(config, "workerinput")
        self.complete = self._has_run = self._to_summarize = False
        self.ending = Ending()
        self._not_collected: list[str] = []
        self.workers: Workers | None = None  # the controller's
        self._junit_trouble: str | None = None
        self.runs_own_tests = False  # of the user's, over the data
        self._only_sets_up = bool(config.getoption("setuponly", False))
        self._session: pytest.Session | None = None
        reader = OptionReader(config)
        self.stored = StoredRun.named(config, reader)
        if self.stored is not None:
            reader = OptionReader(config, self.stored.options)
        chosen: Options = reader.read()
        self.options = chosen
        self.redact.add(secrets_in_options(chosen))
        self._given = reader.given()
        self.raw_options = reader.everything()
        rollouts = self.stored is not None and not self.stored.is_run
        self.paths_of_stored_run = self._take_paths()
        self.datasets = Datasets(config, chosen, "repeat" if rollouts else "problem")
        self._arguments = self._find_data()
        if options.told(config):
            check_same_session(config, self.datasets)
        recorded = None if self.stored is None else self.stored.description.get("grader")
        choice = choose_grader(config, chosen, self.datasets, recorded)
        self.grader: Grader = choice.grader
        self.described_grader = choice.described
        self.book = None if self.stored is None else self.stored.book(allow_damaged=chosen.allow_damaged)
        self.replays = self.stored is not None and self.stored.replays
        self.reruns = Reruns(config, replays=self.replays)
        self.repeats = self.datasets.repeats(chosen.repeats if "fc_repeats" in self._given else None)
        if self.book is not None and rollouts:
            self.repeats = max(self.repeats, self.book.repeats)  # rollouts tell how often they were made
        self.tally = Tally(self.repeats)
        # Those of another grader were never meant to be the verifier's.
        compares = self.book is not None and isinstance(self.grader, NemoGymGrader)
        self.own_rewards = OwnRewards(self.book.own_rewards if self.book is not None and compares else {})
        self._refusals = Refusals()
        self.recorder = self._make_recorder()
        calls = self.calls = self._calls_directory()
        self._log: CallLog = (
            CallLog() if calls is None else CallFile(calls, self._process_name(), self.redact, begins=self.is_worker)
        )
        servers = Servers()
        self.judging, self.judge = (
            (None, None) if _only_looks(config) else make_judging(config, chosen, self.grader, servers)
        )
        self.judge_notes: set[str] = set()
        self._asker = Asker(
            config,
            chosen,
            load=self._load,
            read_pivot=self._read_case,
            log=self._log,
            redact=self.redact,
            crashes=Crashes(calls) if self.is_worker and calls is not None else None,
            servers=servers,
            judging=self.judging,
        )
        self._asker.book, self._asker.replays = self.book, self.replays
        if chosen.agent is not None and not self.replays:
            self._load(chosen.agent, instantiate=False)

    @classmethod
    def begin(cls, config: pytest.Config, begun: pytest.Session | None = None) -> PivotSession:
        """Check the options, open the data, and take part in the session, which may have begun; raises UsageError."""
        if begun is not None and hasattr(config, "workerinput"):
            if not config.pluginmanager.hasplugin("fcpivot-untold"):
                config.pluginmanager.register(Untold(), "fcpivot-untold")
            raise pytest.Collector.CollectError(NOT_TOLD)
        try:
            session = cls(config)
        except FcPivotError as error:
            raise pytest.UsageError(on_screen(Hiding.begin(config).redact(str(error)))) from error
        except OSError as error:  # a directory that is closed to this user, a name that is too long
            where = f"{error.filename}: {error.strerror or error}"
            raise pytest.UsageError(on_screen(Hiding.begin(config).redact(where))) from error
        if session.datasets.are_run and forked.is_forked(config):
            raise pytest.UsageError(forked.WHY_NOT)
        config.pluginmanager.register(session, "fcpivot-session")
        if not session.is_worker and has_xdist(config):
            session.workers = Workers(session)
            config.pluginmanager.register(session.workers, "fcpivot-workers")
            config.pluginmanager.register(Machines(session), "fcpivot-machines")
        if session.reruns.runners and not session.is_worker:
            config.pluginmanager.register(OneCaseEach(config, session.find_test), "fcpivot-junit-cases")
        config.add_cleanup(gc.unfreeze)
        if begun is not None:
            session.pytest_sessionstart(begun)
        return session

    # ---------------------------------------------------------------- the run on disk

    def _take_paths(self) -> list[str]:
        """Run what the stored run was given, unless paths are typed; returns that, if it is not the data alone."""
        config = self.config
        if config.args_source is config.ArgsSource.ARGS or not options.on_command_line(config):
            return []
        paths = [] if self.stored is None else self.stored.arguments
        if paths:
            config.args, config.args_source = [*paths], config.ArgsSource.ARGS
        return paths

    def _find_data(self) -> list[str] | None:
        """Open the data, and return the paths that the session is given; None if it is the data alone."""
        config = self.config
        typed = [*config.args] if config.args_source is config.ArgsSource.ARGS else None
        self.datasets.find(of_run=bool(self.paths_of_stored_run))
        if typed is None and not self.datasets.are_run:
            typed = config.args  # where pytest looks for tests of the user's, which the run is made of
        return None if typed is None else [_absolute(argument, config) for argument in typed]

    def _make_recorder(self) -> Recorder:
        """Decide where the controller records the run; workers record nothing."""
        chosen, resumes = self.options, self.stored is not None and not self.replays
        path: Path | None = None
        if not self.is_worker and chosen.keep_run and not _only_looks(self.config):
            if resumes and self.stored is not None:
                path = self.stored.path
            else:
                path = chosen.run or RunDirectory.new_path(self.config.rootpath)
        must = resumes or chosen.run is not None
        marks = self.stored is None or self.stored.is_made_here
        return Recorder(path, resumes=resumes, must=must, marks=marks)

    def _calls_directory(self) -> Path | None:
        told = options.told(self.config)
        if told:
            return Path(told["calls"]) if told["calls"] else None
        if self.recorder.path is None and self.config.getoption("dist", "no") != "no":
            # not to be kept, but needed should a worker die
            directory = tempfile.TemporaryDirectory(prefix="fcpivot-")
            self.config.add_cleanup(directory.cleanup)
            return Path(directory.name)
        return self.recorder.calls

    def _process_name(self) -> str:
        worker = getattr(self.config, "workerinput", {}).get("workerid", "main")
        return f"{worker}-{os.getpid()}"

    def describe(self) -> dict[str, Any]:
        """Describe the run as run.json does, without secrets; names of files and tests are left as they are."""
        return {
            "agent": self.agent_name,
            "model": self.redact.within(self.options.model.model),
            "grader": self.shown_grader,
            "pass_mark": self.options.pass_mark,
            "judge": self.redact.within(self.judge),
            "data": [dataset.describe() for dataset in self.datasets],
            "repeats": self.repeats,
            "arguments": self._arguments,
            "replays": str(self.stored.path) if self.stored is not None and self.replays else None,
            "options": self.redact.within(self._given),
        }

    @property
    def exit_status(self) -> int:
        """The session's exit status, as far as it is known."""
        return 0 if self._session is None else int(self._session.exitstatus)

    @property
    def mark(self) -> float | None:
        """The pass mark, where it is one among many rewards; None for a 0/1 grader, which it changes nothing for."""
        return None if self.grader.binary else self.options.pass_mark

    @property
    def agent_name(self) -> str:
        """How reports name the agent; in a replay, the one that gave the answers."""
        if self.stored is not None and self.replays:
            return self.redact(str(self.stored.description.get("agent") or self.stored.path.name))
        agent, model = self.options.agent or "fc_agent fixture", self.options.model.model
        return self.redact(agent if model is None else f"{agent} {model}")

    @property
    def shown_grader(self) -> dict[str, Any]:
        """What graded, as run.json and reports have it: a user's grader may have a secret in its name or settings."""
        described = self.described_grader
        if is_bundled(self.grader.name):
            return described
        said = {name: value for name, value in described.items() if name != "source_sha256"}
        return {**described, **self.redact.within(said)}

    # ---------------------------------------------------------------- data

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session
        self._asker.begin()
        plugins = self.config.pluginmanager
        try:
            self._begin_run()
        except FcPivotError as error:
            raise pytest.UsageError(on_screen(self.redact(str(error)))) from error
        reporter = plugins.getplugin("terminalreporter")
        if reporter is not None and self.config.getoption("durations", None) is None:
            plugins.register(_ShortMemory(reporter, {dataset.label for dataset in self.datasets}))

    def _begin_run(self) -> None:
        if self.is_worker:
            listen_for_stop(self.config, self._be_stopped)
            return
        facts = self.describe()
        if self.stored is not None and not self.replays:
            self.stored.refuse_another(facts)
        if self.recorder.path is not None:
            self.recorder.begin(facts | surroundings(self.config.rootpath))
        self.calls = self._calls_directory()  # another one, if that of the run cannot be written
        if self.config.getoption("xmlpath", None) is not None:
            from pytest_fcpivot.report.junit import guard_writing  # noqa: PLC0415 (only where a file is written)

            guard_writing(self.config, self._junit_failed)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._not_collected.append(report.nodeid)

    def pytest_collection_finish(self) -> None:
        # Thousands of items live until the end; left to the collector they cost a tenth of the run.
        gc.freeze()

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> PivotFile | None:
        dataset = self.datasets.to_collect(file_path)
        return None if dataset is None else PivotFile.make(parent, file_path, dataset, self)

    def cases_of_own_tests(self) -> list[tuple[str, tuple[Dataset, IndexEntry, int]]]:
        """Return the name and the case of everything that a user's own test runs over.

        Raises CollectError if there is nothing, or data that the grader cannot judge.
        """
        self.runs_own_tests = True
        for dataset in self.datasets:
            self.check_gradable(dataset)
        nothing = self.datasets.why_nothing()
        if nothing:
            raise pytest.Collector.CollectError(on_screen(f"no pivot to run this on: {nothing}"))
        return [
            (repeat_name(name, repeat), (dataset, entry, repeat))
            for name, (dataset, entry) in self._named_pivots.items()
            for repeat in range(1, self.repeats + 1)
        ]

    @cached_property
    def _named_pivots(self) -> dict[str, tuple[Dataset, IndexEntry]]:
        """The pivots that tests of the user's run over, by a name of their own in the session.

        A pivot whose id is in several data sets is told apart by the number of its data set, after a sign no id has.
        pytest would number such tests itself, and a controller of workers would not know which pivot was meant.
        """
        named: dict[str, tuple[Dataset, IndexEntry]] = {}
        for number, dataset in enumerate(self.datasets, 1):
            for entry in dataset.entries:
                named[f"{entry.id}@{number}" if entry.id in named else entry.id] = dataset, entry
        return named

    def check_gradable(self, dataset: Dataset) -> None:
        """Refuse, as a collection error, data that the grader cannot judge: before any call is paid for."""
        sizes = {len(entry.expected_names) for entry in dataset.entries}
        try:
            refused = {size for size in sizes if not self.grader.accepts(size)}
        except GraderError as error:
            raise pytest.Collector.CollectError(on_screen(self.redact(str(error)))) from error
        beyond = [entry for entry in dataset.entries if len(entry.expected_names) in refused]
        if beyond:
            what = {"message": "a message", "function_call": "one call"}.get(beyond[0].expected_type)
            several = f"expect {what or 'several calls at once'} (the first: {beyond[0].id})"
            alike = [entry for entry in beyond if entry.expected_type == beyond[0].expected_type]
            advice = "pass --fc-grader=nemo-gym:any-order" if is_bundled(self.grader.name) else "choose another grader"
            raise pytest.Collector.CollectError(
                on_screen(
                    f"{dataset.label}: {len(alike)} pivots {several}, which {self.grader.name} cannot judge; {advice}"
                )
            )

    # ---------------------------------------------------------------- one case

    def agent(self) -> Callable[..., Any]:
        """Load the agent that the options name; a replay needs none."""
        trouble = NO_AGENT
        if self.replays:
            return _no_agent
        if self.options.agent is not None:
            try:
                return self._load(self.options.agent)
            except AgentError as error:
                trouble = str(error)
        if self._session is not None:
            self._session.shouldstop = self._stopping(self.redact(trouble))  # the next test would get no other agent
        pytest.fail(on_screen(self.redact(trouble)), pytrace=False)

    def _load(self, spec: str, *, where: str | None = None, instantiate: bool = True) -> Callable[..., Any]:
        search = [self.config.rootpath, self.config.invocation_params.dir]
        where = where or self.options.agent_from
        return load_agent(spec, search, where=where, instantiate=instantiate, settings=self.options.openai_settings())

    def pivot(self, node: pytest.Item, case: tuple[Dataset, IndexEntry, int] | None) -> Pivot:
        """Read the pivot of a test."""
        if isinstance(node, PivotItem):
            return self._read_case(node).pivot
        if case is None:
            raise pytest.UsageError("the fixture pivot needs a test that takes it as an argument")
        dataset, entry, repeat = case
        pivot = dataset.store.read(entry.row)
        node.stash[CASE] = Case(pivot, repeat)
        return pivot

    def _read_case(self, item: PivotItem) -> Case:
        """Read the pivot of an item, unless that was done already, when its call was started ahead."""
        if CASE not in item.stash:
            item.stash[CASE] = Case(item.parent.dataset.store.read(item.entry.row), item.repeat)
        return item.stash[CASE]

    def _case(self, node: pytest.Item, pivot: Pivot) -> Case:
        """Return what is known of a test; a user's own `pivot` fixture may have given it another pivot."""
        case = node.stash.get(CASE, None)
        if case is None or case.pivot is not pivot:
            case = node.stash[CASE] = Case(pivot)
        return case

    def ask(self, node: pytest.Item, pivot: Pivot, agent: Any) -> Action:
        """Get the agent's action at a pivot; no action to grade is an error of the setup phase."""
        case = self._case(node, pivot)
        if self._only_sets_up:
            return Action()  # the test will not run, so nobody is asked
        if FIRST_GRADED in node.stash:
            case.take(node.stash[FIRST_GRADED])
            assert case.action is not None  # noqa: S101 (it was graded)
            return case.action
        trouble = self.reruns.refusal(node)
        if trouble is not None:
            pytest.fail(trouble, pytrace=False)
        try:
            self._asker.answer(node, case, agent)
            first = first_grade(case, self._other_grading)
            case.action = first.action if first else self._read_action(case.output, tool_set(pivot.tools_json))
        except (TooManyHungCallsError, FatalAgentError) as error:
            trouble = self.redact(str(error))
            node.session.shouldstop = self._stopping(trouble)
        except (AgentError, ActionError) as error:
            trouble = self.redact(str(error))
        except AgentRaisedError as error:
            trouble = explain_error("agent", error.error, case.cause, case.attempts, case.note, redact=self.redact)
        if trouble is not None:
            pytest.fail(on_screen(trouble), pytrace=False)
        assert case.action is not None  # noqa: S101 (there was no trouble)
        return case.action

    @cached_property
    def _other_grading(self) -> tuple[str, ...]:
        """What differs between this session and the run whose answers it takes, by which grades may be others."""
        if self.stored is None or not self.stored.is_run or not self.replays:
            return ()  # a run that is gone on with is refused if it would be graded differently
        return why_not_kept(self.stored.description, self.describe())

    def _read_action(self, output: Any, tools: ToolSet) -> Action:
        action = to_action(output, tools.names, empty_arguments=self.options.empty_arguments)
        refuse_too_long(action)
        return action

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
        if FIRST_GRADED in node.stash:
            return self._grade_again(node, case)
        if case.stored is not None and case.stored.first is not None:
            return self._keep_first_grade(node, case, case.stored.first)
        action = output if isinstance(output, Action) and output is case.action else self._read_action(output, tools)
        case.action, case.grade = action, None
        if case.output is NOT_ASKED:
            case.output = output  # a fixture of the user's gave it
        _forget_properties(node)
        verdict = case.verdict = tools.check(action)
        grade = self._judge(node, case, action)
        if self.options.strict_schema and verdict.status in {"invalid", "unknown-tool"} and grade.reward > 0:
            grade = Grade(0.0, SCHEMA_INVALID, f"schema: {verdict}; {verdict.explanation}", verdict.path)
        case.grade = grade
        return self._assert_passes(node, case)

    def _grade_again(self, node: pytest.Item, case: Case) -> Grade:
        """Give a test that another plugin runs again the grade that it had: the first graded answer counts."""
        __tracebackhide__ = True
        case.take(node.stash[FIRST_GRADED])
        _forget_properties(node)
        return self._assert_passes(node, case)

    def _keep_first_grade(self, node: pytest.Item, case: Case, first: FirstGrade) -> Grade:
        """Give an answer that a secret was taken out of the grade that it had when it was whole."""
        __tracebackhide__ = True
        _forget_properties(node)
        case.action, case.grade, case.verdict = first.action, first.grade, SchemaVerdict(first.schema)
        return self._assert_passes(node, case)

    def _assert_passes(self, node: pytest.Item, case: Case) -> Grade:
        __tracebackhide__ = True
        action, grade, verdict = case.action, case.grade, case.verdict
        assert action is not None  # noqa: S101 (it was graded)
        assert grade is not None  # noqa: S101
        assert verdict is not None  # noqa: S101
        node.user_properties += _properties(grade.reward, shown_category(grade.category, self.redact), str(verdict))
        if not passes(grade.reward, self.options.pass_mark):
            raise WrongAction(explain_wrong_action(case.pivot, action, grade, verdict, self.mark))
        return grade

    def _judge(self, node: pytest.Item, case: Case, action: Action) -> Grade:
        """Get the grader's verdict, or for a message the judge's; without one the test is an error, not a failure."""
        __tracebackhide__ = True
        expected = case.pivot.expected_action
        try:
            judgement = None if self.judging is None else self.judging.verdict(case, action)
            if judgement is None:
                return self.grader.grade(expected, action)
            score_message: Callable[[str, str, float, str], Grade] = self.grader.grade_message  # type: ignore[attr-defined]
            return score_message(expected.message or "", action.message or "", judgement.score, judgement.reason)
        except GraderError as error:
            trouble = str(error)
        except AgentError as error:  # the judge's: none of its calls can succeed
            trouble = str(error)
            node.session.shouldstop = self._stopping(self.redact(trouble))
        except JudgeRaisedError as error:
            case.cause = error.cause or "judge"
            trouble = explain_error("judge", error.error, error.cause, error.attempts, error.note, redact=self.redact)
        except (KeyboardInterrupt, pytest.skip.Exception, pytest.exit.Exception):
            raise
        except BaseException as error:  # noqa: BLE001 (a user's grader may raise anything)
            trouble = explain_error("grader", error, redact=self.redact)
        case.ungraded = True
        pytest.fail(on_screen(self.redact(trouble)), pytrace=False)

    # ---------------------------------------------------------------- reports

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if CASE not in item.stash:
            self._record_without_case(item, report)
            return report
        case = item.stash[CASE]
        if report.sections or report.longrepr is not None:
            _make_sendable(report)
        if call.when == "teardown":
            del item.stash[CASE]  # the conversation is not needed any more
            self._asker.forget(case)
            if self.reruns.may_follow(item):
                self._remember(item, case)
            return report
        if call.when == "setup":
            # the time of the agent is that of the test, however long it was waited for
            report.duration = max(0.0, report.duration - case.waited_s) + (case.latency_s if report.failed else 0.0)
        elif case.attempts:
            report.duration = case.latency_s
        if call.when == "call" or report.outcome != "passed":
            if case.grade is None and report.failed and (case.ungraded or isinstance(item, PivotItem)):
                as_error(report)  # the grader, not the model, is at fault
            error = _error_text(report, item.name) if case.grade is None and report.failed else None
            case.before = item.stash.get(EARLIER_REASONS, None)
            record = case.record(error=error, own=isinstance(item, PivotItem))
            if self.is_worker:
                record.hide_secrets(self.redact)  # those of this machine's environment; the controller has its own
            report.fcpivot = record.to_builtins()  # type: ignore[attr-defined]
        return report

    def _record_without_case(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Record a test that did not come to its pivot: it was skipped, or a fixture before it failed."""
        over = pivot_of(item) if report.when == "setup" and report.outcome != "passed" else None
        if over is not None:
            _make_sendable(report)
            error = _error_text(report, item.name) if report.failed else None
            record = CaseRecord.of_entry(*over, error=error, own=isinstance(item, PivotItem))
            if self.is_worker:
                record.hide_secrets(self.redact)
            report.fcpivot = record.to_builtins()  # type: ignore[attr-defined]

    def _remember(self, item: pytest.Item, case: Case) -> None:
        """Keep what counts of a test that may be run again: its first grade, or that it had none."""
        if case.grade is not None:
            item.stash.setdefault(FIRST_GRADED, case.graded())
        else:
            item.stash[EARLIER_REASONS] = case.reasons()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self.is_worker:
            return
        if getattr(report, "fcpivot", None) is None:
            if report.outcome in ("failed", "skipped") or (report.when == "call" and report.outcome == "passed"):
                self.ending.add_result(report.nodeid)  # a test without a pivot, whose name may look as if it had one
            return
        record = CaseRecord.from_builtins(report.fcpivot)
        record.hide_secrets(self.redact)
        report.fcpivot = None  # type: ignore[attr-defined] # pytest keeps the report; the record is counted
        if report.outcome not in ("passed", "failed", "skipped"):
            return  # no result yet: another plugin runs the test again
        if self.ending.has_result(report.nodeid):
            self.tally.repeated += 1
            return
        graded_nothing = report.outcome == "passed" and record.reward is None  # a test of the user's
        is_result = report.outcome != "skipped" and not graded_nothing
        trouble = self._record(record, report) if is_result and not record.kept else None
        self.tally.add(record, report.nodeid, report.outcome)
        self.own_rewards.add(record)
        self.ending.add_result(report.nodeid)  # last: a Ctrl-C may come at any moment
        if trouble is None and is_result and not self.ending.lost:
            trouble = self._refusals.add(record) or self._too_many()
        if trouble is not None:
            self._stop(trouble)

    def _record(self, record: CaseRecord, report: pytest.TestReport) -> str | None:
        """Write a result to the run; returns what is wrong if that cannot be done any more."""
        outcome = report.outcome if record.reward is not None else "error"
        price, usage = self.options.price, record.usage
        cost = None if price is None or usage is None else price.of(*usage[:3])
        return self.recorder.add(record, report.nodeid, outcome, cost)

    def _too_many(self) -> str | None:
        """Say that more tests than the user allows ended in errors, or with answers that were not read; None if not."""
        chosen = self.options
        for count, what, option, bound in (
            (self.tally.errors, "errors", "--fc-max-errors", chosen.max_errors),
            (self.tally.unread, "malformed, cut-off or call-like answers", "--fc-max-unread", chosen.max_unread),
        ):
            if bound is None or not count:
                continue
            total = self._expected_tests()
            if bound.exceeded(count, total):
                return f"{count} {what}: a run of {total} tests may have no more than {option}={bound.text}"
        return None

    def _expected_tests(self) -> int:
        if self._session is not None and self._session.items:
            return len(self._session.items)
        return self.repeats * sum(len(dataset.entries) for dataset in self.datasets)  # the workers hold the items

    def _stop(self, reason: str) -> None:
        if self._session is not None and not self._session.shouldstop:
            stopping = self._session.shouldstop = self._stopping(reason)
            self._asker.stop()
            stop_workers(self.config, stopping)

    @staticmethod
    def _stopping(reason: str) -> str:
        """Write what pytest says of a session that is stopped, on one line."""
        return f"fcpivot: {one_line(reason, 1000)}"

    def _be_stopped(self, reason: str) -> None:
        """End this worker after the test that it runs, as its controller wants it."""
        self._asker.stop()
        if self._session is not None and not self._session.shouldstop:
            self._session.shouldstop = reason

    def all_tests(self) -> list[str] | None:
        """Return the tests of the data files that are run; None if a filter of pytest's may leave some out."""
        option = self.config.option
        filtered = [getattr(option, name, None) for name in ("keyword", "markexpr", "deselect", "lf")]
        if any(filtered) or self.replays or not self.datasets.are_run:
            return None
        return [
            f"{dataset.label}::{repeat_name(entry.id, repeat)}"
            for dataset in self.datasets
            for entry in dataset.entries
            for repeat in range(1, self.repeats + 1)
        ]

    def find_test(self, nodeid: str) -> tuple[IndexEntry, int, bool] | None:
        """Return the pivot and repeat that a node id means, and whether it is the pivot's own item; None if none."""
        label, _, name = nodeid.rpartition("::")
        own = any(dataset.label == label for dataset in self.datasets)
        # a test of the user's has the pivot in brackets, maybe among other parameters
        names = [name] if own else joined_parts(name.partition("[")[2].removesuffix("]"))
        for text in names:
            pivot_id, bracket, number = text.partition("[r")
            repeat = int(number.removesuffix("]")) if bracket and number.removesuffix("]").isdecimal() else 1
            if not own:
                named = self._named_pivots.get(pivot_id)
                if named is not None:
                    return named[1], repeat, own
                continue
            for dataset in self.datasets:
                entry = dataset.entry(pivot_id) if dataset.label == label else None
                if entry is not None:
                    return entry, repeat, own
        return None

    def pytest_report_header(self) -> list[str]:
        data = ", ".join(self._describe(dataset) for dataset in self.datasets) or "no data"
        mark = "" if self.mark in (None, DEFAULT_PASS_MARK) else f", pass mark {self.mark:.12g}"
        grader = self.shown_grader
        lines = [f"fcpivot: {data}; agent {self.agent_name}; grader {grader['name']}{mark}"]
        settings = settings_line(grader)
        if settings is not None:
            lines.append(f"fcpivot: {settings}")
        lines += [f"fcpivot: {dataset.label}: {dataset.note}" for dataset in self.datasets if dataset.note is not None]
        if self.stored is not None and self.book is not None:
            how = "replays" if self.replays else "resumes"
            kept = len(self.book)
            lines.append(f"fcpivot: {how} {self.shown_path(self.stored.path)}, {kept} answers kept")
            lines += [f"fcpivot: {line}" for line in self.stored.told_of(self.book)]
            if self.book.redacted:
                lines.append(f"fcpivot: {about_kept(self.book.redacted, self._other_grading)}")
        if self.recorder.repaired:
            lines.append(f"fcpivot: its last line was torn ({self.recorder.repaired} bytes), and is asked again")
        if self.recorder.trouble:
            lines.append(f"fcpivot: {self.recorder.trouble}")
        elif self.recorder.path is not None and self.recorder.path != getattr(self.stored, "path", None):
            lines.append(f"fcpivot: run recorded in {self.shown_path(self.recorder.path)}")
        if self.recorder.unmarked is not None:
            lines.append(f"fcpivot: {self.recorder.unmarked}")
        return [on_screen(line) for line in lines]

    def shown_path(self, path: Path) -> str:
        """Write a path as the user would type it."""
        try:
            return os.path.relpath(path, self.config.invocation_params.dir)
        except ValueError:  # another drive
            return str(path)

    def _describe(self, dataset: Dataset) -> str:
        total, chosen = len(dataset.store), len(dataset.entries)
        skipped = dataset.store.provenance.get("bad_rows", 0)
        note = f", {skipped} broken rows skipped" if skipped else ""
        part = f"{chosen} of " if chosen != total or note else ""
        return f"{dataset.label} ({part}{total} pivots{note})"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        self._has_run = not _only_looks(self.config)

    def _selected(self, session: pytest.Session) -> Iterable[str] | None:
        """Return the tests over pivots that this session was to run; None if it ended before that was known."""
        if not self._has_run:
            return None
        if self.workers is not None and self.workers.distribute:
            return self.workers.tests()
        return (item.nodeid for item in session.items if pivot_of(item) is not None)

    def _count_left(self, session: pytest.Session, *, interrupted: bool) -> None:
        """Count the tests that have no result; they are lost unless somebody stopped the session."""
        selected = self._selected(session)
        self.ending.selection = selected is not None
        left = self.tally.not_run = len(self.ending.left(selected or ()))
        stopped_at_failures = session.shouldfail and self.config.getoption("maxfail", 0)
        if left and session.exitstatus in _TO_THE_END and not (stopped_at_failures or interrupted):
            self.ending.lost += left
            self.ending.why = self.ending.why or "nothing says why: a plugin or a hook of yours took them"

    def _name_uncollected(self, session: pytest.Session) -> None:
        """Name the files that could not be collected, where the session went on without: with workers, it does."""
        over_pivots = self.datasets.are_run or self.tally.selected or options.on_command_line(self.config)
        if session.exitstatus not in _TO_THE_END or not over_pivots:
            return
        labels = {dataset.label for dataset in self.datasets}
        wanted = self.config.getoption("continue_on_collection_errors", False)  # but not of the data
        self.ending.uncollected = [name for name in self._not_collected if name in labels or not wanted]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        interrupted = is_interrupted()
        try:
            self._close_calls()
        finally:  # a further Ctrl-C, while calls are waited for, changes nothing of what there is to tell
            if not self.is_worker:
                self._finish(session, interrupted=interrupted)

    def _close_calls(self) -> None:
        self._asker.close()
        if isinstance(self._log, CallFile):
            self._log.close()
        if self.judging is not None:
            self.judge_notes.update(self.judging.judge.notes)
        if self.is_worker:
            self.config.workeroutput["fcpivot"] = sorted(self.judge_notes)  # type: ignore[attr-defined] # xdist's

    def _finish(self, session: pytest.Session, *, interrupted: bool) -> None:
        """Count, settle the exit code, and note the end of the run on disk; every moment of it is one to be ended in.

        What was told of answers is removed as the very last, and only if each test of the selection has a result.
        """
        self._count_left(session, interrupted=interrupted)
        self._name_uncollected(session)
        lost = self.ending.lost + len(self.ending.uncollected)
        broken = self.grader.binary and self.tally.identity_broken()
        self.complete = (
            session.exitstatus in _TO_THE_END
            and not (interrupted or session.shouldstop or session.shouldfail)
            and self.ending.selection
            and not (lost or self.tally.not_run)
        )
        session.exitstatus = exit_status(session.exitstatus, lost=lost, identity_broken=broken, interrupted=interrupted)
        self._to_summarize = self._has_run
        distributes = self.workers is not None and self.workers.distribute
        if not self.complete:
            stop_workers(self.config, "fcpivot: the session ends")
        self.recorder.finish(
            int(session.exitstatus),
            complete=self.complete,
            counts=self.tally.counts() if self.ending.selection else None,
            judged=None if self.judging is None else self.tally.judged,
            # workers still run, and what they are being answered has to have a place; not if one could not begin
            keep=bool(self.ending.lost)
            or (distributes and self.ending.selection and session.exitstatus != pytest.ExitCode.USAGE_ERROR),
        )
        from pytest_fcpivot.report.junit import write_suite_properties  # noqa: PLC0415 (once, at the end)

        judge = self.redact.within(self.judge)
        write_suite_properties(self.config, self.tally, self.mark, judge, self.shown_grader)

    def _junit_failed(self, error: OSError) -> None:
        """Take note that the JUnit file is missing, which whoever waits for it has to learn by the exit code, too."""
        path = self.config.getoption("xmlpath", None)
        self._junit_trouble = f"ERROR: the JUnit file {path} cannot be written: {error.strerror or error}"
        if self.recorder.path is not None and self.recorder.trouble is None:
            run = shlex.quote(self.shown_path(self.recorder.path))
            self._junit_trouble += (
                f"; what it was to tell is recorded: write it with --fc-replay={run} --junitxml=FILE, which asks nobody"
            )
        if self._session is not None and self._session.exitstatus in _TO_THE_END:
            self._session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
        from pytest_fcpivot.report.terminal import few_failures  # noqa: PLC0415 (once, at the end)

        with few_failures(terminalreporter, self.tally):
            yield
        self._summarize(terminalreporter)

    def _summarize(self, reporter: pytest.TerminalReporter) -> None:
        from pytest_fcpivot.report.terminal import write_summary  # noqa: PLC0415 (once, at the end)

        self._to_summarize = False
        write_summary(reporter, self)
        if self._junit_trouble is not None:
            reporter.write_line(on_screen(self.redact(self._junit_trouble)), red=True, bold=True)

    def pytest_unconfigure(self) -> None:
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if self._to_summarize and reporter is not None:
            self._summarize(reporter)  # pytest shows none after an internal error, or an exit code of the user's
        for dataset in self.datasets:
            dataset.store.close()


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


def _forget_properties(node: pytest.Item) -> None:
    """Take back what a test was given for JUnit: it may grade more than once, and the last one counts."""
    if node.user_properties:
        node.user_properties[:] = [pair for pair in node.user_properties if not pair[0].startswith("fc.")]


def _make_sendable(report: pytest.TestReport) -> None:
    """Escape, in what an agent printed, logged or gave as the reason of a skip, what a worker could not send."""
    if report.sections:
        report.sections = [(name, well_formed(content)) for name, content in report.sections]
    if isinstance(report.longrepr, tuple):
        path, line, reason = report.longrepr
        report.longrepr = path, line, on_screen(reason)


def _error_text(report: pytest.TestReport, test: str) -> str:
    """Return what a report shows of an error, with the place where an exception of a test of the user's came from."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return str(report.longrepr)
    if crash.message.startswith(_FAILED):  # by pytest.fail(): a text alone
        return str(crash.message.removeprefix(_FAILED))
    return f"{crash.message}\n  {crash.path}:{crash.lineno} in {test.partition('[')[0]}"


def _no_agent(pivot: Any) -> None:
    raise AgentError(f"a replay asks no agent, and there is no stored answer for {pivot.id}")


def _absolute(argument: str, config: pytest.Config) -> str:
    """Write a path argument so that it means the same from anywhere; `sample` and the like stay as they are."""
    name, separator, rest = argument.partition("::")
    path = config.invocation_params.dir / name
    return f"{path}{separator}{rest}" if path.exists() else argument


def _only_looks(config: pytest.Config) -> bool:
    """Tell whether the session runs no test."""
    return any(config.getoption(name, False) for name in ("collectonly", "setuponly", "setupplan", "showfixtures"))
