"""The file of a log's keys: in clear, or sealed where the manager is locked.

    32 bytes                                        one key in clear, as it always was
    "swarmdK1"  0 (1)  keys (32 each)   crc32 (4)   several keys in clear
    "swarmdK1"  1 (1)  sealed keys      crc32 (4)   one or more, sealed with a ``Lock``

The newest key stands first: new files are sealed with it. The file is replaced whole, so that after a crash it opens
with the lock from before or with the one from after.
"""

import logging
import os
import threading
import zlib
from pathlib import Path
from typing import Final

from common.errors import SystemFailureError, UnavailableError
from common.files import NEW_SUFFIX, replace_durably, sync_directory
from common.pki.lock import Lock, WrongKeyError
from manager.raft.disk import told
from manager.raft.seal import KEY_BYTES, SEALED_PREFIXES, Seal

KEY_NAME: Final = "key"
KEYS_MAX: Final = 8
"""Keys of one log that are in use at the same time: the newest, and those that older files are sealed with.

A lock that changes more often seals the keys that there are. Each start forgets those that are not needed."""
_MAGIC: Final = b"swarmdK1"
_CLEAR, _SEALED = b"\0", b"\1"
_CHECKSUM_BYTES: Final = 4
_BYTES_MAX: Final = 4096
_log = logging.getLogger("swarmd.raft.key")

LOCKED: Final = (
    "Swarm is encrypted and needs to be unlocked before it can be used. "
    'Please use "docker swarm unlock" to unlock it.'
)
"""Docker's words."""


class LockedError(UnavailableError):
    """The keys are sealed, and nobody has given the key to them yet."""

    def __init__(self) -> None:
        super().__init__(LOCKED)


