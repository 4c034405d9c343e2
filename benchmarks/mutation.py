"""Change the code in small ways, one at a time, and count the changes that the module's unit tests notice.

python benchmarks/mutation.py graders/matching            one module
python benchmarks/mutation.py graders schema              all modules of two packages
python benchmarks/mutation.py graders/matching --show     and the difference that each surviving change makes
python benchmarks/mutation.py graders/matching --again    only those that survived the last time, with the tests of now
python benchmarks/mutation.py graders/own --only "*[05]"  a fifth of the changes, by the last digit of their numbers

The changes are made and tried by mutmut: it forks a process that has imported everything already, and runs only the
tests that call the changed function, so that a change costs a fraction of a second. It leaves alone what is evaluated
when a module is imported (tables, constants) and functions with decorators, such as properties. Property tests, which
hypothesis feeds with random values, are left out: a change that only luck finds counts as surviving. What is known to
survive because it makes no difference is listed in tests/mutants.md.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "mutation"

CALLER = ("tests/calls/test_fatal_faults.py", "tests/calls/test_caller.py")
# Each module with the files, or single tests, that are its unit tests: a change that only other tests notice survives.
MODULES: dict[str, tuple[str, ...]] = {
    "calls/attempts": CALLER,
    "calls/call": ("tests/calls/test_call.py",),
    "calls/caller": CALLER,
    "calls/faults": ("tests/calls/test_faults.py",),
    "calls/limit": ("tests/calls/test_limit.py",),
    "calls/loop": CALLER,
    "calls/output": ("tests/calls/test_call_output.py",),
    "calls/reasons": ("tests/calls/test_reasons.py",),
    "calls/retry": ("tests/calls/test_retry.py",),
    "calls/servers": ("tests/calls/test_servers.py",),
    "calls/threads": CALLER,
    "calls/waits": ("tests/calls/test_waits.py",),
    "core/actions": ("tests/core/test_actions.py",),
    "data/selection": ("tests/data/test_selection.py",),
    "graders/__init__": (
        "tests/graders/test_grade.py",
        "tests/graders/test_own_graders.py",
        "tests/graders/test_sets.py",
    ),
    "graders/agentic": ("tests/graders/test_agentic.py", "tests/graders/test_contract.py"),
    "graders/arguments": ("tests/graders/test_agentic.py", "tests/graders/test_nemo_gym.py"),
    "graders/base": ("tests/graders/test_grade.py", "tests/graders/test_own_graders.py"),
    "graders/categories": (
        "tests/graders/test_agentic.py",
        "tests/graders/test_grade.py",
        "tests/graders/test_nemo_gym.py",
    ),
    "graders/conformance": ("tests/graders/test_conformance.py",),
    "graders/contract": ("tests/graders/test_contract.py",),
    "graders/judge": ("tests/graders/test_judge.py",),
    "graders/judge_cache": ("tests/graders/test_judge_cache.py",),
    "graders/judge_prompt": ("tests/graders/test_judge_prompt.py",),
    "graders/keywords": ("tests/graders/test_keywords.py",),
    "graders/matching": ("tests/graders/test_matching.py",),
    "graders/nemo_gym": ("tests/graders/test_nemo_gym.py", "tests/graders/test_grade.py"),
    "graders/own": ("tests/graders/test_own_graders.py",),
    "graders/sets": ("tests/graders/test_sets.py",),
    "runs/answers": ("tests/runs/test_answers.py",),
    "runs/baseline": ("tests/runs/test_saved_baselines.py",),
    "runs/comparing": ("tests/runs/test_comparing.py",),
    "runs/groups": ("tests/runs/test_groups.py",),
    "runs/reader": ("tests/runs/test_reader.py",),
    "runs/rollouts": ("tests/runs/test_answers.py",),
    "runs/same_agent": ("tests/runs/test_same_agent.py",),
    "runs/unsteady": ("tests/runs/test_unsteady.py",),
    "schema/accept": ("tests/schema/test_accept.py",),
    "schema/process": ("tests/schema/test_process.py",),
    "schema/toolset": ("tests/schema/test_toolset.py",),
    "schema/validator": (
        "tests/schema/test_validator.py",
        "tests/schema/test_toolset.py::test_references_are_never_fetched",
    ),
    "stats/interval": ("tests/stats",),
}

# What mutmut makes of pytest's exit codes and signals. A change that never ends is noticed too; on a busy machine a
# timeout may mean nothing, so --again tries those as well.
_SURVIVED, _UNTESTED, _TIMED_OUT = {0}, {5, 33}, {-24, 24, 36, 152, 255}
_NOTICED_BY_NONE = _SURVIVED | _UNTESTED
_SHOWN = ("mutants", "killed", "survived", "untested", "percent")

_SETTINGS = """
[tool.mutmut]
source_paths = ["pytest_fcpivot"]
only_mutate = ["pytest_fcpivot/{module}.py"]
also_copy = ["conftest.py", "fixtures", "docs", "mutation_fresh.py"]
pytest_add_cli_args = [
  "-pmutation_fresh", "-mnot hypothesis", "-pno:xdist", "-pno:cacheprovider", "-pno:unraisableexception",
  "-Wignore::UserWarning:syrupy",
]
pytest_add_cli_args_test_selection = {tests}
timeout_multiplier = 8.0
timeout_constant = 5.0
use_git_change_detection = false
"""


def main() -> int:
    """Run what was asked for, and print a table; 1 if something survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="+", help="as in graders/matching, or a whole package, as in graders")
    parser.add_argument("--show", action="store_true", help="show the difference that each surviving change makes")
    parser.add_argument("--again", action="store_true", help="try only the changes that survived the last time")
    parser.add_argument("--only", metavar="PATTERN", help="try the changes whose names match")
    parser.add_argument("--children", type=int, default=1, help="changes tried at the same time (default: 1)")
    options = parser.parse_args()
    chosen = [
        known for known in MODULES for asked in options.modules if known == asked or known.startswith(asked + "/")
    ]
    if not chosen:
        parser.error(f"no such module; known: {', '.join(MODULES)}")
    rows, survivors = [], []
    for module in dict.fromkeys(chosen):
        verdicts = run(module, options.children, again=options.again, only=options.only)
        rows.append((module, verdicts))
        survivors += [(module, name) for name, code in verdicts.items() if code in _NOTICED_BY_NONE]
    for module, name in survivors:
        print(f"{module}: {name}")
        if options.show:
            print(difference(module, name))
    print(f"{'module':24}" + "".join(f"{title:>10}" for title in _SHOWN))
    total: Counter[str] = Counter()
    for module, verdicts in rows:
        counts = count(verdicts)
        total += counts
        print(f"{module:24}{line(counts)}")
    if len(rows) > 1:
        print(f"{'together':24}{line(total)}")
    return 1 if survivors else 0


