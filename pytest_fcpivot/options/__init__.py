"""The options: their table, and the types of their checked values."""
