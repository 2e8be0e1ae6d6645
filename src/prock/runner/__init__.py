"""Start, supervise, stop and report one command."""
