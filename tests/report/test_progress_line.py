"""The text of the line that shows how far a run is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_fcpivot.report.progress_line import Progress, duration, live_line, log_line
from pytest_fcpivot.runs.standing import Standing
from pytest_fcpivot.stats.interval import Interval

ALL = Progress(
    done=1280,
    total=3140,
    elapsed_s=83,
    interval=Interval(0.5573, 0.5019, 0.6113, 1278, 49),
    errors=2,
    calls=8,
    limit=8,
    retries=1,
    tokens=(1_240_000, 34_100),
    cost=1.2449,
    expected_cost=3.054,
    currency="USD",
    left_s=125,
    may_stop=True,
    gate=[Standing(rule="0.60", needed=0.6, low=0.227, high=0.82)],
)


def test_everything() -> None:
    """In a log, and in a terminal that is wide enough, all that is known is said in full."""
    after = (
        "mean reward 0.5573 so far (95 % interval 0.5019 to 0.6113) | 2 errors"
        " | 8 calls under way (the server is overloaded: at most 8 at once) | 1 retry | tokens: 1.24M in, 34.1k out"
        " | cost 1.24 of about 3.05 USD | about 2:05 left at most | gate 0.60: open, the run may end at 0.227 to 0.820"
    )
    assert log_line(ALL) == f"pivots 1280/3140 after 1:23 | {after}"
    assert live_line(ALL, 500) == f"pivots 1280/3140 | {after}"


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (
            190,
            (
                "1280/3140 | reward 0.557 (0.50-0.61) | 2 errors | 8 calls (limit 8) | 1 retry | 1.24M in, 34.1k out"
                " | 1.24 of 3.05 USD | <= 2:05 left | gate 0.60: 0.227 to 0.820"
            ),
        ),
        (
            120,
            (
                "1280/3140 | reward 0.557 (0.50-0.61) | 2 errors | 8 calls (limit 8) | 1 retry"
                " | <= 2:05 left | gate 0.60: 0.227 to 0.820"
            ),
        ),
        (80, "1280/3140 | reward 0.557 (0.50-0.61) | 2 errors | <= 2:05 left"),
        (40, "1280/3140 | reward 0.557 (0.50-0.61)"),
        (20, "1280/3140"),
        (4, "1280"),
    ],
)
def test_widths(width: int, line: str) -> None:
    """Where the line does not fit it is in short, and what matters least is left out."""
    assert live_line(ALL, width) == line


def test_what_is_unknown_is_left_out() -> None:
    """Nothing is said of what is not known: calls in workers, a mean without results, a cost without a price."""
    assert live_line(Progress(done=0, total=6), 80) == "pivots 0/6"
    assert live_line(Progress(done=0, total=6, calls=1), 80) == "pivots 0/6 | 1 call under way"


@pytest.mark.parametrize(
    ("standing", "text"),
    [
        (Standing(rule="0.8", needed=0.8, low=0.8, high=0.9), "gate 0.8: certain to be reached"),
        (Standing(rule="0.8", needed=0.8, low=0.1, high=0.79), "gate 0.8: certain to be missed"),
        (Standing(rule="tool=a\x1b[31m:0.9", needed=0.9, now=0.5), r"gate tool=a\u001b[31m:0.9: 0.500 so far"),
        (
            Standing(rule="drop 0.01", needed=-0.01, now=-0.0123, is_change=True),
            "gate drop 0.01: change -0.012 so far",
        ),
        (
            Standing(rule="drop 0.01", needed=-0.01, low=-0.2, high=-0.1, is_change=True),
            "gate drop 0.01: open, the run may end at change -0.200 to -0.100",
        ),
    ],
)
def test_gates(standing: Standing, text: str) -> None:
    """Each kind of rule says its value so far, or where the whole run may end; names are made printable."""
    assert log_line(Progress(done=1, total=6, gate=[standing])) == f"pivots 1/6 after 0:00 | {text}"


def test_tokens_and_times() -> None:
    """Numbers have three digits, and times are read as on a clock."""
    tokens = [replace(ALL, tokens=(number, number)) for number in (812, 9_999, 99_950, 3_456_789, 345_678_901)]
    shown = [log_line(each).split("tokens: ")[1].split(" in, ")[0] for each in tokens]
    assert shown == ["812", "10.0k", "100k", "3.46M", "346M"]
    assert [duration(seconds) for seconds in (0, 59.6, 605, 3725)] == ["0:00", "1:00", "10:05", "1:02:05"]


def test_until_mixed() -> None:
    """A session that asks until pivots are mixed says how many are, and no mean, which would be biased."""
    progress = Progress(done=90, total=800, elapsed_s=5, mixed=41, left_s=30, may_stop=True)
    assert log_line(progress) == "pivots 90/800 after 0:05 | 41 mixed | about 0:30 left at most"
    assert live_line(progress, 24) == "90/800 | 41 mixed"
