"""One pytest session that runs pivots."""
