"""Statistics over pivots, in which all pivots of one trajectory form a cluster."""
