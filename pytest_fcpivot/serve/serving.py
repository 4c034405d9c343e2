"""Opens data as environments, and runs the server until it is told to end."""

from __future__ import annotations

import os
import re
import socket
from array import array
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import DataError, OptionError
from pytest_fcpivot.core.jsontext import shown
from pytest_fcpivot.data import open_store, resolve_data
from pytest_fcpivot.graders.of_data import choose
from pytest_fcpivot.serve.app import App
from pytest_fcpivot.serve.environments import Environment, splits_of
from pytest_fcpivot.serve.grading import Grading
from pytest_fcpivot.serve.pivots import Pivots

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_fcpivot.data.selection import Selection
    from pytest_fcpivot.data.store import PivotStore
    from pytest_fcpivot.graders import Grader
    from pytest_fcpivot.serve.judging import JudgeSettings
    from pytest_fcpivot.serve.tools import Mode

EXTRA = "pip install 'pytest-fcpivot[ors]'"
OF_PIVOTS, OF_CONVERSATIONS = "fcpivot", "agentic"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# Paths of the standard, which no environment may hide.
_RESERVED = frozenset(
    (
        *("health", "version", "ping", "list_environments", "create", "delete", "create_session", "delete_session"),
        *("tools", "splits", "tasks", "num_tasks", "task", "task_range", "task_tools", "prompt", "messages", "call"),
        "score_group",
    )
)
_BATCH = "function_call_batch"
_MOST_FILES = 65_536
_LONGEST_WAIT_S = 5  # for requests that are under way when the server is told to end


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be served: data files, each perhaps with a name, their part, and how they are graded."""

    data: Sequence[str]
    selection: Selection
    mode: Mode
    grader: str | None
    grader_settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens, and the variable with the token that it asks for."""

    host: str
    port: int
    token_variable: str | None = None


@dataclass(frozen=True, slots=True)
class _Rows:
    label: str
    store: PivotStore
    rows: Sequence[int]


def refuse_without_server() -> None:
    """Raise OptionError if the packages that serve HTTP are not installed."""
    for name in ("uvicorn", "httptools"):
        if find_spec(name) is None:
            raise OptionError(f"fcpivot serve needs the package {name}; install it: {EXTRA}")


def open_environments(wanted: Wanted) -> list[Environment]:
    """Open all data files; raises DataError, GraderError and OptionError for what cannot be served."""
    found: dict[str, Environment] = {}
    for given in wanted.data:
        environment = _environment(given, wanted)
        earlier = next((name for name in found if name.lower() == environment.name.lower()), None)
        if earlier is not None:
            raise OptionError(
                f"{given}: there is an environment {earlier} already; give each file a name of its own, as in "
                f"first={given}"
            )
        found[environment.name] = environment
    return list(found.values())


def _environment(given: str, wanted: Wanted) -> Environment:
    name, path = _named(given)
    store = open_store(path)
    try:
        return _of_store(name, _Rows(str(path), store, wanted.selection.rows(store)), wanted)
    except BaseException:
        store.close()
        raise


def _of_store(name: str | None, data: _Rows, wanted: Wanted) -> Environment:
    store, rows = data.store, data.rows
    if not rows:
        raise OptionError(f"{data.label}: no task is left: {wanted.selection.why_nothing(store)}")
    grader, _ = choose(data, wanted.grader, wanted.grader_settings, search=[Path.cwd()])
    kept = _judged_by_one_call(data, grader)
    if not kept:
        raise OptionError(f"{data.label}: the grader {grader.name} cannot judge any of its {len(rows)} pivots")
    shape = OF_CONVERSATIONS if (store.provenance.get("audit") or {}).get("conversations") else OF_PIVOTS
    splits = splits_of(store.each("split"), kept)
    return Environment(name or shape, store, grader, splits, left_out=len(rows) - len(kept))


def _named(given: str) -> tuple[str | None, Path]:
    """Return the name and the file of an argument; a file's own name may have an equals sign in it."""
    name, equals, rest = given.partition("=")
    if not equals or Path(given).exists():
        return None, resolve_data(given)
    if not _NAME.fullmatch(name) or name.lower() in _RESERVED:
        raise OptionError(
            f"{given}: an environment cannot be named {shown(name)}: use letters, digits, and _ . - in it; the paths "
            "of the standard, such as tasks, are taken"
        )
    return name, resolve_data(rest)


def _judged_by_one_call(data: _Rows, grader: Grader) -> Sequence[int]:
    """Return the rows that the grader can judge, of which some may expect several calls."""
    if not any(kind == _BATCH for kind in data.store.each("expected_type")):
        return data.rows
    called = data.store.some("expected_names", data.rows)
    return array("I", (row for row, names in zip(data.rows, called, strict=True) if grader.accepts(len(names))))


def make_app(environments: Sequence[Environment], mode: Mode, judge: JudgeSettings | None, **limits: Any) -> App:
    """Return the application that serves environments."""
    judging = None
    if judge is not None and any(environment.scores_messages for environment in environments):
        from pytest_fcpivot.serve.judging import Judging  # noqa: PLC0415 (needs the package openai)

        judging = Judging(judge)
    named = {environment.name: environment for environment in environments}
    return App(named, mode, Pivots(mode), Grading(judging), **limits)


def token_of(address: Address) -> str | None:
    """Return the token that clients must send, None if there is none; raises OptionError for an empty variable."""
    if address.token_variable is None:
        return None
    token = os.environ.get(address.token_variable, "").strip()
    if not token:
        raise OptionError(
            f"--token-env={address.token_variable}: this environment variable is not set; it holds the token"
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise OptionError(
            f"--token-env={address.token_variable}: a header cannot carry this token; it must be of ASCII letters, "
            "digits and signs, without blanks"
        )
    return token


def http_settings() -> dict[str, Any]:
    """Return how uvicorn speaks HTTP."""
    from pytest_fcpivot.serve.protocol import BoundedProtocol  # noqa: PLC0415 (only to serve)

    return {
        "loop": "auto",  # uvloop, where there is one
        "http": BoundedProtocol,
        "ws": "none",
        "log_level": "warning",
        "access_log": False,  # headers and paths of clients stay out of all logs
        "proxy_headers": False,
        "server_header": False,
        "date_header": False,
        "timeout_keep_alive": 60,
        "timeout_graceful_shutdown": _LONGEST_WAIT_S,
    }


def run(app: App, listener: socket.socket, started: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `started` is told the address."""
    import uvicorn  # noqa: PLC0415 (only to serve)

    _allow_many_connections()
    server = uvicorn.Server(uvicorn.Config(app, **http_settings()))
    host, port = listener.getsockname()[:2]
    started(f"http://{f'[{host}]' if ':' in host else host}:{port}")
    with suppress(KeyboardInterrupt):  # the signal that ended it is raised again
        server.run(sockets=[listener])


def _allow_many_connections() -> None:
    """Raise the number of files that may be open: each connection is one, and many systems begin with 1,024."""
    try:
        import resource  # noqa: PLC0415 (not on every system)
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen(address: Address) -> socket.socket:
    """Take the address, before data are opened; raises DataError if that is not possible."""
    if not address.host:
        raise OptionError("--host: name an address, as in 127.0.0.1; 0.0.0.0 is all of this machine's")
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"cannot listen at {address.host} port {address.port}: {reason}; choose another with --port or --host"
        ) from error
    return listener
