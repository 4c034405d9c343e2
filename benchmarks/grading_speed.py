"""Time grading one call against `json.loads` on the two argument strings alone, in the same run.

    python benchmarks/grading_speed.py

Arguments of six keys and a nested list of objects. Prints the median of several rounds for `grade()` as a training
loop calls it, with dicts, and for the grader on actions that are read already.
"""

from __future__ import annotations

import json
import time
from statistics import median
from typing import TYPE_CHECKING

from pytest_fcpivot import grade, to_action
from pytest_fcpivot.graders import expected_to_action, make_grader

if TYPE_CHECKING:
    from collections.abc import Callable

ARGUMENTS = {
    "customer_id": "ava_moreau_3417",
    "origin": "LIS",
    "passengers": [{"name": "Ava Moreau", "age": 34}, {"name": "Tomás Reis", "age": 31}],
    "price_limit": 412.5,
    "note": "window seat please, quiet car",
    "confirmed": True,
}
ROUNDS = 9
CALLS = 20_000


def main() -> None:
    """Measure and print the table."""
    wanted, given = json.dumps(ARGUMENTS), json.dumps(ARGUMENTS, separators=(",", ":"))
    expected = {"type": "function_call", "name": "book", "arguments": wanted}
    output = [{"type": "function_call", "call_id": "fc_1", "name": "book", "arguments": given, "status": "completed"}]
    grader, expected_action, action = make_grader(), expected_to_action(expected), to_action(output)

    def decode() -> None:
        json.loads(wanted)
        json.loads(given)

    cases: dict[str, Callable[[], object]] = {
        "json.loads, both": decode,
        "grade(dicts)": lambda: grade(expected, output),
        "grader.grade(actions)": lambda: grader.grade(expected_action, action),
    }
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            figures[name].append(seconds(case))
    base = median(figures["json.loads, both"])
    for name, runs in figures.items():
        print(f"{name:24} {median(runs) / CALLS * 1e6:6.2f} us   {median(runs) / base:5.2f} x   (target: at most 2.5)")


def seconds(case: Callable[[], object]) -> float:
    """Time many calls."""
    start = time.perf_counter()
    for _ in range(CALLS):
        case()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
