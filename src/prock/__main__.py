"""``python -m prock``: the same as the command ``prock``.

Python puts the current directory in front of its own modules then: a ``json.py`` that lies there is not to be taken for
Python's. What is imported before this file is, only ``python -P -m prock`` keeps from that.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
    del sys.path[0]

from prock.cli import main

if __name__ == "__main__":
    sys.exit(main())
