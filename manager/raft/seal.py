"""Encryption at rest: whatever a manager's log and snapshots hold is sealed with a key of that manager alone.

AES-256-GCM. Every file has a random salt of its own, from which, the manager's key and the file's header its key is
derived (HKDF-SHA256), so a file is of use only under its own header. Within a file each sealing has a number of its
own, which is its nonce: no nonce is ever used twice with one key, because a process writes only to files it created.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

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
    origin: bytes = field(repr=False)
    """The manager's key that it comes from."""

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
    """A manager's keys, and whence the salts of new files come (never the same twice).

    Files are sealed with the newest key. Those that are there already open with the key that they were sealed with.
    """

    def __init__(
        self,
        key: bytes,
        random_bytes: Callable[[int], bytes] = os.urandom,
        *,
        older: Sequence[bytes] = (),
    ) -> None:
        for one in (key, *older):
            if len(one) != KEY_BYTES:
                raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(one)}")
        self._keys, self._random_bytes = (key, *older), random_bytes
        self._used = {key}

    def renew(self, keys: Sequence[bytes]) -> None:
        """Seals new files with the first of these from now on, and opens with each. May be called in any thread."""
        self._keys = tuple(keys)

    def used(self) -> tuple[bytes, ...]:
        """The newest key, and those of the others that a file was opened with, in order."""
        newest, *older = self._keys
        return (newest, *(key for key in older if key in self._used))

    def is_newest(self, cipher: Cipher) -> bool:
        """Whether a file that is written with it is one of the newest key's."""
        return cipher.origin == self._keys[0]

    def new_salt(self) -> bytes:
        """A salt for a new file."""
        return self._random_bytes(SALT_BYTES)

    def cipher(self, salt: bytes, header: bytes) -> Cipher:
        """What seals the new file that begins with this salt and header."""
        return _cipher(self._keys[0], salt, header)

    def opening(self, salt: bytes, header: bytes, proof: bytes) -> Cipher | None:
        """What opens the file that begins with these; None when none of the keys does."""
        for key in self._keys:
            cipher = _cipher(key, salt, header)
            if cipher.proof == proof:
                self._used.add(key)
                return cipher
        return None


def _cipher(origin: bytes, salt: bytes, header: bytes) -> Cipher:
    size = KEY_BYTES + MARK_BYTES + PROOF_BYTES
    derived = HKDF(algorithm=SHA256(), length=size, salt=salt, info=header).derive(origin)
    mark_end = KEY_BYTES + MARK_BYTES
    key, mark, proof = derived[:KEY_BYTES], derived[KEY_BYTES:mark_end], derived[mark_end:]
    return Cipher(AESGCM(key), mark, proof, origin)
