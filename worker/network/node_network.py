"""The node's network: the default bridge, its containers' sandboxes, and what the host must have for them."""

import asyncio
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from common.clock import Clock
from common.errors import SystemFailureError, UnavailableError
from worker.kernel import netlink
from worker.kernel.namespaces import enter_network_namespace, open_own_namespace
from worker.kernel.netfilter import TABLE, Netfilter
from worker.network import sysctls
from worker.network.address_book import AddressBook
from worker.network.attachment import Attachment, Sandbox
from worker.network.bridge import Bridge, delete_bridge, ensure_bridge, ports_of_bridge
from worker.network.resolv_conf import read_resolver
from worker.network.rules import bridge_rules
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
    """Implements ``worker.containers.ports.Networks`` in the network namespace in which it is made.

    All work is done by one thread, one job after another: the kernel takes its own lock for each of them anyway, and
    a thread that visits other namespaces must not be the event loop's.
    """

    def __init__(self, options: NetworkOptions, netfilter: Netfilter, clock: Clock) -> None:
        self._options = options
        self._netfilter = netfilter
        self._clock = clock
        self._home = open_own_namespace()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="network")
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
        await self._do(self._start)

    async def reconcile(self, keep: Collection[str]) -> None:
        """Takes away the sandboxes and addresses of all containers but these: what a crash has left behind."""
        await self._do(lambda: self._started().keep_only(keep))

    async def attach(self, container_id: str) -> Sandbox:
        """Gives the container a namespace on the default bridge; the same again gives the same.

        Raises:
            SystemFailureError: no address is free, or the kernel refused; nothing is left of the attempt.
        """
        attachment = await self._do(lambda: self._started().attach(container_id))
        return self._sandbox(container_id, attachment)

    async def detach(self, container_id: str) -> None:
        """Takes its namespace, link and address away; may be called again."""
        await self._do(lambda: self._started().detach(container_id))

    async def teardown(self) -> None:
        """Takes everything away that was ever made on this host, and puts its settings back. No start is needed."""
        await self._do(self._remove_sandboxes)
        for _ in range(LEAVE_ROUNDS_MAX):
            if not await self._do(self._ports_left):
                break
            await self._clock.sleep(LEAVE_ROUND_SECONDS)
        await self._do(self._remove_rest)

    def close(self) -> None:
        """Ends the thread and closes what is open; the network itself stays."""
        self._thread.shutdown()
        if self._sandboxes is not None:
            self._sandboxes.close()
            self._sandboxes = None
        os.close(self._home)

    async def _do(self, job: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._at_home, job)
        except OSError as error:
            raise SystemFailureError(f"the host's network refused: {error}") from error

    def _at_home(self, job: Callable[[], T]) -> T:
        # Were a job ever unable to return from a visit, the next must not go on in a container's namespace.
        enter_network_namespace(self._home)
        return job()

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
        self._netfilter.run(bridge_rules(TABLE, bridge.name, bridge.subnet))
        if self._sandboxes is not None:
            self._sandboxes.close()
        book = AddressBook(options.directory / "addresses", bridge.subnet)
        self._sandboxes = Sandboxes(options.namespaces, bridge, book, self._clock)
        self._bridge = bridge

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

    def _remove_sandboxes(self) -> None:
        if self._sandboxes is not None:
            self._sandboxes.close()
            self._sandboxes = None
        self._bridge = None
        remove_all_namespaces(self._options.namespaces)

    def _ports_left(self) -> Sequence[int]:
        return ports_of_bridge(self._options.bridge)

    def _remove_rest(self) -> None:
        for index in self._ports_left():
            netlink.delete_link(index)
        delete_bridge(self._options.bridge)
        self._netfilter.run(f"add table {TABLE}\ndelete table {TABLE}")
        sysctls.restore(self._options.sysctls)
        if self._options.directory.is_dir():
            shutil.rmtree(self._options.directory)
