"""The node's network: the default bridge, its containers' sandboxes, and what the host must have for them."""

import asyncio
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from common.clock import Clock
from common.errors import SystemFailureError, UnavailableError
from worker.kernel import netlink
from worker.kernel.netfilter import TABLE, Netfilter, lacks
from worker.network import sysctls
from worker.network.address_book import AddressBook
from worker.network.attachment import Attachment, Sandbox
from worker.network.bridge import Bridge, delete_bridge, ensure_bridge, ports_of_bridge
from worker.network.resolv_conf import read_resolver
from worker.network.rules import RULES, bridge_rules
from worker.network.sandboxes import Sandboxes, remove_all_namespaces
from worker.network.subnets import DEFAULT_POOLS, AddressPool

T = TypeVar("T")

LEAVE_ROUNDS_MAX = 40
LEAVE_ROUND_SECONDS = 0.05
"""How long a teardown waits for the kernel to take links away with their namespaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """Where the node's network keeps its things and what it may use."""

    data_root: Path
    exec_root: Path
    bridge: str = "swarmd0"
    pools: Sequence[AddressPool] = DEFAULT_POOLS
    resolv_conf: Path = Path("/etc/resolv.conf")

    @property
    def directory(self) -> Path:
        """What survives a reboot."""
        return self.data_root / "network"

    @property
    def namespaces(self) -> Path:
        """Files that stand for containers' namespaces."""
        return self.exec_root / "netns"

    @property
    def sysctls(self) -> Path:
        """The host's settings as they were."""
        return self.directory / "sysctls.json"


class NodeNetwork:
    """Implements ``worker.containers.ports.Networks`` in the network namespace of the calling thread.

    A container's network is made on the event loop's own thread, one container per turn of the loop: 2 ms that block
    it are better than a thread beside it, which would fight a busy loop for Python's lock at every system call
    (measured on two busy cores: 30 ms). What is done once, at the start and in the end, has a thread.
    """

    def __init__(self, options: NetworkOptions, netfilter: Netfilter, clock: Clock) -> None:
        self._options = options
        self._netfilter = netfilter
        self._clock = clock
        self._turn = asyncio.Lock()
        self._sandboxes: Sandboxes | None = None
        self._bridge: Bridge | None = None

    @property
    def bridge(self) -> Bridge:
        """The default bridge, once started."""
        if self._bridge is None:
            raise UnavailableError("the node's network has not started")
        return self._bridge

    async def start(self) -> None:
        """Makes the bridge, its rules and its settings, or finds them from before; sandboxes stay as they are.

        Raises:
            ConflictError: the bridge's name belongs to an interface that is not ours.
            SystemFailureError: the host lacks something or the kernel refused.
        """
        async with self._turn:
            await _in_thread(self._start)

    async def renew(self) -> None:
        """Makes the bridge's rules anew when somebody has deleted them; in good order they stay as they are."""
        async with self._turn:
            await _in_thread(self._renew)

    async def reconcile(self, keep: Collection[str]) -> None:
        """Takes away the sandboxes and addresses of all containers but these: what a crash has left behind."""
        async with self._turn:
            with _kernel_errors():
                self._started().keep_only(keep)

    async def attach(self, container_id: str) -> Sandbox:
        """Gives the container a namespace on the default bridge; the same again gives the same.

        Raises:
            SystemFailureError: no address is free, or the kernel refused; nothing is left of the attempt.
        """
        async with self._turn:
            with _kernel_errors():
                attachment = self._started().attach(container_id)
        return self._sandbox(container_id, attachment)

    async def detach(self, container_id: str) -> None:
        """Takes its namespace, link and address away; may be called again."""
        async with self._turn:
            with _kernel_errors():
                self._started().detach(container_id)

    async def teardown(self) -> None:
        """Takes everything away that was ever made on this host, and puts its settings back. No start is needed."""
        async with self._turn:
            self.close()
            await _in_thread(partial(remove_all_namespaces, self._options.namespaces))
            for _ in range(LEAVE_ROUNDS_MAX):
                if not await _in_thread(partial(ports_of_bridge, self._options.bridge)):
                    break
                await self._clock.sleep(LEAVE_ROUND_SECONDS)
            await _in_thread(self._remove_rest)

    def close(self) -> None:
        """Closes what is open; the network itself stays."""
        if self._sandboxes is not None:
            self._sandboxes.close()
        self._sandboxes = None
        self._bridge = None

    def _start(self) -> None:
        options = self._options
        options.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        bridge = ensure_bridge(
            options.bridge,
            options.pools,
            options.directory / "bridge.json",
            subnet_in_use=options.namespaces.is_dir() and any(options.namespaces.iterdir()),
        )
        sysctls.enable_forwarding(options.sysctls)
        self._set_rules(bridge)
        if self._sandboxes is not None:
            self._sandboxes.close()
        book = AddressBook(options.directory / "addresses", bridge.subnet)
        self._sandboxes = Sandboxes(options.namespaces, bridge, book, self._clock)
        self._bridge = bridge

    def _renew(self) -> None:
        if self._bridge is not None and lacks(self._netfilter.contents(), RULES):
            self._set_rules(self._bridge)

    def _set_rules(self, bridge: Bridge) -> None:
        self._netfilter.run(bridge_rules(TABLE, bridge.name, bridge.subnet))

    def _started(self) -> Sandboxes:
        if self._sandboxes is None:
            raise UnavailableError("the node's network has not started")
        return self._sandboxes

    def _sandbox(self, container_id: str, attachment: Attachment) -> Sandbox:
        resolver = read_resolver(self._options.resolv_conf)
        return Sandbox(
            namespace=str(self._options.namespaces / container_id),
            attachment=attachment,
            nameservers=resolver.nameservers,
            search=resolver.search,
        )

    def _remove_rest(self) -> None:
        for index in ports_of_bridge(self._options.bridge):
            netlink.delete_link(index)
        delete_bridge(self._options.bridge)
        self._netfilter.run(f"add table {TABLE}\ndelete table {TABLE}")
        sysctls.restore(self._options.sysctls)
        if self._options.directory.is_dir():
            shutil.rmtree(self._options.directory)


async def _in_thread(job: Callable[[], T]) -> T:
    """For what is rare and may take long. Who is cancelled waits all the same: nobody else may have a turn before."""
    with _kernel_errors():
        working = asyncio.get_running_loop().run_in_executor(None, job)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])
            raise


@contextmanager
def _kernel_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SystemFailureError(f"the host's network refused: {error}") from error
