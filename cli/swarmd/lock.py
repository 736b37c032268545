"""One swarmd per ``exec-root``: a locked file that holds its pid."""

import fcntl
import os
from pathlib import Path
from typing import IO

from common.errors import ConflictError


class PidFile:
    """Held from start to end; the kernel lets go of it however the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Locks the file and writes our pid.

        Raises:
            ConflictError: another swarmd holds it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read(32).strip()
            file.close()
            raise ConflictError(
                f"swarmd runs already in {self._path.parent} (pid {holder})",
                hint="give this one another --exec-root",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Removes the file."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()
            self._file = None
