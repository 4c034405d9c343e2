"""Settings of the project's own test run."""
