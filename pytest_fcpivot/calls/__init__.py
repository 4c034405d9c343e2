"""One callable, asked concurrently; knows neither pytest nor pivots."""
