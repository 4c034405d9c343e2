"""pytest-xdist's gateways to other machines: that all run the same session, and what becomes of one that is lost."""

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
    """The controller's part in starting workers, and in doing without those that are lost."""

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
        """Name the machine that cannot be reached, where xdist would show its own traceback."""
        controller = self._controller
        # There is no hook for it: xdist ends with an internal error when a machine does not come back.
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
            hint = "; name data by --fc-data=FILE" if "rsync root" in str(error) else ""
            raise pytest.UsageError(f"{machine_name(self._starting[0])}: {_reason(error)}{hint}") from error

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Iterable[Any]) -> None:
        """Remember what is to be started."""
        self._starting = list(specs)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Forget it: the machine was reached."""
        self._starting = [spec for spec in self._starting if spec is not node.gateway.spec]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: Any) -> None:
        """Remember which workers have begun."""
        self._ready.add(node.gateway.id)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Stop if a worker could not begin, and said why: it would not the next time either. Raises UsageError."""
        if error is None:
            if not (node.workeroutput["shouldfail"] or node.workeroutput["shouldstop"]):
                self._ended.append(node)
            if self._lost and active_workers(self._controller) <= {node}:
                self._use_ended()
        elif not isinstance(error, str) and node.gateway.id not in self._ready:
            raise pytest.UsageError(f"{machine_name(node.gateway.spec)}: {_reason(error)}")

    def _replace(self, node: Any) -> Any:
        """Start a worker again, in the place of one that died; without its machine, go on with the others."""
        lost = machine_name(node.gateway.spec)
        try:
            return self._start_again(node)
        except Exception as error:  # noqa: BLE001 (whatever keeps it from coming back)
            self._lost = True
            lost = f"{lost} is lost: {_reason(error)}"
        if not self._controller.sched.collection_is_completed:  # xdist waits for as many as were named
            raise pytest.UsageError(lost)
        self._controller.report_line(lost)
        others = active_workers(self._controller) - {node}
        return node if others else (self._use_ended() or node)  # xdist takes the dead one off its list in any case

    def _use_ended(self) -> Any:
        """Start a worker again where one had ended, if tests came back after that; None if none is needed or starts."""
        controller = self._controller
        if controller.shouldstop or not controller.sched.has_pending:
            return None
        while self._ended:
            node = self._ended.pop()
            node.gateway.exit()  # a socket server takes no other connection before
            with suppress(Exception):  # as above
                return self._start_again(node)
        controller.triggershutdown()  # what is left of the tests is reported as lost
        return None


def machine_name(spec: Any) -> str:
    """Name a worker and its machine, but not its whole specification, which may set a variable to a key."""
    place = next((f"{kind}={getattr(spec, kind)}" for kind in ("ssh", "socket") if getattr(spec, kind)), "popen")
    return f"{spec.id} ({place})"


def _reason(error: object) -> str:
    """Say why something failed in a worker: the end of its traceback."""
    text = str(error).strip()
    _, found, message = text.rpartition("UsageError: ")
    return on_screen(message if found else text.splitlines()[-1] if text else type(error).__name__)
