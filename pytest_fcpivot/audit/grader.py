"""Chooses the grader with which an audit checks the recorded rewards: a bundled one, or one that the user names.

A run is untrusted data: a grader that only the run names is never loaded, not even for the user's own runs.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fcpivot.core.errors import GraderError, OptionError
from pytest_fcpivot.core.jsontext import one_line, visible
from pytest_fcpivot.core.redact import HIDDEN
from pytest_fcpivot.graders import bundled_grader, describe_grader, find_grader, is_bundled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fcpivot.graders import Grader

_WIDTH = 200


@dataclass(frozen=True, slots=True)
class Named:
    """The grader that the user names for an audit, and its settings; None means the settings that the run records."""

    spec: str
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The grader for the check, None if there is none, and the notes about it for the report."""

    grader: Grader | None
    notes: list[str] = field(default_factory=list)


def choose(
    run: Path, described: Mapping[str, Any], named: Named | None, *, made_here: bool, for_check: bool = True
) -> Choice:
    """Return the grader for the check of a run's rewards; `described` is the description of the run's own in run.json.

    If it is not `for_check`, but to grade anew, the source of a user's grader may have changed since the run. Recorded
    settings are passed to a user's grader only if the run was `made_here`. Raises GraderError if the named grader
    cannot be loaded, and OptionError if its settings must be given by the user.
    """
    if named is not None:
        return _named(described, named, made_here=made_here, for_check=for_check)
    try:
        grader = bundled_grader(described)
    except GraderError as error:
        return Choice(None, [f"the run's own grader cannot be made, so its rewards are taken as recorded: {error}"])
    if grader is not None:
        return Choice(grader)
    spec, settings = str(described.get("spec", described["name"])), described.get("settings") or {}
    options = [] if made_here else _as_options(settings)
    command = shlex.join(["fcpivot", "audit", str(run), f"--grader={spec}", *options])
    if _shown(command) != command:  # shortened or escaped, it would be a different command
        command = "name it, and each of its settings: --grader=SPEC --grader-option=KEY=VALUE"
    note = (
        f"the run was graded by {_shown(spec)}, which is not one of pytest-fcpivot's own; what only a run names is not "
        f"loaded, so its rewards are taken as recorded; to check them with it: {command}"
    )
    return Choice(None, [note])


def _named(described: Mapping[str, Any], named: Named, *, made_here: bool, for_check: bool) -> Choice:
    settings, recorded = named.settings, described.get("settings") or {}
    own = str(described.get("spec", described["name"]))
    alike = named.spec in (own, described["name"])
    same_kind = is_bundled(own) and named.spec.partition(":")[0] == own.partition(":")[0]
    if settings is None and not alike and not same_kind:
        settings = {}  # the recorded ones belong to another grader
    elif settings is None and is_bundled(named.spec):
        settings = recorded
    elif settings is None and recorded and not made_here:
        raise OptionError(
            f"--grader={named.spec}: the run was not made here, so the settings that it records are not passed to your "
            f"grader unless you give them: {_shown(shlex.join(_as_options(recorded)))}; or none: --grader-option="
        )
    elif settings is None and HIDDEN in json.dumps(recorded):
        raise OptionError(
            f"--grader={named.spec}: its settings in the run contained a secret, which is not recorded; give them: "
            f"{_shown(shlex.join(_as_options(recorded)))}"
        )
    elif settings is None:
        settings = recorded
    grader = find_grader(named.spec, settings, search=[Path.cwd()], where="--grader")
    if not alike:
        return Choice(grader, [f"checked with {named.spec}, as requested; the run was graded by {_shown(own)}"])
    if is_bundled(named.spec) or not for_check:
        return Choice(grader)
    source, now = described.get("source_sha256"), describe_grader(grader, settings).get("source_sha256")
    if source is None:
        return Choice(grader, [f"the run does not record the source of {named.spec}, which may have changed since"])
    if source != now:
        return Choice(
            None,
            [f"the source of {named.spec} has changed since the run, so the rewards are taken as recorded"],
        )
    return Choice(grader)


def _as_options(settings: Mapping[str, Any]) -> list[str]:
    """Write settings as options of the `fcpivot audit` command."""
    return [
        f"--grader-option={key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in settings.items()
    ]


def _shown(text: str) -> str:
    return one_line(visible(text[: 8 * _WIDTH], joiners=True), 4 * _WIDTH)
