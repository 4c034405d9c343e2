"""What pytest-xdist's workers and machines need."""
