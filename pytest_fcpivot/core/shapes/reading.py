"""The result of reading an answer, and access to the fields of dicts and SDK objects alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import ActionError
from pytest_fcpivot.core.model import FunctionCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class _Missing:
    def __bool__(self) -> bool:
        return False


MISSING: Any = _Missing()
# The stop reasons by which the APIs report that an answer reached its token limit.
CUT_OFF_REASONS = frozenset(
    (
        *("length", "max_tokens", "MAX_TOKENS", "max_output_tokens"),
        *("model_length", "model_context_window_exceeded"),
    )
)
_KEYS_SHOWN = 8
_WIDTH = 40


@dataclass(slots=True)
class Reading:
    """The calls of an answer in their order, and its text, None if it has none.

    `malformed` is the model's raw output if its server could not parse it. `is_part` is true if the text is one part of
    a message, to be joined with its neighbours. `cut_off` is true if the answer ended at its token limit,
    `one_of_several` if it was chosen among alternatives as the only one with calls. `answer` is the object or dict that
    holds the answer, without any wrapper such as a run's result.
    """

    calls: list[FunctionCall] = field(default_factory=list)
    text: str | None = None
    malformed: str | None = None
    is_part: bool = False
    cut_off: bool = False
    one_of_several: bool = False
    answer: Any = None


if TYPE_CHECKING:
    Read = Callable[[Any], Reading]  # reads a nested part of an answer, whatever its shape
    Reader = Callable[[Any, Read], Reading]  # reads one shape


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape recognised by its fields: `fits` returns whether an object has this shape, `read` reads it."""

    fits: Callable[[Any], bool]
    read: Reader


def get(thing: Any, key: str) -> Any:
    """Return a field of a dict or an object, `MISSING` if there is none; raises ActionError if reading it fails."""
    if type(thing) is dict or isinstance(thing, Mapping):  # the first test is cheap and nearly always decides
        return thing.get(key, MISSING)
    try:
        return getattr(thing, key, MISSING)
    except Exception as error:
        raise ActionError(
            f"{key!r} of a {type(thing).__name__} cannot be read: {type(error).__name__}: {str(error)[:200]}"
        ) from error


def first(thing: Any, *keys: str) -> Any:
    """Return the first of these fields that exists and is not null; `MISSING` if there is none."""
    for key in keys:
        value = thing.get(key) if type(thing) is dict else get(thing, key)
        if value is not MISSING and value is not None:
            return value
    return MISSING


def is_list(value: Any) -> bool:
    """Return whether a value is a list or a tuple."""
    return isinstance(value, list | tuple)


def is_cut_off(reason: Any) -> bool:
    """Return whether a stop reason, given as a string or an enum member, means that the token limit was reached."""
    value = getattr(reason, "value", reason)
    return isinstance(value, str) and value in CUT_OFF_REASONS


def nothing(thing: Any, read: Read) -> Reading:  # noqa: ARG001 (a Reader)
    """Read a part of an answer that does not belong to the action: reasoning, or work that the server did itself."""
    return Reading(answer=thing)


def text_part(thing: Any, read: Read) -> Reading:  # noqa: ARG001 (a Reader)
    """Read a text part of a message."""
    text = get(thing, "text")
    if not isinstance(text, str):
        raise ActionError(f"a part that is text needs its text, a string; got text {shown_type(text)}")
    return Reading(text=text, is_part=True, answer=thing)


def function_call(name: Any, arguments: Any) -> FunctionCall:
    """Make a call; arguments other than a string are written as JSON. Raises ActionError if that is impossible."""
    if not isinstance(name, str) or arguments is MISSING:
        raise ActionError(
            f"a function call needs a name (a string) and arguments; got name {shown_type(name)}, "
            f"arguments {shown_type(arguments)}"
        )
    try:
        return FunctionCall(name, arguments)
    except (TypeError, ValueError, RecursionError) as error:
        raise ActionError(f"the arguments of {name[:_WIDTH]!r} cannot be written as JSON: {error}") from error


def served_call(call: Any, name_key: str, arguments_key: str, beside: frozenset[str]) -> FunctionCall:
    """Make a call from a server's own form of it, in which null or missing arguments become the empty text.

    `beside` lists the other fields that this form may have. If the arguments are missing and there is any further
    field, ActionError is raised, because the arguments might be there under another name.
    """
    name, arguments = get(call, name_key), get(call, arguments_key)
    if type(name) is str and type(arguments) is str:
        return FunctionCall(name, arguments)
    if arguments is MISSING:
        odd = [name for name in field_names(call) if name not in beside and name != name_key]
        if odd:
            raise ActionError(
                f"a function call has no {arguments_key!r}, but {shown_keys(odd)}; are the arguments there? return "
                f"them as {arguments_key!r}"
            )
    return function_call(name, "" if arguments is None or arguments is MISSING else arguments)


def combined(readings: Iterable[Reading], answer: Any) -> Reading:
    """Combine the readings of the items of a list: all calls, and the text.

    The text is that of the first message that has text, or the joined text parts of one message. Raises ActionError for
    a list without calls that has both messages and parts.
    """
    whole = Reading(answer=answer)
    message: str | None = None
    parts: list[str] = []
    for reading in readings:
        whole.calls += reading.calls
        whole.cut_off |= reading.cut_off
        if whole.malformed is None:
            whole.malformed = reading.malformed
        if reading.text is None:
            continue
        if reading.is_part:
            parts.append(reading.text)
        elif message is None:
            message = reading.text
    if parts and message is not None and not whole.calls:
        raise ActionError("a list holds both whole messages and single text parts; return one message")
    whole.text = message if message is not None else "".join(parts) if parts else None
    return whole


def field_names(thing: Any) -> Iterator[str]:
    """Yield the names of the public fields of a dict or an object whose values are not null."""
    if isinstance(thing, Mapping):
        fields: Mapping[Any, Any] = thing
    else:
        kind = type(thing)
        declared = getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", None)
        if not declared:
            slots = [getattr(base, "__slots__", ()) for base in kind.__mro__]
            named = [name for names in slots for name in ((names,) if isinstance(names, str) else names)]
            declared = [*named, *getattr(kind, "_fields", ()), *getattr(thing, "__dict__", ())]
        fields = {name: value for name in declared if (value := get(thing, name)) is not MISSING}
    for name, value in fields.items():
        if value is not None and isinstance(name, str) and not name.startswith("_"):
            yield name


def shown_type(value: Any) -> str:
    """Return "of type …" for a field's value, or "missing", for use in a message."""
    return "missing" if value is MISSING else f"of type {type(value).__name__}"


def shown_keys(names: Iterable[str]) -> str:
    """List the names of fields, shortened."""
    few: list[str] = []
    for name in names:
        if len(few) == _KEYS_SHOWN:
            few.append("…")
            break
        few.append(repr(name[:_WIDTH]))
    return ", ".join(few)
