"""Says what an audit leaves out because its lines are damaged, or refuses to leave it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fcpivot.core.errors import RunError
from pytest_fcpivot.runs.damage import Damages, listed, would_be_missing

if TYPE_CHECKING:
    from collections.abc import Iterator


def refuse_damaged(damages: Damages, instead: str, *, allowed: bool) -> None:
    """Raise RunError for damaged lines unless they are `allowed`; `instead` is what the user can do."""
    if damages and not allowed:
        raise RunError(f"{would_be_missing(damages)}\n{instead}, or --allow-damaged")


def notes_on(damages: Damages) -> Iterator[str]:
    """Yield notes on the lines that are left out, and on damaged ones that do not matter."""
    if damages.torn is not None:
        yield f"the last line is incomplete and was left out: {damages.torn.size} bytes"
    if damages:
        yield f"left out: {damages.losses()}"
        yield from (f"  {line}" for line in listed([damages]))
    if damages.made_up:
        yield f"damaged lines that do not matter, because their tests have later results: {damages.made_up}"
