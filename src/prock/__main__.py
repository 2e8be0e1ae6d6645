"""``python -m prock``: the same as the command ``prock``."""

from __future__ import annotations

import sys

from prock.cli import main

if __name__ == "__main__":
    sys.exit(main())
