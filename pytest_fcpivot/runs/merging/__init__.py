"""Joins the runs of shards, or of other disjoint parts of one data set, into one run."""
