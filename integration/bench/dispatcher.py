"""One leader and thousands of agents: what it costs to keep them, and how soon they hold what they are to run.

The leader is a whole manager in a process of its own, alone on the first core: real store, log with fsync, loops,
listener. The agents live in another process, on the second core, each with a certificate, an address and a TLS stream
of its own. Both are in a network namespace of their own. Figures:

* ``N agents cpu``: processor time of the leader's process, all of its threads, as a share of one core, while every
  agent beats every 5 seconds and all tasks run.
* ``N agents assignment p50``, ``p99``: from the time that the entry of a task's assignment bears (it is taken before
  the entry is packed, written to the disk and committed) to an agent that holds the task, while services are updated
  slot by slot so that some hundred tasks a second are replaced.
* ``N agents connect all``: from the moment at which a leader that was started anew leads to the moment at which every
  node has a session with it and is ready; the agents had lost the leader before, and try again as agents do.
* ``N agents status reports``: statuses written, when every agent always has new ones of all its tasks to report.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration.bench.dispatcher_cluster import make_root, peer
from integration.bench.processes import busy_seconds
from integration.bench.rows import QUICK_VARIABLE, Row, row
from integration.bench.told import Told
from integration.links import inside, run

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured."""

    agents: tuple[int, ...]
    tasks: int
    samples: int
    steady_seconds: float
    """Of one sample of the processor time."""
    roll_seconds: float
    roll_per_second: float
    """Tasks replaced a second."""
    storm_seconds: float


FULL = Scale(
    agents=(1000, 5000),
    tasks=50_000,
    samples=3,
    steady_seconds=15.0,
    roll_seconds=20.0,
    roll_per_second=300.0,
    storm_seconds=10.0,
)
QUICK = Scale(
    agents=(50,),
    tasks=500,
    samples=1,
    steady_seconds=1.0,
    roll_seconds=1.0,
    roll_per_second=100.0,
    storm_seconds=1.0,
)
"""Shows that it can be measured, and no more."""


def measure(scale: Scale | None = None) -> Iterator[Row]:
    """Every row; those of ``QUICK`` where the environment says so."""
    if scale is None:
        scale = QUICK if os.environ.get(QUICK_VARIABLE) else FULL
    for count in scale.agents:
        with _stage(count, scale.tasks) as stage:
            yield from _Course(stage, scale).rows()


class _Course:
    """All that is measured with one number of agents."""

    def __init__(self, stage: "_Stage", scale: Scale) -> None:
        self._stage, self._scale = stage, scale
        self._title = f"{stage.count} agents"

    def rows(self) -> Iterator[Row]:
        yield from self._connecting()
        yield from self._keeping()
        yield from self._assigning()
        yield from self._reporting()
        status = self._stage.leader.ask("status")
        ended = self._stage.agents.ask("take")["ended"]
        if status["not_ready"] or ended:
            raise AssertionError(f"{status['not_ready']} nodes not ready, {ended} sessions lost")

    def _connecting(self) -> Iterator[Row]:
        seconds, cpu = [], []
        for _ in range(self._scale.samples):
            self._stage.restart_leader()
            served = self._stage.leader.ask("until_served", self._stage.count)
            seconds.append(served["seconds"])
            cpu.append(served["cpu"])
            time.sleep(1.0)
        yield self._row("connect all", "s", seconds)
        yield self._row("connect all cpu", "s", cpu)

    def _keeping(self) -> Iterator[Row]:
        leader, agents = self._stage.leader, self._stage.agents
        agents.ask("take")
        time.sleep(self._scale.steady_seconds)  # what reconnecting has left is done
        shares, others, theirs = [], [], []
        for _ in range(self._scale.samples):
            before, busy, fleet = leader.ask("status"), busy_seconds(), agents.ask("take")
            time.sleep(self._scale.steady_seconds)
            after, busy_after, fleet_after = (
                leader.ask("status"),
                busy_seconds(),
                agents.ask("take"),
            )
            seconds = after["at"] - before["at"]
            own, fleets = after["cpu"] - before["cpu"], fleet_after["cpu"] - fleet["cpu"]
            shares.append(100 * own / seconds)
            theirs.append(100 * fleets / seconds)
            others.append(max(0.0, 100 * (busy_after - busy - own - fleets) / seconds))
        yield self._row("cpu", "% of a core", shares)
        yield self._row("memory", "MiB", [leader.ask("status")["memory"] / MIB])
        yield self._row("cpu of the agents' process", "% of a core", theirs)
        yield self._row("cpu of all other processes", "% of a core", others)

    def _assigning(self) -> Iterator[Row]:
        leader, agents, scale = self._stage.leader, self._stage.agents, self._scale
        before = leader.ask("status")
        leader.ask("roll", scale.roll_seconds, scale.roll_per_second)
        after = leader.ask("status")
        leader.ask("until_settled", scale.tasks)
        took = sorted(agents.ask("take")["latencies"])
        seconds = after["at"] - before["at"]
        for name, part in (("p50", 0.5), ("p99", 0.99)):
            yield self._row(f"assignment {name}", "ms", [1000 * took[int(len(took) * part)]])
        yield self._row("assignment rate", "tasks/s", [len(took) / seconds])
        share = 100 * (after["cpu"] - before["cpu"]) / seconds
        yield self._row("rolling update cpu", "% of a core", [share])

    def _reporting(self) -> Iterator[Row]:
        agents = self._stage.agents
        agents.ask("begin_storm")
        rates = []
        for _ in range(self._scale.samples):
            before = agents.ask("take")
            time.sleep(self._scale.storm_seconds)
            after = agents.ask("take")
            rates.append(after["reported"] / (after["at"] - before["at"]))
        agents.ask("end_storm")
        yield self._row("status reports", "reports/s", rates)

    def _row(self, name: str, unit: str, samples: Sequence[float]) -> Row:
        return row("dispatcher", f"{self._title} {name}", unit, samples)


class _Stage:
    """The processes."""

    def __init__(self, namespace: str, directory: Path, count: int) -> None:
        self.count = count
        self._namespace, self._directory = namespace, directory
        cores = sorted(os.sched_getaffinity(0))
        self._leaders_core, self._agents_core = cores[0], cores[-1]
        self.agents = self._start("agents", self._agents_core)
        self.leader = self._start_leader("first")

    def restart_leader(self) -> None:
        """Kills the leader and starts it anew, as a host does whose power comes back."""
        self.leader.kill()
        self.leader = self._start_leader("again")

    def end(self) -> None:
        """Kills all."""
        self.leader.kill()
        self.agents.kill()

    def _start_leader(self, mode: str) -> Told:
        mode += os.environ.get("SWARMD_BENCH_LOOP", "")
        return self._start("leader", "0", self._leaders_core, mode)

    def _start(self, part: str, *arguments: Any) -> Told:
        return Told(
            f"integration.bench.dispatcher_{part}",
            [str(self._directory), *map(str, arguments)],
            self._directory / f"{part}.log",
            inside(self._namespace),
        )


@contextlib.contextmanager
def _stage(count: int, tasks: int) -> Iterator[_Stage]:
    """A leader that has so many nodes and tasks, and their agents."""
    name = f"swarmd-disp-{os.getpid()}"
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    stage: _Stage | None = None
    try:
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        make_root(directory)
        stage = _Stage(name, directory, count)
        stage.agents.ask("make", count)
        stage.leader.ask("load", count, tasks)
        stage.agents.ask("dial", peer(0).address)
        yield stage
    finally:
        if stage is not None:
            stage.end()
        run("ip", "netns", "del", name, check=False)
        shutil.rmtree(directory, ignore_errors=True)
