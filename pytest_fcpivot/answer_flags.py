"""What is odd about an answer beside its grade: it is counted in the summary and stands with the result.

Everything is read off the answer itself, so that a run which is replayed counts the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.errors import ActionError
from pytest_fcpivot.shapes import Reading, read_output

if TYPE_CHECKING:
    from pytest_fcpivot.model import Action

MALFORMED = "malformed"  # the server reported that it could not parse what the model wrote
CUT_OFF = "cut_off"  # the answer ended at the limit of its tokens
REFUSED_CALL = "refused_call"  # the server refused the model's call, and said which it was
NO_ARGUMENTS = "no_arguments"  # a call whose arguments were null, missing or the empty text
ONE_OF_SEVERAL_CHOICES = "one_of_several_choices"  # several alternative answers, of which one had calls

# The field of an output that tells of such a refused call.
REFUSED_BY_SERVER = "refused_by_server"


def flags_of(output: Any, action: Action | None) -> tuple[str, ...]:
    """Name what is odd about an answer, given as the agent returned it and as the action that was read from it."""
    try:
        reading = read_output(output)
    except ActionError:  # a test of the user's may have made an action of it all the same
        reading = Reading()
    odd = {
        MALFORMED: action is not None and action.malformed is not None,
        REFUSED_CALL: isinstance(output, Mapping) and bool(output.get(REFUSED_BY_SERVER)),
        CUT_OFF: reading.cut_off,
        NO_ARGUMENTS: any(call.arguments == "" for call in reading.calls),
        ONE_OF_SEVERAL_CHOICES: reading.one_of_several,
    }
    return tuple(flag for flag, is_so in odd.items() if is_so)
