"""Where a node keeps its root, its certificate and its key: each file whole, after any crash."""

import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from common.errors import SystemFailureError
from common.files import NEW_SUFFIX, replace_durably, sync_directory
from common.pki.contexts import client_context, server_context
from common.pki.lock import Lock

ROOT_FILE: Final = "swarm-root-ca.crt"
CERTIFICATE_FILE: Final = "swarm-node.crt"
KEY_FILE: Final = "swarm-node.key"
NEXT_KEY_FILE: Final = "swarm-node.key.next"
"""The key of a certificate that is being put in place."""
ENCRYPTED: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
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
    old one's place, then the key does: ``open`` finishes what a crash in between has left. Meanwhile the roots of both
    are there.

    Where the node is a manager that is locked, its key is encrypted (``lock``). Whoever calls may be in any thread.
    """

    def __init__(self, directory: Path) -> None:
        self.lock: Lock | None = None
        """What the key is encrypted with; ``relock`` changes it. A key that is in clear is read all the same."""
        self._directory, self._root = directory, directory / ROOT_FILE
        self._turn = threading.RLock()
        self.certificate, self.key = directory / CERTIFICATE_FILE, directory / KEY_FILE

    def write(self, credentials: Credentials) -> None:
        """Keeps them, on disk when this returns.

        Raises:
            OSError: the disk refused.
        """
        following = self._directory / NEXT_KEY_FILE
        with self._turn:
            replace_durably(following, _encrypted(credentials.key, self.lock), mode=FILE_MODE)
            before = self.root() if self._root.exists() else b""
            is_another = before not in (b"", credentials.root)
            both = credentials.root.rstrip() + b"\n" + before
            # Whichever certificate a crash leaves in place, its root is there.
            self.write_root(both if is_another else credentials.root)
            replace_durably(self.certificate, credentials.certificate, mode=FILE_MODE)
            following.replace(self.key)
            sync_directory(self._directory)
            if is_another:
                self.write_root(credentials.root)

    def write_root(self, trust: bytes) -> None:
        """Keeps other roots, on disk when this returns; the certificate must be of one of them.

        Raises:
            OSError: the disk refused.
        """
        with self._turn:
            replace_durably(self._root, trust, mode=FILE_MODE)

    def relock(self, lock: Lock | None) -> None:
        """Encrypts the key with another lock, or with none, durable when this returns. Whoever reads it meanwhile can.

        Raises:
            SystemFailureError: the files cannot be read or written; it opens as before.
        """
        with self._turn:
            kept = self.open()
            if kept is not None:
                self._rewrite(kept.key, lock)
            self.lock = lock

    def _rewrite(self, key: bytes, lock: Lock | None) -> None:
        try:
            replace_durably(self.key, _encrypted(key, lock), mode=FILE_MODE)
        except OSError as error:
            raise SystemFailureError(
                f"cannot write the node's key: {error.strerror or error}"
            ) from error

    def open(self) -> Credentials | None:
        """What is kept; None where nothing is.

        Raises:
            SystemFailureError: the files cannot be read, or do not belong together.
        """
        try:
            with self._turn:
                return self._open()
        except OSError as error:
            raise SystemFailureError(
                f"cannot read the node's certificate: {error.strerror or error}"
            ) from error

    def _open(self) -> Credentials | None:
        if not self.certificate.exists():
            return None
        root = self.root()
        self._finish(root)
        key = _decrypted(_read(self.key), self.lock)
        return Credentials(root=root, certificate=_read(self.certificate), key=key)

    def root(self) -> bytes:
        """The root's certificate.

        Raises:
            OSError: the file is not there or cannot be read.
        """
        return _read(self._root)

    def server_context(self) -> ssl.SSLContext:
        """TLS for the listener, as this node.

        Raises:
            OSError: the root is not there.
            SystemFailureError: the files cannot be read, or do not belong together.
        """
        with self._turn:
            return server_context(self.root(), self.certificate, self.key, self._passphrase())

    def client_context(self) -> ssl.SSLContext:
        """TLS for dialling managers, as this node.

        Raises:
            OSError: the root is not there.
            SystemFailureError: the files cannot be read, or do not belong together.
        """
        with self._turn:
            return self._context(self.root(), self.key)

    def _context(self, root: bytes, key: Path) -> ssl.SSLContext:
        return client_context(root, self.certificate, key, self._passphrase())

    def _passphrase(self) -> bytes:
        return self.lock.passphrase if self.lock is not None else b""

    def _finish(self, root: bytes) -> None:
        """Has the key belong to the certificate, whichever of the two a crash has left behind."""
        following = self._directory / NEXT_KEY_FILE
        for unfinished in (self.key, following):  # which may be in clear
            unfinished.with_name(unfinished.name + NEW_SUFFIX).unlink(missing_ok=True)
        if not following.exists():
            self._context(root, self.key)
            return
        try:
            self._context(root, following)
        except SystemFailureError:
            self._context(root, self.key)
            following.unlink()
        else:
            following.replace(self.key)
        sync_directory(self._directory)


def _read(path: Path) -> bytes:
    if path.stat().st_size > PEM_BYTES_MAX:
        raise SystemFailureError(f"{path} is damaged: it has more than {PEM_BYTES_MAX} bytes")
    return path.read_bytes()


def _encrypted(key: bytes, lock: Lock | None) -> bytes:
    """A private key in PEM, encrypted; as it is without a lock."""
    if lock is None:
        return key
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to load

    return serialization.load_pem_private_key(key, password=None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(lock.passphrase),
    )


def _decrypted(key: bytes, lock: Lock | None) -> bytes:
    """A private key in PEM, in clear."""
    if ENCRYPTED not in key:
        return key
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - slow to load

    try:
        opened = serialization.load_pem_private_key(key, lock.passphrase if lock else None)
    except (ValueError, TypeError) as error:
        raise SystemFailureError("the node's key is encrypted with another key") from error
    return opened.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
