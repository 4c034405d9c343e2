"""A time limit for what runs in the tests' own process, so that a session that hangs fails its test alone."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_AGAIN_S = 10.0


class _TooLong(KeyboardInterrupt):
    """Ends a session as Ctrl-C does; pytester raises KeyboardInterrupt itself again, but no subclass of it."""


@contextmanager
def interrupted_after(seconds: float) -> Iterator[threading.Event]:
    """Interrupt the block as Ctrl-C would when its time is over, and then again and again until it ends.

    Yields an event that is set once the time is over. Nothing is interrupted where there is no such timer (Windows).
    """
    over, ended = threading.Event(), threading.Event()
    if not hasattr(signal, "setitimer"):
        yield over
        return

    def interrupt(*_: object) -> None:
        if not ended.is_set():
            over.set()
            raise _TooLong

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
    try:
        yield over
    except _TooLong:
        pass  # `over` says so
    finally:
        ended.set()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
