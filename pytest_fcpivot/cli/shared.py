"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import OptionError

if TYPE_CHECKING:
    import argparse

    from pytest_fcpivot.audit.grader import Named


def add_allow_damaged(command: Any) -> None:
    """Declare --allow-damaged, for commands that read results."""
    command.add_argument(
        "--allow-damaged",
        action="store_true",
        help="leave out and count lines of results that cannot be read, instead of refusing the run",
    )


def add_data(command: Any, purpose: str = "", *, of: str = "the run") -> None:
    """Declare --data, for commands that look up pivots; `purpose` says what for, as in ", for groups"."""
    command.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="FILE",
        help=f"data file of {of}, if it was moved{purpose}; may be given several times",
    )


def add_grader(command: Any, purpose: str) -> None:
    """Declare --grader and --grader-option, for commands that grade stored answers again."""
    command.add_argument(
        "--grader",
        metavar="SPEC",
        help=f"{purpose}: module:function, or a name defined by an installed package (needed for a grader of your own, "
        "because one that only the run names is not loaded)",
    )
    command.add_argument(
        "--grader-option",
        action="append",
        metavar="KEY=VALUE",
        help="a setting of that grader, instead of the recorded ones; may be given several times",
    )


def named_grader(options: argparse.Namespace) -> Named | None:
    """Return the grader that the user names; None if there is none. Raises OptionError for settings without one."""
    from pytest_fcpivot.audit.grader import Named  # noqa: PLC0415 (only for commands that grade)
    from pytest_fcpivot.options.values import settings_of  # noqa: PLC0415

    given: list[str] | None = options.grader_option
    if options.grader is None:
        if given is not None:
            raise OptionError(f"--grader-option={given[0]}: name the grader of this setting with --grader=SPEC")
        return None
    return Named(options.grader, None if given is None else dict(settings_of(filter(None, given), "--grader-option")))
