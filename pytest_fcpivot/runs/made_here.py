"""Decide what a session may take from a stored run that was not made here.

A run may come from anybody. From a run without this user's mark, a session takes only what selects, counts and limits.
The user has to give everything that names code to run, addresses to call, keys to use, or files to open. If some of
this is missing, one error lists all of it, with the options that would allow it.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.jsontext import one_line, visible
from pytest_fcpivot.core.redact import HIDDEN, Redactor
from pytest_fcpivot.data import SAMPLE
from pytest_fcpivot.graders import known_specs
from pytest_fcpivot.options.table import FROM_ANY_RUN, as_arguments, option_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OF_AGENTS = ("fc_agent", "fc_base_url", "fc_header", "fc_extra_body")  # a replay asks no agent
_OF_GRADING = ("fc_grader", "fc_grader_option", "fc_judge_base_url", "fc_judge_key")
_OF_FILES = ("fc_ids", "fc_baseline")
_OF_VERDICTS = ("fc_fail_under", "fc_min_pivots", "fc_max_drop", "fc_alpha", "fc_inconclusive", "fc_gated_cases")
_DECIDES = "decides the exit code"

_WHY = {
    "fc_agent": "code that is run, and asked with your keys",
    "fc_base_url": "an address that your key and the data are sent to",
    "fc_header": "sent with every request, with variables of your environment",
    "fc_extra_body": "sent with every request, and may name addresses that the server calls",
    "fc_grader": "code that is run",
    "fc_grader_option": "settings that the grader's code gets",
    "fc_judge_base_url": "an address that the judge's key and the messages are sent to",
    "fc_judge_key": "a variable of your environment whose value is sent to the judge",
    "fc_ids": "a file that is read",
    "fc_baseline": "a run that is read, and decides the exit code",
    **dict.fromkeys(_OF_VERDICTS, _DECIDES),
    "fc_data": "a file that is read; a conftest.py beside it would be run",
}
PATHS = "paths"  # shown where others have the name of an option
_OF_PATHS = "collected by pytest: test files, and each conftest.py on the way, are run"
_WIDTH = 200
_LONGEST_COMMAND = 4000  # characters; a longer line would be shortened when it is shown


@dataclass(frozen=True, slots=True)
class Given:
    """What the user gave in this session.

    `options` are the names of the options set by command line, environment or ini file, even to an empty value. `data`
    are the absolute paths of --fc-data. `paths`: paths were typed; `types_data`: one of them is a data file.
    `bundled_grader`: a bundled grader is used, whatever the run names. `sample_is_ours`: `sample` means the bundled
    file, because no file of that name exists.
    """

    replays: bool
    options: frozenset[str] = frozenset()
    data: frozenset[str] = frozenset()
    paths: bool = False
    types_data: bool = False
    bundled_grader: bool = True
    sample_is_ours: bool = True


@dataclass(frozen=True, slots=True)
class Named:
    """Something that a run names: its option, the arguments that would allow it, and why it has to be allowed."""

    option: str
    arguments: tuple[str, ...]
    why: str

    @property
    def values(self) -> list[str]:
        """The values, without the option's name."""
        return [argument.removeprefix(f"{self.option}=") for argument in self.arguments]


def is_bundled_by_name(grader: Any) -> bool:
    """Return whether a value is the exact name of a bundled grader."""
    return isinstance(grader, str) and grader in known_specs()


def named_by(description: Mapping[str, Any], given: Given) -> list[Named]:
    """Return what a run that was not made here names, and the user did not give in this session."""
    options = description.get("options") or {}
    found = []
    for dest in (*(() if given.replays else OF_AGENTS), *_OF_GRADING, *_OF_FILES, *_OF_VERDICTS):
        value = options.get(dest)
        if not value or dest in given.options:
            continue
        if (dest == "fc_grader" and is_bundled_by_name(value)) or (dest == "fc_grader_option" and given.bundled_grader):
            continue
        found.append(_of_option(dest, value))
    paths = [] if given.paths else _paths(description, given)
    if "fc_data" not in given.options and not given.types_data:
        among = {_file(path) for path in paths}
        # --fc-data replaces all data of the run, so the sample has to be listed with the other files.
        files = [SAMPLE if data["name"] == SAMPLE else data["path"] for data in description.get("data") or ()]
        files = [path for path in files if _file(path) not in among]
        if any(path != SAMPLE for path in files):
            found.append(_of_option("fc_data", files))
    if paths:
        found.append(Named(PATHS, tuple(paths), _OF_PATHS))
    return found


