"""The public names: all there, cheap to import, and independent of pytest where they should be."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, is_dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import pytest

import pytest_fcpivot
from pytest_fcpivot import Action, FcPivotError, FunctionCall, Grade, Message, Pivot, SchemaVerdict

ROW = {"responses_create_params": {"input": "Hi"}, "expected_action": {"type": "message", "content": "Hello"}}


def run(script: str) -> str:
    """Run Python code in a process of its own and return what it prints."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("name", pytest_fcpivot.__all__)
def test_public_names(name: str) -> None:
    """Every public name is there, is listed, and says what it is."""
    found = getattr(pytest_fcpivot, name)
    assert name in dir(pytest_fcpivot)
    assert found.__doc__


def test_the_contract() -> None:
    """The names that users' code relies on are public."""
    assert set(pytest_fcpivot.__all__) >= {
        *("load_pivots", "grade", "Pivot", "Action", "FunctionCall", "Message", "Grade"),
    }


def test_star_import() -> None:
    """A star import brings exactly the public names."""
    names: dict[str, Any] = {}
    exec("from pytest_fcpivot import *", names)  # noqa: S102 (a star import is only allowed at a module's top)
    assert names.keys() - {"__builtins__"} == set(pytest_fcpivot.__all__)


def test_unknown_names() -> None:
    """A name that is not public is an AttributeError, as with any module."""
    with pytest.raises(AttributeError, match="no attribute 'grades'"):
        _ = pytest_fcpivot.grades


def test_version_and_types() -> None:
    """The version is that of the installed distribution, and type checkers may trust the annotations."""
    assert pytest_fcpivot.__version__ == version("pytest-fcpivot")
    assert files("pytest_fcpivot").joinpath("py.typed").is_file()


@pytest.mark.parametrize("module", ["pytest_fcpivot", "pytest_fcpivot.plugin"])
def test_import_costs_nothing(module: str) -> None:
    """Loading the package or its plugin, as every pytest run does, imports nothing heavy."""
    script = (
        f"import sys, pytest; before = set(sys.modules); import {module}; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    heavy = {
        "pyarrow",
        "numpy",
        "jsonschema",
        "referencing",
        "openai",
        "asyncio",
        "concurrent",
        "xdist",
        "httpx",
        "ssl",
    }
    assert not heavy & set(run(script).split())


def test_the_core_does_not_know_pytest() -> None:
    """Data, actions, graders, schemas and statistics work in a process that never imports pytest."""
    script = (
        "import sys; from pytest_fcpivot import check_schema, grade, load_pivots; "
        "from pytest_fcpivot.stats.interval import mean_interval; "
        "pivots = load_pivots(); "
        "rewards = {p.id: [grade(p.expected_action, p.expected_action).reward] for p in pivots[:20]}; "
        "check_schema(pivots[0].expected_action, pivots[0].tools); "
        "print(mean_interval(rewards).mean, 'pytest' in sys.modules, '_pytest' in sys.modules)"
    )
    assert run(script) == "1.0 False False"


def test_errors_have_one_base() -> None:
    """Every error of the package can be caught by one name."""
    errors = [name for name in pytest_fcpivot.__all__ if name.endswith("Error")]
    assert len(errors) >= 6
    for name in errors:
        assert issubclass(getattr(pytest_fcpivot, name), FcPivotError)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (Message("Hi"), "content"),
        (FunctionCall("f"), "arguments"),
        (Action(), "message"),
        (Grade(1.0, "X"), "reward"),
        (SchemaVerdict("valid"), "status"),
        (Pivot.from_row(ROW), "expected_action"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_values_are_frozen(value: Any, field: str) -> None:
    """The nouns are data that nobody can change or add to."""
    assert is_dataclass(value)
    with pytest.raises(FrozenInstanceError):
        setattr(value, field, "changed")
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize(
    "value",
    [Message("Hi"), FunctionCall("f", {"n": 1}), Action((FunctionCall("f"),)), Grade(0.5, "X", path="$.a")],
    ids=lambda value: type(value).__name__,
)
def test_values_can_be_copied_and_compared(value: Any) -> None:
    """Actions and grades are equal by content, hashable, and survive pickling and copying."""
    for other in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):  # noqa: S301 (our own bytes)
        assert other == value
        assert hash(other) == hash(value)


def test_function_calls_hold_text() -> None:
    """Arguments given as a value are JSON text afterwards, and none means an empty object."""
    assert json.loads(FunctionCall("f", {"é": [1, None]}).arguments) == {"é": [1, None]}
    assert FunctionCall("f").arguments == "{}"
    assert FunctionCall("f", " {} ").arguments == " {} "
    with pytest.raises(TypeError):
        FunctionCall("f", {1, 2})


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (SchemaVerdict("valid"), "valid"),
        (SchemaVerdict("invalid", "$.day", "enum"), "invalid at $.day (enum)"),
        (SchemaVerdict("unknown-tool", explanation="x"), "unknown-tool"),
    ],
)
def test_schema_verdicts_read_well(verdict: SchemaVerdict, text: str) -> None:
    """A verdict is one short phrase."""
    assert str(verdict) == text


def test_a_view_counts_repeats() -> None:
    """A view says which pivot and which repeat it is, and is shown by its id."""
    pivot = Pivot.from_row({**ROW, "id": "p1"})
    assert (pivot.view().id, pivot.view().repeat, pivot.view(3).repeat) == ("p1", 1, 3)
    assert repr(pivot.view()) == "<pivot p1>"
    assert "Hello" not in repr(pivot)
