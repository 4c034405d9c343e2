"""Checks the arguments of function calls against the JSON schemas of their tools."""
