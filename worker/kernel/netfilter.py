"""nftables through libnftables: commands as text, each batch one transaction, no process started."""

import ctypes
import threading

from common.errors import SystemFailureError

TABLE = "inet swarmd"
"""The one table that is ours. Networks and published ports have chains of their own in it."""
LIBRARY = "libnftables.so.1"
PACKAGE = "libnftables1"
"""Where Debian has the library."""
_ERROR_CHARACTERS_MAX = 2000


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
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise SystemFailureError("libnftables could not open its netlink socket")
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

    def chains(self) -> list[str]:
        """Names of the chains in our table."""
        names: list[str] = []
        table = ""
        for line in self.run("list chains").splitlines():
            match line.split():
                case ["table", *words, "{"]:
                    table = " ".join(words)
                case ["chain", name, "{"] if table == TABLE:
                    names.append(name)
                case _:
                    pass
        return names

    def close(self) -> None:
        """Frees the library's context."""
        with self._lock:
            if self._context is not None:
                self._library.nft_ctx_free(self._context)
                self._context = None


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise SystemFailureError(
            f"{LIBRARY} is missing on this host", hint=f"install the package {PACKAGE}"
        ) from None
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
