"""Begin a session that runs pivots: make its parts, and register it with pytest."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from pytest_fcpivot.calls.servers import Servers
from pytest_fcpivot.core.errors import FcPivotError
from pytest_fcpivot.core.jsontext import on_screen
from pytest_fcpivot.runs.directory import RunDirectory
from pytest_fcpivot.runs.recorder import Recorder
from pytest_fcpivot.session import forked
from pytest_fcpivot.session.asking import Asker
from pytest_fcpivot.session.grading import Grading
from pytest_fcpivot.session.hooks import PivotSession
from pytest_fcpivot.session.kept_calls import KeptCalls
from pytest_fcpivot.session.ledger import Ledger
from pytest_fcpivot.session.plan import make_plan
from pytest_fcpivot.session.queue import whole_window
from pytest_fcpivot.session.quick_exit import end_quickly
from pytest_fcpivot.session.redaction import Redaction
from pytest_fcpivot.session.stored_answers import StoredAnswers
from pytest_fcpivot.session.worker_plan import is_worker

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fcpivot.core.redact import Redactor
    from pytest_fcpivot.session.deciding import Deciding
    from pytest_fcpivot.session.gating import Gating
    from pytest_fcpivot.session.plan import Plan
    from pytest_fcpivot.session.until_mixed import UntilMixed


def begin(config: pytest.Config) -> PivotSession:
    """Check the options, open the data, and register the session's hooks; raises UsageError for what cannot be run."""
    redact = Redaction.begin(config).redact
    try:
        session = make_session(config, redact)
    except FcPivotError as error:
        raise pytest.UsageError(on_screen(redact(str(error)))) from error
    except OSError as error:  # for example a directory without access, or a file name that is too long
        raise pytest.UsageError(on_screen(redact(f"{error.filename}: {error.strerror or error}"))) from error
    if session.plan.datasets.are_run and forked.is_forked(config):
        raise pytest.UsageError(forked.WHY_NOT)
    config.pluginmanager.register(session, "fcpivot-session")
    config.add_cleanup(gc.unfreeze)
    end_quickly()
    return session


def make_session(config: pytest.Config, redact: Redactor) -> PivotSession:
    """Make the parts of a session; raises FcPivotError for options and data that cannot be run, OSError for a file."""
    servers = Servers()
    plan, judging = make_plan(config, redact, servers)
    recorder = _recorder(config, plan)
    gating = None if is_worker(config) else _gate(config, plan)
    calls = KeptCalls(config, recorder, redact)
    grading = Grading(plan, judging)
    stored = StoredAnswers(plan.book, replays=plan.replays, crashes=calls.crashes)
    asker = Asker(
        config,
        plan,
        grading,
        stored=stored,
        judging=judging,
        log=calls.log,
        servers=servers,
    )
    return PivotSession(
        config,
        plan,
        ledger=Ledger(plan, recorder, gating),
        grading=grading,
        judging=judging,
        asker=asker,
        calls=calls,
        deciding=None if gating is None else _deciding(plan),
        mixing=_mixing(plan, stored) if plan.asks_until_mixed else None,
    )


def _gate(config: pytest.Config, plan: Plan) -> Gating | None:
    """Check what the gate names, and read its baseline; None without a gate, and for a session that only looks."""
    gate = plan.options.gate
    if gate is None or plan.only_looks:
        return None
    from pytest_fcpivot.session.gating import Gating  # noqa: PLC0415 (only if asked for)

    return Gating(config, plan, gate)


def _deciding(plan: Plan) -> Deciding | None:
    """Return what stops the session when its gate is decided; None if it is not to be stopped."""
    if not plan.stops_early:
        return None
    from pytest_fcpivot.session.deciding import Deciding  # noqa: PLC0415 (only if asked for)

    return Deciding(plan)


def _mixing(plan: Plan, stored: StoredAnswers) -> UntilMixed:
    """Return what passes over the tests of mixed pivots."""
    from pytest_fcpivot.session.until_mixed import UntilMixed  # noqa: PLC0415 (only if asked for)

    return UntilMixed(whole_window(plan.options.concurrency), stored, plan.outcomes)


def _recorder(config: pytest.Config, plan: Plan) -> Recorder:
    """Decide where the controller records the run; workers record nothing."""
    chosen = plan.options
    path: Path | None = None
    if not is_worker(config) and chosen.keep_run and not plan.only_looks:
        if plan.stored is not None and plan.resumes:
            path = plan.stored.path
        else:
            path = chosen.run or RunDirectory.new_path(config.rootpath)
    must = plan.resumes or chosen.run is not None
    marks = plan.stored is None or plan.stored.is_made_here
    return Recorder(path, resumes=plan.resumes, must=must, marks=marks)
