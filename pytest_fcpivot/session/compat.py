"""What pytest has and does not publish: each by a function of its own, with what is done where it is gone.

A pytest that has changed costs time, or a nicety, or is refused by a message that says so; it never changes a result.
The tests fail loudly for each of these that the installed pytest does not have any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def shared_fixtures(item: pytest.Function) -> dict[str, Any]:
    """Return what makes another item with the same fixtures, as an argument of its constructor.

    Without it each item resolves its fixtures anew, which is most of the cost of collecting.
    """
    found = getattr(item, "_fixtureinfo", None)
    return {} if found is None else {"fixtureinfo": found}


def fixture_definitions(node: pytest.Item, name: str) -> Sequence[Any]:
    """Return what defines a fixture where a test stands, the innermost last, also if the test does not take it.

    Raises CollectError if that cannot be told: whether the user overrides one of ours decides who is asked.
    """
    try:
        found = node._fixtureinfo.name2fixturedefs.get(name)  # type: ignore[attr-defined] # noqa: SLF001
        if found is None:
            found = node.session._fixturemanager.getfixturedefs(name, node)  # noqa: SLF001
    except AttributeError as error:
        raise pytest.Collector.CollectError(
            f"pytest {pytest.__version__} does not tell which fixtures a test takes in the way that this version of "
            f"pytest-fcpivot knows ({error}); install a pytest that it was made for, as `pip install 'pytest<10'`"
        ) from error
    return found or ()


def has_fixture_request(item: pytest.Function) -> bool:
    """Tell whether an item was given a fixture request before, be it that it was taken away again."""
    return hasattr(item, "_request")


def put_off_fixture_request(item: pytest.Function) -> None:
    """Leave an item without a fixture request, as pytest does after a test: it is made when the test runs."""
    item._request = False  # type: ignore[assignment] # noqa: SLF001


def fixture_request(item: pytest.Function) -> Any | None:
    """Return what the fixture `request` is for an item that is set up; without it, pytest defines that anew each time.

    Doing so takes the signature of a function, which is one part in thirty of all that pytest does for a test.
    """
    return getattr(item, "_request", None) or None


def take_id_apart(item: pytest.Item) -> None:
    """Have an item's id compare equal to the same id read from a file: pytest's cache compares ids taken apart.

    It would otherwise take a name with brackets for one without parameters, and `--lf` not find it.
    """
    if hasattr(item, "id") and hasattr(item, "_id"):
        item._id = type(item.id).parse(item.nodeid)  # noqa: SLF001


def standard_streams(config: pytest.Config) -> Iterator[tuple[str, Any, str]]:
    """Yield where pytest keeps the streams that it sets `sys.stdout` and `sys.stderr` to, in turn.

    Each with its name in `sys`, who holds it, and the attribute: `tmpfile` while it captures, `_old` while it does not.
    Without them, what agents print while pytest switches is shown at the test that runs.
    """
    capturing = getattr(config.pluginmanager.getplugin("capturemanager"), "_global_capturing", None)
    for name, attribute in (("stdout", "out"), ("stderr", "err")):
        capture = getattr(capturing, attribute, None)
        capture = getattr(capture, "syscapture", capture)
        for place in ("tmpfile", "_old"):
            if getattr(capture, place, None) is not None:
                yield name, capture, place


def shown_interrupt(config: pytest.Config) -> Any | None:
    """Return what pytest's reporter keeps of a Ctrl-C to show at the end; None if it keeps nothing, or not there."""
    return getattr(config.pluginmanager.getplugin("terminalreporter"), "_keyboardinterrupt_memo", None)
