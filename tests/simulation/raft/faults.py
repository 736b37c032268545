"""What goes wrong, drawn from the seed: crashes, lost power, stopped processes, cut and broken links, failing disks."""

import asyncio
import errno
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from manager.raft.messages import Appended, AskVote, Message, Vote
from tests.simulation.raft.world import Host, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """How often each thing goes wrong, as weights."""

    every_seconds: float = 1.0
    """The average time between two of them."""
    crash: float = 4
    lose_power: float = 4
    lose_power_within: float = 6
    crash_all: float = 0.5
    lose_power_all: float = 1
    stop: float = 3
    halves: float = 3
    isolate_leader: float = 3
    one_way: float = 3
    break_streams: float = 3
    heal: float = 8
    fail_disk: float = 1
    fill_disk: float = 1
    slow_disk: float = 1
    restart: float = 1
    weather: float = 2
    transfer: float = 2
    snapshot: float = 1
    after_vote: float = 0.02
    """How likely it is that whoever gives a vote loses power with it. A likelihood, not a weight."""
    after_acknowledgement: float = 0.001
    """The same for who acknowledges entries."""
    busybody: float = 0.0
    """How likely it is that somebody who is no member gives its vote, too."""
    chaos_max: float = 0.1
    """How many messages may be lost, doubled or overtaken."""


CALM = Storm(every_seconds=1000.0, after_vote=0.0, after_acknowledgement=0.0)
STRANGER = "5" * 16
"""Who is no member of anything."""
DELAYS_SECONDS = (0.0005, 0.002, 0.01, 0.04)


