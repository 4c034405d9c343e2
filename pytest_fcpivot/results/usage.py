"""Tokens: how many an answer, or a judgement, took."""

from __future__ import annotations

from typing import Annotated

import msgspec

MOST = 1 << 53  # of tokens, attempts and the like: what a float counts exactly
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]


class Usage(msgspec.Struct, frozen=True, gc=False, rename=lambda name: f"{name}_tokens"):
    """Tokens of one answer; `cached` are among the input's, `reasoning` among the output's.

    In JSON they have the names of the Responses API.
    """

    input: Count = 0
    cached: Count = 0
    output: Count = 0
    reasoning: Count = 0

    def counts(self) -> tuple[int, int, int, int]:
        """Return the counts in the order of the fields, as a record holds them."""
        return self.input, self.cached, self.output, self.reasoning

    def to_builtins(self) -> dict[str, int]:
        """Write the counts under the names that they have in JSON."""
        builtins: dict[str, int] = msgspec.to_builtins(self)
        return builtins
