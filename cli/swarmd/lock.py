"""One swarmd per ``exec-root``: a locked file that holds its pid."""

import fcntl
import os
from pathlib import Path
from typing import IO

from common.errors import ConflictError, SystemFailureError

TRIES_MAX = 100
"""How often the file may be taken away by a swarmd that ends between our opening and locking it."""
PID_CHARACTERS_MAX = 32


class PidFile:
    """Held from start to end; the kernel lets go of it however the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Locks the file and writes our pid.

        Raises:
            ConflictError: another swarmd holds it.
            SystemFailureError: the file cannot be written.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
            self._file = self._locked()
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n")
            self._file.flush()
        except OSError as error:
            self._let_go()
            raise SystemFailureError(
                f"cannot write {self._path}: {error.strerror or error}"
            ) from error

    def _locked(self) -> IO[str]:
        """The file, locked, and still the one that the name stands for: who holds it removes it before letting go."""
        for _ in range(TRIES_MAX):
            file = self._path.open("a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.seek(0)
                holder = file.read(PID_CHARACTERS_MAX).strip()
                file.close()
                raise ConflictError(
                    f"swarmd runs already in {self._path.parent} (pid {holder})",
                    hint="give this one another --exec-root",
                ) from None
            if self._is_named(file):
                return file
            file.close()
        raise ConflictError(f"{self._path} comes and goes: other swarmds start and end there")

    def _is_named(self, file: IO[str]) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Removes the file, then lets go of the lock."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
