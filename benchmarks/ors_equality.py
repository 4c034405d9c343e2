"""The same actions over ORS, in pytest, by the library and in a replay: reward and category of each.

    python benchmarks/ors_equality.py [--conversations 2000]

For each pivot of the sample, and of generated conversations, one right action and one wrong one. The table has the
number of actions of which all four give the same. Pivots whose expected arguments are not a JSON object are left out
and counted: ORS cannot carry them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ors import Client

from pytest_fcpivot import grade, load_pivots
from pytest_fcpivot.data.synth import write_file

if TYPE_CHECKING:
    from pytest_fcpivot.core.model import Pivot

AGENT = """
import json
from pathlib import Path

ACTIONS = json.loads(Path("actions.json").read_text(encoding="utf-8"))

def answer(pivot):
    return ACTIONS[pivot.id]
"""
Verdict = tuple[float, str]
KINDS = ("right", "wrong arguments or words", "another function or kind")


def action_of(pivot: Pivot, kind: str) -> dict[str, Any]:
    """Return an action as one call of a tool can carry it."""
    expected = pivot.expected_action
    if not expected.calls:
        text = expected.message or ""
        if kind == "another function or kind":
            return {"type": "function_call", "name": "no_such_function", "arguments": "{}"}
        return {"role": "assistant", "content": text if kind == "right" else text[: len(text) // 2]}
    call = expected.calls[0]
    if kind == "another function or kind":
        return {"type": "function_call", "name": f"{call.name}_2", "arguments": call.arguments}
    given = json.loads(call.arguments)
    if kind != "right" and isinstance(given, dict):
        given = {key: [value] for key, value in given.items()} | {"more": 1}
    return {"type": "function_call", "name": call.name, "arguments": json.dumps(given)}


def fits(pivot: Pivot) -> bool:
    """Return whether the arguments of the expected call are an object, as the input of a tool is."""
    calls = pivot.expected_action.calls
    return not calls or isinstance(json.loads(calls[0].arguments), dict)


async def over_ors(port: int, split: dict[str, tuple[str, int]], actions: dict[str, Any]) -> dict[str, Verdict]:
    """Submit each action in a session of its own."""
    client = Client(port)
    found: dict[str, Verdict] = {}
    await client.open()
    for own, action in actions.items():
        sid = (await client.ask("POST", "/create_session", body={})).split(b"data: ")[1].split()[0].decode()
        name, index = split[own]
        await client.ask("POST", "/create", sid, {"split": name, "index": index})
        if "name" in action:
            call = {"name": action["name"], "input": json.loads(action["arguments"])}
        else:
            call = {"name": "submit_message", "input": {"message": action["content"]}}
        reply = await client.ask("POST", "/call", sid, call)
        output = json.loads(reply.split(b"data: ")[-1])["output"]
        found[own] = output["reward"], output["metadata"]["category"]
        await client.ask("POST", "/delete", sid)
    return found


async def places(port: int) -> dict[str, tuple[str, int]]:
    """Return the split and index of each task."""
    client = Client(port)
    found: dict[str, tuple[str, int]] = {}
    await client.open()
    for split in json.loads(await client.ask("GET", "/splits")):
        tasks = json.loads(await client.ask("POST", "/tasks", body={"split": split["name"]}))["tasks"]
        found |= {task["id"]: (task["split"], task["index"]) for task in tasks}
    return found


def in_pytest(place: Path, data: str, run: str, *options: str) -> dict[str, Verdict]:
    """Run a session; returns what it recorded."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", f"--fc-data={data}", f"--fc-run={run}", *options]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    lines = (place / run / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["pivot_id"]: (line["reward"], line["category"]) for line in map(json.loads, lines)}


def compare(place: Path, name: str, data: str, grader: str) -> None:
    """Compare the four on a data set."""
    pivots = load_pivots(data)
    command = [sys.executable, "-m", "pytest_fcpivot.cli", "serve", data, "--port=0", "--judge=off"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, ExitStack() as ending:
        ending.callback(server.terminate)
        assert server.stdout is not None
        said = server.stdout.readline(), server.stdout.readline()
        port = int(said[1].partition("127.0.0.1:")[2].split()[0])
        where = asyncio.run(places(port))
        for kind in KINDS:
            actions = {pivot.id: action_of(pivot, kind) for pivot in pivots if pivot.id in where and fits(pivot)}
            (place / "actions.json").write_text(json.dumps(actions), encoding="utf-8")
            run = f"{grader}-{KINDS.index(kind)}"
            ours = asyncio.run(over_ors(port, where, actions))
            library: dict[str, Verdict] = {}
            for pivot in pivots:
                if pivot.id in actions:
                    made = grade(pivot, actions[pivot.id], grader)
                    library[pivot.id] = made.reward, made.category
            tested = in_pytest(place, data, run, "--fc-agent=told:answer", "--fc-judge=off")
            replayed = in_pytest(place, data, f"{run}-replay", f"--fc-replay={run}", "--fc-judge=off")
            equal = sum(ours[own] == library[own] == tested[own] == replayed[own] for own in actions)
            mean = sum(reward for reward, _ in ours.values()) / len(ours)
            print(f"| {name} | {kind} | {len(actions)} | {mean:.3f} | {equal} |", flush=True)
    left_out = sum(pivot.id in where for pivot in pivots) - len(actions)
    if left_out:
        print(f"| {name} | left out | {left_out} | | |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--conversations", type=int, default=2000, help="pivots of generated conversations")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "told.py").write_text(AGENT, encoding="utf-8")
        source = place / "talks.jsonl"
        write_file("agentic", options.conversations, 1, source)
        print("| data | action | pivots | mean reward | equal in all four |\n| --- | --- | --- | --- | --- |")
        compare(place, "the sample", "sample", "nemo-gym")
        compare(place, "generated conversations", str(source), "agentic")


if __name__ == "__main__":
    main()
