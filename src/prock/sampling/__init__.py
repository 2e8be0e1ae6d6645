"""Trees over time."""
