"""Time runs of slow agents against what the same calls take without pytest.

    python benchmarks/concurrency.py [--calls 2000] [--in-flight 64] [--rounds 3] [--only NAME]

Each scenario is a pytest session over the bundled sample's pivots, repeated under other ids. It is compared with the
ideal (calls x latency / calls in flight), with a bare asyncio loop under a semaphore over the same calls, or with a
bare AsyncOpenAI client doing the same, in the same round. `session` is what pytest says it took, `process` includes
starting Python. The server of the last scenarios runs on the same machine, and counts what it is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "fixtures"), str(ROOT / "benchmarks")]

from model_server import ModelServer  # noqa: E402 (a file beside, not an installed module)
from session_speed import write_inputs  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

LATENCY_S = 0.2
AGENTS = f"""
import asyncio
import math
import random
import time

async def fixed(pivot):
    await asyncio.sleep({LATENCY_S})

def blocking(pivot):
    time.sleep({LATENCY_S})

def latency(pivot_id):  # log-normal: median {LATENCY_S}, sigma 1
    return {LATENCY_S} * math.exp(random.Random(pivot_id).gauss(0, 1))

async def long_tailed(pivot):
    await asyncio.sleep(latency(pivot.id))
"""


@dataclass
class Took:
    """What one session took."""

    session: float
    process: float


def main() -> None:
    """Measure every scenario in turn, several rounds over, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="a part of the names of the scenarios to run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), options.calls, options.in_flight)
        scenarios: dict[str, tuple[Callable[[], Iterable[tuple[str, float, Took]]], float]] = {
            "async agent / ideal": (bench.fixed, 1.10),
            "sync agent / ideal": (bench.blocking, 1.10),
            "log-normal / bare semaphore": (bench.long_tailed, 1.25),
            "-n 2 / ideal": (bench.two_workers, 1.25),
            "openai-chat / bare client": (bench.chat, 1.15),
            "openai / bare client": (bench.responses, 1.15),
            "openai-chat, -n 2 / ideal": (bench.chat_two_workers, 1.25),
        }
        for label, (scenario, target) in scenarios.items():
            if options.only and options.only not in label:
                continue
            against, sessions, processes, notes = [], [], [], set()
            for _ in range(options.rounds):
                for note, base, took in scenario():
                    against.append(base)
                    sessions.append(took.session / base)
                    processes.append(took.process / base)
                    notes.add(note)
            print(
                f"{label:28} {median(sessions):5.2f} session {median(processes):5.2f} process   "
                f"(target: at most {target}; compared with {median(against):.2f} s) {' '.join(sorted(notes))}",
                flush=True,
            )


