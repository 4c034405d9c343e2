"""The documentation itself: what is generated, what can be followed, and that the site and the workflows are sound."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from doc_pages import PAGES, ROOT, blocks

from pytest_fcpivot import cli
from pytest_fcpivot.runs.reader import Damage, results_in

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of these, a browser fetches what the attribute names as soon as the page is opened.
FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}
NO_REQUEST = {"canonical", "alternate", "next", "prev"}
STEPS = "on: push\njobs:\n  gate:\n    runs-on: ubuntu-latest\n    steps:\n"


def test_what_is_generated() -> None:
    """The tables of options and of members say what the code says; fixtures/make_docs.py writes them."""
    command = [sys.executable, "fixtures/make_docs.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_on_a_package_index() -> None:
    """The README is short, and has no link that leads nowhere on another page than the source's; it names all pages."""
    text = PAGES["README.md"].read_text(encoding="utf-8")
    assert len(text.encode()) < 9000
    assert not re.findall(r"\]\((?!https?://)", text)
    named = set(re.findall(r"`(docs/\w+\.md)`", text))
    assert named == {page for page in PAGES if page.startswith("docs/")} - {"docs/index.md", "docs/contributing.md"}


def test_the_menu_of_the_site() -> None:
    """Every page is in the menu, once."""
    menu = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    assert sorted(_pages_in(menu)) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def _pages_in(menu: list[dict[str, Any]]) -> Iterator[str]:
    for entry in menu:
        for target in entry.values():
            if isinstance(target, str):
                yield target
            else:
                yield from _pages_in(target)


def test_commands_of_fcpivot(capsys: pytest.CaptureFixture[str]) -> None:
    """The page of options lists every command of `fcpivot`."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    there = set(re.findall(r"^    (\w+)", capsys.readouterr().out, flags=re.MULTILINE))
    assert len(there) >= 7
    listed = re.findall(
        r"^\| `fcpivot (\w+)`", PAGES["docs/options.md"].read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert there - {"COMMAND"} == set(listed)


def test_damage_as_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The damaged lines of a run are reported as the page on runs shows it."""
    whole = {"test": "a::b", "pivot_id": "b", "trajectory_id": "b", "expected": "message", "outcome": "failed"}
    line = json.dumps(whole | {"repeat": 1, "reward": 0.0})
    lines = [line] * 16 + ["\0" * 40]
    lines[3] = json.dumps(whole | {"repeat": 1, "reward": 0.0, "retried": 1})
    lines[8] = line[:30]
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    Path("run/results.jsonl").write_text("".join(f"{each}\n" for each in lines), encoding="utf-8")
    said = [str(each) for _, each in results_in(Path("run/results.jsonl")) if isinstance(each, Damage)]
    assert said == next(block.text for block in blocks("docs/runs.md") if block.language == "text").splitlines()


def test_sections_that_the_code_cites() -> None:
    """A section of the grading rules that a comment cites is there."""
    rules = PAGES["docs/grading.md"].read_text(encoding="utf-8")
    sections = set(re.findall(r"^###? ([\d.]+?)\.? ", rules, flags=re.MULTILINE))
    source = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "pytest_fcpivot").rglob("*.py"))
    cited = re.findall(r"docs/grading\.md,\s+section\s+([\d.]+\d|\d)", source)
    assert len(cited) >= 3
    assert set(cited) <= sections


class _Requests(HTMLParser):
    """Collects what a browser fetches from other hosts when it opens a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        given = {name: value or "" for name, value in attrs}
        address = given.get(FETCHED.get(tag, ""), "")
        if re.match(r"(https?:)?//", address) and given.get("rel") not in NO_REQUEST:
            self.found.append(address)


def test_the_site(tmp_path: Path) -> None:
    """The site builds without a warning, and its pages fetch nothing from any other host."""
    pytest.importorskip("zensical")
    for name in ("docs", "zensical.toml", "SECURITY.md", "CONTRIBUTING.md"):
        source = ROOT / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").glob("*.html"))
    assert {f"{Path(page).stem}.html" for page in PAGES if page.startswith("docs/")} <= {page.name for page in pages}
    for page in pages:
        parser = _Requests()
        parser.feed(page.read_text(encoding="utf-8"))
        assert not parser.found, page.name
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import\s*)[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), (
            style.name
        )


def _workflows() -> dict[str, str]:
    """Return the project's workflow, and those of the pages; a list of steps is put into one that is whole."""
    found = {".github/workflows/ci.yml": (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")}
    for page in PAGES:
        for number, block in enumerate(block for block in blocks(page) if block.language == "yaml"):
            whole = "jobs:" in block.text
            steps = "".join(f"      {line}\n" for line in block.text.splitlines())
            found[f"{page}, example {number + 1}"] = block.text if whole else STEPS + steps
    return found


@pytest.mark.parametrize("name", _workflows())
def test_workflows(name: str) -> None:
    """Workflow files, the project's own and those that pages show, are sound to actionlint."""
    beside = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    actionlint = shutil.which("actionlint", path=beside)
    if actionlint is None:
        pytest.skip("actionlint is not installed: pip install -e '.[dev]'")
    command = [actionlint, "-no-color", "-shellcheck=", "-pyflakes=", "-"]
    done = subprocess.run(command, input=_workflows()[name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_versions_of_python() -> None:
    """Hosted CI runs every version of Python that the package says it supports."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = [text.rpartition(" ")[2] for text in project["classifiers"] if re.search(r":: 3\.\d+$", text)]
    (tested,) = re.findall(r"python: \[(.*)\]", _workflows()[".github/workflows/ci.yml"])
    assert said
    assert set(said) <= set(re.findall(r"3\.\d+", tested))
