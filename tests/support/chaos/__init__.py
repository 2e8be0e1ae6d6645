"""Helpers of the chaos tests: namespaces, limits, injected faults, and what must hold."""
