"""Refuse options with which --fc-until-mixed makes no sense, before anything is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import OptionError
from pytest_fcpivot.options.table import FROM_RUN, OF_GATES, flag_of
from pytest_fcpivot.runs.until_mixed import UNTIL_MIXED, WHY_NO_RATE

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEAST_REPEATS = 2


def refuse(raw_options: Mapping[str, tuple[Any, str]], repeats: int, *, replays: bool, gates: bool) -> None:
    """Raise OptionError for such options; `gates`: there are options of a gate, a comparison or a baseline."""
    source = raw_options[UNTIL_MIXED][1]
    flag = _named(UNTIL_MIXED, source)
    if replays and source != FROM_RUN:
        raise OptionError(
            f"{flag}: a replay grades all the answers that a run has, and asks for none; leave the option out (the "
            "replay of a run that was made with it knows that by itself)"
        )
    if repeats < _LEAST_REPEATS:
        raise OptionError(
            f"{flag}: a pivot can only pass and fail if it is asked several times; add {flag_of('fc_repeats')}=8, or "
            "another number"
        )
    given = [dest for dest in OF_GATES if raw_options[dest][0] not in (None, "", [])]
    if gates and given:
        raise OptionError(
            f"{flag} and {_named(given[0], raw_options[given[0]][1])}: {WHY_NO_RATE}, so that nothing can be decided, "
            "compared or saved by it; choose one"
        )


def _named(dest: str, source: str) -> str:
    return f"{flag_of(dest)} (of the run)" if source == FROM_RUN else source
