"""A cluster of real members in one process: hosts, their disks, the network between them, and their clients."""

import asyncio
import hashlib
import json
import random
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from common.errors import SwarmdError, SystemFailureError, UnavailableError
from manager.raft.messages import Message, pack
from manager.raft.peers import Peer
from manager.raft.replicated_log import ReplicatedLog
from manager.raft.rules import Rules
from manager.raft.seal import KEY_BYTES, Seal
from manager.raft.settings import RaftSettings
from manager.raft.storage import Storage
from manager.raft.surroundings import Surroundings
from tests.simulation.raft.invariants import Invariants
from tests.simulation.raft.network import Network, SimulatedLinks
from tests.simulation.raft.registers import Registers
from tests.simulation.raft.virtual_time import (
    Process,
    SimulatedWorker,
    SimulationError,
    VirtualClock,
    VirtualLoop,
    current_process,
)
from tests.support.power_loss import Disk

TRACE_LINES = 400
"""How much of a run is told when it fails."""
STOPPED_WITHIN_SECONDS = 5.0
SYNC_SECONDS = (0.0005, 0.0005, 0.002, 0.01)
"""How long a member that waits for its disk in its loop is held."""


class SimulatedDisk(Disk):
    """A disk of a host: its syncs take time, and when the power fails in the midst of one, the host is down."""

    def __init__(self, chance: random.Random, host: "Host") -> None:
        super().__init__(chance, host.name)
        self._host, self._delays = host, chance

    @override
    def begin(self, life: int, operation: str, name: str) -> bool:
        process = current_process()
        if operation.startswith("sync") and process is not None and not process.in_thread:
            process.stop_for(process.slowness * self._delays.choice(SYNC_SECONDS))
        return super().begin(life, operation, name)

    @override
    def end(self, operation: str, name: str) -> None:
        self._host.power_failed(f"within {operation} of {name}")
        super().end(operation, name)


@dataclass(frozen=True)
class Mutation:
    """What a mutant changes; nothing by default."""

    rules: Rules = field(default_factory=Rules)
    machine: type[Registers] = Registers
    syncs: bool = True
    syncs_names: bool = True


