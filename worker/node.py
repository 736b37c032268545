"""A worker: starts and stops everything that a worker runs, in order."""

import asyncio
import contextlib
import logging
import random  # noqa: TID251 - only named as a type
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Never, Self

from aiohttp import web

from common.bell import Bell
from common.clock import Clock
from common.engine_api.facts import EngineFacts
from common.errors import NotFoundError, SwarmdError, SystemFailureError
from common.events import EventLog
from common.files import replace_durably
from common.ids import container_id_source
from common.model.node import NodeDescription, TlsInfo
from common.model.resources import GenericResource
from worker.agent.agent import Agent, Machine
from worker.agent.description import describe
from worker.agent.lease import lease_file
from worker.agent.memory import Memory
from worker.agent.session import Connect
from worker.api import routes
from worker.balancer.published_ports import PublishedPorts
from worker.balancer.shares import PortShares
from worker.containers.engine import LocalEngine, Surroundings
from worker.containers.record import ContainerState
from worker.containers.workshop import Machinery
from worker.facts import machine_facts
from worker.images.store import ImageStore
from worker.kernel import netlink
from worker.kernel.netfilter import Netfilter
from worker.network.node_network import NetworkOptions, NodeNetwork
from worker.network.subnets import DEFAULT_POOLS, AddressPool
from worker.runtime.client import RuntimeClient
from worker.runtime.oci_runtimes import Runtimes
from worker.runtime.remap import Remap
from worker.volumes.local import LocalVolumes

