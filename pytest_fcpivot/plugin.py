"""The pytest hooks and fixtures: each delegates.

This module is imported in every pytest session of its environment, so at import it pulls in pytest and the standard
library alone, and it does nothing until an option, a data file or one of the fixtures asks for pivots.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from pytest_fcpivot.core.model import Action, Grade, Pivot
    from pytest_fcpivot.session.hooks import PivotSession


class AsWritten:
    """Finds the modules of this package where Python does, past pytest's rewriting of asserts.

    pytest rewrites the asserts in every module of a package that brings a plugin, so that they explain themselves when
    they fail, and keeps the result in a cache of its own. Where it has none, or cannot write one, each process reads,
    rewrites and compiles all modules anew, although Python has them compiled. This package asserts nothing, and that
    took longer than all the rest of a session of one pivot. Users' modules are rewritten as ever.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module of this package; None for any other."""
        return PathFinder.find_spec(name, path, target) if name.startswith("pytest_fcpivot.") else None

    @classmethod
    def goes_first(cls) -> None:
        """Go before any finder that is there now; when pytest has taken its own away, this one changes nothing."""
        if cls in sys.meta_path:
            sys.meta_path.remove(cls)
        sys.meta_path.insert(0, cls)


# At once, and in this module rather than one of its own: what is imported before is rewritten.
AsWritten.goes_first()
from pytest_fcpivot import hookspecs  # noqa: E402
from pytest_fcpivot.session import options  # noqa: E402

_MARKERS = (
    "function_call: a pivot where the expert calls one or several functions (set by pytest-fcpivot)",
    "message: a pivot where the expert answers with a message (set by pytest-fcpivot)",
)
# data.files.SUFFIXES and data.SAMPLE, which are not imported here: this module must cost nothing.
_DATA_ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
_SESSION = pytest.StashKey["PivotSession"]()


def _session(config: pytest.Config, begun: pytest.Session | None = None) -> PivotSession:
    """Return the session of this run, beginning one if a fixture is the first to need it.

    `begun` is pytest's own session, where it has begun before.
    """
    if _SESSION not in config.stash:
        from pytest_fcpivot.distributed.begin import begin  # noqa: PLC0415 (imported only when pivots are asked for)

        config.stash[_SESSION] = begin(config, begun)
    return config.stash[_SESSION]


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    AsWritten.goes_first()  # each session has a rewriting of its own, and a process may run several
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.register(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)
    named = any(
        arg.partition("::")[0].endswith(_DATA_ENDINGS) or arg.partition("::")[0] == "sample" for arg in config.args
    )
    if named or options.asked_for(config) or options.agent_is_built(config):
        _session(config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    try:
        return (yield)
    except Exception as error:
        # pytest shows it by itself, before it configures anything
        if not options.given_so_far(early_config) or getattr(error, "path", None) is None:
            raise
        from pytest_fcpivot.session.hiding import without_secrets  # noqa: PLC0415 (only for a conftest that fails)

        clean = without_secrets(error)
        if clean is error:
            raise
    raise clean


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    try:
        return (yield)
    except pytest.UsageError as error:
        from pytest_fcpivot.session.hiding import Hiding  # noqa: PLC0415 (only for a session that cannot begin)

        hiding = Hiding.of(config)
        clean = error if hiding is None else hiding.usage_error(error)
        if clean is error:
            raise
    raise clean  # without the one that it came from, which a worker would send along


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pivot" in metafunc.fixturenames:
        from pytest_fcpivot.session import own_tests  # noqa: PLC0415 (only where a test may take a pivot)

        config, begun = metafunc.config, metafunc.definition.session
        own_tests.parametrize(metafunc, config.stash.get(_SESSION, None), lambda: _session(config, begun))


@pytest.fixture(scope="session")
def fc_agent(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return the agent under test, from --fc-agent; override it in a conftest to build one in code."""
    from pytest_fcpivot.session import own_tests  # noqa: PLC0415 (only where an agent is wanted)

    if own_tests.nothing_named(request.config, request.config.stash.get(_SESSION, None)):
        pytest.skip(own_tests.NOTHING_NAMED)
    return _session(request.config, request.session).agent()


@pytest.fixture
def pivot(request: pytest.FixtureRequest) -> Pivot:
    """Return this test's pivot, with the expert's action; a test that takes it runs once for each pivot."""
    return _session(request.config, request.session).pivot(request.node, getattr(request, "param", None))


@pytest.fixture
def fc_action(request: pytest.FixtureRequest, pivot: Pivot, fc_agent: Callable[..., Any]) -> Action:
    """Return the agent's answer to this pivot; an agent that gives none makes the test an error, not a failure."""
    return _session(request.config, request.session).ask(request.node, pivot, fc_agent)


@pytest.fixture
def fc_grade(request: pytest.FixtureRequest, pivot: Pivot) -> Callable[[Any], Grade]:
    """Return a callable that grades an action at this pivot, and raises WrongAction on a failing one."""
    return _session(request.config, request.session).grader_for(request.node, pivot)