class Faults:
    """Draws what goes wrong next, and does it."""

    def __init__(self, world: World, storm: Storm, chance: random.Random) -> None:
        self._world, self._storm, self._chance = world, storm, chance
        self.is_over = True
        self._kinds: dict[str, tuple[float, Callable[[], None]]] = {
            "crash": (storm.crash, self._crash),
            "lose_power": (storm.lose_power, self._lose_power),
            "lose_power_within": (storm.lose_power_within, self._lose_power_within),
            "crash_all": (storm.crash_all, self._crash_all),
            "lose_power_all": (storm.lose_power_all, self._lose_power_all),
            "stop": (storm.stop, self._stop),
            "halves": (storm.halves, self._halves),
            "isolate_leader": (storm.isolate_leader, self._isolate_leader),
            "one_way": (storm.one_way, self._one_way),
            "break_streams": (storm.break_streams, self._break_streams),
            "heal": (storm.heal, self._heal),
            "fail_disk": (storm.fail_disk, self._fail_disk),
            "fill_disk": (storm.fill_disk, self._fill_disk),
            "slow_disk": (storm.slow_disk, self._slow_disk),
            "restart": (storm.restart, self._restart),
            "weather": (storm.weather, self._change_weather),
            "transfer": (storm.transfer, self._transfer),
            "snapshot": (storm.snapshot, self._snapshot),
        }

    async def run(self) -> None:
        """One after another, until it is over."""
        self.is_over = False
        self._world.on_sent = self._sent
        names = list(self._kinds)
        weights = [self._kinds[name][0] for name in names]
        while not self.is_over:
            await asyncio.sleep(self._chance.expovariate(1 / self._storm.every_seconds))
            if not self.is_over:
                self._kinds[self._chance.choices(names, weights)[0]][1]()

    def end(self) -> None:
        """Everything is well from now on."""
        self.is_over = True
        self._world.network.heal()
        self._world.network.weather.delay_seconds = 0.002
        self._world.network.weather.ghosts = 0.0
        self._world.network.weather.chaos = 0.0
        for host in self._world.hosts:
            if host.process is not None:
                host.process.slowness = 1.0
            host.disk.lose_power_at = None
            host.disk.bytes_free = None
            host.disk.refuse = lambda _operation, _name: None
            self._world.boot_later(host, 0.1)

    def _sent(self, source: str, message: Message) -> None:
        """Right after a promise is the worst moment to forget it."""
        if self.is_over:
            return
        if isinstance(message, AskVote) and self._chance.random() < self._storm.busybody:
            vote = Vote(term=message.term, granted=True, pre=message.pre)
            self._world.network.whisper(STRANGER, source, vote)
        match message:
            case Vote(granted=True, pre=False):
                likely = self._storm.after_vote
            case Appended(rejected=0, match=match) if match:
                likely = self._storm.after_acknowledgement
            case _:
                return
        if likely and self._chance.random() < likely:
            host = self._world.host_of(source)
            now = self._world.loop.time()
            self._world.loop.at(now, self._down, host)

    # --------------------------------------------------------------------------------------- hosts

    def _crash(self) -> None:
        self._down(self._a_host(), power=False)

    def _lose_power(self) -> None:
        self._down(self._a_host(), power=True)

    def _lose_power_within(self) -> None:
        host = self._a_host()
        if host is not None:
            host.disk.lose_power_at = host.disk.operations + self._chance.randint(1, 15)

    def _crash_all(self) -> None:
        for host in self._up():
            self._down(host, power=False)

    def _lose_power_all(self) -> None:
        for host in self._up():
            self._down(host, power=True)

    def _stop(self) -> None:
        host = self._a_host()
        if host is not None and host.process is not None:
            seconds = self._chance.choice((0.1, 0.5, 1.0, 3.0, 6.0))
            self._world.trace(f"{host.name} is stopped for {seconds} s")
            self._world.counts.pauses += 1
            host.process.stop_for(seconds)

    def _down(self, host: Host | None, *, power: bool = True) -> None:
        if host is not None:
            host.crash("by chance", power=power)
            self._world.boot_later(host)

    # ------------------------------------------------------------------------------------- network

    def _halves(self) -> None:
        side = {host.name: self._chance.random() < 0.5 for host in self._world.hosts}
        self._cut(lambda one, other: side[one] != side[other])

    def _isolate_leader(self) -> None:
        leader = self._leader()
        if leader is not None:
            name = leader.name
            self._cut(lambda one, other: name in {one, other})

    def _one_way(self) -> None:
        host = self._leader() or self._a_host()
        if host is not None:
            name, out = host.name, self._chance.random() < 0.5
            self._cut(lambda one, other: name == (one if out else other))

    def _cut(self, is_cut: Callable[[str, str], bool]) -> None:
        names = [host.name for host in self._world.hosts]
        pairs = [
            (one, other) for one in names for other in names if one != other and is_cut(one, other)
        ]
        self._world.trace(f"cut: {pairs}")
        self._world.counts.cuts += 1
        for one, other in pairs:
            self._world.network.cut(one, other)

    def _break_streams(self) -> None:
        self._world.trace("streams break")
        self._world.network.break_streams(self._chance.choice((0.2, 0.5, 1.0)))

    def _heal(self) -> None:
        self._world.trace("heal")
        self._world.network.heal()

    def _change_weather(self) -> None:
        weather = self._world.network.weather
        weather.delay_seconds = self._chance.choice(DELAYS_SECONDS)
        weather.ghosts = self._chance.choice((0.0, 0.3, 1.0))
        weather.chaos = self._chance.choice((0.0, 0.0, 0.02, self._storm.chaos_max))
        self._world.trace(f"{weather}")

    # --------------------------------------------------------------------------------------- disks

    def _fail_disk(self) -> None:
        host = self._a_host()
        if host is not None:
            failing = self._chance.choice(("sync", "sync_names", "write", "create", "rename"))
            self._world.trace(f"each {failing} fails on the disk of {host.name}")
            host.disk.refuse = lambda operation, _name: errno.EIO if operation == failing else None

    def _fill_disk(self) -> None:
        host = self._a_host()
        if host is not None:
            self._world.trace(f"the disk of {host.name} is nearly full")
            host.disk.bytes_free = self._chance.randrange(5000)

    def _slow_disk(self) -> None:
        host = self._a_host()
        if host is not None and host.process is not None:
            host.process.slowness = self._chance.choice((1.0, 1.0, 5.0, 30.0))
            self._world.trace(f"the disk of {host.name} is slow: {host.process.slowness}")

    # ------------------------------------------------------------------------------ what users do

    def _restart(self) -> None:
        host = self._a_host()
        if host is not None:
            self._world.background(host.leave_in_order())

    def _transfer(self) -> None:
        leader = self._leader()
        if leader is not None and leader.log is not None:
            self._world.trace(f"{leader.name} is asked to hand over")
            self._world.counts.transfers += 1
            self._world.ask(leader, partial(leader.log.transfer, self._a_successor()))

    def _snapshot(self) -> None:
        host = self._a_host()
        if host is not None and host.log is not None:
            self._world.trace(f"{host.name} is asked for a snapshot")
            self._world.ask(host, host.log.snapshot_now)

    # ------------------------------------------------------------------------------------- choices

    def _a_successor(self) -> str | None:
        return self._chance.choice([None, *(host.member_id for host in self._up())])

    def _up(self) -> list[Host]:
        return [host for host in self._world.hosts if host.is_up]

    def _a_host(self) -> Host | None:
        up = self._up()
        leader = self._leader()
        if leader is not None and self._chance.random() < 0.3:
            return leader
        return self._chance.choice(up) if up else None

    def _leader(self) -> Host | None:
        leaders = [host for host in self._up() if host.log is not None and host.log.is_leader]
        return self._chance.choice(leaders) if leaders else None
