"""Explain faults to the user: how long the service asked to wait, and why no call can succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_fcpivot.calls.faults import causes
from pytest_fcpivot.core.error_bodies import with_reason

if TYPE_CHECKING:
    from pytest_fcpivot.calls.faults import Fault


def about_waiting(fault: Fault, deadline: float | None) -> str:
    """Explain the wait that the service asked for, and whether it was obeyed; returns "" if it asked for none."""
    wait = fault.wait
    if not fault.transient or wait is None:
        return ""
    said = [f"its header {unused} was ignored, because it is not a duration" for unused in wait.unused]
    if wait.seconds is not None:
        asked = f"the server asked for a wait of {_spell(wait.seconds)} ({wait.source})"
        if deadline is not None and wait.seconds > deadline:
            asked += f", longer than the time limit of one answer (--fc-deadline={deadline:g})"
        said.insert(0, asked)
    return "; ".join(said)


def _spell(seconds: float) -> str:
    """Write a duration in seconds, preceded by minutes, hours or days if it is a minute or longer."""
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * unit or seconds == unit:
            number = seconds / unit
            return f"{number:.3g} {name}{'' if number == 1 else 's'}, {seconds:.0f} s"
    return f"{seconds:.3g} s"


class SettingNames(NamedTuple):
    """The user's names for the three settings without which no call can succeed, for messages."""

    key: str
    model: str
    address: str


def why_stopped(error: BaseException, fault: Fault, settings: SettingNames) -> str:
    """Explain why no call can succeed, and name the setting that may be wrong."""
    advice = {
        "no access": f"check the key that is used ({settings.key})",
        "not found": f"check the model's name and the API's address ({settings.model}, {settings.address})",
        "connection": f"is the service running there? check the API's address ({settings.address})",
        "out of quota": "the account's quota is used up",
    }.get(fault.cause)
    text = " ".join(with_reason(str(error), error).split())[:300] or type(error).__name__
    deepest_first = list(causes(error))[:0:-1]
    reason = next((str(cause) for cause in deepest_first if str(cause)), "")
    if reason and reason not in text:
        text += f" ({reason[:200]})"
    text += "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    return f"no call can succeed: {text}" + (f"; {advice}" if advice else "")
