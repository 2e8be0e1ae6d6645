"""The engine in plain Python: fallback where nothing was compiled, and oracle of the C core."""
