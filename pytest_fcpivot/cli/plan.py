"""`fcpivot plan`: what a gate can decide with a data set, and what it costs, before the first call."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.cli.say import say
from pytest_fcpivot.core.errors import OptionError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pytest_fcpivot.data.store import IndexEntry
    from pytest_fcpivot.options.gate import Share
    from pytest_fcpivot.options.values import Price
    from pytest_fcpivot.runs.comparing import Side
    from pytest_fcpivot.runs.planning import Assumed, Planned, Tokens

_DROP = "0.01"
_ERROR = "0.05"
_MOST = 0.5


def add(commands: Any) -> None:
    """Declare the command and its options."""
    command = commands.add_parser(
        "plan",
        help="say what a gate can decide with a data set, and how many calls it takes, before the first call",
        description="Simulates runs over the trajectories of a data set, and prints how often a gate would say which "
        "word, how many calls it would make with and without --fc-stop-when-decided, and what they cost. No agent is "
        "called.",
    )
    command.add_argument("file", metavar="DATA", help="a data file, or sample for the bundled one")
    command.add_argument("--fail-under", metavar="MARK", help="the lowest mean reward that the gate needs")
    command.add_argument(
        "--baseline", metavar="RUN", help="a run, or a saved baseline, to take the mean reward and the tokens from"
    )
    command.add_argument(
        "--max-drop", metavar="DROP", help=f"how far the mean reward may fall (default: {_DROP}, without --fail-under)"
    )
    command.add_argument("--alpha", metavar="ALPHA", help="a change has an interval of 1 - ALPHA (default: 0.05)")
    command.add_argument(
        "--stop-when-decided", metavar="ALPHA", help=f"the error of a session that stops early (default: {_ERROR})"
    )
    command.add_argument("--mean", metavar="MEAN", help="the mean reward, if there is no baseline (default: 0.8)")
    command.add_argument(
        "--correlation",
        metavar="R",
        help="how much alike the rewards of a trajectory are, from 0 to 0.9 (default: the baseline's, or 0.3)",
    )
    command.add_argument(
        "--flips",
        metavar="SHARE",
        help="the share of pivots that flip between two runs of one agent (default: that of the baseline's repeats, or "
        "0.12); fcpivot compare --same-agent measures it",
    )
    command.add_argument("--price", metavar="PRICES", help="prices of a million tokens, as in --fc-price")
    command.add_argument(
        "--tokens", metavar="IN/OUT", help="tokens that a call reads and writes (default: those of the baseline's run)"
    )
    command.add_argument("--seed", type=int, default=0, metavar="SEED", help="seed of the simulation (default: 0)")
    command.add_argument("--format", choices=("text", "json"), default="text", help="how to write it (default: text)")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_fcpivot.data import open_store, resolve_data  # noqa: PLC0415 (only for this command)
    from pytest_fcpivot.data.progress import Progress  # noqa: PLC0415
    from pytest_fcpivot.runs.planning import known_of, plan_drop, plan_mark, tokens_of  # noqa: PLC0415

    mark, drop = _share(options, "fail_under"), _share(options, "max_drop")
    if mark is not None and not 0 < mark.value < 1:
        raise OptionError(f"--fail-under={mark.text}: write a mean reward between 0 and 1, as in 0.80")
    if drop is None and mark is None:
        drop = _share_of(_DROP, "--max-drop")
    alpha, error = _probability(options, "alpha"), _probability(options, "stop_when_decided")
    price, tokens = _price(options), _tokens(options)
    path = resolve_data(options.file)
    with Progress.of_file(path) as progress:
        store = open_store(path, progress=progress)
    with closing(store):
        entries: Sequence[IndexEntry] = store.index()
        base = None if options.baseline is None else _baseline(options.baseline, store.content_hash(path))
    sizes = Counter(entry.trajectory_id for entry in entries)
    if not sizes:
        raise OptionError(f"{options.file}: this file has no pivots")
    compared, known = sizes, {}
    if base is not None:
        known = known_of(base.rewards)
        answered = {pivot.pivot_id for pivot in base.rewards if pivot.rewards}
        compared = Counter(entry.trajectory_id for entry in entries if entry.id in answered)
        if tokens is None and base.path is not None and base.path.is_dir():
            tokens = tokens_of(base.path)
    assumed, sources = _assumed(options, known)
    plans = []
    if mark is not None:
        plans.append((plan_mark(sizes, mark, assumed, error=error, seed=options.seed), sizes.total()))
    if drop is not None:
        found = plan_drop(compared, drop, assumed, alpha=alpha, error=error, seed=options.seed)
        plans.append((found, compared.total()))
    if options.format == "json":
        taken = {name: {"value": value, "from": sources[name]} for name, value in _named(assumed)}
        about = {"pivots": sizes.total(), "trajectories": len(sizes), "taken": taken}
        print(json.dumps({**about, "rules": list(_builtins(plans, tokens, price))}, indent=2))
        return 0
    largest = max(sizes.values())
    say(f"{options.file}: {sizes.total():,} pivots in {len(sizes):,} trajectories of up to {largest:,}")
    if base is not None and compared != sizes:
        say(f"the baseline has answers to {compared.total():,} of the pivots, in {len(compared):,} trajectories")
    say(f"based on: {', '.join(f'{name} {value:.4g} ({sources[name]})' for name, value in _named(assumed))}")
    for line in _lines(plans, tokens, price):
        say(line)
    return 0


def _lines(plans: Sequence[tuple[Planned, int]], tokens: Tokens | None, price: Price | None) -> Iterator[str]:
    from pytest_fcpivot.report.plan import plan_lines  # noqa: PLC0415 (only for this command)

    for planned, calls in plans:
        yield ""
        yield from plan_lines(planned, calls, tokens, price)
    yield ""
    calls = max(calls for _, calls in plans)
    cost = ""
    if price is not None:
        if tokens is None:
            cost = "; the tokens of a call are unknown, so is their cost: give them as --tokens=IN/OUT"
        else:
            each = f"{tokens.read / tokens.answers:,.0f} tokens read and {tokens.written / tokens.answers:,.0f} written"
            cost = f", at {each} each: {tokens.cost(calls, price):,.2f} {price.currency}"
    yield f"a whole run makes {calls:,} calls{cost}"


def _baseline(name: str, content: str) -> Side:
    from pytest_fcpivot.runs.gate_baseline import read_baselines  # noqa: PLC0415 (only for this command)

    base = read_baselines([name], Path.cwd(), "--baseline")
    hashes = {data["sha256"] for data in base.description["data"]}
    if content not in hashes:
        raise OptionError(
            f"--baseline={name}: this run is of other data (sha256 {', '.join(sorted(each[:16] for each in hashes))}) "
            f"than the file (sha256 {content[:16]})"
        )
    return base


def _assumed(options: argparse.Namespace, known: dict[str, float]) -> tuple[Assumed, dict[str, str]]:
    """Return what is assumed, and where each of it comes from."""
    from pytest_fcpivot.runs.planning import Assumed  # noqa: PLC0415 (only for this command)

    values, sources = {}, {}
    for name, value in _named(Assumed()):
        given = _share(options, name)
        if given is not None:
            values[name], sources[name] = float(given.value), f"--{name}"
        elif name in known:
            values[name], sources[name] = known[name], "the baseline's"
        else:
            values[name], sources[name] = value, "assumed"
    if values["correlation"] > 0.9:  # noqa: PLR2004 (the largest that is simulated)
        raise OptionError(f"--correlation={options.correlation}: must be from 0 to 0.9")
    return Assumed(**values), sources


def _named(assumed: Assumed) -> list[tuple[str, float]]:
    return [("mean", assumed.mean), ("correlation", assumed.correlation), ("flips", assumed.flips)]


def _builtins(
    plans: Sequence[tuple[Planned, int]], tokens: Tokens | None, price: Price | None
) -> Iterator[dict[str, Any]]:
    for planned, calls in plans:
        cost = None if tokens is None or price is None else tokens.cost(calls, price)
        yield {**planned.to_builtins(), "calls": calls, "cost": cost}


def _share(options: argparse.Namespace, name: str) -> Share | None:
    text: str | None = getattr(options, name)
    return None if text is None else _share_of(text, f"--{name.replace('_', '-')}")


def _share_of(text: str, flag: str) -> Share:
    from pytest_fcpivot.options.gate import parse_share  # noqa: PLC0415 (only for this command)

    form = "write a number from 0 to 1, as in 0.05 or 5%"
    if flag == "--fail-under":
        form = "write a mean reward between 0 and 1, as in 0.80 or 80%; marks of groups are not planned"
    return parse_share(text, f"{flag}={text}", form)


def _probability(options: argparse.Namespace, name: str) -> float:
    found = _share(options, name)
    value = float(_ERROR) if found is None else float(found.value)
    if found is not None and not 0 < value < _MOST:
        raise OptionError(f"--{name.replace('_', '-')}={found.text}: write a probability between 0 and 0.5, as in 0.05")
    return value


def _price(options: argparse.Namespace) -> Price | None:
    from pytest_fcpivot.options.values import Price  # noqa: PLC0415 (only for this command)

    if options.price is None:
        return None
    try:
        return Price.of_text(options.price)
    except ValueError:
        raise OptionError(
            f"--price={options.price}: write the prices of a million tokens as INPUT/CACHED/OUTPUT, as in "
            "1.25/0.125/10, or INPUT/OUTPUT, and after a space a currency of three letters if it is not USD"
        ) from None


def _tokens(options: argparse.Namespace) -> Tokens | None:
    from pytest_fcpivot.runs.planning import Tokens  # noqa: PLC0415 (only for this command)

    if options.tokens is None:
        return None
    read, slash, written = options.tokens.partition("/")
    if not (slash and read.isdecimal() and written.isdecimal()):
        raise OptionError(f"--tokens={options.tokens}: write the tokens that a call reads and writes, as in 1200/60")
    return Tokens(answers=1, read=int(read), cached=0, written=int(written))