class KeyFile:
    """``raft/key``. Blocks; whoever calls may be in any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: Lock | None = None
        self._seal: Seal | None = None
        self.keeps_all = False
        """Whether something else may still be under a key that no file of the log needs."""
        self._turn = threading.RLock()

    @property
    def lock(self) -> Lock | None:
        """What the keys are sealed with, as far as it is known here; None: in clear, or not unlocked yet."""
        return self._lock

    def is_sealed(self) -> bool:
        """Whether a key is needed to read it.

        Raises:
            SystemFailureError: it is damaged, or the machine refuses.
        """
        with self._turn:
            found = self._read()
            return found is not None and found[0]

    def exists(self) -> bool:
        """Whether there are keys."""
        return self._path.exists()

    def forget(self) -> None:
        """Knows no lock any more: the file is gone, or is another one's."""
        with self._turn:
            self._lock = self._seal = None

    def new_seal(self) -> Seal:
        """What a log is opened with, which takes up other keys that are made meanwhile.

        Raises:
            LockedError: it has not been unlocked.
            SystemFailureError: they are gone or damaged, or the machine refuses.
        """
        with self._turn:
            newest, *older = self.load_or_create()
            self._seal = Seal(newest, older=older)
            return self._seal

    def keep_only(self, seal: Seal) -> None:
        """Forgets keys that no file of the log needs any more, as the seal has found that opened them all."""
        with self._turn:
            try:
                keys, used = self.load(), seal.used()
                if not self.keeps_all and keys[0] == used[0] and len(used) < len(keys):
                    self.replace_keys(used)
            except (
                SystemFailureError
            ) as error:  # they do no harm to the log: the next start tries again
                _log.warning("former keys of the log are kept", extra={"reason": error})

    def begin(self, lock: Lock | None) -> None:
        """Makes the first key, sealed from the beginning; nothing may be there yet.

        Raises:
            SystemFailureError: there is something, or the machine refuses.
        """
        with self._turn:
            self._lock = lock
            self._create()

    def unlock(self, lock: Lock) -> None:
        """Opens it from now on.

        Raises:
            WrongKeyError: it is sealed with another key; nothing was changed.
            SystemFailureError: it is damaged, or the machine refuses.
        """
        with self._turn:
            found = self._read()
            if found is not None and found[0]:
                self._unpacked(lock.open(found[1]))
                self._lock = lock

    def load(self) -> tuple[bytes, ...]:
        """The keys, the newest first.

        Raises:
            LockedError: it has not been unlocked.
            SystemFailureError: they are gone or damaged, or the machine refuses.
        """
        with self._turn:
            found = self._read()
            if found is None:
                raise self._gone() or SystemFailureError(f"the key {self._path} is gone")
            is_sealed, body = found
            if not is_sealed:
                return self._unpacked(body)
            if self._lock is None:
                raise LockedError
            try:
                return self._unpacked(self._lock.open(body))
            except WrongKeyError:
                raise self._damaged("it was sealed by somebody else meanwhile") from None

    def load_or_create(self) -> tuple[bytes, ...]:
        """The keys; a new one, durable before it is returned, when nothing is sealed beside it yet.

        Raises:
            LockedError: it has not been unlocked.
            SystemFailureError: they are gone or damaged, or the machine refuses.
        """
        with self._turn:
            return self.load() if self._read() is not None else self._create()

    def relock(self, lock: Lock | None) -> None:
        """Seals the keys with another lock, or none; durable when this returns.

        Another lock comes with another key, so that who has read the disk before can read nothing that is written
        from now on. What is there already stays under the keys before.

        Raises:
            LockedError: it has not been unlocked.
            SystemFailureError: the machine refuses; it stays as it is.
        """
        with self._turn:
            keys = self.load()
            if lock is not None and lock != self._lock and len(keys) < KEYS_MAX:
                keys = (os.urandom(KEY_BYTES), *keys)
            self._write(keys, lock)
            self._lock = lock
            if self._seal is not None:
                self._seal.renew(keys)

    def replace_keys(self, keys: tuple[bytes, ...]) -> None:
        """Keeps other keys, the newest first, under the same lock.

        Raises:
            SystemFailureError: the machine refuses; it stays as it is.
        """
        if not 0 < len(keys) <= KEYS_MAX:
            raise ValueError(f"a log has 1 to {KEYS_MAX} keys, not {len(keys)}")
        with self._turn:
            self._write(keys, self._lock)
            if self._seal is not None:
                self._seal.renew(keys)

    def tidy(self) -> None:
        """Takes away what a crash has left of a replacement that was not complete: it may be in clear.

        Raises:
            SystemFailureError: the machine refuses.
        """
        left = self._path.with_name(self._path.name + NEW_SUFFIX)
        with self._turn, told(f"remove {left}"):
            if left.exists():
                left.unlink()
                sync_directory(left.parent)

    def _create(self) -> tuple[bytes, ...]:
        error = self._gone()
        if error is not None:
            raise error
        keys = (os.urandom(KEY_BYTES),)
        self._write(keys, self._lock)
        return keys

    def _write(self, keys: tuple[bytes, ...], lock: Lock | None) -> None:
        packed = b"".join(keys)
        if lock is not None:
            packed = _checked(_MAGIC + _SEALED + lock.seal(packed))
        elif len(keys) > 1:
            packed = _checked(_MAGIC + _CLEAR + packed)
        with told(f"write the key {self._path}"):
            replace_durably(self._path, packed)

    def _read(self) -> tuple[bool, bytes] | None:
        """Whether it is sealed, and the keys or what they were sealed to; None where there is no file."""
        with told(f"use the key {self._path}"):
            if not self._path.exists():
                return None
            with self._path.open("rb") as file:
                packed = file.read(_BYTES_MAX)
        if len(packed) == KEY_BYTES:
            return False, packed
        if not packed.startswith(_MAGIC):
            raise self._damaged(f"it has {len(packed)} bytes, not {KEY_BYTES}")
        if packed != _checked(packed[:-_CHECKSUM_BYTES]):
            raise self._damaged("it does not fit its checksum")
        kind_end = len(_MAGIC) + 1
        return packed[len(_MAGIC) : kind_end] == _SEALED, packed[kind_end:-_CHECKSUM_BYTES]

    def _unpacked(self, packed: bytes) -> tuple[bytes, ...]:
        keys = tuple(packed[at : at + KEY_BYTES] for at in range(0, len(packed), KEY_BYTES))
        if not 0 < len(keys) <= KEYS_MAX or len(packed) % KEY_BYTES:
            raise self._damaged(f"it holds {len(packed)} bytes of keys")
        return keys

    def _damaged(self, what: str) -> SystemFailureError:
        return SystemFailureError(f"the key {self._path} is damaged: {what}")

    def _gone(self) -> SystemFailureError | None:
        """What to say when something is sealed with a key that is not there."""
        if not self._path.parent.is_dir():
            return None
        sealed = sorted(
            found.name
            for found in self._path.parent.iterdir()
            if found.name.startswith(SEALED_PREFIXES)
        )
        if not sealed:
            return None
        return SystemFailureError(
            f"the key {self._path} is gone, and without it {sealed[0]} cannot be read",
            hint="restore the key, or remove this manager from the swarm and let it join anew",
        )


def load_or_create_key(path: Path) -> bytes:
    """The newest key in a file that is not sealed; made when nothing is sealed beside it yet.

    Raises:
        LockedError: it is sealed.
        SystemFailureError: it is gone or damaged, or the machine refuses.
    """
    return KeyFile(path).load_or_create()[0]


def _checked(data: bytes) -> bytes:
    return data + zlib.crc32(data).to_bytes(_CHECKSUM_BYTES, "little")
