"""The runs of the same data in a report: pictures of how they answered, and what the command says."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from browser_pages import Visit

pytest_plugins = ["browser_pages"]

DESCRIPTION: dict[str, Any] = {
    "format": 1,
    "agent": "policy:answer",
    "grader": {"name": "nemo-gym", "settings": {}},
    "data": [{"name": "data.jsonl", "path": "data.jsonl", "sha256": "a" * 64, "pivots": 80, "selected": 80}],
    "repeats": 1,
    "options": {},
}


def checkpoint(path: Path, messages: float, *, started: str = "2026-01-01", **about: Any) -> Path:
    """Write the run of a policy that answers with a message this often, whatever is expected, and else calls right."""
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps(DESCRIPTION | {"started": f"{started}T00:00:00"} | about))
    draw = random.Random(7)  # noqa: S311 (no secret)
    lines = []
    for number in range(80):
        expected = "message" if number % 2 else "function_call"
        action: dict[str, Any] = {"type": "function_call", "name": "book", "arguments": '{"seats": 2}'}
        reward = float(expected == "function_call" and draw.random() < 0.2)
        if draw.random() < messages:
            action, reward = {"type": "message", "content": "Done. " * 9}, float(expected == "message")
        pivot = f"t{number // 4}-d{number % 4}"
        result: dict[str, Any] = {
            "test": f"data.jsonl::{pivot}",
            "pivot_id": pivot,
            "trajectory_id": pivot.partition("-")[0],
        }
        result |= {"expected": expected, "repeat": 1, "outcome": "passed" if reward else "failed", "reward": reward}
        lines.append(
            json.dumps(result | {"action": action, "category": "GRADED", "tool": None if number % 2 else "book"}) + "\n"
        )
    (path / "results.jsonl").write_text("".join(lines))
    return path


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return three checkpoints of a training that ends with messages alone."""
    root = tmp_path_factory.mktemp("training") / "runs"
    return [
        checkpoint(root / f"step-{100 * number}", messages, started=f"2026-01-0{number}")
        for number, messages in enumerate((0.2, 0.3, 0.98), 1)
    ]


def reported(target: Path, *runs: Path | str) -> Path:
    """Write a report of runs by the command."""
    assert main(["report", *map(str, runs), "-o", str(target)]) == 0
    return target


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_how_checkpoints_answered(
    visit: Visit, checkpoints: list[Path], tmp_path: Path, theme: Any, width: int
) -> None:
    """Each figure has a picture with its numbers as text; nothing is cut off, and axe-core finds nothing."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = visit(reported(tmp_path / "report.html", *checkpoints), width=width, theme=theme)
    section = page.locator("#history")
    assert "the policy may be answering everything with a message" in section.locator(".warning").inner_text()
    labels = section.locator("svg").evaluate_all("all => all.map(each => each.getAttribute('aria-label'))")
    assert [label.partition(":")[0] for label in labels] == [
        *("Mean reward", "Messages", "Messages for calls", "Unreadable", "Message length", "Arguments length"),
    ]
    assert labels[1] == "Messages: step-100 20.0 %; step-200 30.0 %; step-300 97.5 %"
    summary = section.locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    tables = section.get_by_role("region")
    assert tables.count() == 2
    assert "step-300" in tables.first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    violations = axe.Axe().run(page).response["violations"]
    assert [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in violations] == []


def test_two_runs_take_little_room(visit: Visit, checkpoints: list[Path], tmp_path: Path) -> None:
    """Two runs take less than 200 pixels of a wide page, and a run that has others beside it even less."""
    page = visit(reported(tmp_path / "two.html", *checkpoints[:2]))
    box = page.locator("#history").bounding_box()
    assert box is not None
    assert box["height"] < 200
    page = visit(reported(tmp_path / "one.html", checkpoints[0]))
    section = page.locator("#history")
    box = section.bounding_box()
    assert box is not None
    assert box["height"] < 150
    ring = section.locator("svg .ring").locator("xpath=..")
    assert "step-100" in (ring.text_content() or "")  # the ring is around the run that is reported, not the newest one


def test_without_script(visit: Visit, checkpoints: list[Path], tmp_path: Path) -> None:
    """The pictures and the numbers are there without the script."""
    page = visit(reported(tmp_path / "report.html", *checkpoints), script=False, bare=True)
    assert page.locator("#history svg").count() == 6
    assert "97.5 %" in (page.locator("#history").text_content() or "")


def test_what_the_command_says(checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a line for each run in the order given; for a single run it prints none."""
    reported(tmp_path / "report.html", *checkpoints)
    out = capsys.readouterr().out
    assert "how 3 runs answered the 80 pivots that all of them answered" in out
    assert out.index("\n  step-100 ") < out.index("\n  step-200 ") < out.index("\n  step-300 ")
    assert "warning: from step-100 to step-300" in out
    reported(tmp_path / "report.html", checkpoints[0])
    assert "answered the" not in capsys.readouterr().out


def test_a_baseline_that_is_named_comes_first(
    checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that --baseline names stands before the others, and one that is named twice is there once."""
    target = tmp_path / "report.html"
    assert main(["report", str(checkpoints[2]), "--baseline", str(checkpoints[0]), "-o", str(target)]) == 0
    assert "how 2 runs answered" in capsys.readouterr().out
    reported(target, checkpoints[0], checkpoints[1], checkpoints[1], checkpoints[2])
    out = capsys.readouterr().out
    assert "how 3 runs answered" in out
    assert "is named twice" in out


def test_runs_that_cannot_be_beside_each_other(
    checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run in between that is no run, or is damaged, is refused; one graded in another way is left out and told."""
    first, _, last = checkpoints
    target = tmp_path / "report.html"
    other = checkpoint(tmp_path / "other", 0.2, grader={"name": "agentic", "settings": {}})
    reported(target, first, other, last)
    out = capsys.readouterr().out
    assert "how 2 runs answered" in out
    assert "other is left out: it cannot be compared with step-300 (grader:" in out
    target.unlink()
    damaged = checkpoint(tmp_path / "damaged", 0.2)
    with (damaged / "results.jsonl").open("a") as stream:
        stream.write("not JSON\n")
    for between, words in ((tmp_path / "nowhere", "there is no such run"), (damaged, "--allow-damaged")):
        assert main(["report", str(first), str(between), str(last), "-o", str(target)]) == 2
        assert words in capsys.readouterr().err
        assert not target.exists()
    assert main(["report", str(first), str(damaged), str(last), "--allow-damaged", "-o", str(target)]) == 0


def test_runs_without_a_common_answer(
    checkpoints: list[Path], tmp_path: Path, visit: Visit, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs that answered no pivot in common have no pictures of how they answered, and the page says why."""
    few = checkpoint(tmp_path / "few", 0.2)
    lines = (few / "results.jsonl").read_text().splitlines(keepends=True)
    (few / "results.jsonl").write_text("".join(lines[:8]))
    page = visit(reported(tmp_path / "report.html", few, checkpoints[2]))
    assert "there are no two that can be set side by side" in capsys.readouterr().out
    text = page.locator("#history").inner_text()
    assert "Few is left out: it has graded answers to 8 of the 80 pivots" in text
