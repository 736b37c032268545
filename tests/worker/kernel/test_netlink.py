import asyncio
import subprocess
import sys

import pytest

from worker.kernel import netlink

BROKEN_BY_ANOTHER = """
import socket, sys
def windows_only(family, packed): raise OSError("not here")
socket.inet_ntop = windows_only
from worker.kernel import netlink
assert "pyroute2" not in sys.modules
print(*(found.address for found in netlink.addresses()))
"""


def test_the_kernel_tells_of_links_addresses_and_routes() -> None:
    loopback = next(link for link in netlink.interfaces() if link.name == "lo")
    assert loopback.index == 1
    assert loopback.mtu > 0
    assert (
        netlink.HostAddress(interface=1, address=netlink.Address("127.0.0.1/8"))
        in netlink.addresses()
    )
    assert netlink.Network("127.0.0.0/8") in {route.destination for route in netlink.routes()}


def test_a_refusal_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match=r"No such device|Operation not permitted"):
        netlink.delete_link(2**31 - 1)


async def test_a_thread_may_ask_while_a_loop_runs_elsewhere() -> None:
    assert await asyncio.to_thread(netlink.interfaces)


def test_it_is_imported_late_and_whatever_another_library_does_to_the_socket_module() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_BY_ANOTHER], capture_output=True, text=True, check=True
    )
    assert "127.0.0.1/8" in done.stdout.split()
