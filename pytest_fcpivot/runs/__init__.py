"""Results of cases: one record each, their running tally, and the run on disk."""

from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.tally import Tally

__all__ = ["CaseRecord", "Tally"]
