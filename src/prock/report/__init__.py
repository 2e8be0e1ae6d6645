"""Text and tables of results."""
