"""Replacing a file in one step on Windows, where there are neither descriptors of directories nor sticky ones."""

from __future__ import annotations

import os
import tempfile

from prock.cli.run.files import write_all


class AtomicWriter:
    """Of a regular file, or of none yet. Raises `OSError` where it can be seen not to be possible."""

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        os.stat(os.path.dirname(self._path))

    def write(self, data: bytes) -> None:
        """All of it, or nothing."""
        descriptor, beside = tempfile.mkstemp(prefix=".prock-", suffix=".tmp", dir=os.path.dirname(self._path))
        try:
            try:
                write_all(descriptor, data)
            finally:
                os.close(descriptor)
            os.replace(beside, self._path)
        except BaseException:
            os.unlink(beside)
            raise

    def close(self) -> None:
        """Nothing is held."""
