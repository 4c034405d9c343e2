"""Profile pivots by how often an agent solves them, from recorded rollouts, and choose those to train on."""
