"""Time the reward functions for trainers against decoding the row's tools alone, in the same run.

    python benchmarks/reward_speed.py

A row has about 5 KB of tools. Each answer is graded as Hermes text by verl's function and TRL's, and as a message, with
calls in its text or of its own, by TRL's; medians of several rounds, in processor time. The right answer, a wrong one,
and a message are graded by turns. The other side is `json.loads` on the tools' text, which each grade would take if the
row's tools were decoded anew. The last lines are the time of the first grade of each of many different rows, whose
texts are not cached yet, and the time to import the functions in a fresh process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.integrations.trl import reward
from pytest_fcpivot.integrations.verl import compute_score

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUNDS = 9
GRADES = 6_000
ROWS = 1_000
IMPORTS = 5
TARGET_US = 100
TOOLS_BYTES = 5_000
CALL: dict[str, Any] = {
    "name": "book_flight_3",
    "arguments": {"customer": "ava_moreau_3417", "origin": "LIS", "seats": 2, "ok": True},
}
GRADER = json.dumps({"name": "nemo-gym:any-order", "settings": {"word_count_similarity_threshold": 0.1}})
EXPECTED = json.dumps({"type": "function_call", "name": CALL["name"], "arguments": json.dumps(CALL["arguments"])})
IMPORT = (
    "import time; start = time.process_time()\n"
    "import pytest_fcpivot.integrations.verl, pytest_fcpivot.integrations.trl\n"
    "print(time.process_time() - start)"
)


def main() -> None:
    """Measure and print the table."""
    tools = tools_text()
    wrong = CALL | {"arguments": CALL["arguments"] | {"seats": 3}}
    texts = [hermes(CALL), hermes(wrong), "I have no flight from Lisbon on that day. Shall I look at the next one?"]
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    native = [[with_calls(CALL)], [with_calls(wrong)], messages[2]]
    times = measure(
        {
            "json.loads of the tools": lambda: [json.loads(tools) for _ in texts],
            "verl: text": lambda: [verl(text, tools) for text in texts],
            "TRL: texts": lambda: trl(texts, tools),
            "TRL: messages": lambda: trl(messages, tools),
            "TRL: messages with calls": lambda: trl(native, tools),
        }
    )
    base = times["json.loads of the tools"]
    print(f"{len(tools)} bytes of tools")
    for name, seconds in times.items():
        target = "" if name.startswith("json") else f"   (target: at most {TARGET_US} us)"
        print(f"{name:26} {seconds * 1e6:6.1f} us   {seconds / base:5.2f} x{target}")
    first = [tools.replace("book_flight_7", f"other_{number}") for number in range(ROWS)]
    start = time.process_time()
    for text in first:
        verl(texts[0], text)
    seconds = (time.process_time() - start) / ROWS
    print(f"{'verl: text, a new row':26} {seconds * 1e6:6.1f} us   {seconds / base:5.2f} x")
    imports = [float(subprocess.check_output([sys.executable, "-c", IMPORT])) for _ in range(IMPORTS)]
    print(f"import of both functions   {median(imports) * 1e3:6.1f} ms")


def tools_text() -> str:
    """Return the JSON text of enough tools."""
    tools: list[dict[str, Any]] = []
    while len(json.dumps(tools)) < TOOLS_BYTES:
        properties = {
            "customer": {"type": "string", "description": "The customer's id, as the directory of customers has it."},
            "origin": {"type": "string", "description": "The airport's code, three letters.", "pattern": "^[A-Z]{3}$"},
            "seats": {"type": "integer", "minimum": 1, "maximum": 9},
            "ok": {"type": "boolean", "description": "Whether the customer has confirmed."},
        }
        parameters = {"type": "object", "properties": properties, "required": ["customer", "origin"]}
        name = f"book_flight_{len(tools)}"
        tools.append({"type": "function", "name": name, "description": "Books a flight.", "parameters": parameters})
    return json.dumps(tools)


def hermes(call: Mapping[str, Any]) -> str:
    """Write a call as Hermes models do."""
    return f"I book it.\n<tool_call>\n{json.dumps(call)}\n</tool_call>"


def with_calls(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with a call, as TRL makes it of an answer."""
    return {"role": "assistant", "content": "I book it.", "tool_calls": [{"type": "function", "function": dict(call)}]}


def verl(text: str, tools: str) -> dict[str, float | str]:
    """Grade a text as verl does."""
    about = {"pivot_id": "t1-d0", "tools_json": tools, "grader_json": GRADER, "dialect": "hermes", "num_turns": 2}
    return compute_score(data_source="any", solution_str=text, ground_truth=EXPECTED, extra_info=about)


def trl(completions: list[Any], tools: str) -> list[float | None]:
    """Grade completions as TRL does."""
    columns = {"tools_json": tools, "grader_json": GRADER, "dialect": "hermes", "expected_action": EXPECTED}
    lists: dict[str, Any] = {name: [text] * len(completions) for name, text in columns.items()}
    return reward(completions, **lists)


def measure(cases: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Time each case, of three grades, by turns; returns the median seconds of one grade."""
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            start = time.process_time()
            for _ in range(GRADES // 3):
                case()
            figures[name].append((time.process_time() - start) / GRADES)
    return {name: median(runs) for name, runs in figures.items()}


if __name__ == "__main__":
    main()
