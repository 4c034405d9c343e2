"""Time grading against `json.loads` on the two argument strings alone, in the same run.

    python benchmarks/grading_speed.py

Three tables, medians of several rounds: one call with six arguments and a nested list of objects, under nemo-gym, for
`grade()` as a training loop calls it, with dicts, and for the grader on actions that are read already; the expected
calls of the bundled sample, answered in another formatting or with one thing wrong; and an 8 x 8 batch under agentic
against one of its calls.
"""

from __future__ import annotations

import json
import random
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from pytest_fcpivot import Action, FunctionCall, grade, load_pivots, to_action
from pytest_fcpivot.graders import expected_to_action, make_grader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
SAMPLE_ROUNDS = 3
SAMPLE_CALLS = 300
BATCH = 8
BATCH_CALLS = 200


def main() -> None:
    """Measure and print the tables."""
    one_call()
    print()
    sample_calls()
    print()
    batch()


def one_call() -> None:
    """Grade one call with nemo-gym, from dicts and from actions."""
    wanted, given = json.dumps(ARGUMENTS), json.dumps(ARGUMENTS, separators=(",", ":"))
    expected = {"type": "function_call", "name": "book", "arguments": wanted}
    output = [{"type": "function_call", "call_id": "fc_1", "name": "book", "arguments": given, "status": "completed"}]
    expected_action, action = expected_to_action(expected), to_action(output)
    nemo_gym, agentic = make_grader("nemo-gym"), make_grader("agentic")
    times = measure(
        {
            "json.loads, both": decoding(wanted, given),
            "nemo-gym: grade(dicts)": lambda: grade(expected, output),
            "nemo-gym: grader.grade(actions)": lambda: nemo_gym.grade(expected_action, action),
            "agentic: grade(dicts)": lambda: grade(expected, output, "agentic"),
            "agentic: grader.grade(actions)": lambda: agentic.grade(expected_action, action),
        },
        ROUNDS,
        CALLS,
    )
    base = times["json.loads, both"]
    for name, seconds in times.items():
        target = 3 if name.startswith("agentic") else 2.5
        print(f"{name:32} {seconds * 1e6:6.2f} us   {seconds / base:5.2f} x   (target: at most {target})")


def sample_calls() -> None:
    """Grade answers to the calls that the bundled sample expects, each against its own decoding."""
    calls = [call for pivot in load_pivots() for call in pivot.expected_action.calls]
    print(f"{len(calls)} calls of the sample, {median(len(call.arguments) for call in calls):.0f} characters each")
    for name in ("nemo-gym", "agentic"):
        ratios: dict[str, list[float]] = {}
        for call in calls:
            for what, answer in answers(call).items():
                ratios.setdefault(what, []).append(against_decoding(name, call, answer))
        for what, found in ratios.items():
            target = "   (target: at most 3)" if name == "agentic" else ""
            print(f"{name + ', ' + what:32} median {median(found):5.2f} x   most {max(found):5.2f} x{target}")


def answers(call: FunctionCall) -> dict[str, FunctionCall]:
    """Answer a call rightly, in another formatting, and wrongly."""
    value: dict[str, Any] = json.loads(call.arguments)
    formatted = json.dumps(value, indent=1)
    made = {"right": FunctionCall(call.name, formatted), "wrong name": FunctionCall("another", formatted)}
    for key in list(value)[:1]:
        made["one value wrong"] = FunctionCall(call.name, json.dumps({**value, key: "another"}, indent=1))
    return made


def against_decoding(name: str, call: FunctionCall, answer: FunctionCall) -> float:
    """Compare the time of grading with that of decoding."""
    grader, expected, actual = make_grader(name), Action((call,)), Action((answer,))
    times = measure(
        {"decoding": decoding(call.arguments, answer.arguments), "grading": lambda: grader.grade(expected, actual)},
        SAMPLE_ROUNDS,
        SAMPLE_CALLS,
    )
    return times["grading"] / times["decoding"]


def batch() -> None:
    """Grade batches of calls of one tool with agentic: right ones in another order, and ones that all differ a bit."""
    grader = make_grader("agentic")
    wanted = [{**ARGUMENTS, "customer_id": f"ava_moreau_{3417 + n}", "price_limit": 400 + n} for n in range(BATCH)]
    shuffled = random.Random(0).sample(wanted, BATCH)  # noqa: S311 (no secret)
    off = [{**value, "price_limit": 100 + n, "origin": "OPO"} for n, value in enumerate(shuffled)]
    expected, right, wrong = (
        Action(tuple(FunctionCall("book", json.dumps(value, separators=separators)) for value in values))
        for values, separators in ((wanted, (", ", ": ")), (shuffled, (",", ":")), (off, (",", ":")))
    )
    single, answer = Action(expected.calls[:1]), Action((FunctionCall("book", json.dumps(wanted[0], indent=1)),))
    times = measure(
        {
            "agentic: one call": lambda: grader.grade(single, answer),
            f"agentic: {BATCH} x {BATCH}, right": lambda: grader.grade(expected, right),
            f"agentic: {BATCH} x {BATCH}, wrong": lambda: grader.grade(expected, wrong),
        },
        ROUNDS,
        BATCH_CALLS,
    )
    base = times["agentic: one call"]
    for name, seconds in times.items():
        print(f"{name:32} {seconds * 1e6:6.2f} us   {seconds / base:5.2f} x   (target: at most 80)")


def decoding(wanted: str, given: str) -> Callable[[], object]:
    """Return the decoding that grading is compared with."""
    return lambda: (json.loads(wanted), json.loads(given))


def measure(cases: Mapping[str, Callable[[], object]], rounds: int, calls: int) -> dict[str, float]:
    """Time each case by turns; returns the median seconds of one call."""
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            start = time.perf_counter()
            for _ in range(calls):
                case()
            figures[name].append((time.perf_counter() - start) / calls)
    return {name: median(runs) for name, runs in figures.items()}


if __name__ == "__main__":
    main()
