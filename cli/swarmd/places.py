"""Where a node keeps what it has of a swarm."""

import shutil
from pathlib import Path

from cli.swarmd.membership import MembershipFile
from cli.swarmd.vault import Vault
from common.errors import SystemFailureError
from common.pki.files import NodeFiles
from manager.raft.key_file import KEY_NAME, KeyFile

SEGMENTS = "log-*"
"""Names of the files of a log."""


DIRECTORY_MODE = 0o700


class Places:
    """``<data-root>/swarm``. README.md tells what is there when."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.membership = MembershipFile(directory / "node")
        self.certificates = NodeFiles(directory / "certificates")
        self.log = directory / "raft"
        self.vault = Vault(KeyFile(self.log / KEY_NAME), self.certificates)

    def has_log(self) -> bool:
        """Whether there is a log, be it empty: a manager's first start makes it, for good."""
        return any(self.log.glob(SEGMENTS))

    def make(self) -> None:
        """Makes the directory, closed to others on this host, before anything is put there.

        Raises:
            OSError: the disk refuses.
        """
        self._directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self._directory.chmod(DIRECTORY_MODE)

    def forget(self) -> None:
        """Takes away all but the membership, which must be gone before.

        Raises:
            SystemFailureError: something could not be removed; the next start or swarm tries again.
        """
        try:
            self.forget_log()
        finally:
            _remove(self._directory / "certificates")
            self.vault.forget()

    def forget_log(self) -> None:
        """Takes away the log of a manager.

        Raises:
            SystemFailureError: something could not be removed.
        """
        _remove(self.log)
        self.vault.keys.forget()


def _remove(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SystemFailureError(f"cannot remove {directory}: {error.strerror or error}") from error