REMOVALS_AT_A_TIME = 16
DATA_ROOT_MODE = 0o710
"""Others on the host reach no container's files, log, environment or volume, also not by set-user-id programs there."""
PRIVATE_DIRECTORIES = ("agent", "containers", "images")
"""Closed themselves, too, should an administrator have opened the directory above them."""
_ENGINE_ID = re.compile(r"[0-9a-f]{32}")
log = logging.getLogger("swarmd.worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """Where a worker keeps its things, and how it is called."""

    data_root: Path
    exec_root: Path
    cgroup_parent: str
    bridge: str
    version: str
    default_runtime: str = ""
    """What makes the containers that name no runtime; "" is our own."""
    pools: Sequence[AddressPool] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    generic_resources: Sequence[GenericResource] = ()
    remap: Remap | None = None
    """Which ids of the host those of containers are; None for the same."""


class WorkerNode:
    """The local engine and, in a swarm, this node's agent. An async context; leaving it stops no container.

    When no container is left, leaving takes back what was made on the host: bridge, firewall table, sysctls and the
    supervisor.
    """

    def __init__(
        self, options: WorkerOptions, events: EventLog, clock: Clock, chance: random.Random
    ) -> None:
        self._options, self._events = options, events
        self._labels = options.labels
        self._generic_resources = options.generic_resources
        self._trust: TlsInfo | None = None
        self._description_changed = Bell(clock)
        self._clock, self._chance = clock, chance
        self._stack = contextlib.AsyncExitStack()
        self._netfilter = Netfilter()
        self._network = NodeNetwork(
            NetworkOptions(
                data_root=options.data_root,
                exec_root=options.exec_root,
                bridge=options.bridge,
                pools=options.pools or DEFAULT_POOLS,
            ),
            self._netfilter,
            clock,
        )
        self._runtimes = Runtimes(options.default_runtime)
        self._runtime = RuntimeClient(options.exec_root, options.cgroup_parent, clock=clock)
        self._images = ImageStore(str(options.data_root / "images"), clock, events)
        new_name = container_id_source(chance)
        self._volumes = LocalVolumes(str(options.data_root / "volumes"), clock, events, new_name)
        self._published = PublishedPorts(self._netfilter, clock, self._network.renew)
        self._shares = PortShares(self._published, clock)
        self._ports = self._shares.share(lambda _: "a task of this node")
        self._engine = LocalEngine(
            str(options.data_root),
            str(options.exec_root),
            Machinery(
                runtime=self._runtime,
                images=self._images,
                networks=self._network,
                volumes=self._volumes,
                ports=self._shares.share(lambda key: self._engine.port_holder(*key)),
                remap=options.remap,
                runtimes=self._runtimes,
            ),
            Surroundings(clock=clock, events=events, new_id=new_name),
        )
        self._engine_id = ""

    async def __aenter__(self) -> Self:
        self._runtimes.settled("")
        self._make_directories()
        self._engine_id = self._same_engine_id()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._netfilter.close)
            stack.callback(self._network.close)
            await self._network.start()
            await self._images.open()
            await self._volumes.open()
            stack.push_async_callback(self._leave_host_as_found)
            await stack.enter_async_context(self._runtime)
            await stack.enter_async_context(self._published)
            if self._memory.exists():
                self._shares.expect(self._ports)
            await stack.enter_async_context(self._engine)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self._stack.aclose()

    async def _leave_host_as_found(self) -> None:
        """With no container left, nothing of ours need stay on the host."""
        if self._engine.all():
            return
        await self._runtime.shutdown()
        await self._network.teardown()
        log.info("no container is left: the host's network is as it was")

    def _make_directories(self) -> None:
        root = self._options.data_root
        try:
            root.mkdir(mode=DATA_ROOT_MODE, parents=True, exist_ok=True)
            for name in PRIVATE_DIRECTORIES:
                (root / name).mkdir(mode=DATA_ROOT_MODE, exist_ok=True)
        except OSError as error:
            raise SystemFailureError(f"cannot use {root}: {error.strerror or error}") from error

    def _same_engine_id(self) -> str:
        """The id that this engine has told since it was first started here."""
        path = self._options.data_root / "engine-id"
        try:
            if path.exists() and _ENGINE_ID.fullmatch(known := path.read_text()):
                return known
            fresh = f"{self._chance.getrandbits(128):032x}"
            replace_durably(path, fresh.encode())
        except (OSError, UnicodeDecodeError) as error:
            raise SystemFailureError(f"cannot keep {path}: {error}") from error
        return fresh

    # ------------------------------------------------------------------------ for the API

    def routes(self) -> list[web.RouteDef]:
        """The local half of the Engine API."""
        return routes(self._images, self._engine, self._network, self._volumes, self._clock)

    async def facts(self) -> EngineFacts:
        """What the engine is and has now."""
        states = [found.state for found in self._engine.all()]
        running, paused = (
            states.count(state) for state in (ContainerState.RUNNING, ContainerState.PAUSED)
        )
        machine = machine_facts(
            self.describe(),
            engine_id=self._engine_id,
            data_root=self._options.data_root,
            is_remapped=self._options.remap is not None,
            runtimes=self._runtimes,
        )
        return replace(
            machine,
            images=len(self._images.all()),
            containers_running=running,
            containers_paused=paused,
            containers_stopped=len(states) - running - paused,
            n_fd=_open_files(),
        )

    def has_image(self, reference: str) -> bool:
        """Whether the image is on this node."""
        try:
            self._images.resolve(reference)
        except NotFoundError:
            return False
        return True

    # ------------------------------------------------------------------------ in a swarm

    def describe(self) -> NodeDescription:
        """What this machine is and has."""
        machine = describe(self._options.version, self._labels, self._generic_resources)
        return replace(machine, tls_info=self._trust)

    def redescribe(
        self, labels: Mapping[str, str], generic_resources: Sequence[GenericResource]
    ) -> None:
        """From now on the node has these labels and resources; the managers are told."""
        self._labels, self._generic_resources = labels, generic_resources
        self._description_changed.ring()

    def show_trust(self, trust: TlsInfo | None) -> None:
        """From now on this node trusts these roots, and has a certificate of that issuer; the managers are told."""
        self._trust = trust
        self._description_changed.ring()

    async def addresses(self) -> Mapping[str, Sequence[str]]:
        """This machine's addresses by interface, the loopback and our own bridge left out."""
        return await asyncio.to_thread(self._addresses)

    def _addresses(self) -> Mapping[str, Sequence[str]]:
        names = {link.index: link.name for link in netlink.interfaces()}
        found: dict[str, list[str]] = {}
        for item in netlink.addresses():
            if (
                not item.address.ip.is_loopback
                and names.get(item.interface) != self._options.bridge
            ):
                found.setdefault(names.get(item.interface, ""), []).append(str(item.address.ip))
        return found

    async def run_agent(self, node_id: str, connect: Connect) -> Never:
        """Runs the tasks that managers assign to this node, until cancelled; containers go on."""
        machine = Machine(
            containers=self._engine,
            ports=self._ports,
            describe=self.describe,
            description_changed=self._description_changed,
            memory=self._memory,
            clock=self._clock,
            chance=self._chance,
        )
        await Agent(node_id, connect, machine).run()

    async def forget_tasks(self) -> None:
        """Removes every container that is a task's, and what was remembered of tasks; no agent may run.

        Raises:
            SystemFailureError: some could not be removed; all others are gone, and nothing is remembered.
        """
        await self._ports.sync([])
        places = asyncio.Semaphore(REMOVALS_AT_A_TIME)
        failures: list[str] = []

        async def remove(container_id: str) -> None:
            async with places:
                try:
                    await self._engine.remove(container_id)
                except (SwarmdError, OSError) as error:
                    failures.append(f"{container_id[:12]}: {error}")

        async with asyncio.TaskGroup() as group:
            for found in self._engine.all():
                if found.config.task_id:
                    group.create_task(remove(found.id))
        Memory(self._memory).clear()
        lease_file(self._memory).unlink(missing_ok=True)
        if failures:
            raise SystemFailureError(f"{len(failures)} containers cannot be removed: {failures[0]}")

    @property
    def _memory(self) -> Path:
        return self._options.data_root / "agent" / "assignments"


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
