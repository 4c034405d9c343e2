"""The categories of outcomes, and the verdicts that do not depend on the content of a call or a message."""

from __future__ import annotations

from pytest_fcpivot.core.apart import shown_name
from pytest_fcpivot.core.errors import GraderError
from pytest_fcpivot.core.jsontext import shown
from pytest_fcpivot.core.model import Action, Grade, Pair

NO_ACTION_FOUND = "NO_ACTION_FOUND"
EXPECTED_CHAT_MESSAGE_FOUND = "EXPECTED_CHAT_MESSAGE_FOUND"
CHAT_MESSAGE_PARTLY_EXPECTED = "CHAT_MESSAGE_PARTLY_EXPECTED"
CHAT_MESSAGE_DIFFERENT = "CHAT_MESSAGE_DIFFERENT"
NO_EXPECTED_CHAT_MESSAGE = "NO_EXPECTED_CHAT_MESSAGE"
NO_EXPECTED_TOOL_CALL = "NO_EXPECTED_TOOL_CALL"
EXPECTED_TOOL_CALL = "EXPECTED_TOOL_CALL"
EXPECTED_TOOL_CALL_BATCH = "EXPECTED_TOOL_CALL_BATCH"
UNEXPECTED_TOOL = "UNEXPECTED_TOOL"
ARGUMENTS_DECODE_ERROR = "ARGUMENTS_DECODE_ERROR"
VALUE_TYPE_DIFFERENT = "ARGUMENT_VALUE_TYPE_DIFFERENT"
OBJECT_KEYS_DIFFERENT = "ARGUMENT_OBJECT_KEYS_DIFFERENT"
LIST_LENGTH_DIFFERENT = "ARGUMENT_LIST_LENGTH_DIFFERENT"
VALUE_DIFFERENT = "ARGUMENT_VALUE_DIFFERENT"
BATCH_LENGTH_DIFFERENT = "FUNCTION_CALL_BATCH_LENGTH_DIFFERENT"

EXPECTED_ACTION = "EXPECTED_ACTION"
ACTION_PARTLY_EXPECTED = "ACTION_PARTLY_EXPECTED"
ACTION_DIFFERENT = "ACTION_DIFFERENT"
SCHEMA_INVALID = "SCHEMA_INVALID"
# Any other category was made up by a user's own grader.
OURS = frozenset(value for name, value in list(vars().items()) if name.isupper() and isinstance(value, str))

# What NeMo Gym's verifier writes for its categories, word for word; it has no others.
SENTENCES = {
    NO_ACTION_FOUND: "No tool call or chat message was found in the response",
    NO_EXPECTED_TOOL_CALL: "No tool call was found when one was expected",
    EXPECTED_CHAT_MESSAGE_FOUND: "A chat message was found as expected",
    NO_EXPECTED_CHAT_MESSAGE: "A tool call was executed when a chat message was expected",
    UNEXPECTED_TOOL: "The tool in a tool call is not the expected tool",
    ARGUMENTS_DECODE_ERROR: "An error occurred when decoding the arguments string in a tool call as a JSON object",
    VALUE_TYPE_DIFFERENT: "The type of an argument value in a tool call is different than the expected type",
    OBJECT_KEYS_DIFFERENT: (
        "The keys in an object in an argument value in a tool call are different than the keys in the expected object"
    ),
    LIST_LENGTH_DIFFERENT: "A list in an argument value in a tool call has a different length than the expected list",
    VALUE_DIFFERENT: "An argument value in a tool call is different than the expected value",
    EXPECTED_TOOL_CALL: "A tool call that matches the expected tool call was found",
    BATCH_LENGTH_DIFFERENT: "The number of tool calls in a batch is different than expected",
    EXPECTED_TOOL_CALL_BATCH: "A tool-call batch that matches the expected tool calls was found",
}

_NAMES_SHOWN = 4


def wrong_kind(expected: Action, actual: Action) -> Grade | None:
    """Judge an action that is not of the expected kind: a message for calls, calls for a message, or nothing.

    None if the kinds agree. Raises GraderError for an expected action with neither a message nor a call.
    """
    if not expected.calls:
        if expected.message is None:
            raise GraderError("the expected action is empty: it has neither a message nor a call")
        if actual.calls:
            return Grade(0.0, NO_EXPECTED_CHAT_MESSAGE, f"expected a message, got a call of {_names(actual)}")
    elif actual.calls:
        return None
    if actual.malformed is not None:
        text = shown(actual.malformed) if actual.malformed else "the server does not show it"
        explanation = f"the server, or openai-prompt, could not parse what the model wrote: {text}"
        return Grade(0.0, NO_ACTION_FOUND, explanation)
    if actual.message is None:
        return Grade(0.0, NO_ACTION_FOUND, "the agent neither called a function nor wrote a message")
    if expected.calls:
        return Grade(0.0, NO_EXPECTED_TOOL_CALL, f"expected a call of {_names(expected)}, got a message")
    return None


def wrong_number(expected: Action, actual: Action) -> str:
    """Return the explanation for a different number of calls."""
    n_expected = len(expected.calls)
    return f"expected {n_expected} call{'' if n_expected == 1 else 's'}, got {len(actual.calls)}"


def all_pairs(partner: list[int | None], rewards: list[float], n_actual: int) -> tuple[Pair, ...]:
    """Return all pairs of calls, given each expected call's partner and reward; surplus calls come last."""
    pairs = [Pair(i, j, reward) for i, (j, reward) in enumerate(zip(partner, rewards, strict=True))]
    used = set(partner)
    return (*pairs, *(Pair(None, j, 0.0) for j in range(n_actual) if j not in used))


def _names(action: Action) -> str:
    names = [shown_name(call.name) for call in action.calls[:_NAMES_SHOWN]]
    return ", ".join(names) + (", …" if len(action.calls) > _NAMES_SHOWN else "")
