"""Statistics over pivots."""
