"""Begin a session that runs pivots, with or without pytest-xdist."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.distributed.compat import has_xdist, will_distribute
from pytest_fcpivot.session import begin as alone
from pytest_fcpivot.session.worker_plan import is_worker

if TYPE_CHECKING:
    from pytest_fcpivot.session.hooks import PivotSession


def begin(config: pytest.Config, begun: pytest.Session | None = None) -> PivotSession:
    """Begin a session in this process: as a worker, as the controller of workers, or alone.

    `begun` is pytest's session if it has started already, because a fixture is the first to need pivots. Raises
    UsageError for what cannot be run, and CollectError in a worker whose controller has no pivots.
    """
    if begun is not None and is_worker(config):
        from pytest_fcpivot.distributed.unexpected_pivots import refuse_pivots  # noqa: PLC0415 (few sessions come here)

        refuse_pivots(config)
    if has_xdist(config):
        _refuse_each(config)
    session = alone.begin(config)
    if is_worker(config):
        _serve(session)
    elif has_xdist(config):
        _distribute(session)
    if begun is not None:
        session.pytest_sessionstart(begun)
    return session


def _serve(session: PivotSession) -> None:
    """Make the session a worker's: it looks ahead in its queue, and stops at its controller's command."""
    from pytest_fcpivot.distributed.queue import WorkerQueue  # noqa: PLC0415 (only in workers)
    from pytest_fcpivot.distributed.stop import listen_for_stop  # noqa: PLC0415

    session.look_ahead_in(WorkerQueue(session.config))
    listen_for_stop(session.config, session.be_stopped)
    if session.mixing is not None:
        from pytest_fcpivot.distributed.mixed_scheduler import listen_for_outcomes  # noqa: PLC0415 (only if asked for)

        listen_for_outcomes(session.config, session.mixing.learn)


def _distribute(session: PivotSession) -> None:
    """Make the session a controller's, in case it gets workers; raises UsageError for what cannot be sent to them."""
    from pytest_fcpivot.distributed.machines import Machines  # noqa: PLC0415 (only where xdist is installed)
    from pytest_fcpivot.distributed.workers import Workers  # noqa: PLC0415

    if will_distribute(session.config):
        from pytest_fcpivot.distributed.sendable import refuse_unsendable  # noqa: PLC0415 (only with workers)

        refuse_unsendable(session)
    workers = session.closing.distribution = Workers(session)
    session.config.pluginmanager.register(workers, "fcpivot-workers")
    session.config.pluginmanager.register(Machines(session), "fcpivot-machines")


def _refuse_each(config: pytest.Config) -> None:
    """Raise UsageError for --dist=each with several workers, which would count each result several times."""
    if config.getoption("dist", "no") != "each":
        return
    from xdist.workermanage import parse_tx_spec_config  # noqa: PLC0415 (the option exists only with xdist)

    workers = len(parse_tx_spec_config(config))
    if workers > 1:
        raise pytest.UsageError(
            f"--dist=each with {workers} workers: each of them would run every pivot, and each result would be "
            f"counted {workers} times; use --dist=load, and --fc-repeats={workers} to ask at each pivot again"
        )
