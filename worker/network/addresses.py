"""Which address of a subnet a container gets: values only."""

import ipaddress
from collections import deque
from collections.abc import Iterable

from common.errors import SystemFailureError

RESTING_MAX = 1024
"""Addresses freed last, kept back as long as any other is free: neighbours and connections may still remember them."""


class AddressAllocator:
    """Gives the addresses of one subnet in turn; the first one is the gateway's and never given."""

    def __init__(
        self, subnet: ipaddress.IPv4Network, used: Iterable[ipaddress.IPv4Address] = ()
    ) -> None:
        self.subnet = subnet
        self._first = int(subnet.network_address) + 2
        self._last = int(subnet.broadcast_address) - 1
        self._used = {int(address) for address in used}
        self._resting: deque[int] = deque(maxlen=RESTING_MAX)
        inside = [value for value in self._used if self._first <= value <= self._last]
        self._cursor = max(inside, default=self._first - 1)

    @property
    def gateway(self) -> ipaddress.IPv4Address:
        """The bridge's own address."""
        return ipaddress.IPv4Address(self._first - 1)

    def allocate(self) -> ipaddress.IPv4Address:
        """Takes a free address: the next one that has rested, else the one that rested longest.

        Raises:
            SystemFailureError: all are in use.
        """
        resting = set(self._resting)
        value = next((value for value in self._in_turn() if value not in resting), None)
        if value is None:
            if not self._resting:
                raise SystemFailureError(f"no free address is left in {self.subnet}")
            value = self._resting.popleft()
        self._used.add(value)
        self._cursor = value
        return ipaddress.IPv4Address(value)

    def free(self, address: ipaddress.IPv4Address) -> None:
        """Gives an address back; one that is free already stays so."""
        value = int(address)
        if value in self._used:
            self._used.remove(value)
            if self._first <= value <= self._last:
                self._resting.append(value)

    def _in_turn(self) -> Iterable[int]:
        """The free addresses, from the one after the last given on, round to it."""
        after = range(self._cursor + 1, self._last + 1)
        before = range(self._first, min(self._cursor, self._last) + 1)
        return (value for turn in (after, before) for value in turn if value not in self._used)
