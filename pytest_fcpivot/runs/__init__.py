"""The results of a run: one record for each test, their running tally, and the run directory on disk."""

from pytest_fcpivot.runs.record import CaseRecord
from pytest_fcpivot.runs.tally import Tally

__all__ = ["CaseRecord", "Tally"]
