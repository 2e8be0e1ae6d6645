"""The commands ``prock run`` and ``prock attach``."""
