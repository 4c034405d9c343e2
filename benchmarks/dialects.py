"""Compare the grades of texts in each dialect with those of the native answers, on the bundled sample.

    python benchmarks/dialects.py

Each pivot is answered in three ways: with its expected action, with what the agent `baseline` answers, and with the
expected calls, of which one thing is wrong. Each answer is written in each dialect, with its special tokens and
without, read again in the named dialect and in `auto`, and graded. Prints how many of the grades (reward and category)
are those of the native answer, what could not be written, and the microseconds of a reading: the median of the sample,
with `Tools` made beforehand.
"""

from __future__ import annotations

import json
import statistics
import time

from pytest_fcpivot import (
    DIALECT_NAMES,
    Action,
    DialectError,
    FunctionCall,
    Tools,
    grade,
    load_pivots,
    parse_text,
    render_action,
    to_action,
)
from pytest_fcpivot.agents import baseline


def damaged(action: Action, place: int) -> Action:
    """Return an action whose first call has another name, one argument less, another value, or one argument more."""
    if not action.calls:
        return Action(message="No.")
    call = action.calls[0]
    arguments = json.loads(call.arguments)
    kind = place % 4
    name = call.name + "s" if kind == 0 else call.name
    if kind == 1 and arguments:
        arguments.popitem()
    elif kind == 2 and arguments:
        arguments[next(iter(arguments))] = "something else"
    elif kind == 3:
        arguments["further"] = "value"
    return Action((FunctionCall(name, arguments), *action.calls[1:]))


def main() -> None:
    """Print one row for each dialect."""
    pivots = load_pivots()
    tools = [Tools(pivot.tools) for pivot in pivots]
    expected = [pivot.expected_action for pivot in pivots]
    sets = {
        "expected": expected,
        "baseline": [to_action(baseline(pivot.view())) for pivot in pivots],
        "damaged": [damaged(action, place) for place, action in enumerate(expected)],
    }
    native = {name: [grade(*pair) for pair in zip(pivots, actions, strict=True)] for name, actions in sets.items()}
    print(f"{len(pivots)} pivots; equal grades of each set: {', '.join(sets)}; µs a reading\n")
    print("| dialect | special tokens | named | auto | not written | µs, named | µs, auto |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for dialect in DIALECT_NAMES:
        for special in (True, False):
            equal = {reader: dict.fromkeys(sets, 0) for reader in (dialect, "auto")}
            times: dict[str, list[float]] = {dialect: [], "auto": []}
            unwritten = dict.fromkeys(sets, 0)
            for name, actions in sets.items():
                for pivot, known, action, wanted in zip(pivots, tools, actions, native[name], strict=True):
                    try:
                        text = render_action(action, dialect, special_tokens=special, tools=known)
                    except DialectError:
                        unwritten[name] += 1
                        continue
                    for reader in (dialect, "auto"):
                        parse_text(text, known, reader)
                        began = time.perf_counter()
                        read = parse_text(text, known, reader)
                        times[reader].append(time.perf_counter() - began)
                        got = grade(pivot, read)
                        equal[reader][name] += (got.reward, got.category) == (wanted.reward, wanted.category)
            cells = [" · ".join(map(str, counts.values())) for counts in (*equal.values(), unwritten)]
            taken = [f"{statistics.median(each) * 1e6:.0f}" for each in times.values()]
            print(f"| `{dialect}` | {'with' if special else 'without'} | {' | '.join((*cells, *taken))} |")


if __name__ == "__main__":
    main()
