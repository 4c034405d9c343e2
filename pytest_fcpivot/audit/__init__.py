"""The strictness audit: one stored run, graded again under a ladder of comparators, asking nobody."""
