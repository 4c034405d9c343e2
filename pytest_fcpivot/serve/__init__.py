"""Pivots as environments of the Open Reward Standard (ORS), over HTTP: the same grades as everywhere else."""
