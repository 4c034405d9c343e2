"""Results of cases: one record each, and their running tally."""

from pytest_fcpivot.results.record import CaseRecord
from pytest_fcpivot.results.tally import Tally

__all__ = ["CaseRecord", "Tally"]
