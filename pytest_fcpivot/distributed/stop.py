"""End a session with workers at once, at the controller's command.

By itself, xdist lets each worker run all tests in its queue first, which may be a large part of the run.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_fcpivot.distributed.compat import active_workers, hear_commands, xdist_controller

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

_STOP = "fcpivot_stop"  # a command to a worker


def stop_workers(config: pytest.Config, reason: str) -> None:
    """Make the controller end the session, and its workers end after their present tests.

    Does nothing in a session without workers, which pytest itself ends.
    """
    controller = xdist_controller(config)
    if controller is None:
        return
    if hasattr(controller, "shouldstop"):
        controller.shouldstop = controller.shouldstop or reason
    for node in list(active_workers(controller)):
        with suppress(Exception):  # a worker that cannot be reached has ended, or is ending
            node.sendcommand(_STOP, reason=reason)


def listen_for_stop(config: pytest.Config, stop: Callable[[str], None]) -> None:
    """Make a worker call `stop` with the reason, in another thread, when the controller commands its end."""
    hear_commands(config, _STOP, lambda command: stop(command["reason"]))
