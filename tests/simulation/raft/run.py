"""One run: a cluster is founded, everything goes wrong for a while, then everything is well, and all must be right."""

import random
from dataclasses import dataclass, field, replace

from manager.raft import replicated_log, segments
from manager.raft.log import REQUESTS_REMEMBERED
from manager.raft.settings import RaftSettings
from tests.simulation.raft import registers
from tests.simulation.raft.clients import Clients, Counts
from tests.simulation.raft.faults import Faults, Storm
from tests.simulation.raft.operator import Changes, Operator
from tests.simulation.raft.virtual_time import SimulationError
from tests.simulation.raft.world import Host, Mutation, World, WorldCounts

FOUNDED_WITHIN_SECONDS = 60.0
SETTLED_WITHIN_SECONDS = 12.0
"""How long a cluster may take to be whole once nothing fails any more."""
SEGMENT_BYTES = 3000
"""How large a segment of the log gets here."""
AFTERMATH_SECONDS = 7.0
"""How long things that went wrong before are still felt: broken links that nobody has noticed, stopped members."""
QUIET_SECONDS = 4.0
"""How long it must then stay as it is: same leader, same term."""
STEP_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What kind of run."""

    name: str
    members: int = 3
    chaos_seconds: float = 20.0
    clients: int = 6
    think_seconds: float = 0.1
    storm: Storm = field(default_factory=Storm)
    changes: Changes = field(default_factory=Changes)
    settings: RaftSettings = field(default_factory=RaftSettings)
    requests_remembered: int = REQUESTS_REMEMBERED
    """With fewer, clients ask again through the same life of the same member only, as a store does."""

    def of(self, members: int) -> "Profile":
        """The same with so many members."""
        return replace(self, members=members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run that went well looked like."""

    digest: str
    clients: Counts
    world: WorldCounts
    entries: int
    terms: int
    callbacks: int


def shrink_segments() -> None:
    """Has the log have several segments, for the rest of the process; tests have a fixture that undoes it."""
    segments.SEGMENT_BYTES_MAX = segments.ALLOCATE_BYTES = SEGMENT_BYTES


