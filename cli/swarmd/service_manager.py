"""Tells the service manager that started swarmd how it fares (``sd_notify(3)``)."""

import logging
import os
import socket
from collections.abc import Mapping
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"

log = logging.getLogger("swarmd")


class ServiceManager:
    """Whoever listens at ``NOTIFY_SOCKET``; nobody when the variable is not set."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")

    def tell(self, state: str) -> None:
        """Sends one datagram, and waits for nothing. One that is not taken is told in the log: swarmd goes on."""
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):
            address = "\0" + address[1:]  # a name of the kernel's abstract namespace, unix(7)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(0)
                sender.sendto(state.encode(), address)
        except OSError as error:
            log.warning("the service manager was not told", extra={"state": state, "reason": error})
