"""A cluster that does what a script says: for situations that chance hardly ever brings about."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from manager.raft.participant import Participant
from manager.raft.peers import Peer
from tests.simulation.raft.profiles import QUIET
from tests.simulation.raft.run import Run
from tests.simulation.raft.virtual_time import SimulationError
from tests.simulation.raft.world import Host, Mutation

STEP_SECONDS = 0.005
PATIENCE_SECONDS = 20.0


class Stage:
    """A founded, healthy cluster, and the hand that moves it."""

    def __init__(self, members: int = 3, mutation: Mutation | None = None, seed: int = 0) -> None:
        self.play = Run(seed, QUIET.of(members), mutation)
        self.world = self.play.world
        self.play.clients.patience_seconds = (6.0, 6.0)
        self.play.found()
        self.hosts = list(self.world.hosts)
        self.network = self.world.network

    # --------------------------------------------------------------------------------------- time

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        self.world.loop.run(self.world.loop.time() + seconds)

    def until(
        self, what: str, is_so: Callable[[], object], seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Lets time pass until something is so."""
        end = self.world.loop.time() + seconds
        while not is_so():
            if self.world.loop.time() > end:
                raise SimulationError(f"not within {seconds} s: {what}")
            self.run(STEP_SECONDS)

    # ------------------------------------------------------------------------------------- looking

    def leader(self, among: Iterable[Host] | None = None) -> Host:
        """Who leads, among some hosts; waits for it."""
        hosts = list(self.hosts if among is None else among)

        def leading() -> list[Host]:
            return [host for host in hosts if host.log is not None and host.log.is_leader]

        self.until("somebody leads", leading)
        return leading()[0]

    def leader_by_role(self, among: Iterable[Host]) -> Host:
        """Who was elected, among some hosts, whether or not its first entry is committed; waits for it."""
        hosts = list(among)

        def elected() -> list[Host]:
            statuses = [(host, host.log.status()) for host in hosts if host.log is not None]
            return [
                host
                for host, status in statuses
                if status.leader is not None and status.leader.member_id == host.member_id
            ]

        self.until("somebody is elected", elected)
        return elected()[0]

    def last_index(self, host: Host) -> int:
        """How far its log goes."""
        return host.log.status().last_index if host.log is not None else 0

    def kept_entries(self, host: Host) -> int:
        """How many entries are in its log, on disk and in memory."""
        journal = self._participant(host).member.journal
        return journal.last_index - journal.before.index

    def term(self, host: Host) -> int:
        """The latest term that it has heard of."""
        return host.log.status().term if host.log is not None else 0

    def whole(self) -> None:
        """Waits until all have everything."""
        end = self.world.loop.time() + PATIENCE_SECONDS
        while why := self.play.why_not_settled():
            if self.world.loop.time() > end:
                raise SimulationError(f"{PATIENCE_SECONDS} s after everything was healed: {why}")
            self.run(STEP_SECONDS)

    # -------------------------------------------------------------------------------------- acting

    def write(self, through: Host) -> "asyncio.Task[bool]":
        """Begins a write, which is tried once."""
        return self.world.background(self.play.clients.write(through=through, tries=1))

    def written(self, through: Host) -> None:
        """Writes, and waits for the acknowledgement."""
        task = self.write(through)
        self.until("the write is acknowledged", task.done)
        if not task.result():
            raise SimulationError("a write was not acknowledged")

    def read(self, through: Host) -> bool:
        """Reads, and waits for the answer, or for none."""
        task = self.world.background(self.play.clients.read(through=through))
        self.until("the read ends", task.done)
        return bool(task.result())

    def ask(self, host: Host, question: Callable[[], Any]) -> "asyncio.Task[Any]":
        """Has a member do something, and waits for the end of it."""
        task = self.world.ask(host, question)
        self.until("it is done", task.done)
        return task

    def part(self, *groups: Iterable[Host]) -> None:
        """Cuts the network between groups of hosts, in both directions."""
        self.network.heal()
        sides = [{host.name for host in group} for group in groups]
        for one in sides:
            for other in sides:
                for source in sorted(one - other):
                    for target in sorted(other - one):
                        self.network.cut(source, target)

    def heal(self) -> None:
        """The network is whole, and waits until the links are."""
        self.network.heal()
        self.run(2.0)

    def hand_over(self, source: Host, target: Host) -> None:
        """Has one member lead instead of another."""
        if source is not target and source.log is not None:
            log = source.log
            self.ask(source, lambda: log.transfer(target.member_id))
            self.until(
                "the other one leads", lambda: target.log is not None and target.log.is_leader
            )

    def stand(self, host: Host) -> None:
        """Has a member stand for election at once, as if its time had come."""
        participant = self._participant(host)
        if host.process is not None:
            host.process.run(participant._elections.stand)
            host.process.run(participant.wake)

    def forget_leader(self, host: Host) -> None:
        """Has a member believe that there is no leader, and wait for long before it stands itself."""
        if host.is_up:
            elections = self._participant(host)._elections
            elections.lost_leader()
            elections.deadline = self.world.loop.time() + 1000.0

    def joiner(self) -> Host:
        """A host whose member waits to be added."""
        host = self.world.add_host()
        host.come_anew()
        host.was_offered = True
        self.until("it waits", lambda: host.log is not None)
        self.hosts.append(host)
        return host

    def add(self, leader: Host, joiner: Host) -> "asyncio.Task[Any]":
        """Asks a leader to add a member."""
        log = leader.log
        if log is None:
            raise SimulationError("the leader is down")
        peer = Peer(member_id=joiner.member_id, node_id=joiner.name, address=joiner.address)
        return self.world.ask(leader, lambda: log.add(peer))

    @staticmethod
    def _participant(host: Host) -> Participant:
        parts = host.log._parts if host.log is not None else None
        if parts is None:
            raise SimulationError(f"{host.name} is down")
        return parts.participant

    def end(self) -> None:
        """Everything that was acknowledged is there, and all are alike."""
        self.network.release()
        self.network.heal()
        for host in self.hosts:
            if not host.is_up:
                host.boot()
        self.run(8.0)
        self.whole()
        self.play.check()
