"""Exports a run as one flat table, for programs that know nothing of runs."""
