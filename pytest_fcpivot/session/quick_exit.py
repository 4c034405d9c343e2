"""End a process without taking apart all that it holds: thousands of tests and their reports.

At its end, Python searches everything for reference cycles, several times, and frees each object, although the memory
goes back to the system at once. After a run of 10,000 pivots that takes an eighth of the whole run.
"""

from __future__ import annotations

import atexit
import gc
import io
import socket
import sys
from types import GeneratorType
from typing import Any

# What a process may have when it ends, with nothing in it that would be lost. Exact types: a subclass may do more.
_LOSE_NOTHING = frozenset((io.FileIO, io.BufferedReader, io.StringIO, io.BytesIO, socket.socket))


def end_quickly() -> None:
    """Have this process end quickly, if nothing in it does anything when it is freed."""
    atexit.unregister(_leave_all)  # a process may run several sessions
    atexit.register(_leave_all)


def _leave_all() -> None:
    """Hide all objects from the search for cycles, unless some have to do something at their end.

    Python frees what is in no cycle nonetheless, such as the globals of modules.
    """
    if not (sys.flags.dev_mode or gc.get_debug() or does_something_at_its_end(gc.get_objects())):
        gc.freeze()


def does_something_at_its_end(things: list[Any]) -> bool:
    """Return whether one of the objects may do something when it is freed: has `__del__`, or is a file with content.

    A generator that waits in the middle of its code counts too, since it may have a `finally`.
    """
    kinds = {kind for kind in set(map(type, things)) if any("__del__" in vars(base) for base in kind.__mro__)}
    return any(type(thing) in kinds and not _loses_nothing(thing) for thing in things)


def _loses_nothing(thing: Any) -> bool:
    kind = type(thing)
    if kind is io.TextIOWrapper:
        # Python flushes the standard streams in any case
        return thing in (sys.__stdin__, sys.__stdout__, sys.__stderr__) or _is_closed(thing) or not thing.writable()
    if kind is io.BufferedWriter:
        return _is_closed(thing)
    if kind is GeneratorType:
        return not (thing.gi_suspended or thing.gi_running)
    return kind in _LOSE_NOTHING


def _is_closed(file: Any) -> bool:
    try:
        closed: bool = file.closed
    except ValueError:  # it was detached from what it wrote to
        return True
    return closed
