"""Recordings: the usage of trees over time, in one SQLite file."""

ENVIRONMENT = "PROCK_RECORDING"
"""The variable by which a recorded command finds its recording."""
