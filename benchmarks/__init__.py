"""What performance claims rest on; each module prints a table with its peers beside it."""
