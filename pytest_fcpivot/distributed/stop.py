"""How the controller of workers ends a session at once.

To end, xdist has every worker run first what is in its queue, which may be a large part of the run.
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
    """Let the controller end the run, and its workers at once; in a session without workers, pytest itself does.

    To end, xdist has every worker run first what is in its queue, which may be a large part of the run.
    """
    controller = xdist_controller(config)
    if controller is None:
        return
    if hasattr(controller, "shouldstop"):
        controller.shouldstop = controller.shouldstop or reason
    for node in list(active_workers(controller)):
        with suppress(Exception):  # whatever keeps it from hearing: it has ended, or does
            node.sendcommand(_STOP, reason=reason)


def listen_for_stop(config: pytest.Config, stop: Callable[[str], None]) -> None:
    """Have `stop` called in a worker, by a thread of its own, when the controller wants it to end."""
    hear_commands(config, _STOP, lambda told: stop(told["reason"]))
