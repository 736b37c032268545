"""The unlock key of a cluster's managers, as Docker writes it, and what it locks.

``SWMKEY-1-<base64 of 32 bytes, unpadded>``. Nobody chooses such a key, so nothing needs to be slow: every use of it has
a key of its own, derived by HKDF-SHA256. Every start loads this, most never use it: what is slow to load comes later.
"""

import base64
import binascii
import hmac
import os
from typing import Final

from typing_extensions import override

from common.errors import InvalidInputError

PREFIX: Final = "SWMKEY-1-"
KEY_BYTES: Final = 32
KEY_CHARACTERS_MAX: Final = 128
"""Of what is looked at at all; a key has 52."""
INVALID_KEY: Final = "invalid key string"
"""Docker's words."""
_SALT_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SEALING, _PASSPHRASE, _WITHIN = b"swarmd sealing", b"swarmd passphrase", b"swarmd within"


class WrongKeyError(Exception):
    """What is to be opened was locked with another key, or is not what was locked."""


class Lock:
    """A key that locks keys. It shows nowhere but in ``text``."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    @classmethod
    def new(cls) -> "Lock":
        """One of the operating system's randomness."""
        return cls(os.urandom(KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> "Lock":
        """Reads a key as a user has written it.

        Raises:
            InvalidInputError: it cannot be one; never says what stands in it.
        """
        text = text.strip()
        if len(text) > KEY_CHARACTERS_MAX or not text.startswith(PREFIX):
            raise InvalidInputError(INVALID_KEY)
        digits = text.removeprefix(PREFIX)
        try:
            key = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInputError(INVALID_KEY) from None
        if len(key) != KEY_BYTES or not hmac.compare_digest(_digits(key), digits):
            raise InvalidInputError(INVALID_KEY)
        return cls(key)

    @property
    def text(self) -> str:
        """The key as users keep it."""
        return PREFIX + _digits(self._key)

    @property
    def passphrase(self) -> bytes:
        """What a private key in PEM is encrypted with."""
        return base64.b64encode(self._derived(b"", _PASSPHRASE, KEY_BYTES))

    def within(self) -> "Lock":
        """A lock that this one's key gives away, and that gives nothing away of it."""
        return Lock(self._derived(b"", _WITHIN, KEY_BYTES))

    def seal(self, data: bytes) -> bytes:
        """Locks: AES-256-GCM, under a key that is used for this once."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - slow to load

        salt = os.urandom(_SALT_BYTES)
        key, nonce = self._sealing(salt)
        return salt + AESGCM(key).encrypt(nonce, data, _SEALING)

    def open(self, sealed: bytes) -> bytes:
        """Gives what was sealed; takes as long with any wrong key.

        Raises:
            WrongKeyError: it was sealed with another key.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - slow to load
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        key, nonce = self._sealing(sealed[:_SALT_BYTES])
        try:
            return AESGCM(key).decrypt(nonce, sealed[_SALT_BYTES:], _SEALING)
        except InvalidTag:
            raise WrongKeyError from None

    def _sealing(self, salt: bytes) -> tuple[bytes, bytes]:
        derived = self._derived(salt, _SEALING, KEY_BYTES + _NONCE_BYTES)
        return derived[:KEY_BYTES], derived[KEY_BYTES:]

    def _derived(self, salt: bytes, purpose: bytes, size: int) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - slow to load
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

        return HKDF(algorithm=SHA256(), length=size, salt=salt, info=purpose).derive(self._key)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lock) and hmac.compare_digest(self._key, other._key)

    @override
    def __hash__(self) -> int:
        raise TypeError("a lock has no hash: it would tell of the key")

    @override
    def __repr__(self) -> str:
        return "Lock()"


def _digits(key: bytes) -> str:
    return base64.b64encode(key).decode().rstrip("=")
