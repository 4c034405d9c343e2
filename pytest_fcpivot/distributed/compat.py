"""What pytest-xdist has and does not publish: each by a function of its own, with what is done where it is gone.

An xdist that has changed costs time, or a nicety; it never changes a result. The tests fail loudly for each of these
that the installed xdist does not have any more.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest


def has_xdist(config: pytest.Config) -> bool:
    """Return whether pytest-xdist takes part in a session, be it that it has nothing to do."""
    module = sys.modules.get("xdist.plugin")  # pytest has imported what it has registered
    return module is not None and module in config.pluginmanager.get_plugins()


def xdist_controller(config: pytest.Config) -> Any | None:
    """Return the plugin by which pytest-xdist hands tests to workers; None if this process runs its tests itself.

    It is there from the end of pytest_configure on.
    """
    module = sys.modules.get("xdist.dsession")
    if module is None:
        return None
    return next((each for each in config.pluginmanager.get_plugins() if isinstance(each, module.DSession)), None)


def active_workers(controller: Any, default: Any = frozenset()) -> Any:
    """Return the set of workers that a controller has; `default` where it does not tell."""
    return getattr(controller, "_active_nodes", default)


def replace_restart(controller: Any, replacement: Callable[[Any], Any]) -> Callable[[Any], Any] | None:
    """Have `replacement` called where the controller starts a worker in the place of one that died.

    Returns what it replaces. None where that is gone: a machine that is lost then ends the session by xdist's own
    internal error, which shows why.
    """
    restart: Callable[[Any], Any] | None = getattr(controller, "_clone_node", None)
    if restart is not None:
        controller._clone_node = replacement  # noqa: SLF001
    return restart


def interactor_of(config: pytest.Config) -> Any | None:
    """Return the plugin by which pytest-xdist runs a worker; None if there is none that looks like it."""
    return next((plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "torun")), None)


def queue_of(config: pytest.Config) -> list[int]:
    """Return the places of the tests in this worker's queue, in order, the next one first.

    Empty where the queue is gone: a worker then looks no further than its own test.
    """
    interactor = interactor_of(config)
    queue = getattr(interactor, "torun", None)
    if queue is None or not hasattr(queue, "lock"):
        return []
    following = getattr(interactor, "nextitem_index", None)
    with queue.lock() as waiting:
        return [place for place in (following, *waiting) if isinstance(place, int)]


def hear_commands(config: pytest.Config, name: str, hear: Callable[[dict[str, Any]], None]) -> None:
    """Have `hear` called in a worker, by a thread of its own, for a command of this name from its controller.

    There is no hook for it: the command comes in the channel that xdist has, which passes over what it does not know.
    Where that is gone, nothing is heard, and the worker ends when xdist says so.
    """
    interactor = interactor_of(config)
    handle = getattr(interactor, "handle_command", None)
    if interactor is None or handle is None:
        return

    def handle_command(command: Any) -> None:
        if isinstance(command, tuple) and command[0] == name:
            hear(command[1])
        else:
            handle(command)

    interactor.handle_command = handle_command


def units_of(scheduler: Any, worker: Any) -> Iterable[dict[str, bool]]:
    """Return the groups of tests that a scheduler has given a worker, each test with whether it was run.

    Nothing for a scheduler that keeps no groups.
    """
    units: Iterable[dict[str, bool]] = getattr(scheduler, "assigned_work", {}).get(worker, {}).values()
    return units


def has_tests_left(scheduler: Any, worker: Any) -> bool:
    """Return whether a worker was given tests that it has not run."""
    pending = getattr(scheduler, "node2pending", {}).get(worker)
    return bool(pending) or not all(all(unit.values()) for unit in units_of(scheduler, worker))


def put_back(scheduler: Any, test: str) -> bool:
    """Have a test run again; False if this kind of distribution cannot."""
    try:
        scheduler.mark_test_pending(test)
    except (AttributeError, NotImplementedError):
        return False
    return True


def runs_crashed_test_again(scheduler: Any) -> bool:
    """Return whether a scheduler gives out again, whatever happens, the test at which a worker died."""
    return hasattr(scheduler, "workqueue")


def has_all(scheduler: Any, names: Iterable[str]) -> bool:
    """Return whether a scheduler of xdist's has what a subclass of ours builds on."""
    return all(hasattr(scheduler, name) for name in names)
