"""All uses of pytest-xdist's private attributes, each in one function that has a fallback for when it is gone.

If xdist changes one of them, sessions become slower or lose a convenience; results never change. A test fails for each
attribute that the installed xdist lacks.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest


def has_xdist(config: pytest.Config) -> bool:
    """Return whether pytest-xdist is active in a session, even if it starts no workers."""
    module = sys.modules.get("xdist.plugin")  # a registered plugin has been imported
    return module is not None and module in config.pluginmanager.get_plugins()


def will_distribute(config: pytest.Config) -> bool:
    """Return whether a session with xdist is going to start workers; for use before the controller exists."""
    return config.getoption("dist", "no") != "no" and not config.getoption("collectonly")


def xdist_controller(config: pytest.Config) -> Any | None:
    """Return xdist's plugin object that distributes tests (DSession); None if this process runs its tests itself.

    It exists from the end of pytest_configure on.
    """
    module = sys.modules.get("xdist.dsession")
    if module is None:
        return None
    return next((each for each in config.pluginmanager.get_plugins() if isinstance(each, module.DSession)), None)


def active_workers(controller: Any, default: Any = frozenset()) -> Any:
    """Return the set of a controller's active workers; `default` if the attribute is gone."""
    return getattr(controller, "_active_nodes", default)


def replace_restart(controller: Any, replacement: Callable[[Any], Any]) -> Callable[[Any], Any] | None:
    """Make the controller call `replacement` where it would start a new worker for one that died.

    Returns the function that was replaced; None if it is gone, and then a lost machine ends the session with xdist's
    own internal error, which shows the reason.
    """
    restart: Callable[[Any], Any] | None = getattr(controller, "_clone_node", None)
    if restart is not None:
        controller._clone_node = replacement  # noqa: SLF001
    return restart


def expect_its_death(worker: Any) -> None:
    """Let commands to a worker that has just died come to nothing, as xdist itself does when it ends a worker.

    xdist gives the tests of a dead worker to the others at once. If another one has died at the same moment, it only
    hears of that next, and sending to it would end the session with an internal error. Fallback: it does.
    """
    send = getattr(worker, "sendcommand", None)
    if send is None:
        return

    def sendcommand(name: str, **kwargs: Any) -> None:
        with suppress(OSError):  # what was sent is in its queue, which xdist takes back when it hears of the death
            send(name, **kwargs)

    worker.sendcommand = sendcommand


def interactor_of(config: pytest.Config) -> Any | None:
    """Return xdist's plugin object that runs a worker (WorkerInteractor); None if none has its attributes."""
    return next((plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "torun")), None)


def queue_of(config: pytest.Config) -> list[int]:
    """Return the indices of the tests in this worker's queue, in order, beginning with the next one.

    Fallback: an empty list, and a worker starts no calls ahead.
    """
    interactor = interactor_of(config)
    queue = getattr(interactor, "torun", None)
    if queue is None or not hasattr(queue, "lock"):
        return []
    following = getattr(interactor, "nextitem_index", None)
    with queue.lock() as waiting:
        return [place for place in (following, *waiting) if isinstance(place, int)]


def hear_commands(config: pytest.Config, name: str, hear: Callable[[dict[str, Any]], None]) -> None:
    """Make a worker call `hear`, in another thread, for each command `name` from its controller.

    xdist has no hook for this. The command comes through xdist's own channel, and xdist ignores commands that it does
    not know. Fallback: commands are ignored, and the worker ends when xdist ends it.
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
    """Return the groups of tests that a scheduler has given to a worker; each maps a test to whether it has run.

    Fallback, also for schedulers without groups: no groups.
    """
    units: Iterable[dict[str, bool]] = getattr(scheduler, "assigned_work", {}).get(worker, {}).values()
    return units


def has_tests_left(scheduler: Any, worker: Any) -> bool:
    """Return whether a worker has been given tests that it has not run."""
    pending = getattr(scheduler, "node2pending", {}).get(worker)
    return bool(pending) or not all(all(unit.values()) for unit in units_of(scheduler, worker))


def put_back(scheduler: Any, test: str) -> bool:
    """Make a scheduler run a test again; returns False if it cannot."""
    try:
        scheduler.mark_test_pending(test)
    except (AttributeError, NotImplementedError):
        return False
    return True


def runs_crashed_test_again(scheduler: Any) -> bool:
    """Return whether a scheduler always hands out the test again at which a worker died."""
    return hasattr(scheduler, "workqueue")


def has_all(scheduler: Any, names: Iterable[str]) -> bool:
    """Return whether a scheduler has all the attributes that our subclass uses."""
    return all(hasattr(scheduler, name) for name in names)
