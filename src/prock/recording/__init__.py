"""Recordings: the usage of trees over time, in one SQLite file."""
