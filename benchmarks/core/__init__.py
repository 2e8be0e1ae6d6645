"""One-shot functions and start-up."""
