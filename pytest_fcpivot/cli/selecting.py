"""The options that select a part of data, for commands; they mean the same as those of a session."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import OptionError

if TYPE_CHECKING:
    from pytest_fcpivot.data.selection import Selection


SELECTING = ("split", "where", "ids", "shard", "sample", "stratify", "limit")


def add_selection(command: Any, title: str) -> None:
    """Declare the options that select pivots, under a title."""
    group = command.add_argument_group(title)
    group.add_argument("--split", metavar="NAME", help="only pivots of this split")
    group.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help="only pivots that meet it, as in depth>=2; may be given several times",
    )
    group.add_argument("--ids", metavar="FILE", type=Path, help="only pivots with these ids, one on each line")
    group.add_argument("--shard", metavar="I/N", help="only part I of N, with whole trajectories")
    group.add_argument("--sample", metavar="N", type=_whole, help="this many pivots, chosen by --seed")
    group.add_argument("--stratify", action="store_true", help="keep the shares of expected types in a sample")
    group.add_argument("--seed", metavar="N", type=int, default=0, help="the seed for --sample (default: 0)")
    group.add_argument("--limit", metavar="N", type=_whole, help="the first N of the pivots that are left")


def selection_of(options: argparse.Namespace) -> Selection:
    """Return the selection that the options ask for; raises OptionError for a value that is not understood."""
    from pytest_fcpivot.data.selection import (  # noqa: PLC0415 (only if asked for)
        Condition,
        Selection,
        parse_condition,
        parse_shard,
        read_ids,
    )

    conditions = [parse_condition(text, "--where") for text in options.where]
    if options.split is not None:
        conditions.append(Condition("split", (), "=", options.split))
    if options.stratify and options.sample is None:
        raise OptionError("--stratify: it belongs to --sample")
    return Selection(
        shard=None if options.shard is None else parse_shard(options.shard, "--shard"),
        sample=options.sample,
        seed=options.seed,
        limit=options.limit,
        stratified=options.stratify,
        conditions=tuple(conditions),
        ids=None if options.ids is None else read_ids(options.ids, "--ids"),
    )


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number is needed, at least 1")
    return int(text)
