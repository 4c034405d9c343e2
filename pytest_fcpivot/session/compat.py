"""All uses of pytest's private attributes, each in one function that has a fallback for when the attribute is gone.

If pytest changes one of them, sessions become slower, lose a convenience, or are refused with a message that says so;
results never change. A test fails for each attribute that the installed pytest lacks.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence


def _place_of_none() -> Generator[None]:
    """Have a frame that no other frame called, as only a generator's has, for a traceback that leads nowhere."""
    yield


_PLACE = _place_of_none()
_NOWHERE = TracebackType(None, _PLACE.gi_frame, 0, _PLACE.gi_frame.f_lineno)  # type: ignore[attr-defined] # typed as any


def shared_fixtures(item: pytest.Function) -> dict[str, Any]:
    """Return the constructor arguments with which another item shares the fixtures of this one.

    Fallback: an empty dict, and each item resolves its fixtures anew, which is most of the cost of collecting.
    """
    found = getattr(item, "_fixtureinfo", None)
    return {} if found is None else {"fixtureinfo": found}


def fixture_definitions(node: pytest.Item, name: str) -> Sequence[Any]:
    """Return the definitions of a fixture that are visible to a test, the innermost last, even if it takes none.

    Raises CollectError if they cannot be found: without them it is unknown whether the user overrides one of our
    fixtures, which decides whom a test asks.
    """
    try:
        found = node._fixtureinfo.name2fixturedefs.get(name)  # type: ignore[attr-defined] # noqa: SLF001
        if found is None:
            found = node.session._fixturemanager.getfixturedefs(name, node)  # noqa: SLF001
    except AttributeError as error:
        raise pytest.Collector.CollectError(
            f"this version of pytest-fcpivot cannot find the fixtures of a test in pytest {pytest.__version__} "
            f"({error}); install a pytest that it supports, as with `pip install 'pytest<10'`"
        ) from error
    return found or ()


def has_fixture_request(item: pytest.Function) -> bool:
    """Return whether an item has ever been given a fixture request, even if it has been removed since."""
    return hasattr(item, "_request")


def put_off_fixture_request(item: pytest.Function) -> None:
    """Leave an item without a fixture request, as pytest does after a test; pytest makes one when the test runs."""
    item._request = False  # type: ignore[assignment] # noqa: SLF001


def fixture_request(item: pytest.Function) -> Any | None:
    """Return what the fixture `request` is for an item that is set up; without it, pytest defines that anew each time.

    Doing so takes the signature of a function, which is one part in thirty of all that pytest does for a test.
    """
    return getattr(item, "_request", None) or None


def session_fixtures(item: pytest.Function) -> list[tuple[str, Any, Any]]:
    """Return the session's fixtures that an item has: the name of each, its definition, and the result that it holds.

    pytest replaces the result whenever it sets the fixture up anew. Fallback: without results, no fixture is returned,
    and each item looks up all of them, which is one part in twenty of all that pytest does for a test.
    """
    found = []
    for name in item.fixturenames:
        definition = next(iter(fixture_definitions(item, name)[-1:]), None)
        result = getattr(definition, "cached_result", None)
        if definition is not None and result is not None and definition.scope == "session":
            found.append((name, definition, result))
    return found


def take_id_apart(item: pytest.Item) -> None:
    """Parse an item's id, so that it compares equal to the same id read from pytest's cache.

    pytest compares ids by their parts. Unparsed, a name with brackets has no parameters, and `--lf` would not find it.
    """
    if hasattr(item, "id") and hasattr(item, "_id"):
        item._id = type(item.id).parse(item.nodeid)  # noqa: SLF001


def standard_streams(config: pytest.Config) -> Iterator[tuple[str, Any, str]]:
    """Yield where pytest keeps the streams between which it switches `sys.stdout` and `sys.stderr`.

    Each is the name in `sys`, the object that holds the stream, and its attribute there: `tmpfile` is the stream while
    pytest captures, `_old` while it does not. Fallback: none are yielded, and what agents print while pytest switches
    streams appears with the test that is running.
    """
    capturing = getattr(config.pluginmanager.getplugin("capturemanager"), "_global_capturing", None)
    for name, attribute in (("stdout", "out"), ("stderr", "err")):
        capture = getattr(capturing, attribute, None)
        capture = getattr(capture, "syscapture", capture)
        for place in ("tmpfile", "_old"):
            if getattr(capture, place, None) is not None:
                yield name, capture, place


def shown_interrupt(config: pytest.Config) -> Any | None:
    """Return the traceback of a Ctrl-C that pytest's reporter keeps for the end; None if it is not found."""
    return getattr(config.pluginmanager.getplugin("terminalreporter"), "_keyboardinterrupt_memo", None)


def terminal_file(config: pytest.Config) -> tuple[Any, Any] | None:
    """Return pytest's writer to the terminal, and the file that it writes to, which is the writer's `_file`.

    Fallback: None, and no line under pytest's output shows how far a session is.
    """
    if config.pluginmanager.getplugin("terminalreporter") is None:
        return None
    writer = config.get_terminal_writer()
    file = getattr(writer, "_file", None)
    return None if file is None else (writer, file)


def write_to(writer: Any, file: Any) -> None:
    """Make pytest's writer to the terminal write to another file."""
    writer._file = file  # noqa: SLF001


def begin_line(writer: Any) -> None:
    """Tell pytest's writer to the terminal that its present line is empty, since somebody else has ended it.

    Fallback: pytest takes the line to be longer than it is, and ends it earlier.
    """
    if hasattr(writer, "_current_line"):
        writer._current_line = ""  # noqa: SLF001


def let_go_of_frames(raised: pytest.ExceptionInfo[BaseException]) -> None:
    """Give an exception that is shown already a traceback of one place that leads nowhere.

    A plugin may keep the exceptions of all failures to the end. Their frames hold the conversations, and all that
    pytest had on its stack when it ran the test. Fallback: the outermost frame stays, and with it those that called it.
    """
    raised.tb.tb_next = None
    held = getattr(raised, "_excinfo", None)
    if held is not None:
        raised.value.__traceback__ = _NOWHERE
        raised._excinfo = (*held[:2], _NOWHERE)  # noqa: SLF001
    raised.traceback = pytest.ExceptionInfo.from_exc_info((raised.type, raised.value, raised.tb)).traceback


def tear_down_to(item: pytest.Item, following: pytest.Item | None) -> None:
    """Tear down all that is set up and not needed by the test that follows `item`, which does not run itself.

    Fallback: nothing is torn down, and if the next test is of another file, pytest reports it as an error.
    """
    state = getattr(item.session, "_setupstate", None)
    if state is not None:
        state.teardown_exact(following)
