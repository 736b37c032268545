"""Where a node keeps what it has of a swarm."""

import shutil
from pathlib import Path

from cli.swarmd.membership import MembershipFile
from common.errors import SystemFailureError
from common.pki.files import NodeFiles


class Places:
    """``<data-root>/swarm``. README.md tells what is there when."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.membership = MembershipFile(directory / "node")
        self.certificates = NodeFiles(directory / "certificates")
        self.log = directory / "raft"

    def forget(self) -> None:
        """Takes away all but the membership, which must be gone before.

        Raises:
            SystemFailureError: something could not be removed; the next start or swarm tries again.
        """
        failures = []
        for directory in (self.log, self._directory / "certificates"):
            try:
                shutil.rmtree(directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                failures.append(f"cannot remove {directory}: {error.strerror or error}")
        if failures:
            raise SystemFailureError("; ".join(failures))
