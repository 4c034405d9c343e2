"""Load of `fcpivot serve` over a large store: start, memory, many open sessions, and memory over many sessions.

    fcpivot synth agentic --pivots 1200000 -o big.jsonl && fcpivot prepare big.jsonl -o big.parquet
    python benchmarks/ors_load.py big.parquet

Targets: it starts within 5 s and 250 MB with 1.2 million tasks, holds 1,000 sessions, and its memory stays the same
over 10,000 sessions after a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from pathlib import Path

from ors import Client, processor_s

WARM_UP_S = 60.0


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    """Return the memory of a process, in megabytes; VmHWM is the most that it had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


async def session(client: Client, split: str, index: int, *, close: bool = True) -> None:
    """Open a session, look at it, and submit a message."""
    sid = (await client.ask("POST", "/create_session", body={})).split(b"data: ")[1].split()[0].decode()
    await client.ask("POST", "/create", sid, {"split": split, "index": index})
    await client.ask("GET", "/prompt", sid)
    await client.ask("GET", "/task_tools", sid)
    if close:
        reply = await client.ask("POST", "/call", sid, {"name": "submit_message", "input": {"message": "x"}})
        assert b'"finished":true' in reply
        await client.ask("POST", "/delete", sid)
        await client.ask("POST", "/delete_session", sid)


async def run(clients: list[Client], each: list[tuple[str, int]], *, close: bool = True) -> None:
    """Run sessions, several at once."""
    left = iter(each)

    async def work(client: Client) -> None:
        for split, index in left:
            await session(client, split, index, close=close)

    await asyncio.gather(*map(work, clients))


async def measure(port: int, pid: int, sessions: int, warm_up_s: float) -> None:
    """Measure a server that has started."""
    clients = [Client(port) for _ in range(16)]
    for client in clients:
        await client.open()
    [first] = clients[:1]
    counts: dict[str, int] = {}
    for split in json.loads(await first.ask("GET", "/splits")):
        asked = {"split": split["name"]}
        counts[split["name"]] = json.loads(await first.ask("POST", "/num_tasks", body=asked))["num_tasks"]
    print(f"tasks: {counts}")
    chance = random.Random(3)  # noqa: S311 (an order)
    places = [(name, index) for name, count in counts.items() for index in chance.choices(range(count), k=sessions)]
    chance.shuffle(places)

    began, before = time.perf_counter(), processor_s(pid)
    for split, index in places[:300]:
        await first.ask("POST", "/task", body={"split": split, "index": index})
    took = (processor_s(pid) - before) / 300 * 1000
    print(f"a task by its index: {(time.perf_counter() - began) / 300 * 1000:.2f} ms, {took:.2f} ms of the processor")

    largest = max(counts, key=lambda name: counts[name])
    began = time.perf_counter()
    size = len(await first.ask("POST", "/tasks", body={"split": largest}))
    print(
        f"all {counts[largest]:,} tasks of a split: {time.perf_counter() - began:.1f} s, {size / 1e6:.0f} MB, and "
        f"{memory_mb(pid, 'VmHWM'):.0f} MB of memory at most"
    )

    began = time.perf_counter()
    await run(clients, places[:1000], close=False)
    print(f"1,000 sessions open at once: {time.perf_counter() - began:.1f} s, {memory_mb(pid):.0f} MB")

    end = time.monotonic() + warm_up_s
    while time.monotonic() < end:
        await run(clients, chance.choices(places, k=200))
    start = memory_mb(pid)
    before, began = processor_s(pid), time.perf_counter()
    for part in range(10):
        await run(clients, places[part * sessions // 10 : (part + 1) * sessions // 10])
        print(f"  after {(part + 1) * sessions // 10:6,} sessions: {memory_mb(pid):.0f} MB")
    each = (processor_s(pid) - before) / sessions * 1000
    rate = sessions / (time.perf_counter() - began)
    print(f"{sessions:,} sessions of random tasks: {rate:.0f} a second, {each:.2f} ms of the processor each")
    print(f"memory: {start:.0f} MB before, {memory_mb(pid):.0f} MB after")


def main() -> None:
    """Start a server and measure it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--warm-up", type=float, default=WARM_UP_S)
    options = parser.parse_args()
    command = [sys.executable, "-m", "pytest_fcpivot.cli", "serve", options.data, "--port=0", "--judge=off"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            print(line.rstrip())
            if line.startswith("serving"):
                break
        else:
            raise SystemExit("the server did not start")
        port = int(line.partition("127.0.0.1:")[2].split()[0])
        print(
            f"started in {time.perf_counter() - began:.1f} s, {processor_s(server.pid):.1f} s of the processor, "
            f"{memory_mb(server.pid):.0f} MB, {memory_mb(server.pid, 'VmHWM'):.0f} MB at most"
        )
        try:
            asyncio.run(measure(port, server.pid, options.sessions, options.warm_up))
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