class Run:
    """A seed's run."""

    def __init__(self, seed: int, profile: Profile, mutation: Mutation | None = None) -> None:
        self.world = World(seed, mutation or Mutation(), profile.settings)
        self._profile = profile
        self._operator = Operator(self.world, profile.changes, random.Random(f"operator {seed}"))
        self._faults = Faults(self.world, profile.storm, random.Random(f"faults {seed}"))
        self.clients = Clients(
            self.world,
            random.Random(f"clients {seed}"),
            profile.think_seconds,
            is_faithful=profile.requests_remembered < REQUESTS_REMEMBERED,
        )

    def go(self) -> Outcome:
        """All of it.

        Raises:
            SimulationError: something is wrong; its notes tell what happened before.
        """
        _remember(self._profile.requests_remembered)
        try:
            self.found()
            self._chaos()
            self._calm()
            self.check()
        except SimulationError as error:
            error.add_note(self.world.story())
            raise
        finally:
            _remember(REQUESTS_REMEMBERED)
            self.world.loop.bury()
        world = self.world
        return Outcome(
            digest=world.digest,
            clients=self.clients.counts,
            world=world.counts,
            entries=len(world.invariants.applied),
            terms=len(world.invariants.leaders),
            callbacks=world.loop.callbacks,
        )

    # ------------------------------------------------------------------------------------- phases

    def found(self) -> None:
        loop = self.world.loop
        founding = self.world.background(self._operator.found(self._profile.members))
        end = loop.time() + FOUNDED_WITHIN_SECONDS
        while not founding.done() and loop.time() < end:
            loop.run(loop.time() + STEP_SECONDS)
        if not founding.done():
            raise SimulationError("a healthy cluster could not be founded")
        founding.result()

    def _chaos(self) -> None:
        self.world.trace("chaos begins")
        loop = self.world.loop
        self._tasks = [
            self.world.background(work)
            for work in (
                self._faults.run(),
                self._operator.run(),
                *(self.clients.client() for _ in range(self._profile.clients)),
            )
        ]
        loop.run(loop.time() + self._profile.chaos_seconds)

    def _calm(self) -> None:
        """Everything is well: within a bounded time the cluster is whole, and then it stays so."""
        self.world.trace("calm begins")
        self._operator.is_over = True
        self._faults.end()
        loop = self.world.loop
        end = loop.time() + SETTLED_WITHIN_SECONDS
        loop.run(loop.time() + 1)
        self.clients.is_over = True
        loop.run(loop.time() + AFTERMATH_SECONDS)
        why = "not looked at"
        while loop.time() < end and why:
            loop.run(loop.time() + STEP_SECONDS)
            why = self.why_not_settled()
        if why:
            raise SimulationError(
                f"{SETTLED_WITHIN_SECONDS:.0f} s after everything was healed: {why}"
            )
        self._stays_quiet()

    def _stays_quiet(self) -> None:
        """Nobody disturbs a cluster that is whole: not even members that were removed and do not know."""
        loop, invariants = self.world.loop, self.world.invariants
        term, leader = invariants.highest_term, self._the_leader()
        loop.run(loop.time() + QUIET_SECONDS)
        if invariants.highest_term != term or self._the_leader() is not leader:
            raise SimulationError(
                f"the leader changed although nothing failed: term {term} to {invariants.highest_term}"
            )
        if why := self.why_not_settled():
            raise SimulationError(f"whole, and then no more although nothing failed: {why}")

    def check(self) -> None:
        """A last write and a last read, and nothing acknowledged is lost."""
        loop, members = self.world.loop, self.members()
        last = [self.world.background(self.clients.write(through=host)) for host in members]
        loop.run(loop.time() + 8)
        reads = [self.world.background(self.clients.read(through=host)) for host in members]
        loop.run(loop.time() + 5)
        if not all(task.done() and task.result() for task in last + reads):
            raise SimulationError("a healthy cluster did not answer")
        if why := self.why_not_settled():
            raise SimulationError(why)
        for host in self.members():
            if host.machine is not None:
                self.world.invariants.state_is(host.name, host.machine.index, host.machine.digest())
        self.world.invariants.check_nothing_lost()
        self.clients.check_history()
        if loop.failure is not None:
            raise SimulationError(str(loop.failure)) from loop.failure

    # ------------------------------------------------------------------------------------- looking

    def _leaders(self) -> list[Host]:
        return [
            host
            for host in self.world.hosts
            if host.log is not None and host.log.is_leader and not host.was_removed
        ]

    def _the_leader(self) -> Host | None:
        leaders = self._leaders()
        return leaders[0] if len(leaders) == 1 else None

    def members(self) -> list[Host]:
        leader = self._the_leader()
        if leader is None or leader.log is None:
            return []
        hosts = [self.world.host_of(one.member_id) for one in leader.log.status().members]
        return [host for host in hosts if host is not None and not host.is_lost]

    def why_not_settled(self) -> str:
        """Why the cluster is not whole yet; empty when it is."""
        leader = self._the_leader()
        if leader is None or leader.log is None:
            return f"{len(self._leaders())} members lead"
        status = leader.log.status()
        if status.applied != status.commit:
            return f"{leader.name} has applied {status.applied} of {status.commit}"
        members = self.members()
        return next((why for host in members if (why := _differs(host, leader))), "")


def _remember(requests: int) -> None:
    """Sets how many requests are remembered, in all that goes by it."""
    for module in (registers, replicated_log):
        vars(module)["REQUESTS_REMEMBERED"] = requests


def _differs(host: Host, leader: Host) -> str:
    """How a member is not as its leader is; empty when it is."""
    if host.log is None or leader.log is None or host.machine is None or leader.machine is None:
        return f"{host.name} is not up"
    status, ours = host.log.status(), leader.log.status()
    if status.members != ours.members:
        return f"{host.name} and {leader.name} do not agree on the members"
    if (status.applied, host.machine.index) != (ours.applied, leader.machine.index):
        return f"{host.name} has applied {status.applied} of {ours.applied}"
    if status.leader is None or status.leader.member_id != leader.member_id:
        return f"{host.name} does not follow {leader.name}"
    return ""
