"""Encryption at rest: whatever a manager's log and snapshots hold is sealed with a key of that manager alone.

AES-256-GCM. Every file has a random salt of its own, from which, the manager's key and the file's header its key is
derived (HKDF-SHA256), so a file is of use only under its own header. Within a file each sealing has a number of its
own, which is its nonce: no nonce is ever used twice with one key, because a process writes only to files it created.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from common.errors import SystemFailureError
from common.files import replace_durably
from manager.raft.disk import told

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
MARK_BYTES: Final = 8
PROOF_BYTES: Final = 8
TAG_BYTES: Final = 16
"""How much longer it gets by sealing."""
SEALED_PREFIXES: Final = ("log-", "snapshot-")
"""Beginnings of the names of files that are sealed with the key beside them."""


class SealBrokenError(Exception):
    """What is to be opened is not what was sealed there."""


@dataclass(frozen=True, slots=True)
class Cipher:
    """Seals what stands in one file."""

    key: AESGCM
    mark: bytes
    """Bytes that nobody without the key can foresee, for finding the records in this file."""
    proof: bytes
    """Says whether it is the key with which the file was begun."""

    def seal(self, number: int, data: bytes) -> bytes:
        """Seals; a number may be used once for each file."""
        return self.key.encrypt(number.to_bytes(12, "big"), data, None)

    def open(self, number: int, sealed: bytes | memoryview) -> bytes:
        """Gives what was sealed under that number.

        Raises:
            SealBrokenError: it is something else.
        """
        try:
            return self.key.decrypt(number.to_bytes(12, "big"), sealed, None)
        except InvalidTag as error:
            raise SealBrokenError from error


class Seal:
    """A manager's key, and whence the salts of new files come (never the same twice)."""

    def __init__(self, key: bytes, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._key, self._random_bytes = key, random_bytes

    def new_salt(self) -> bytes:
        """A salt for a new file."""
        return self._random_bytes(SALT_BYTES)

    def cipher(self, salt: bytes, header: bytes) -> Cipher:
        """What seals the file that begins with this salt and header."""
        size = KEY_BYTES + MARK_BYTES + PROOF_BYTES
        derived = HKDF(algorithm=SHA256(), length=size, salt=salt, info=header).derive(self._key)
        mark_end = KEY_BYTES + MARK_BYTES
        key, mark, proof = derived[:KEY_BYTES], derived[KEY_BYTES:mark_end], derived[mark_end:]
        return Cipher(AESGCM(key), mark, proof)


def load_or_create_key(path: Path) -> bytes:
    """The key in that file; a new one, durable before it is returned, when nothing is sealed beside it yet.

    Raises:
        SystemFailureError: the key is gone or damaged, or the machine refuses.
    """
    with told(f"use the key {path}"):
        if path.exists():
            key = path.read_bytes()
            if len(key) != KEY_BYTES:
                raise SystemFailureError(
                    f"the key {path} is damaged: it has {len(key)} bytes, not {KEY_BYTES}"
                )
            return key
        sealed = _sealed_beside(path)
        if sealed:
            raise SystemFailureError(
                f"the key {path} is gone, and without it {sealed[0]} cannot be read",
                hint="restore the key, or remove this manager from the swarm and let it join anew",
            )
        key = os.urandom(KEY_BYTES)
        replace_durably(path, key)
        return key


def _sealed_beside(path: Path) -> list[str]:
    if not path.parent.is_dir():
        return []
    return sorted(
        found.name for found in path.parent.iterdir() if found.name.startswith(SEALED_PREFIXES)
    )
