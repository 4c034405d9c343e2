"""Processor time of a whole session (7 requests) of `fcpivot serve`, beside a server made with `ors-sdk`.

Both serve the same store and grade with the same function, and get the same requests in the same order: K sessions for
each pivot, shuffled. Needs `pip install ors-sdk`. Usage: python benchmarks/ors.py [--pivots 300] [--repeats 8]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_fcpivot import load_pivots

# A server as the SDK's documentation makes one: an environment's class, with the tools of its task.
OTHER = """
import asyncio, json, sys
from ors.environment import Environment
from ors.server import Server
from ors.types import ListToolsOutput, RunToolOutput, RunToolSuccess, TextBlock, ToolOutput, ToolSpec
from pydantic import BaseModel
from pytest_fcpivot import grade
from pytest_fcpivot.data import open_store, resolve_data
from pytest_fcpivot.report.turns import turns
try:
    from ors import tool
except ImportError:
    from ors.environment import tool

store = open_store(resolve_data(sys.argv[1]))
ids = list(store.each("id"))
rows = {own: row for row, own in enumerate(ids)}

class Text(BaseModel):
    message: str

class FCPivot(Environment):
    def __init__(self, task_spec={}, secrets={}):
        super().__init__(task_spec, secrets)
        self.pivot = store.read(rows[task_spec["id"]])

    def get_prompt(self):
        items = self.pivot.input
        text = "\\n\\n".join(f"[{turn.title}]\\n{turn.text}" for turn in turns(items))
        return [TextBlock(text=text, detail={"input": items})]

    @classmethod
    def list_splits(cls):
        return ["train"]

    @classmethod
    def list_tasks(cls, split):
        return [{"id": own} for own in ids]

    @classmethod
    async def num_tasks(cls, split):
        return len(ids)

    @classmethod
    async def get_task(cls, split, index):
        return {"id": ids[index]}

    def list_task_tools(self):
        return ListToolsOutput(tools=[
            ToolSpec(name=t["name"], description=t.get("description") or "", input_schema=t.get("parameters"))
            for t in self.pivot.tools
        ])

    @tool
    async def submit_message(self, given: Text) -> ToolOutput:
        return self.graded(given.message)

    async def _call_tool(self, name, input):
        if name == "submit_message":
            return await super()._call_tool(name, input)
        call = {"type": "function_call", "name": name, "arguments": json.dumps(input)}
        return RunToolOutput(RunToolSuccess(output=self.graded(call)))

    def graded(self, output):
        found = grade(self.pivot, output)
        return ToolOutput(
            blocks=[TextBlock(text=f"reward {found.reward}")], metadata={"category": found.category},
            reward=found.reward, finished=True,
        )

Server([FCPivot]).run("127.0.0.1", int(sys.argv[2]))
"""


class Client:
    """One connection, over which whole requests are sent and whole replies read."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> None:
        """Connect; raises OSError while the server is not there yet."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 26)

    async def ask(self, method: str, path: str, sid: str = "", body: object = None) -> bytes:
        """Send one request; returns the body of the reply."""
        sent = b"" if body is None else json.dumps(body).encode()
        session = f"X-Session-ID: {sid}\r\n" if sid else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{session}Content-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
        await self._writer.drain()
        head_lines = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head_lines.partition(b"\r\n")[0]:
            raise SystemExit(f"{method} {path}: {head_lines.decode()}")
        if b"content-length:" in head_lines:
            size = int(head_lines.partition(b"content-length:")[2].partition(b"\r\n")[0])
            return await self._reader.readexactly(size)
        parts = []
        while size := int(await self._reader.readline(), 16):
            parts.append((await self._reader.readexactly(size + 2))[:-2])
        await self._reader.readline()
        return b"".join(parts)


async def drive(port: int, tasks: list[tuple[int, str, dict[str, object]]], clients: int) -> list[str]:
    """Run a session for each task; returns the rewards."""
    rewards: list[str] = [""] * len(tasks)
    places = iter(range(len(tasks)))

    async def work() -> None:
        client = Client(port)
        await client.open()
        for place in places:
            index, name, given = tasks[place]
            sid = (await client.ask("POST", "/create_session", body={})).split(b"data: ")[1].split()[0].decode()
            await client.ask("POST", "/create", sid, {"env_name": "fcpivot", "split": "train", "index": index})
            await client.ask("GET", "/fcpivot/prompt", sid)
            await client.ask("GET", "/fcpivot/task_tools", sid)
            reply = await client.ask("POST", "/fcpivot/call", sid, {"name": name, "input": given})
            rewards[place] = str(json.loads(reply.split(b"data: ")[-1])["output"]["reward"])
            await client.ask("POST", "/delete", sid)
            await client.ask("POST", "/delete_session", sid)

    await asyncio.gather(*(work() for _ in range(clients)))
    return rewards


def processor_s(pid: int) -> float:
    """Return the processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_up(port: int) -> None:
    """Wait until a server answers."""
    for _ in range(600):
        try:
            asyncio.run(drive(port, [], 1))
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server did not start")


def main() -> None:
    """Measure both servers in turns, and print the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="sample")
    parser.add_argument("--pivots", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    tasks: list[tuple[int, str, dict[str, object]]] = []
    for index, pivot in enumerate(load_pivots(options.data)[: options.pivots]):
        calls = pivot.expected_action.calls
        given = json.loads(calls[0].arguments) if calls else {"message": pivot.expected_action.message}
        tasks += [(index, calls[0].name if calls else "submit_message", given)] * options.repeats
    random.Random(1).shuffle(tasks)  # noqa: S311 (an order)
    print(f"{len(tasks)} sessions of 7 requests, {options.clients} at once, {options.repeats} for each pivot, shuffled")
    with tempfile.TemporaryDirectory() as place:
        other = Path(place, "other.py")
        other.write_text(OTHER, encoding="utf-8")
        taken: dict[str, list[float]] = {"ors-sdk": [], "fcpivot serve": []}
        found: dict[str, list[str]] = {}
        for turn in range(options.rounds):
            for name, each in taken.items():
                port = 18400 + 2 * turn + (name == "ors-sdk")
                command = [str(other), options.data, str(port)]
                if name != "ors-sdk":
                    command = ["-m", "pytest_fcpivot.cli", "serve", f"fcpivot={options.data}", f"--port={port}"]
                with (
                    Path(os.devnull).open("w", encoding="ascii") as nowhere,
                    subprocess.Popen([sys.executable, *command], stdout=nowhere, stderr=nowhere) as server,
                ):
                    wait_until_up(port)
                    before = processor_s(server.pid)
                    found[name] = asyncio.run(drive(port, tasks, options.clients))
                    each.append((processor_s(server.pid) - before) / len(tasks) * 1000)
                    server.terminate()
        assert found["ors-sdk"] == found["fcpivot serve"], "the rewards differ"
    for name, each in taken.items():
        listed = ", ".join(f"{one:.2f}" for one in each)
        print(f"{name}: {statistics.median(each):.2f} ms of the processor a session ({listed})")
    ratio = statistics.median(taken["fcpivot serve"]) / statistics.median(taken["ors-sdk"])
    print(f"ratio: {ratio:.2f}, all {len(tasks)} rewards equal")


if __name__ == "__main__":
    main()