def run(module: str, children: int, *, again: bool, only: str | None) -> dict[str, int]:
    """Try the changes of one module; returns the exit code of the tests by the name of each that was tried."""
    work = WORK / module
    open_ones = _NOTICED_BY_NONE | _TIMED_OUT
    names = [name for name, code in _verdicts(module).items() if code in open_ones] if again else []
    if again and not names:
        return _verdicts(module)
    if only is not None:
        names = fnmatch.filter(names, only) if again else [only]
    if not again:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        for name in ("pytest_fcpivot", "tests", "fixtures", "docs", "conftest.py", "benchmarks/mutation_fresh.py"):
            (work / Path(name).name).symlink_to(ROOT / name)
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    settings += _SETTINGS.format(module=module, tests=json.dumps(MODULES[module]))
    (work / "pyproject.toml").write_text(settings, encoding="utf-8")
    print(f"{module} …", file=sys.stderr, flush=True)
    with (work / "output.txt").open("w", encoding="utf-8") as output:
        ended = subprocess.run(
            [*_mutmut("run"), "--max-children", str(children), *names],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
            },  # so it is fast
            check=False,
        )
    verdicts = _verdicts(module)
    if ended.returncode or not verdicts:
        raise SystemExit(f"mutmut could not try the changes of {module}; see {work / 'output.txt'}")
    return verdicts


def _verdicts(module: str) -> dict[str, int]:
    """Read what mutmut wrote down of the changes that were tried."""
    written = WORK / module / "mutants" / "pytest_fcpivot" / f"{module}.py.meta"
    if not written.exists():
        return {}
    found: dict[str, int | None] = json.loads(written.read_text(encoding="utf-8"))["exit_code_by_key"]
    return {name: code for name, code in found.items() if code is not None}


def _mutmut(command: str) -> list[str]:
    return [str(Path(sys.executable).with_name("mutmut")), command]


def difference(module: str, name: str) -> str:
    """Return the lines that a change replaces, as a diff without its heading."""
    shown = subprocess.run([*_mutmut("show"), name], cwd=WORK / module, check=True, capture_output=True, text=True)
    return "\n".join(line for line in shown.stdout.splitlines() if line[:2] in ("+ ", "- ", "@@"))


def count(verdicts: dict[str, int]) -> Counter[str]:
    """Count the changes by what became of them."""
    counts = Counter(
        "survived" if code in _SURVIVED else "untested" if code in _UNTESTED else "killed" for code in verdicts.values()
    )
    counts["mutants"] = len(verdicts)
    return counts


def line(counts: Counter[str]) -> str:
    """Write a line of the table; the share is that of the noticed changes among all."""
    share = 100 * counts["killed"] / counts["mutants"] if counts["mutants"] else 100.0
    return "".join(f"{counts[title]:>10}" for title in _SHOWN[:-1]) + f"{share:>9.1f}%"


if __name__ == "__main__":
    raise SystemExit(main())
