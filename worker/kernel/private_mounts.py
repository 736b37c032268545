"""Work with mounts that nobody else sees: a thread with a mount namespace of its own, gone when the work is done."""

import threading
from collections.abc import Callable
from typing import TypeVar

from worker.kernel.syscalls import CLONE_NEWNS, MS_PRIVATE, MS_REC, mount, unshare

T = TypeVar("T")


def in_private_mounts(work: Callable[[], T]) -> T:
    """Does blocking work in a mount namespace of its own and waits for it.

    Raises:
        OSError: the kernel refused the namespace, or the work raised it.
    """
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            unshare(CLONE_NEWNS)
            mount("none", "/", "", MS_REC | MS_PRIVATE)
            results.append(work())
        except Exception as error:  # noqa: BLE001 - raised again for the caller below
            errors.append(error)

    thread = threading.Thread(target=run, name="private mounts")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
