"""The options: their table, and their values once they are checked."""
