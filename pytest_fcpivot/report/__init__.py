"""What users read of a run: failure texts, the terminal summary, JUnit."""