class Bench:
    """The scenarios, on one set of pivots."""

    def __init__(self, directory: Path, calls: int, in_flight: int) -> None:
        self.directory = directory
        self.calls = calls
        self.in_flight = in_flight
        self.ideal = calls * LATENCY_S / in_flight
        write_inputs(directory, calls)
        (directory / "conftest.py").unlink()
        (directory / "agents.py").write_text(AGENTS)

    def fixed(self) -> Iterable[tuple[str, float, Took]]:
        """Await the same latency at every pivot."""
        yield "", self.ideal, self.pytest("--fc-agent=agents:fixed")

    def blocking(self) -> Iterable[tuple[str, float, Took]]:
        """Sleep as long in threads."""
        yield "", self.ideal, self.pytest("--fc-agent=agents:blocking")

    def two_workers(self) -> Iterable[tuple[str, float, Took]]:
        """Share the calls among two workers, under both ways of distribution that xdist knows for it."""
        for dist in ("load", "worksteal"):
            yield "", self.ideal, self.pytest("--fc-agent=agents:fixed", "-n2", f"--dist={dist}", workers=2)

    def long_tailed(self) -> Iterable[tuple[str, float, Took]]:
        """Await log-normal latencies."""
        scope: dict[str, Any] = {}
        exec(AGENTS, scope)  # noqa: S102 (the text above)
        latencies = [scope["latency"](pivot.id) for pivot in self.pivots()]
        bare = asyncio.run(self.bare([asyncio.sleep for _ in latencies], latencies))
        yield "", bare, self.pytest("--fc-agent=agents:long_tailed")

    def chat(self) -> Iterable[tuple[str, float, Took]]:
        """Ask the server through the Chat Completions API."""
        yield from self.through_client("openai-chat")

    def responses(self) -> Iterable[tuple[str, float, Took]]:
        """Ask the server through the Responses API."""
        yield from self.through_client("openai")

    def through_client(self, agent: str) -> Iterable[tuple[str, float, Took]]:
        """Compare an agent of ours with the bare client."""
        with ModelServer(latency={"kind": "fixed", "seconds": LATENCY_S}, identity="key", strict=False) as server:
            bare = asyncio.run(self.bare_client(agent, server.url))
            server.configure(latency={"kind": "fixed", "seconds": LATENCY_S}, identity="key", strict=False)
            took = self.pytest(f"--fc-agent={agent}", "--fc-model=m", f"--fc-base-url={server.url}")
            stats = server.stats()
            yield f"{stats['requests']} requests, {stats['max_in_flight']} in flight", bare, took

    def chat_two_workers(self) -> Iterable[tuple[str, float, Took]]:
        """Share the calls to the server among two workers, and count those made twice."""
        with ModelServer(latency={"kind": "fixed", "seconds": LATENCY_S}, identity="key", strict=False) as server:
            for dist in ("load", "worksteal"):
                server.configure(latency={"kind": "fixed", "seconds": LATENCY_S}, identity="key", strict=False)
                options = ["--fc-agent=openai-chat", "--fc-model=m", f"--fc-base-url={server.url}"]
                took = self.pytest(*options, "-n2", f"--dist={dist}", workers=2)
                yield f"{dist}: {server.stats()['requests'] - self.calls} calls repeated;", self.ideal, took

    def pivots(self) -> list[Any]:
        """Read the pivots."""
        from pytest_fcpivot import load_pivots  # noqa: PLC0415 (not before the inputs are written)

        return load_pivots(self.directory / "pivots.parquet")

    async def bare(self, functions: list[Callable[[Any], Awaitable[Any]]], arguments: list[Any]) -> float:
        """Await all calls under a semaphore; return the seconds."""
        semaphore = asyncio.Semaphore(self.in_flight)

        async def one(function: Callable[[Any], Awaitable[Any]], argument: Any) -> None:
            async with semaphore:
                await function(argument)

        start = time.perf_counter()
        await asyncio.gather(*map(one, functions, arguments))
        return time.perf_counter() - start

    async def bare_client(self, agent: str, url: str) -> float:
        """Send the same requests with a bare client."""
        from openai import AsyncOpenAI  # noqa: PLC0415 (only for these scenarios)

        views = [pivot.view() for pivot in self.pivots()]
        async with AsyncOpenAI(base_url=url, api_key="no-key", max_retries=0) as client:

            async def chat(view: Any) -> None:
                tools = {"tools": view.chat_tools} if view.tools else {}
                await client.chat.completions.create(model="m", messages=view.messages, **tools)

            async def responses(view: Any) -> None:
                await client.responses.create(model="m", input=view.input, tools=view.tools)

            function = chat if agent == "openai-chat" else responses
            return await self.bare([function] * len(views), views)

    def pytest(self, *arguments: str, workers: int = 1) -> Took:
        """Run a session over the pivots."""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += [f"--fc-concurrency={self.in_flight // workers}", "--fc-data=pivots.parquet", *arguments]
        start = time.perf_counter()
        done = subprocess.run(
            command, cwd=self.directory, capture_output=True, text=True, check=False, env={**os.environ}
        )
        process = time.perf_counter() - start
        counts = re.search(r"(?:(\d+) failed(?:, )?)?(?:(\d+) passed)? in ([\d.]+)s", done.stdout.splitlines()[-1])
        if counts is None or int(counts[1] or 0) + int(counts[2] or 0) != self.calls:
            sys.exit(f"the session went wrong:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}")
        return Took(float(counts[3]), process)


if __name__ == "__main__":
    main()
