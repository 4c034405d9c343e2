"""Decodes the arguments of calls by the rules of `json.loads`, and compares values as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import GraderError
from pytest_fcpivot.core.jsontext import decoded, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fcpivot.core.model import FunctionCall


def expected_arguments(call: FunctionCall) -> Any:
    """Decode an expected call's arguments; raises GraderError if they are not JSON, which is a fault of the data."""
    try:
        return decoded(call.arguments)
    except (ValueError, RecursionError) as error:
        raise GraderError(
            f"the expected arguments of {one_line(call.name, 80)!r} are not JSON ({error}): a fault of the data"
        ) from error


def why_not_decoded(arguments: str, error: ValueError | RecursionError) -> str:
    """Explain why a model's arguments could not be decoded."""
    if not arguments:
        return "the arguments are empty, which is not JSON: the server sent no arguments"
    if isinstance(error, RecursionError):
        return "the arguments are nested too deep"
    return f"the arguments are not JSON: {error}"


def same_json(one: Any, other: Any) -> bool:
    """Return whether two decoded values are the same JSON: 1 equals 1.0 but not true; the order of keys is ignored.

    NaN, which is not JSON but which `json.loads` accepts, equals NaN. Nesting is handled without recursion.
    """
    pending: list[Iterator[tuple[Any, Any]]] = [iter(((one, other),))]
    while pending:
        for a, b in pending[-1]:
            kind = type(a)
            if kind is dict:
                if type(b) is not dict or a.keys() != b.keys():
                    return False
                pending.append(zip(a.values(), map(b.__getitem__, a), strict=True))
                break
            if kind is list:
                if type(b) is not list or len(a) != len(b):
                    return False
                pending.append(zip(a, b, strict=True))
                break
            if not _same_scalar(a, b):
                return False
        else:
            pending.pop()
    return True


def _same_scalar(one: Any, other: Any) -> bool:
    kind, other_kind = type(one), type(other)
    if kind is not other_kind and (kind, other_kind) not in ((int, float), (float, int)):
        return False  # in Python, True == 1
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 (true for NaN)
