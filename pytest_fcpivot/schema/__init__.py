"""Tools' JSON schemas, and arguments checked against them."""