class Host:
    """A machine with a disk, an address, and at most one living member."""

    def __init__(self, world: "World", name: str) -> None:
        self.world, self.name = world, name
        self.address = f"{name}:2377"
        self.disk = self._new_disk()
        self.member_id = world.new_member_id()
        self.was_offered = False
        """Whether somebody asked a leader to add this member: from then on it may be one."""
        self.was_removed = False
        self.is_lost = False
        """Its disk is gone for good."""
        self.boots_as_first = False
        """Its next start founds a cluster,"""
        self.boots_alone = False
        """or makes one of what is left of another."""
        self.process: Process | None = None
        self.log: ReplicatedLog | None = None
        self.starting: ReplicatedLog | None = None
        """The log of its latest life, before it has started, too."""
        self.machine: Registers | None = None
        self.links: SimulatedLinks
        """The links of its latest life."""

    @property
    def is_up(self) -> bool:
        """Whether its member runs."""
        return self.process is not None

    @property
    def is_member(self) -> bool:
        """Whether its member runs, and is one by its own log."""
        members = self.log.status().members if self.log is not None else ()
        return any(member.member_id == self.member_id for member in members)

    def boot(self) -> None:
        """Starts its member, unless it runs."""
        if self.process is not None or self.is_lost or self.was_removed:
            return
        world = self.world
        self.disk.bytes_free = None
        self.disk.refuse = lambda _operation, _name: None
        self.process = world.loop.process(self.name)
        world.invariants.begins_anew(self.name)
        world.trace(f"{self.name} boots as {self.member_id}")
        self.process.spawn(self._start(self.process))

    async def _start(self, process: Process) -> None:
        log, machine = self.world.make_log(self, process)
        self.starting = log
        bootstrap, self.boots_as_first = self.boots_as_first, False
        forced, self.boots_alone = self.boots_alone, False
        try:
            await (log.force_new_cluster() if forced else log.start(bootstrap=bootstrap))
        except SystemFailureError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            self.fail_stop(process, "it cannot start", error.__cause__)
        else:
            self.log, self.machine = log, machine

    def crash(self, why: str, *, power: bool) -> None:
        """Kills its member; with the power goes what was not synced."""
        process, self.process, self.log, self.machine = self.process, None, None, None
        if process is None:
            return
        self.world.trace(f"{self.name} {'loses power' if power else 'is killed'}: {why}")
        self.world.counts.crashes += 1
        process.kill()
        self.world.network.vanish(process, says_so=not power)
        if power:
            self.disk.lose_power()
        else:
            self.disk.kill()

    async def leave_in_order(self) -> None:
        """Stops its member as an administrator does, and ends its process."""
        process, log = self.process, self.log
        if process is None or log is None:
            return
        self.world.trace(f"{self.name} stops in order")
        self.log = None
        stopping = process.spawn(log.stop())
        await asyncio.wait({stopping}, timeout=STOPPED_WITHIN_SECONDS)
        if stopping.done() and not isinstance(stopping.exception(), OSError | None):
            stopping.result()
        if self.process is process:
            self.crash("it was stopped", power=False)
            self.world.boot_later(self)

    def power_failed(self, where: str) -> None:
        """The power fails within an operation of its disk, which does the rest itself."""
        process, self.process, self.log, self.machine = self.process, None, None, None
        self.world.trace(f"{self.name} loses power {where}")
        self.world.counts.crashes += 1
        if process is not None:
            process.kill()
            self.world.network.vanish(process, says_so=False)
        self.world.boot_later(self)

    def fail_stop(self, process: Process, reason: str, error: BaseException) -> None:
        """Its member stops itself: right when its disk refused, wrong otherwise."""
        if process.is_dead:
            return
        if not isinstance(error, OSError):
            self.world.loop.fail(error)
            return
        self.world.trace(f"{self.name} stops itself: {reason}: {error}")
        self.crash("its disk failed", power=True)
        self.world.boot_later(self)

    def removed(self) -> None:
        """Its member learns that it was removed: its node leaves."""
        self.world.trace(f"{self.name} knows that {self.member_id} was removed")
        self.was_removed = True
        self.world.loop.at(self.world.loop.time(), self.leave)

    def leave(self) -> None:
        """Forgets everything, ready to join as somebody else."""
        self.crash("it was removed", power=False)
        self.disk = self._new_disk()

    def come_anew(self) -> None:
        """Boots as a new member, with an empty disk."""
        self.member_id = self.world.new_member_id()
        self.was_removed, self.was_offered = False, False
        self.disk = self._new_disk()
        self.boot()

    async def read(self, key: str) -> tuple[int, str | None]:
        """A register as a linearizable read sees it, and how far the state had come."""
        log, machine = self.log, self.machine
        if log is None or machine is None:
            raise UnavailableError(f"{self.name} is down")
        await log.up_to_date()
        return machine.index, machine.values.get(key)

    def _new_disk(self) -> SimulatedDisk:
        disk = SimulatedDisk(self.world.chance, self)
        disk.syncs, disk.syncs_names = self.world.mutation.syncs, self.world.mutation.syncs_names
        return disk


@dataclass
class WorldCounts:
    """What happened."""

    crashes: int = 0
    pauses: int = 0
    cuts: int = 0
    changes: int = 0
    snapshots: int = 0
    restored: int = 0
    transfers: int = 0


