"""When answers that a secret was taken out of keep their grade."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_fcpivot.session.first_grades import about_kept, why_not_kept

RUN: dict[str, Any] = {
    "grader": {"name": "mine", "settings": {"a": 1}, "spec": "m:G", "source_sha256": "aa", "cause": "of then"},
    "judge": {"model": "m", "base_url": "u"},
    "options": {"fc_strict_schema": "on", "fc_model": "one"},
    "data": [{"name": "a.jsonl", "sha256": "11"}, {"name": "b.jsonl", "sha256": "22"}],
    "pass_mark": 1.0,
}


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({}, ()),
        ({"pass_mark": 0.5}, ()),
        ({"options": {"fc_strict_schema": True, "fc_model": "two"}}, ()),
        ({"grader": RUN["grader"] | {"cause": "of now"}}, ()),
        ({"data": [{"name": "elsewhere.parquet", "sha256": "22"}]}, ()),
        ({"grader": RUN["grader"] | {"source_sha256": "bb"}}, ("grader",)),
        ({"grader": RUN["grader"] | {"settings": {"a": 2}}}, ("grader",)),
        ({"judge": None}, ("judge",)),
        ({"options": {}}, ("--fc-strict-schema",)),
        ({"options": RUN["options"] | {"fc_empty_arguments": "object"}}, ("--fc-empty-arguments",)),
        ({"data": [{"name": "a.jsonl", "sha256": "33"}]}, ("data",)),
        ({"data": [], "judge": None}, ("judge",)),
    ],
)
def test_what_a_grade_holds_for(change: dict[str, Any], differing: tuple[str, ...]) -> None:
    """A grade is kept for the same data, grader, judge and reading, whatever the pass mark and the rest."""
    assert why_not_kept(RUN, RUN | change) == differing


def test_data_that_a_run_does_not_know() -> None:
    """A run that names no data says nothing about answers to any."""
    assert why_not_kept(RUN | {"data": []}, RUN) == ("data",)


def test_in_words() -> None:
    """The heading says how many answers there are, and what becomes of them."""
    assert about_kept(1, ()) == "1 stored answer has *** in place of a secret, and the first grade is kept"
    assert about_kept(2, ("grader", "data")).endswith(
        "cannot be graded with another grader and data: their tests end in errors"
    )
