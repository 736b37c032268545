"""A host of its own for a network test: a thread in new network and mount namespaces, with a world outside.

Threads that the test starts are born there, too, and so are programs. Everything is gone when the thread ends.
"""

import asyncio
import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common.clock import SystemClock
from worker.balancer.published_ports import PublishedPorts
from worker.kernel.namespaces import create_network_namespace, visiting
from worker.kernel.netfilter import Netfilter
from worker.network.node_network import NetworkOptions, NodeNetwork

HOST_ADDRESS = "203.0.113.1"
OUTSIDE_ADDRESS = "203.0.113.2"
UPLINK_MTU = 1400
BODY_SECONDS_MAX = 60.0
_CLONE_NEWNS_AND_NEWNET = 0x40020000
_MS_REC_AND_PRIVATE = 0x44000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Lab:
    """The host under test."""

    root: Path
    outside: Path
    netfilter: Netfilter
    ports: PublishedPorts
    clock: SystemClock = field(default_factory=SystemClock)

    def network(self) -> NodeNetwork:
        options = NetworkOptions(data_root=self.root / "data", exec_root=self.root / "exec")
        return NodeNetwork(options, self.netfilter, self.clock)


def in_lab(root: Path, body: Callable[[Lab], Coroutine[None, None, None]]) -> None:
    """Runs ``body`` as if on a host of its own."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _leave_the_real_host()
            asyncio.run(_run_body(root, body))
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            failures.append(error)

    thread = threading.Thread(target=run, name="lab")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


async def _run_body(root: Path, body: Callable[[Lab], Coroutine[None, None, None]]) -> None:
    outside = root / "outside"
    _make_world(outside)
    netfilter = Netfilter()
    try:
        async with (
            asyncio.timeout(BODY_SECONDS_MAX),
            PublishedPorts(netfilter, SystemClock()) as ports,
        ):
            await body(Lab(root=root, outside=outside, netfilter=netfilter, ports=ports))
    finally:
        netfilter.close()


def _leave_the_real_host() -> None:
    if _libc.unshare(_CLONE_NEWNS_AND_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    if _libc.mount(b"none", b"/", None, _MS_REC_AND_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "mount")


def _make_world(outside: Path) -> None:
    create_network_namespace(outside)
    sh("ip link set lo up")
    sh(f"ip link add eth0 mtu {UPLINK_MTU} type veth peer name peer0 mtu {UPLINK_MTU}")
    descriptor = os.open(outside, os.O_RDONLY)
    try:
        subprocess.run(
            ["ip", "link", "set", "peer0", "netns", f"/proc/{os.getpid()}/fd/{descriptor}"],
            check=True,
        )
    finally:
        os.close(descriptor)
    sh(f"ip addr add {HOST_ADDRESS}/24 dev eth0")
    sh("ip link set eth0 up")
    sh(f"ip route add default via {OUTSIDE_ADDRESS}")
    sh("ip link set lo up", outside)
    sh(f"ip addr add {OUTSIDE_ADDRESS}/24 dev peer0", outside)
    sh("ip link set peer0 up", outside)


def sh(command: str, namespace: Path | None = None) -> str:
    """Runs a program, in the lab's host or another namespace of it."""
    argv = command.split()
    if namespace is not None:
        argv = ["nsenter", f"--net={namespace}", *argv]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def open_in(namespace: Path | str | None, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket of another namespace of the lab (None: of its host)."""
    with ExitStack() as stack:
        if namespace is not None:
            descriptor = os.open(namespace, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            stack.enter_context(visiting(descriptor))
        opened = socket.socket(socket.AF_INET, kind)
        opened.setblocking(False)  # noqa: FBT003 - the socket's own way
        return opened


@asynccontextmanager
async def serving(namespace: Path | str | None, port: int, name: str) -> AsyncIterator[list[str]]:
    """A server that says its name and whom it sees, waits for the client's end, and closes; gives the clients seen."""
    seen: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0]
        seen.append(client)
        writer.write(f"{name} {client}\n".encode())
        await reader.read()
        writer.close()

    listener = open_in(namespace)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    server = await asyncio.start_server(answer, sock=listener, backlog=1024)
    async with server:
        yield seen


async def ask(namespace: Path | str | None, address: str, port: int) -> list[str]:
    """Connects from a namespace; gives the words that the server answers: its name and the client it sees."""
    client = open_in(namespace)
    try:
        async with asyncio.timeout(5):
            await asyncio.get_running_loop().sock_connect(client, (address, port))
            reader, writer = await asyncio.open_connection(sock=client)
            words = (await reader.readline()).decode().split()
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
            return words
    finally:
        client.close()
