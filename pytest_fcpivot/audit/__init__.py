"""The strictness audit: grades a stored run again under a ladder of comparators, without calling any model."""
