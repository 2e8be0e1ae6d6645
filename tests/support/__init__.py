"""What several tests use: processes, trees, engines, terminals, made-up results."""
