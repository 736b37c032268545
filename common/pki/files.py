"""Where a node keeps its root, its certificate and its key: each file whole, after any crash."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from common.errors import SystemFailureError
from common.files import replace_durably, sync_directory
from common.pki.contexts import client_context, server_context

ROOT_FILE: Final = "swarm-root-ca.crt"
CERTIFICATE_FILE: Final = "swarm-node.crt"
KEY_FILE: Final = "swarm-node.key"
NEXT_KEY_FILE: Final = "swarm-node.key.next"
"""The key of a certificate that is being put in place."""
FILE_MODE: Final = 0o600
PEM_BYTES_MAX: Final = 64 * 1024
"""Of one file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a node shows to the others, and whom it believes; all PEM."""

    root: bytes
    certificate: bytes
    key: bytes = field(repr=False)


class NodeFiles:
    """``<data-root>/swarm/certificates``.

    A new certificate comes with a new key. The key is written beside the old one first, then the certificate takes the
    old one's place, then the key does: ``open`` finishes what a crash in between has left.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.certificate, self.key = directory / CERTIFICATE_FILE, directory / KEY_FILE

    def write(self, credentials: Credentials) -> None:
        """Keeps them, on disk when this returns.

        Raises:
            OSError: the disk refused.
        """
        following = self._directory / NEXT_KEY_FILE
        replace_durably(following, credentials.key, mode=FILE_MODE)
        replace_durably(self._directory / ROOT_FILE, credentials.root, mode=FILE_MODE)
        replace_durably(self.certificate, credentials.certificate, mode=FILE_MODE)
        following.replace(self.key)
        sync_directory(self._directory)

    def open(self) -> Credentials | None:
        """What is kept; None where nothing is.

        Raises:
            SystemFailureError: the files cannot be read, or do not belong together.
        """
        try:
            if not self.certificate.exists():
                return None
            root = self.root()
            self._finish(root)
            return Credentials(root=root, certificate=_read(self.certificate), key=_read(self.key))
        except OSError as error:
            raise SystemFailureError(
                f"cannot read the node's certificate: {error.strerror or error}"
            ) from error

    def root(self) -> bytes:
        """The root's certificate.

        Raises:
            OSError: the file is not there or cannot be read.
        """
        return _read(self._directory / ROOT_FILE)

    def server_context(self) -> ssl.SSLContext:
        """TLS for the listener, as this node.

        Raises:
            OSError: the root is not there.
            SystemFailureError: the files cannot be read, or do not belong together.
        """
        return server_context(self.root(), self.certificate, self.key)

    def client_context(self) -> ssl.SSLContext:
        """TLS for dialling managers, as this node.

        Raises:
            OSError: the root is not there.
            SystemFailureError: the files cannot be read, or do not belong together.
        """
        return client_context(self.root(), self.certificate, self.key)

    def _finish(self, root: bytes) -> None:
        """Has the key belong to the certificate, whichever of the two a crash has left behind."""
        following = self._directory / NEXT_KEY_FILE
        if not following.exists():
            client_context(root, self.certificate, self.key)
            return
        try:
            client_context(root, self.certificate, following)
        except SystemFailureError:
            client_context(root, self.certificate, self.key)
            following.unlink()
        else:
            following.replace(self.key)
        sync_directory(self._directory)


def _read(path: Path) -> bytes:
    if path.stat().st_size > PEM_BYTES_MAX:
        raise SystemFailureError(f"{path} is damaged: it has more than {PEM_BYTES_MAX} bytes")
    return path.read_bytes()
