"""The keys of a manager on its disk, and the lock on them. Blocks: it belongs into a thread."""

import threading

from common.errors import SystemFailureError
from common.pki.files import NodeFiles
from common.pki.lock import Lock
from manager.raft.key_file import KeyFile


class Vault:
    """The key of the log and the key of the certificate, both locked or none.

    A lock is on the key of the log alone; what the key of the certificate is encrypted with comes out of that. So one
    file decides, it is replaced whole, and after a crash at any moment both open with the lock from before or with the
    one from after. Where the first is locked, the second is never in clear: it is encrypted before and decrypted after.
    """

    def __init__(self, keys: KeyFile, certificates: NodeFiles) -> None:
        self.keys = keys
        self._turn = threading.RLock()
        self._certificates = certificates

    @property
    def lock(self) -> Lock | None:
        """What the keys are locked with; None: they are in clear, or not unlocked yet."""
        return self.keys.lock

    def is_locked(self) -> bool:
        """Whether a key is needed that nobody has given yet.

        Raises:
            SystemFailureError: the key of the log is damaged, or the machine refuses.
        """
        self.keys.tidy()
        return self.keys.lock is None and self.keys.is_sealed()

    def begin(self, lock: Lock) -> None:
        """Locks keys from their beginning: nothing may be there yet.

        Raises:
            SystemFailureError: the machine refuses.
        """
        self.keys.begin(lock)
        self._certificates.relock(self._inner())

    def open(self) -> None:
        """Makes both usable, and finishes what a crash has left of a change.

        Raises:
            LockedError: they are locked.
            SystemFailureError: a key is damaged, or the machine refuses.
        """
        self.keys.tidy()
        if not self.keys.exists():
            return  # a log that was never started
        self.keys.keeps_all = True
        self._find_inner()
        self._certificates.relock(self._inner() if self.keys.is_sealed() else None)
        self.keys.keeps_all = False

    def unlock(self, lock: Lock) -> None:
        """Makes both usable from now on.

        Raises:
            WrongKeyError: they are locked with another key; nothing was changed.
            SystemFailureError: a key is damaged, or the machine refuses.
        """
        self.keys.unlock(lock)
        self.open()

    def relock(self, lock: Lock | None) -> None:
        """Locks both with another key, or with none.

        Raises:
            SystemFailureError: the machine refuses; they open with the lock from before or with this one.
        """
        with self._turn:
            self.keys.keeps_all = True
            if lock is not None and self._certificates.lock is None:
                self._certificates.relock(self._inner())
            self.keys.relock(lock)
            self._certificates.relock(self._inner() if lock is not None else None)
            self.keys.keeps_all = False

    def release(self) -> None:
        """Has the certificate's key in clear: the node goes on as a worker, and its log will be gone.

        Raises:
            SystemFailureError: the machine refuses.
        """
        self._certificates.relock(None)

    def is_under(self, lock: Lock | None) -> bool:
        """Whether both are locked with this one, and nothing is left to do about it."""
        return self.keys.lock == lock and not self.keys.keeps_all

    def forget(self) -> None:
        """Knows no lock any more."""
        self.keys.forget()
        self.keys.keeps_all = False
        self._certificates.lock = None

    def _inner(self) -> Lock:
        return _inner_of(self.keys.load()[0])

    def _find_inner(self) -> None:
        """Which of the log's keys the certificate's key came to be encrypted with."""
        *older, oldest = self.keys.load()
        for key in older:
            self._certificates.lock = _inner_of(key)
            try:
                self._certificates.open()
            except SystemFailureError:
                continue
            return
        self._certificates.lock = _inner_of(oldest)


def _inner_of(key: bytes) -> Lock:
    return Lock(key).within()
