"""nftables through libnftables: commands as text, each batch one transaction, no process started."""

import ctypes
import os
import socket
import threading
from collections.abc import Mapping

from common.errors import SystemFailureError
from worker.kernel.libraries import load_library
from worker.kernel.netlink_socket import NETLINK_NETFILTER

TABLE = "inet swarmd"
"""The one table that is ours. Networks and published ports have chains of their own in it."""
LIBRARY = "libnftables.so.1"
PACKAGE = "libnftables1"
"""Where Debian has the library."""
DESCRIPTORS_MAX = 1024
"""The library waits by select(2), which ends the process at a higher descriptor: it is opened early."""
_ERROR_CHARACTERS_MAX = 2000


Contents = Mapping[str, int]
"""How many rules each chain, and how many elements each set or map has."""


class NetfilterError(SystemFailureError):
    """The kernel or the library refused a transaction; nothing of it was done."""


class Netfilter:
    """Runs nftables commands in the network namespace in which it was made; for use by any thread."""

    def __init__(self) -> None:
        """Loads the library.

        Raises:
            SystemFailureError: the host does not have it.
        """
        self._library = _load()
        self._lock = threading.Lock()
        before = _netlink_ports()
        self._context = self._library.nft_ctx_new(0)
        opened = {fd: port for fd, port in _netlink_ports().items() if fd not in before}
        self.ports = frozenset(opened.values())
        """By which the kernel names us when it tells of changes."""
        if not self._context:
            raise SystemFailureError("libnftables could not open its netlink socket")
        if any(fd >= DESCRIPTORS_MAX for fd in opened):
            self.close()
            raise SystemFailureError(
                f"libnftables can only use descriptors below {DESCRIPTORS_MAX}, and all are in use"
            )
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def run(self, commands: str) -> str:
        """Carries all commands out in one transaction, or none of them; gives what they print.

        Raises:
            NetfilterError: with the library's own words.
        """
        with self._lock:
            if self._context is None:
                raise NetfilterError("nftables is closed")
            failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
            printed: bytes = self._library.nft_ctx_get_output_buffer(self._context)
            complaint: bytes = self._library.nft_ctx_get_error_buffer(self._context)
        if failed:
            reason = complaint.decode(errors="replace").strip()[:_ERROR_CHARACTERS_MAX]
            raise NetfilterError(f"nftables refused: {reason}")
        return printed.decode(errors="replace")

    def contents(self) -> Contents:
        """What our table holds now; nothing when there is none."""
        if f"table {TABLE}" not in self.run("list tables").splitlines():
            return {}
        return count_contents(self.run(f"list table {TABLE}"))

    def close(self) -> None:
        """Frees the library's context."""
        with self._lock:
            if self._context is not None:
                self._library.nft_ctx_free(self._context)
                self._context = None


def count_contents(listing: str) -> Contents:
    """Reads how the library prints a table."""
    found: dict[str, int] = {}
    name, of_rules = "", False
    for line in listing.splitlines():
        match line.split():
            case ["chain" | "set" | "map" as kind, name, "{"]:
                found[name] = 0
                of_rules = kind == "chain"
            case [] | ["}"] | ["table" | "type" | "flags" | "size", *_]:
                pass
            case _ if of_rules:
                found[name] += 1
            case _:  # Elements: a comma follows each but the last.
                found[name] += line.count(",") + line.endswith("}")
    return found


def lacks(found: Contents, wanted: Contents) -> bool:
    """Whether something of what is wanted is gone; what somebody added is no loss."""
    return any(found.get(name, -1) < count for name, count in wanted.items())


def _netlink_ports() -> Mapping[int, int]:
    """Port ids of this process's netfilter sockets by descriptor: the library keeps its own to itself."""
    found: dict[int, int] = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            copy = os.dup(int(entry))
        except OSError:  # closed meanwhile
            continue
        try:
            opened = socket.socket(fileno=copy)
        except OSError:  # not a socket
            os.close(copy)
            continue
        with opened:
            if opened.family == socket.AF_NETLINK and opened.proto == NETLINK_NETFILTER:
                if not opened.getsockname()[0]:  # It is bound only at its first use, else.
                    opened.bind((0, 0))
                found[int(entry)] = opened.getsockname()[0]
    return found


def _load() -> ctypes.CDLL:
    library = load_library(LIBRARY, PACKAGE)
    library.nft_ctx_new.argtypes = (ctypes.c_uint32,)
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_free.argtypes = (ctypes.c_void_p,)
    library.nft_ctx_free.restype = None
    library.nft_run_cmd_from_buffer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
        getattr(library, name).restype = ctypes.c_char_p
    return library
