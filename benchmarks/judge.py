"""Time a cached look-up of the judge, key and all, and what surrounds it, while another process writes.

    python benchmarks/judge.py

The question is of a conversation of 40 KB, in ASCII and in Russian, the cache holds 100,000 verdicts. Medians, and the
99th percentile: the cost of a look-up is the main thread's, that of keeping a verdict the event loop's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

from pytest_fcpivot.graders.judge import Judge, Question
from pytest_fcpivot.graders.judge_cache import JudgeCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHARACTERS = 40_000
VERDICTS = 100_000
CALLS = 2_000
TARGET_S = 0.0002
REASON = "It names the same platform and the same time, but does not ask for the confirmation that the expert asks for."
WRITER = """
import sys
from pathlib import Path
from pytest_fcpivot.graders.judge_cache import JudgeCache

cache, number = JudgeCache(Path(sys.argv[1])), 0
print(flush=True)
while True:
    cache.put(number.to_bytes(20, "big"), 0.5, "x" * 100, structured=True)
    number += 1
"""
TEXTS = {"ASCII": "The train leaves at nine. ", "Russian": "Поезд отходит в девять. "}


def main() -> None:
    """Measure and print the figures."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "verdicts.sqlite3"
        cache = JudgeCache(path)
        began = time.perf_counter()
        for _ in range(VERDICTS):
            cache.put(os.urandom(20), 0.5, REASON, structured=True)
        each = (time.perf_counter() - began) / VERDICTS
        cache.close()
        print(f"{VERDICTS} verdicts kept, {each * 1e6:.0f} us each, {path.stat().st_size / 1e6:.0f} MB")
        print("alone")
        measure_all(path)
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            print("while another process writes without a pause")
            measure_all(path)
            writer.kill()


def measure_all(path: Path) -> None:
    """Print the times of look-ups and of what else is done with a question."""
    began = time.perf_counter()
    cache = JudgeCache(path)
    cache.get(b"none")
    print(f"  {'opening the cache':34} {(time.perf_counter() - began) * 1e6:8.1f} us")
    judge = Judge("m", base_url="http://localhost/v1", cache=cache)
    for name, text in TEXTS.items():
        question = question_of(text)
        cache.put(judge._key_of(question), 0.5, REASON, structured=True)  # noqa: SLF001 (there is no server)
        assert judge.cached(question) is not None
        measure(f"{name}: look-up, found", partial(judge.cached, question), target=True)
        measure(f"{name}: look-up, not found", partial(look_up_next, judge, questions(text)), target=True)
        measure(f"{name}: writing the prompt", partial(judge.prompt.messages, question))
    measure("keeping a verdict", lambda: cache.put(os.urandom(20), 0.5, REASON, structured=True))
    assert cache.problem is None, cache.problem
    judge.close()


def question_of(text: str, repeat: int = 1) -> Question:
    """Ask about a message after a conversation of some forty items."""
    said = text * (CHARACTERS // 40 // len(text))
    talk = [{"role": ("user", "assistant")[n % 2], "content": f"{n} {said}"} for n in range(40)]
    return Question(json.dumps(talk, ensure_ascii=False), text * 10, text * 8, repeat)


def look_up_next(judge: Judge, others: Iterator[Question]) -> None:
    """Look up one more question."""
    judge.cached(next(others))


def questions(text: str) -> Iterator[Question]:
    """Yield questions that were never asked."""
    first = question_of(text)
    repeat = 1
    while True:
        repeat += 1
        yield Question(first.input_json, first.expected, first.candidate, repeat)


def measure(name: str, work: Callable[[], object], *, target: bool = False) -> None:
    """Time one call of something many times, and print the middle and the slow end."""
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    wanted = ""
    if target:
        verdict = "met" if median(times) <= TARGET_S else "MISSED"
        wanted = f"   (target: at most {TARGET_S * 1e6:.0f} us: {verdict})"
    print(f"  {name:34} {median(times) * 1e6:8.1f} us   99 %: {quantiles(times, n=100)[-1] * 1e6:8.1f} us{wanted}")


if __name__ == "__main__":
    main()
