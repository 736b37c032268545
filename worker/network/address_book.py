"""Which container has which address, kept on disk: one symbolic link each, named by the container, naming the address.

Making a link is one atomic call: there is never a half-written entry, and no entry costs more the more there are.
"""

import ipaddress
from pathlib import Path

from worker.network.addresses import AddressAllocator


class AddressBook:
    """Addresses of one subnet by container, the same after a restart."""

    def __init__(self, directory: Path, subnet: ipaddress.IPv4Network) -> None:
        """Reads what is there; entries of another subnet are of the past and are removed."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._entries: dict[str, ipaddress.IPv4Address] = {}
        for link in directory.iterdir():
            address = _address(link)
            if address is None or address not in subnet:
                link.unlink()
            else:
                self._entries[link.name] = address
        self._allocator = AddressAllocator(subnet, self._entries.values())

    @property
    def subnet(self) -> ipaddress.IPv4Network:
        """Where the addresses come from."""
        return self._allocator.subnet

    @property
    def gateway(self) -> ipaddress.IPv4Address:
        """The bridge's own address."""
        return self._allocator.gateway

    def owners(self) -> frozenset[str]:
        """Containers that have an address."""
        return frozenset(self._entries)

    def give(self, container_id: str) -> ipaddress.IPv4Address:
        """The container's address, on disk before anyone sees it; the same again gives the same.

        Raises:
            SystemFailureError: all addresses are in use.
            OSError: the disk refused.
        """
        if container_id in self._entries:
            return self._entries[container_id]
        address = self._allocator.allocate()
        try:
            (self._directory / container_id).symlink_to(str(address))
        except OSError:
            self._allocator.free(address)
            raise
        self._entries[container_id] = address
        return address

    def take_back(self, container_id: str) -> None:
        """The container's address is free again; a container without one is fine."""
        (self._directory / container_id).unlink(missing_ok=True)
        address = self._entries.pop(container_id, None)
        if address is not None:
            self._allocator.free(address)


def _address(link: Path) -> ipaddress.IPv4Address | None:
    try:
        return ipaddress.IPv4Address(str(link.readlink()))
    except (OSError, ValueError):
        return None
