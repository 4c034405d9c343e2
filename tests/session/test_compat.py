"""What pytest has and does not publish is still there: each fails here first when a new pytest takes it away."""

from __future__ import annotations

import io
import sys
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.session import compat

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def item(request: pytest.FixtureRequest) -> pytest.Function:
    """Return the test that runs."""
    assert isinstance(request.node, pytest.Function)
    return request.node


@pytest.fixture(scope="session")
def fc_stays() -> object:
    """Return an object that stays the same for the session."""
    return object()


def test_fixtures_are_shared(item: pytest.Function) -> None:
    """What pytest resolved for one item makes another one, without being resolved again."""
    shared = compat.shared_fixtures(item)
    other = pytest.Function.from_parent(item.parent, name="other", callobj=item.obj, **shared)
    assert compat.shared_fixtures(other)["fixtureinfo"] is shared["fixtureinfo"]


def test_fixture_definitions(item: pytest.Function) -> None:
    """The definitions of a fixture are told, be it that the test takes it or not; none for a name without any."""
    assert [definition.argname for definition in compat.fixture_definitions(item, "item")] == ["item"]
    assert [definition.scope for definition in compat.fixture_definitions(item, "fc_agent")] == ["session"]
    assert not compat.fixture_definitions(item, "no_such_fixture")


def test_a_pytest_that_does_not_tell() -> None:
    """Without the place where pytest keeps fixtures, data are not collected, and the message says what to install."""
    node: Any = SimpleNamespace()
    with pytest.raises(pytest.Collector.CollectError, match=r"cannot find the fixtures .*pip install"):
        compat.fixture_definitions(node, "fc_agent")


def test_request_is_put_off(item: pytest.Function) -> None:
    """An item is given its fixture request when it is made, which can be taken away again."""
    other = pytest.Function.from_parent(item.parent, name="other", callobj=item.obj)
    assert compat.has_fixture_request(other)
    compat.put_off_fixture_request(other)
    assert compat.has_fixture_request(other)
    assert not other._request


def test_the_request_of_a_test(item: pytest.Function, request: pytest.FixtureRequest) -> None:
    """The fixture `request` of a test that is set up is found, and none for one whose request was put off."""
    assert compat.fixture_request(item) is item.funcargs["request"]
    assert request.node is item
    other = pytest.Function.from_parent(item.parent, name="other", callobj=item.obj)
    compat.put_off_fixture_request(other)
    assert compat.fixture_request(other) is None


def test_fixtures_of_the_session(item: pytest.Function, fc_stays: object) -> None:
    """Of the fixtures of a test, those that are set up for the whole session are told, with what they hold."""
    found = compat.session_fixtures(item)
    assert ("fc_stays", fc_stays) in [(name, result[0]) for name, _, result in found]
    assert {fixture.scope for _, fixture, _ in found} == {"session"}
    assert all(fixture.cached_result is result for _, fixture, result in found)


def test_ids_are_taken_apart(item: pytest.Function) -> None:
    """An item whose name has brackets has the id that the same text has, read from pytest's cache."""
    other = pytest.Function.from_parent(item.parent, name="pivot[r2]", callobj=item.obj)
    compat.take_id_apart(other)
    assert other.id == type(other.id).parse(other.nodeid)


def test_frames_are_let_go() -> None:
    """An exception whose traceback is cut has its words and one place, and holds nothing of where it was raised."""

    class Held:
        pass

    def fails() -> None:
        held = Held()
        held_there.append(weakref.ref(held))
        raise ValueError("what was wrong")

    held_there: list[weakref.ref[Held]] = []
    with pytest.raises(ValueError, match="what was wrong") as raised:
        fails()
    assert held_there[0]() is not None
    compat.let_go_of_frames(raised)
    assert held_there[0]() is None
    assert raised.tb.tb_frame.f_back is None
    assert len(raised.traceback) == 1
    assert raised.exconly() == "ValueError: what was wrong"


def test_standard_streams(request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> None:
    """Both places of both streams are found while pytest captures, one of them what sys.stdout is."""
    with capfd.disabled():
        pass  # the global capture is there however this session was started
    found = list(compat.standard_streams(request.config))
    if request.config.getoption("capture") == "no":
        assert found == []
        return
    assert [(name, place) for name, _, place in found] == [
        ("stdout", "tmpfile"),
        ("stdout", "_old"),
        ("stderr", "tmpfile"),
        ("stderr", "_old"),
    ]
    assert all(hasattr(getattr(owner, place), "write") for _, owner, place in found)


def test_shown_interrupt(pytester: pytest.Pytester) -> None:
    """What pytest shows of a Ctrl-C at the end is found."""
    pytester.makeconftest(
        """
        import pytest
        from pytest_fcpivot.session import compat

        @pytest.hookimpl(trylast=True)
        def pytest_keyboard_interrupt(excinfo):
            print("shown:", type(compat.shown_interrupt(CONFIGS[0])).__name__)

        CONFIGS = []

        def pytest_runtest_call(item):
            CONFIGS.append(item.config)
            raise KeyboardInterrupt
        """
    )
    path: Path = pytester.makepyfile("def test_one(): pass")
    result = pytester.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", path)
    result.stdout.fnmatch_lines(["*shown: ExceptionChainRepr"])


def test_the_writer_to_the_terminal(pytestconfig: pytest.Config) -> None:
    """What pytest writes to the terminal can be sent to another file, and its line be told to be empty."""
    found = compat.terminal_file(pytestconfig)
    if found is None:
        pytest.skip("this session has no terminal reporter")
    writer, file = found
    other = io.StringIO()
    compat.write_to(writer, other)
    before = writer.width_of_current_line
    try:
        writer.write("half a line")
        assert writer.width_of_current_line == before + 11
        compat.begin_line(writer)
        assert writer.width_of_current_line == 0
    finally:
        compat.write_to(writer, file)
    assert other.getvalue() == "half a line"


def test_what_a_test_needs_is_torn_down(pytester: pytest.Pytester) -> None:
    """Fixtures of a file end where tests are passed over that were to end them, and their errors are reported."""
    pytester.makeconftest(
        """
        from functools import partial
        import pytest
        from pytest_fcpivot.session.compat import tear_down_to

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_protocol(item, nextitem):
            if item.name == "test_passed_over":
                tear_down_to(item, nextitem)
                return True

        @pytest.fixture(scope="module", autouse=True)
        def of_module(request):
            yield
            print("ended", request.module.__name__)
        """
    )
    tests = "def test_runs(): pass\ndef test_passed_over(): raise SystemExit\n"
    pytester.makepyfile(test_one=tests, test_two=tests)
    result = pytester.runpytest_inprocess("-s", "-p", "no:randomly")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*ended test_one*", "*ended test_two*"])
