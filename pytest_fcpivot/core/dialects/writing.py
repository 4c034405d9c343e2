"""Writes actions and whole pivots as text, in the form of a model family."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.chat import offered_tools, tool_choice
from pytest_fcpivot.core.dialects import AUTO, DIALECT_NAMES, Tools, named, parse_text, read_calls
from pytest_fcpivot.core.dialects.harmony import NAME as HARMONY
from pytest_fcpivot.core.dialects.harmony import write_message
from pytest_fcpivot.core.dialects.hermes import NAME as HERMES
from pytest_fcpivot.core.dialects.hermes import write_call
from pytest_fcpivot.core.errors import DialectError
from pytest_fcpivot.core.jsontext import one_line
from pytest_fcpivot.core.model import Action, Pivot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_fcpivot.core.dialects import Dialect
    from pytest_fcpivot.core.model import PivotView

_INSTRUCTIONS = """\
You can call tools. Each line below describes one of them, its parameters as a JSON Schema:
<tools>
{tools}
</tools>
To call a tool, answer with one block of this form for each call, on lines of its own:
{form}
{duty} Results come back in <tool_response> blocks, in the order of the calls."""
_HERMES_FORM = """\
<tool_call>
{"name": "the tool's name", "arguments": {"a parameter": "its value"}}
</tool_call>"""
_LIST_INSTRUCTIONS = _INSTRUCTIONS.replace(
    "answer with one block of this form for each call, on lines of its own", "answer in this form, shown for two calls"
)
_EXAMPLE = (("tool_name", '{"parameter": "its value"}'), ("other_tool", "{}"))


def render_action(
    action: Action,
    dialect: str,
    *,
    special_tokens: bool = True,
    tools: Iterable[Mapping[str, Any]] | Tools | None = None,
) -> str:
    """Write an action as a model of a family writes it in its turn: its calls, or its message.

    With `special_tokens=False`, the marks that the family's tokenizer holds as special tokens are left out, as a
    decoder with `skip_special_tokens=True` does. The mark that ends the turn is never written.

    The text is read again in the same dialect, and DialectError is raised if that gives another action. This concerns
    arguments that are no JSON object, malformed actions, strings that hold the dialect's own marks, names that it
    cannot hold, and messages that look like calls. In the dialects with bare values (`qwen3-coder`, `glm`), types are
    read by the schemas of the tools: only with `tools` is it known that a value keeps its type.
    """
    written_by = _checked(dialect)
    calls = [(call.name, call.arguments) for call in action.calls]
    if not calls and action.message is None:
        what = "a malformed call" if action.malformed is not None else "no action"
        raise DialectError(f"{dialect} has no text for {what}; only calls and messages can be written")
    for name, arguments in calls:
        _check_object(name, arguments, dialect)
    try:
        text = written_by.write(calls, special_tokens) if calls else ""
    except ValueError as error:
        raise DialectError(
            f"{dialect} cannot express the arguments of {one_line(calls[0][0], 60)!r}: {error}"
        ) from None
    if not calls or (action.message and action.message.strip()):
        said = action.message or ""
        if dialect == HARMONY:
            said = write_message(said, final=not calls, special=special_tokens)
        text = f"{said}{'' if dialect == HARMONY else chr(10)}{text}" if calls else said
    _check_reading(action, text, dialect, tools)
    return text


def render(pivot: Pivot | PivotView, dialect: str, *, special_tokens: bool = True) -> list[dict[str, str]]:
    """Write the prompt of a pivot as plain chat messages, for a model without support for tools.

    The messages have the roles `system`, `user` and `assistant`, and a text as `content`. The tools, and the form in
    which to call them, are described in the system message; earlier calls are written in the dialect, and their results
    as messages of the user. The expected action is nowhere. Raises DialectError for an unknown dialect, and for earlier
    calls that it cannot express.
    """
    view = pivot.view() if isinstance(pivot, Pivot) else pivot
    params = view.params
    parallel = params.get("parallel_tool_calls")
    offered = offered_tools(view.tools)
    choice = tool_choice(params.get("tool_choice"))
    if isinstance(choice, dict) and choice["type"] == "function" and choice["name"] not in {t["name"] for t in offered}:
        choice = None  # a fault of the data
    try:
        return render_chat(
            view.messages,
            offered,
            dialect,
            choice=choice,
            parallel=parallel if isinstance(parallel, bool) else None,
            special_tokens=special_tokens,
        )
    except DialectError as error:
        raise DialectError(f"pivot {view.id}: {error}") from None


def render_chat(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    dialect: str,
    *,
    choice: str | Mapping[str, Any] | None = None,
    parallel: bool | None = None,
    special_tokens: bool = True,
) -> list[dict[str, str]]:
    """Write chat messages without fields for tools: these are described in the system message, calls are text.

    The results of parallel calls become one message. `choice` is a mode or an object of the Responses API.
    """
    written_by = _checked(dialect)
    chat: list[dict[str, str]] = []
    described = _describe(tools, dialect, choice, parallel, special_tokens=special_tokens)
    if described and (not messages or messages[0]["role"] != "system"):
        chat.append({"role": "system", "content": described})
    after = ""  # the role of the previous message
    for message in messages:
        role, text = message["role"], str(message.get("content") or "")
        calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())]
        if role == "assistant" and calls:
            if dialect == HERMES:
                # Even a call that no server would take can be shown: it is part of what the expert did.
                written = "\n".join(write_call(name, arguments) for name, arguments in calls)
            else:
                for name, arguments in calls:
                    _check_object(name, arguments, dialect)
                try:
                    written = written_by.write(calls, special_tokens)
                except ValueError as error:
                    raise DialectError(f"{dialect} cannot express an earlier call: {error}") from None
            text = "\n".join([*([text] if text else []), written])
        elif role == "tool":
            role, text = "user", f"<tool_response>\n{text}\n</tool_response>"
        elif role == "system" and not chat and described:
            text = f"{text}\n\n{described}" if text else described
        if message["role"] == after == "tool":
            chat[-1]["content"] += f"\n{text}"
        else:
            chat.append({"role": role, "content": text})
        after = message["role"]
    return chat


def _describe(
    tools: Sequence[Mapping[str, Any]],
    dialect: str,
    choice: str | Mapping[str, Any] | None,
    parallel: bool | None,
    *,
    special_tokens: bool,
) -> str:
    if not tools or choice == "none":
        return ""
    keys = ("name", "description", "parameters")
    duty = "If no tool is needed, answer the user in plain text, without such a block."
    if choice == "required":
        duty = "You must call at least one tool."
    elif not isinstance(choice, str) and choice is not None and choice["type"] == "function":
        duty = f"You must call the tool {json.dumps(choice['name'], ensure_ascii=False)}."
    if parallel is False:
        duty += " Call at most one tool in an answer."
    form = _HERMES_FORM
    instructions = _INSTRUCTIONS
    if dialect != HERMES:
        instructions, form = _LIST_INSTRUCTIONS, named(dialect).write(_EXAMPLE, special_tokens)
        duty = duty.replace("without such a block", "without this form")
    lines = (json.dumps({key: tool[key] for key in keys if key in tool}, ensure_ascii=False) for tool in tools)
    return instructions.format(tools="\n".join(lines), form=form, duty=duty)


def _checked(dialect: str) -> Dialect:
    if dialect == AUTO:
        raise DialectError(f"to write, one dialect must be named: {', '.join(DIALECT_NAMES)}")
    return named(dialect)


def _check_object(name: str, arguments: str, dialect: str) -> None:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError) as error:
        raise DialectError(
            f"{dialect} cannot express the call of {one_line(name, 60)!r}: its arguments are not JSON "
            f"({one_line(str(error), 80)}): {one_line(arguments, 80)}"
        ) from None
    if not isinstance(value, dict):
        raise DialectError(
            f"{dialect} cannot express the call of {one_line(name, 60)!r}: its arguments are no JSON object: "
            f"{one_line(arguments, 80)}"
        )


def _check_reading(action: Action, text: str, dialect: str, tools: Iterable[Mapping[str, Any]] | Tools | None) -> None:
    """Raise DialectError if a text is not read as the action that it was written for."""
    known = tools if tools is None or isinstance(tools, Tools) else Tools(tools)
    if not action.calls:
        read = parse_text(text, known or Tools(), dialect)
        if read.message is None or read.message != (action.message or "").strip():
            raise DialectError(
                f"{dialect} cannot express this message, which would be read otherwise: {one_line(text, 120)}"
            )
        return
    # Without its marks, a call is one only of a tool on offer.
    offered = known or Tools.named(call.name for call in action.calls)
    if known is not None and not {call.name for call in action.calls} <= known.names:
        offered = known.with_names(call.name for call in action.calls)
    read_back = read_calls(text, offered, dialect).calls
    same = len(read_back) == len(action.calls) and all(
        name == call.name and _equal(arguments, call.arguments, typed=known is not None)
        for (name, arguments), call in zip(read_back, action.calls, strict=True)
    )
    if not same:
        names = ", ".join(dict.fromkeys(repr(one_line(call.name, 60)) for call in action.calls))
        hint = "" if known is not None else " (a name or a string holds what the dialect itself uses)"
        raise DialectError(
            f"{dialect} cannot express the call of {names}: its text is read otherwise{hint}: {one_line(text, 120)}"
        )


def _equal(read: str, meant: str, *, typed: bool) -> bool:
    """Compare arguments as JSON, in which 1, 1.0 and true differ; without types, bare text may stand for any value."""
    try:
        one, other = json.loads(read), json.loads(meant)
    except (ValueError, RecursionError):
        return False
    if _canonical(one) == _canonical(other):
        return True
    if typed or one.keys() != other.keys():
        return False
    return all(
        _canonical(value) == _canonical(other[key])
        or (
            isinstance(value, str)
            and not isinstance(other[key], str)
            and _canonical_text(value) == _canonical(other[key])
        )
        for key, value in one.items()
    )


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _canonical_text(text: str) -> str | None:
    try:
        return _canonical(json.loads(text))
    except (ValueError, RecursionError):
        return None
