"""The plugin's hooks and fixtures; each delegates to a session.

Every pytest session in the environment imports this module. So it imports only pytest, the standard library and a few
small modules of ours, and does nothing until an option, a data file or one of the fixtures asks for pivots.
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
    """A finder that imports this package's modules as Python does, without pytest's rewriting of asserts.

    pytest rewrites the asserts in all modules of a package with a plugin, so that they explain their failures, and
    caches the result. Without a cache, or one that it can write, each process reads, rewrites and compiles all modules
    again, although Python has compiled them already. That took longer than everything else in a session of one pivot,
    and this package has no asserts that tests rely on. Users' modules are rewritten as usual.
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module of this package; None for any other."""
        return PathFinder.find_spec(name, path, target) if name.startswith("pytest_fcpivot.") else None

    @classmethod
    def goes_first(cls) -> None:
        """Put this finder before all others; it changes nothing in a process where pytest has removed its own."""
        if cls in sys.meta_path:
            sys.meta_path.remove(cls)
        sys.meta_path.insert(0, cls)


# This has to come before any import of this package, because modules that are imported earlier are rewritten.
AsWritten.goes_first()
from pytest_fcpivot import hookspecs  # noqa: E402
from pytest_fcpivot.session import options  # noqa: E402

_MARKERS = (
    "function_call: a pivot where the expert calls one or several functions (set by pytest-fcpivot)",
    "message: a pivot where the expert answers with a message (set by pytest-fcpivot)",
)
# Copies of data.files.SUFFIXES and data.SAMPLE, which are not imported, to keep the start-up of other sessions fast.
_DATA_ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
_SESSION = pytest.StashKey["PivotSession"]()


def _session(config: pytest.Config, begun: pytest.Session | None = None) -> PivotSession:
    """Return the session over pivots, and begin it if this is the first need for it.

    `begun` is pytest's session, if that has started already.
    """
    if _SESSION not in config.stash:
        from pytest_fcpivot.distributed.begin import begin  # noqa: PLC0415 (imported only when pivots are asked for)

        config.stash[_SESSION] = begin(config, begun)
    return config.stash[_SESSION]


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    AsWritten.goes_first()  # each session installs its own rewriting finder, and a process may run several sessions
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
        # pytest shows this error before it configures any plugin
        if not options.given_so_far(early_config) or getattr(error, "path", None) is None:
            raise
        from pytest_fcpivot.session.redaction import without_secrets  # noqa: PLC0415 (only for a conftest that fails)

        clean = without_secrets(error)
        if clean is error:
            raise
    raise clean


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    try:
        return (yield)
    except pytest.UsageError as error:
        from pytest_fcpivot.session.redaction import Redaction  # noqa: PLC0415 (only for a session that fails to start)

        redaction = Redaction.of(config)
        clean = error if redaction is None else redaction.usage_error(error)
        if clean is error:
            raise
    raise clean  # outside of the except block, because a worker would also send the error's context


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "pivot" in metafunc.fixturenames:
        from pytest_fcpivot.session import own_tests  # noqa: PLC0415 (only where a test may take a pivot)

        config, begun = metafunc.config, metafunc.definition.session
        own_tests.parametrize(metafunc, config.stash.get(_SESSION, None), lambda: _session(config, begun))


@pytest.fixture(scope="session")
def fc_agent(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Return the agent under test, as --fc-agent names it; override this fixture in a conftest to build one in code."""
    from pytest_fcpivot.session import own_tests  # noqa: PLC0415 (only where an agent is wanted)

    if own_tests.nothing_named(request.config, request.config.stash.get(_SESSION, None)):
        pytest.skip(own_tests.NOTHING_NAMED)
    return _session(request.config, request.session).agent()


@pytest.fixture
def pivot(request: pytest.FixtureRequest) -> Pivot:
    """Return this test's pivot, including the expert's action; a test that takes it runs once for each pivot."""
    return _session(request.config, request.session).pivot(request.node, getattr(request, "param", None))


@pytest.fixture
def fc_action(request: pytest.FixtureRequest, pivot: Pivot, fc_agent: Callable[..., Any]) -> Action:
    """Return the agent's action at this pivot; if the agent gives none, the test is an error, not a failure."""
    return _session(request.config, request.session).ask(request.node, pivot, fc_agent)


@pytest.fixture
def fc_grade(request: pytest.FixtureRequest, pivot: Pivot) -> Callable[[Any], Grade]:
    """Return a function that grades an action at this pivot, and raises WrongAction for one under the pass mark."""
    return _session(request.config, request.session).grader_for(request.node, pivot)
