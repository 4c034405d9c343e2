"""Write the command that runs one pivot of a stored run again, such that it can be copied into a shell."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fcpivot.core.jsontext import printable, shows_as_it_is
from pytest_fcpivot.core.redact import HIDDEN
from pytest_fcpivot.data import SAMPLE, SAMPLE_PATH
from pytest_fcpivot.options.table import FROM_ANY_RUN, OF_GATES, OPTIONS, as_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.audit.one_pivot import OnePivot

# They choose pivots, which the command does by itself, or name places of that session.
_NOT_FOR_ONE = frozenset(
    (
        *("fc_data", "fc_limit", "fc_split", "fc_where", "fc_ids", "fc_stratify", "fc_sample", "fc_seed", "fc_shard"),
        *("fc_run", "fc_resume", "fc_replay", "fc_allow_damaged", "fc_max_errors", "fc_max_unread", *OF_GATES),
    )
)
_KNOWN = frozenset(option.dest for option in OPTIONS)
_IDS = "fcpivot-id.txt"
_DATA = "DATA"


def rerun_lines(found: OnePivot) -> Iterator[tuple[str, bool]]:
    """Yield texts, each with whether it is a command that can be copied: how this pivot is run again, alone.

    An id that a command line cannot hold as visible text is written to a file for --fc-ids first. Of a run that was not
    made here, nothing is put into the command that names code, a file or an address: pytest would load a test file, or
    a `conftest.py` beside a data file, and take a name that begins with a hyphen for an option.
    """
    pivot_id, own = found.pivot_id, _own_test(found)
    options, notes = _options(found, with_data=own is not None)
    data = _data_of(found)
    if data == _DATA:
        notes.insert(0, f"{_DATA} stands for the data file of the run.")
    if shows_as_it_is(own or pivot_id):
        target = own if own is not None else f"{data}::{_name(found)}"
        yield shlex.join(["pytest", _no_option(target), *options]), True
    elif _fits_a_line(pivot_id):
        yield "The id has characters that cannot be seen, so it is written to a file first:", False
        yield f"printf '{_for_printf(pivot_id)}\\n' > {_IDS}", True
        target = own.partition("[")[0] if own is not None else data
        yield shlex.join(["pytest", _no_option(target), f"--fc-ids={_IDS}", *options]), True
    else:
        yield "Neither a command nor a file of ids can hold this id: it has a line break, or blanks at its ends.", False
        yield "Prepare the data again from their source: that gives each pivot an id that can name a test.", False
    for note in notes:
        yield note, False


def _no_option(target: str) -> str:
    """Write a path so that pytest does not take it for an option."""
    return f"./{target}" if target.startswith("-") else target


def _own_test(found: OnePivot) -> str | None:
    """Return the node id if the pivot was run by a test of the user's own; None for a data file's own test.

    A test that a run from elsewhere names is none of the user's own.
    """
    if found.test is None or not (found.made_here or found.description is None):
        return None
    if found.data_name is None:
        return None if found.test.endswith(f"::{_name(found)}") else found.test
    return None if found.test.startswith(f"{found.data_name}::") else found.test


def _name(found: OnePivot) -> str:
    return found.pivot_id if found.repeat == 1 else f"{found.pivot_id}[r{found.repeat}]"


def _data_of(found: OnePivot) -> str:
    """Return the data file's name on a command line: as in the node id if that is the file, else its path.

    It is DATA if it is not known, cannot be seen, or is named by a run from elsewhere alone.
    """
    name, path = found.data_name, found.data_path
    if name == SAMPLE or path == SAMPLE_PATH:
        return SAMPLE
    if not (found.made_here or found.description is None):
        recorded = {data["path"] for data in (found.description or {}).get("data") or []}
        name = None if path is None or str(path) in recorded else str(path)
    elif name is None:
        name = (found.test or "").partition("::")[0]
    elif path is not None and not (Path(name).exists() and _same(Path(name), path)):
        here = Path.cwd()
        name = str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
    return name if name and shows_as_it_is(name) else _DATA


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _options(found: OnePivot, *, with_data: bool) -> tuple[list[str], list[str]]:
    """Return the run's options as arguments, and notes on what has to be filled in."""
    description = found.description
    if description is None:
        return ["--fc-agent=AGENT"], ["AGENT stands for the agent to ask."]
    recorded = description.get("options") or {}
    arguments: list[str] = []
    notes: list[str] = []
    withheld: list[str] = []
    unseen: list[str] = []
    for dest, value in recorded.items():
        if dest not in _KNOWN or value is None or (dest in _NOT_FOR_ONE and not (with_data and dest == "fc_data")):
            continue
        flag = "--" + dest.replace("_", "-")
        if not found.made_here and dest not in FROM_ANY_RUN:
            withheld.append(flag)
            continue
        given = as_arguments(dest, value)
        (arguments.extend(given) if all(map(_can_be_copied, given)) else unseen.append(flag))
    replays = description.get("replays")
    if replays and not found.made_here:
        withheld.append("--fc-replay")
    elif replays:
        arguments.append(f"--fc-replay={replays}")
        notes.append("This run is a replay: the command grades the stored answers again, and asks no agent.")
    if withheld:
        notes.append(
            f"The run was not made here, so what it names is not put into the command: {', '.join(sorted(withheld))}; "
            "add the agent, and what else it needs."
        )
    elif description.get("merged"):
        notes.append("The run was merged from shards: the command has the options of the merged description.")
    if unseen:
        notes.append(
            f"Values with characters that cannot be seen are not put into the command: {', '.join(sorted(unseen))}."
        )
    if any(HIDDEN in argument for argument in arguments):
        notes.append(f"A secret is not recorded: put it in again for {HIDDEN}.")
    return arguments, notes


def _can_be_copied(argument: str) -> bool:
    """Return whether a terminal takes an argument as it is: a control character may end what is pasted."""
    return argument == printable(argument)


def _fits_a_line(text: str) -> bool:
    """Return whether a text can be a line of a file of ids."""
    return text.splitlines() == [text] and text.strip() == text and not text.startswith("#")


def _for_printf(text: str) -> str:
    """Write a text for the format of printf in single quotes: bytes that cannot be seen, as octal numbers."""
    written = []
    for character in text:
        if character == "%":
            written.append("%%")
        elif character in "\\'" or not (character.isascii() and character.isprintable()):
            written += [f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogatepass")]
        else:
            written.append(character)
    return "".join(written)
