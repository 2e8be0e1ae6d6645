"""What prock uses instead of slower parts of the standard library, and its one registry for forks."""
