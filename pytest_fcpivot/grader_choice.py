"""Which grader a session judges by: the one that was named, or a conftest gives, or the data ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fcpivot.errors import GraderError, OptionError
from pytest_fcpivot.graders import DEFAULT_GRADER, describe_grader, find_grader, graders_of, is_bundled
from pytest_fcpivot.importing import describe_failure, is_spec
from pytest_fcpivot.options import told

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fcpivot.datasets import Dataset
    from pytest_fcpivot.graders import Grader
    from pytest_fcpivot.options import Options

_HOOK = "pytest_fcpivot_grader"


def choose_grader(config: pytest.Config, chosen: Options, datasets: Iterable[Dataset]) -> Grader:
    """Return the session's grader.

    Raises GraderError if there is none of that name or settings, OptionError if data that are graded differently come
    together and none is named, or if a worker comes to another grader than its controller.
    """
    settings = dict(chosen.grader_settings)
    grader = _of_hook(config, chosen.grader, settings)
    if grader is None:
        spec = chosen.grader or _of_data(datasets)
        search = [config.rootpath, config.invocation_params.dir]
        grader = find_grader(spec, settings, search=search, where=chosen.grader_from)
    ours, theirs = describe_grader(grader, settings), told(config).get("grader")
    if theirs is not None and ours != theirs:
        raise OptionError(f"the grader there is {ours}, and here {theirs}: copy its file, or install the same package")
    return grader


def _of_hook(config: pytest.Config, name: str | None, settings: dict[str, Any]) -> Grader | None:
    if name is not None and (is_bundled(name) or is_spec(name)):
        return None
    try:
        found = config.hook.pytest_fcpivot_grader(config=config, name=name, settings=settings)
    except (pytest.UsageError, GraderError):
        raise
    except Exception as error:
        raise GraderError(f"the hook {_HOOK} failed: {describe_failure(error)}") from error
    if found is None:
        return None
    from pytest_fcpivot.graders.own import given_grader  # noqa: PLC0415 (most runs have none)

    return given_grader(found, {}, where=f"the hook {_HOOK}", name=name)


def _of_data(datasets: Iterable[Dataset]) -> str:
    """Name the grader that the data ask for: all the same one."""
    asked: dict[str, list[str]] = {}
    for dataset in datasets:
        for spec in graders_of(dataset.store.provenance):
            asked.setdefault(spec, []).append(dataset.label)
    if len(asked) > 1:
        listed = ", and ".join(f"{spec} by {', '.join(labels)}" for spec, labels in sorted(asked.items()))
        raise OptionError(
            "these data ask for different graders (agentic for turns of conversations, nemo-gym for rows that are "
            f"pivots): {listed}; name one for all of them with --fc-grader, or run them one by one"
        )
    return next(iter(asked), DEFAULT_GRADER)
