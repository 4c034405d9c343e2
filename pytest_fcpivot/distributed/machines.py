"""Handle pytest-xdist's workers on other machines: machines that cannot be reached, refuse to start, or are lost."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.core.jsontext import on_screen
from pytest_fcpivot.distributed.compat import active_workers, replace_restart, xdist_controller

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from pytest_fcpivot.session.hooks import PivotSession


def shares_disk(spec: Any) -> bool:
    """Return whether a worker runs on the controller's own machine."""
    return bool(spec.popen) and not spec.via


class Machines:
    """The controller's plugin object for workers that fail to start, or whose machine is lost."""

    def __init__(self, session: PivotSession) -> None:
        self._session = session
        self._starting: list[Any] = []
        self._ready: set[str] = set()
        self._ended: list[Any] = []
        self._lost = False
        self._start_again: Callable[[Any], Any]

    @property
    def _controller(self) -> Any:
        return xdist_controller(self._session.config)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionstart(self) -> Generator[None, None, None]:
        """Raise UsageError with the name of a machine that cannot be reached, instead of xdist's traceback."""
        controller = self._controller
        # There is no hook for this: if a machine is lost for good, xdist ends with an internal error.
        start_again = replace_restart(controller, self._replace)
        if start_again is not None:
            self._start_again = start_again
        try:
            yield
        except pytest.UsageError:
            raise
        except Exception as error:
            if not self._starting:
                raise
            self._session.ledger.recorder.finish(pytest.ExitCode.USAGE_ERROR, complete=False)
            self._session.ledger.recorder.close()
            hint = "; name the data with --fc-data=FILE" if "rsync root" in str(error) else ""
            raise pytest.UsageError(f"{machine_name(self._starting[0])}: {_reason(error)}{hint}") from error

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Iterable[Any]) -> None:
        """Remember the specifications of the workers to be started."""
        self._starting = list(specs)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Forget a worker's specification, because its machine was reached."""
        self._starting = [spec for spec in self._starting if spec is not node.gateway.spec]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: Any) -> None:
        """Remember which workers have started."""
        self._ready.add(node.gateway.id)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Raise UsageError if a worker refused to start with a reason, because a second try would fail as well.

        Also starts a worker again if tests came back from a lost machine and no other worker is left.
        """
        if error is None:
            if not (node.workeroutput["shouldfail"] or node.workeroutput["shouldstop"]):
                self._ended.append(node)
            if self._lost and active_workers(self._controller) <= {node}:
                self._use_ended()
        elif not isinstance(error, str) and node.gateway.id not in self._ready:
            raise pytest.UsageError(f"{machine_name(node.gateway.spec)}: {_reason(error)}")

    def _replace(self, node: Any) -> Any:
        """Start a worker in place of one that died; if its machine is lost, continue with the other workers."""
        lost = machine_name(node.gateway.spec)
        try:
            return self._start_again(node)
        except Exception as error:  # noqa: BLE001 (whatever prevents the restart)
            self._lost = True
            lost = f"{lost} is lost: {_reason(error)}"
        if not self._controller.sched.collection_is_completed:  # until then, xdist waits for all workers
            raise pytest.UsageError(lost)
        self._controller.report_line(lost)
        others = active_workers(self._controller) - {node}
        return node if others else (self._use_ended() or node)  # in any case, xdist takes the dead one off its list

    def _use_ended(self) -> Any:
        """Restart a worker that had ended, for tests that came back later; None without any, or if none starts."""
        controller = self._controller
        if controller.shouldstop or not controller.sched.has_pending:
            return None
        while self._ended:
            node = self._ended.pop()
            node.gateway.exit()  # a socket server accepts a new connection only after this
            with suppress(Exception):  # as above
                return self._start_again(node)
        controller.triggershutdown()  # the remaining tests are reported as lost
        return None


def machine_name(spec: Any) -> str:
    """Return the name of a worker with its machine; not the whole specification, which may contain a key."""
    place = next((f"{kind}={getattr(spec, kind)}" for kind in ("ssh", "socket") if getattr(spec, kind)), "popen")
    return f"{spec.id} ({place})"


def _reason(error: object) -> str:
    """Return the reason of a failure in a worker: the last line of its traceback, or its UsageError."""
    text = str(error).strip()
    _, found, message = text.rpartition("UsageError: ")
    return on_screen(message if found else text.splitlines()[-1] if text else type(error).__name__)