def _paths(description: Mapping[str, Any], given: Given) -> list[str]:
    """Return the run's path arguments; none if they are the sample, or data that the user gave."""
    paths: list[str] = description.get("arguments") or []
    return paths if any(not is_sample(path, given) and path not in given.data for path in paths) else []


def is_sample(argument: str, given: Given) -> bool:
    """Return whether a path argument is the bundled sample, or a pivot of it."""
    return given.sample_is_ours and argument.partition("::")[0] == SAMPLE


def _file(argument: str) -> str:
    return os.path.normpath(argument.partition("::")[0])


def _of_option(dest: str, value: Any) -> Named:
    return Named(option_of(dest).flag, tuple(as_arguments(dest, value)), _WHY[dest])


def refusal(run: str, command: Sequence[str], why: str, found: Sequence[Named]) -> str:
    """Write the error for a run that was not made here: what it names, and the options with which it can be used.

    `command` is what the user typed, without the program; `why` is the reason why the run counts as not made here.
    """
    width = max(len(each.option) for each in found)
    listed = []
    for each in found:
        listed += [f"  {each.option:{width}}  {_shown(value)}" for value in each.values]
        listed.append(f"  {'':{width}}    {each.why}")
    options = [argument for each in found if each.option != PATHS for argument in each.arguments]
    paths = [path for each in found if each.option == PATHS for path in each.arguments]
    to_copy = [argument for argument in options if _can_be_copied(argument)]
    # pytest would read an argument that begins with one of these as an option, or as a file of arguments.
    paths_to_copy = [path for path in paths if _can_be_copied(path) and not path.startswith(("-", "@"))]
    if len(shlex.join([*to_copy, *command, *paths_to_copy])) > _LONGEST_COMMAND:
        to_copy, paths_to_copy = [], []  # a shortened line would be a different command
    left_out = len(options) + len(paths) > len(to_copy) + len(paths_to_copy)
    odd = "Values that are long, hidden or odd are left out of this command: add them yourself. " if left_out else ""
    if any(HIDDEN in argument for argument in command):
        odd += f"{HIDDEN} stands for a secret that you typed. "
    return "\n".join(
        [
            f"{run}: this run was not made here: {why}. It names what is only used if you give it yourself:",
            *listed,
            "If you want all of this, give it again; an option with nothing after its = means none:",
            f"  pytest {shlex.join([*to_copy, *command, *paths_to_copy])}",
            f"{odd}SECURITY.md says what a run from elsewhere can do, and what not.",
        ]
    )


def _can_be_copied(argument: str) -> bool:
    plain = visible(argument, joiners=True) == argument and Redactor()(argument) == argument
    return len(argument) <= _WIDTH and plain and HIDDEN not in argument


def _shown(value: str) -> str:
    return one_line(visible(value[: 4 * _WIDTH], joiners=True), _WIDTH)


def taken_over(description: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the options that a session takes over from a run that was not made here."""
    for dest, value in (description.get("options") or {}).items():
        # Settings are harmless: they are for a bundled grader, or else `named_by` has had the run refused.
        if dest in FROM_ANY_RUN or (dest == "fc_grader" and is_bundled_by_name(value)) or dest == "fc_grader_option":
            yield dest, value


def arguments_taken_over(description: Mapping[str, Any]) -> list[str]:
    """Return the path arguments that a session takes over from a run that was not made here: the sample, or none."""
    paths: list[str] = description.get("arguments") or []
    return paths if all(path.partition("::")[0] == SAMPLE for path in paths) else []
