"""Reads pivots for sessions: the recent ones are kept, since trainers ask for each one several times.

Pivots are read by several threads, each with a store of its own, so that a slow disk does not hold up other sessions.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from sys import getsizeof
from typing import TYPE_CHECKING

from pytest_fcpivot.schema.toolset import tool_set
from pytest_fcpivot.serve.prompt import prompt
from pytest_fcpivot.serve.tools import Mode, task_tools, tools_reply

if TYPE_CHECKING:
    from pytest_fcpivot.core.model import Pivot
    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.serve.environments import Environment

_THREADS = 4
_MOST_BYTES = 48 << 20
_OBJECTS = 2048  # bytes of a kept pivot beside its texts, roughly
_Key = tuple[str, int]  # an environment's name and a row


class Task:
    """A pivot that was read, with the replies that show it: its prompt and its tools, as JSON."""

    __slots__ = ("pivot", "prompt", "size", "tool_names", "tools")

    def __init__(self, pivot: Pivot, mode: Mode) -> None:
        view = pivot.view()
        self.pivot = pivot
        self.tool_names = tool_set(pivot.tools_json).names
        self.prompt = json.dumps(prompt(mode, view)).encode()
        self.tools = json.dumps(tools_reply(task_tools(mode, view.tools))).encode()
        expected = pivot.expected_action
        kept = [pivot.input_json, pivot.tools_json, pivot.params_json, pivot.metadata_json, self.prompt, self.tools]
        kept += [expected.message or "", *(call.arguments for call in expected.calls)]
        self.size = _OBJECTS + sum(map(getsizeof, kept))  # a text of other scripts takes up to four bytes a character


class Pivots:
    """The pivots of all environments of a server."""

    def __init__(self, mode: Mode) -> None:
        self._mode: Mode = mode
        self._kept: OrderedDict[_Key, Task] = OrderedDict()
        self._size = 0
        self._reading: dict[_Key, asyncio.Future[Task]] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "fcpivot-read")
        self._own = threading.local()

    async def task(self, environment: Environment, row: int) -> Task:
        """Return the task at a row; raises DataError if it cannot be read."""
        key = environment.name, row
        task = self._kept.get(key)
        if task is not None:
            self._kept.move_to_end(key)
            return task
        reading = self._reading.get(key)
        if reading is None:
            loop = asyncio.get_running_loop()
            reading = self._reading[key] = loop.run_in_executor(self._threads, self._read, environment, row)
            reading.add_done_callback(lambda _: self._reading.pop(key, None))
        # One of several sessions that wait may be given up, which must not end the others.
        task = await asyncio.shield(reading)
        if key not in self._kept:
            self._keep(key, task)
        return task

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)

    def _read(self, environment: Environment, row: int) -> Task:
        stores: dict[str, PivotStore] = self._own.__dict__
        store = stores.get(environment.name)
        if store is None:
            store = stores[environment.name] = environment.store.again()
        return Task(store.read(row, alone=True), self._mode)

    def _keep(self, key: _Key, task: Task) -> None:
        self._kept[key] = task
        self._size += task.size
        while self._size > _MOST_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._size -= oldest.size