@dataclass
class World:
    """Everything of one run."""

    seed: int
    mutation: Mutation = field(default_factory=Mutation)
    settings: RaftSettings = field(default_factory=RaftSettings)
    hosts: list[Host] = field(default_factory=list)
    counts: WorldCounts = field(default_factory=WorldCounts)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"world {self.seed}")
        self.loop = VirtualLoop(random.Random(f"loop {self.seed}"))
        self.invariants = Invariants(self.loop.fail, self._members_of)
        self.network = Network(self.loop, random.Random(f"network {self.seed}"), self._observe)
        self._digest = hashlib.blake2b()
        self._lines: deque[str] = deque(maxlen=TRACE_LINES)
        self._members_made = 0
        self.on_sent: Callable[[str, Message], None] = lambda _source, _message: None
        """Told of every message that a member lets go."""
        self._values: dict[str, str] = {}
        salts = random.Random(f"salts {self.seed}")
        self._seal = Seal(bytes(KEY_BYTES), salts.randbytes)

    # -------------------------------------------------------------------------------------- telling

    def trace(self, what: str) -> None:
        """Notes what happens, for the digest of the run and for who looks into its failure."""
        line = f"{self.loop.time():.6f} {what}"
        self._digest.update(line.encode())
        self._lines.append(line)

    @property
    def digest(self) -> str:
        """The whole run in a word."""
        return self._digest.hexdigest()[:16]

    def story(self, lines: int = TRACE_LINES) -> str:
        """The end of what happened."""
        return "\n".join(list(self._lines)[-lines:])

    def new_member_id(self) -> str:
        """An id that no member had before."""
        self._members_made += 1
        return f"{self.chance.getrandbits(40):010x}{self._members_made:06x}"

    # --------------------------------------------------------------------------------------- hosts

    def add_host(self) -> Host:
        """A machine with nothing on it."""
        host = Host(self, f"h{len(self.hosts)}")
        self.hosts.append(host)
        return host

    def boot_later(self, host: Host, seconds: float | None = None) -> None:
        """A host comes back after a while."""
        delay = self.chance.choice((0.01, 0.3, 1.0, 3.0)) if seconds is None else seconds
        self.loop.at(self.loop.time() + delay, host.boot)

    def host_of(self, member_id: str) -> Host | None:
        """Who is that member."""
        return next((host for host in self.hosts if host.member_id == member_id), None)

    def ask(
        self, host: Host, question: Callable[[], Coroutine[Any, Any, Any]]
    ) -> "asyncio.Task[Any]":
        """Has a member do something; what it refuses may be looked at, or not."""
        if host.process is None:
            raise SimulationError(f"{host.name} is down")
        task = host.process.spawn(_asked(question))
        task.add_done_callback(self._look_at)
        return task

    def background(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Something that belongs to no member; its failure is the run's."""
        task = self.loop.create_task(work)
        task.add_done_callback(self._look_at)
        return task

    def _look_at(self, task: "asyncio.Task[Any]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SwarmdError):
            self.loop.fail(error)

    def last_seen(self, key: str) -> str | None:
        """What some client believes to be in a register."""
        return self._values.get(key)

    def make_log(self, host: Host, process: Process) -> tuple[ReplicatedLog, Registers]:
        """A member on a host, as its node would make it."""
        name = host.name
        machine = self.mutation.machine(
            lambda *applied: self._applied(host, *applied),
            lambda index, digest: self._restored(host, index, digest),
            self._snapshot_made,
        )
        links = SimulatedLinks(
            self.network, process, host=name, address=host.address, member_id=host.member_id
        )
        disk, life = host.disk, f"{self.seed} {name} {self.loop.time()}"
        log = ReplicatedLog(
            Storage(disk.directory, lambda: self._seal),
            Surroundings(
                me=Peer(member_id=host.member_id, node_id=name, address=host.address),
                machine=machine,
                links=links,
                clock=VirtualClock(self.loop, random.Random(f"clock {life}")),
                chance=random.Random(life),
                settings=self.settings,
                rules=self.mutation.rules,
                on_removed=host.removed,
                fail_stop=lambda reason, error: host.fail_stop(process, reason, error),
                new_worker=lambda _name: SimulatedWorker(self.loop),
            ),
        )
        links.has_removed = log.is_removed
        host.links = links
        return log, machine

    def _applied(
        self, host: Host, index: int, request_id: bytes, entry: bytes, answer: bytes, is_new: bool
    ) -> None:
        key, value, *_ = json.loads(entry)
        self._values[key] = value
        self._digest.update(b"%d %s" % (index, request_id))
        self.invariants.entry_applied(host.name, index, request_id, entry, answer, is_new)

    def _restored(self, host: Host, index: int, digest: str) -> None:
        self.counts.restored += 1
        self.trace(f"{host.name} takes over a snapshot of entry {index}")
        self.invariants.restored(host.name, index, digest)

    def _snapshot_made(self) -> None:
        self.counts.snapshots += 1

    def _members_of(self, member_id: str) -> list[str]:
        host = self.host_of(member_id)
        if host is None or host.starting is None:
            return []
        return [member.member_id for member in host.starting.status().members]

    def _observe(self, source: str, target: str, message: Message) -> None:
        self._digest.update(pack(message))
        self.invariants.sent(source, target, message)
        self.on_sent(source, message)


async def _asked(question: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return await question()
