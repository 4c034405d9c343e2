"""Handle plugins that run tests again or several times: a wrong answer must not be asked again until it is right.

Such plugins are recognised by their options and hooks, not by name alone. If a test runs again after its answer was
graded, it gets the same answer and grade; after an error, the agent is asked anew.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.core.errors import OptionError, WrongAction
from pytest_fcpivot.session.marks import has_mark
from pytest_fcpivot.session.peers import has_option

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

_FLAKY = frozenset({"flaky"})
_INSTEAD = "pass --fc-repeats=K to ask at each pivot several times, and --fc-retries=N to ask again after faults"
_UNTIL_RIGHT = f"a wrong answer would be asked again until it is right; {_INSTEAD}"


class Reruns:
    """The reruns that other plugins were asked for; raises OptionError for those that would make results wrong."""

    def __init__(self, config: pytest.Config, *, replays: bool) -> None:
        self._config = config
        for reason in _refused(config):
            raise OptionError(reason)
        self.asked = _asked(config)
        self._retries_by_mark = has_option(config, "retry_delay")
        if has_option(config, "rerun_except"):
            _give_up_at(config, "^" if replays else rf"^{WrongAction.__name__}\b")

    @cached_property
    def runners(self) -> list[Any]:
        """The plugins that may run a test in pytest's place."""
        found = self._config.hook.pytest_runtest_protocol.get_hookimpls()
        plugins = [impl.plugin for impl in found if not (impl.wrapper or impl.hookwrapper)]
        return [plugin for plugin in plugins if not getattr(plugin, "__name__", "").startswith("_pytest.")]

    def may_follow(self, item: pytest.Item) -> bool:
        """Return whether another plugin may run a test again in this process."""
        if not self.runners:
            return False
        if self.asked is not None or has_mark(item, _FLAKY):
            return True
        return self._run_again_unasked

    @cached_property
    def _run_again_unasked(self) -> bool:
        # pytest-rerunfailures has this function, and runs a test again only if it is asked to
        return not all(hasattr(plugin, "get_reruns_count") for plugin in self.runners)

    def refusal(self, item: pytest.Item) -> str | None:
        """Return why the marks of a test are refused; None if they are not."""
        if not self._retries_by_mark or not has_mark(item, _FLAKY):
            return None
        return f"the mark flaky, which pytest-retry follows: {_UNTIL_RIGHT}"


class OneCaseEach:
    """Keeps one case in the JUnit file for each test over a pivot, however often another plugin ran it.

    Otherwise, each run that has no result would be a case of its own, and would look like a test that passed.
    """

    def __init__(self, config: pytest.Config, is_over_pivot: Callable[[str], object]) -> None:
        self._config = config
        self._is_over_pivot = is_over_pivot
        self._have_result: set[tuple[str, str]] = set()  # tests with a result, until their teardown

    @classmethod
    def register(cls, config: pytest.Config, is_over_pivot: Callable[[str], object]) -> None:
        """Begin to keep the cases, if a JUnit file is written; once pytest is configured."""
        from pytest_fcpivot.report.junit import suite_writers  # noqa: PLC0415 (few sessions have such plugins)

        if suite_writers(config):
            config.pluginmanager.register(cls(config, is_over_pivot), "fcpivot-junit-cases")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, None, None]:
        """Drop the JUnit case of a run that ends without a result."""
        test = getattr(report, "worker_id", ""), report.nodeid
        if report.when != "teardown":
            if report.outcome in ("failed", "skipped") or (report.outcome == "passed" and report.when == "call"):
                self._have_result.add(test)
            return (yield)
        if test in self._have_result or report.failed or not self._is_over_pivot(report.nodeid):
            self._have_result.discard(test)
            return (yield)
        from pytest_fcpivot.report.junit import written_cases  # noqa: PLC0415 (few sessions come here)

        cases = list(written_cases(self._config, report))  # before the reporter closes them
        yield
        for case in cases:
            case.drop()
        return None


def refuse_repeats(config: pytest.Config, marked: pytest.Item | Any) -> str | None:
    """Return why a test over pivots cannot have pytest-repeat's mark; None if it does not have the mark."""
    if not has_option(config, "repeat_scope") or marked.get_closest_marker("repeat") is None:
        return None
    return f"the mark repeat (pytest-repeat): each repeat would be counted as another pivot; {_INSTEAD}"


def _refused(config: pytest.Config) -> Iterator[str]:
    """Yield the reasons why the options of other plugins are refused."""
    count = config.getoption("count", None)
    if has_option(config, "repeat_scope") and isinstance(count, int) and count > 1:
        yield (
            f"--count={count} (pytest-repeat): each repeat would be counted as another pivot; "
            f"pass --fc-repeats={count} instead"
        )
    if config.getoption("flake_finder_enable", False):
        yield f"--flake-finder (pytest-flakefinder): each repeat would be counted as another pivot; {_INSTEAD}"
    if config.getoption("force_flaky", False):
        yield f"--force-flaky (flaky): {_UNTIL_RIGHT}"
    if has_option(config, "retry_delay"):
        retries, where = _setting(config, "retries")
        if retries:
            yield f"{where} (pytest-retry): {_UNTIL_RIGHT}"


def _asked(config: pytest.Config) -> str | None:
    """Return the option or ini setting that asks for reruns, as text for messages; None if none does."""
    if not has_option(config, "reruns"):
        return None
    forced = config.getoption("force_reruns", None)
    if forced is not None:
        return f"--force-reruns={forced}" if forced else None
    reruns, where = _setting(config, "reruns")
    return where if reruns else None


def _give_up_at(config: pytest.Config, errors: str) -> None:
    """Make pytest-rerunfailures run no test again after errors that match, through its own option."""
    chosen = config.option.rerun_except or _ini(config, "rerun_except") or []
    config.option.rerun_except = [*chosen, errors]


def _setting(config: pytest.Config, name: str) -> tuple[int, str]:
    """Return a number set by an option or else the ini file (0 if by neither), and the setting as text for messages."""
    value, where = config.getoption(name, None), f"--{name}"
    if value is not None:
        return value, f"{where}={value}"
    try:
        number = int(_ini(config, name) or 0)
    except ValueError:
        number = 0  # the plugin itself refuses it
    return number, f"{name} = {number} in the ini file"


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(name)
    except (KeyError, ValueError):  # no plugin has defined it
        return None
