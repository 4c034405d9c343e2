"""Connections to the libraries that train models."""
