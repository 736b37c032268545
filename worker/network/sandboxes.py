"""Containers' network namespaces on the bridge: made and taken away, any step again after a crash."""

import errno
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from common.clock import Clock
from worker.kernel import veth
from worker.kernel.namespaces import (
    create_network_namespace,
    is_network_namespace,
    remove_network_namespace,
)
from worker.kernel.netlink_socket import NetlinkSocket
from worker.network.address_book import AddressBook
from worker.network.attachment import Attachment
from worker.network.bridge import Bridge, mac_address

NAME_PREFIX = "ve"
_ID_CHARACTERS = 13
"""With the prefix, the longest name that the kernel takes."""
LEAVE_SECONDS_MAX = 5.0
"""The kernel takes a link away with its namespace, in its own time; after this long it is told to."""
SWEEP_MAX = 16
"""Leaving sandboxes looked at per operation, so that none takes long."""


class Sandboxes:
    """The namespaces below one directory."""

    def __init__(self, directory: Path, bridge: Bridge, book: AddressBook, clock: Clock) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._bridge = bridge
        self._book = book
        self._clock = clock
        self._leaving: dict[str, float] = {}
        self._host = NetlinkSocket()

    def close(self) -> None:
        """Closes the socket to the kernel; the sandboxes stay."""
        self._host.close()

    def path(self, container_id: str) -> Path:
        """The file that stands for the container's namespace."""
        return self._directory / container_id

    def attach(self, container_id: str) -> Attachment:
        """Makes the container's namespace and link, or finds them.

        Raises:
            OSError: the kernel or the disk refused; nothing of it is left.
            SystemFailureError: all addresses are in use.
        """
        self._sweep()
        self._leaving.pop(container_id, None)
        address = ipaddress.IPv4Interface(
            (self._book.give(container_id), self._bridge.subnet.prefixlen)
        )
        try:
            self._make(container_id, address)
        except OSError:
            self._take_away(container_id)
            raise
        return Attachment(
            address=str(address.ip),
            prefix_length=address.network.prefixlen,
            gateway=str(self._bridge.gateway.ip),
            mac_address=mac_address(address.ip),
        )

    def detach(self, container_id: str) -> None:
        """Takes the namespace away. The link goes with it; its address is free when it has gone."""
        self._sweep()
        remove_network_namespace(self.path(container_id))
        if container_id in self._book.owners():
            self._leaving.setdefault(container_id, self._clock.monotonic())

    def keep_only(self, container_ids: Iterable[str]) -> None:
        """Takes away all sandboxes but these, and whatever a crash has left of any."""
        names = {path.name for path in self._directory.iterdir()}
        for container_id in (names | self._book.owners()) - set(container_ids):
            self.detach(container_id)

    def _make(self, container_id: str, address: ipaddress.IPv4Interface) -> None:
        path, name = self.path(container_id), link_name(container_id)
        is_new = not is_network_namespace(path)
        if is_new:
            create_network_namespace(path)
        elif veth.is_connected(self._host, name, self._bridge.index):
            return
        veth.disconnect(self._host, name)
        link = veth.Link(
            name=name,
            bridge=self._bridge.index,
            mtu=self._bridge.mtu,
            mac_address=bytes.fromhex(mac_address(address.ip).replace(":", "")),
            address=address,
            gateway=self._bridge.gateway.ip,
        )
        namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            veth.connect(self._host, namespace, link)
        finally:
            os.close(namespace)

    def _take_away(self, container_id: str) -> None:
        self._leaving.pop(container_id, None)
        veth.disconnect(self._host, link_name(container_id))
        remove_network_namespace(self.path(container_id))
        self._book.take_back(container_id)

    def _sweep(self) -> None:
        """Frees the addresses of sandboxes that have gone by now."""
        now = self._clock.monotonic()
        for container_id, since in list(self._leaving.items())[:SWEEP_MAX]:
            name = link_name(container_id)
            if veth.exists(self._host, name):
                if now - since < LEAVE_SECONDS_MAX:
                    continue
                veth.disconnect(self._host, name)
            del self._leaving[container_id]
            self._book.take_back(container_id)


def link_name(container_id: str) -> str:
    """The host's end of a container's link."""
    return NAME_PREFIX + container_id[:_ID_CHARACTERS]


def remove_all_namespaces(directory: Path) -> None:
    """Takes every namespace below a directory away, and the directory."""
    try:
        paths = list(directory.iterdir())
    except FileNotFoundError:
        return
    for path in paths:
        remove_network_namespace(path)
    try:
        directory.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise
