"""The part of ``./test.sh chaos`` that needs several managers: rounds of what may befall them, under load.

Each round, on three managers: all are killed with SIGKILL at once, and started again; then something befalls one or
two of them, as in ``integration.faults``. After each the history must be linearizable, and every acknowledged write
there on every manager. Every tenth round five managers take the place of the three.
"""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from integration.cluster import Cluster, lab
from integration.faults import FAULTS, padding_bytes
from integration.workload import HISTORIES, Registers, Settings, Workload

THREE, FIVE = ("m1", "m2", "m3"), ("m1", "m2", "m3", "m4", "m5")
FIVE_EVERY = 10
DISK_BYTES = 512 * 1024 * 1024
REGISTERS = ("a", "b", "c", "d")
HARD = Settings(clients=16, pause_seconds=0)
LOAD_SECONDS_MIN, LOAD_SECONDS_MAX = 0.5, 2.0
WRITES_STAND_STILL_SECONDS_MAX = 10.0


def kill_managers_for_real(seed: int, rounds: int) -> None:
    """So many rounds; stops at the first that goes wrong."""
    chance = random.Random(seed)
    of_five = rounds // FIVE_EVERY
    for names, count in ((THREE, rounds - of_five), (FIVE, of_five)):
        if count:
            with lab(
                f"swarmd-k{os.getpid()}-{len(names)}", names, disk_bytes=DISK_BYTES
            ) as cluster:
                cluster.start()
                cluster.form(names)
                chaos = ManagersChaos(cluster, chance)
                for number in range(1, count + 1):
                    print(f"==> {len(names)} managers, round {number}: {chaos.round()}", flush=True)


@dataclass
class Totals:
    """Of all rounds so far."""

    writes: int = 0
    unknown: int = 0
    reads: int = 0


class ManagersChaos:
    """A cluster, what its registers hold, and what is done to it."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        self._cluster, self._chance = cluster, chance
        registers = Registers.make(cluster[cluster.leader()], REGISTERS)
        path = HISTORIES / f"chaos-{len(cluster.hosts)}.jsonl"
        self._load = Workload(cluster.hosts, registers, path)
        self._held = self._load.held(cluster[cluster.leader()])
        self.totals = Totals()

    def round(self) -> str:
        """All killed at once, then something else. Gives a line about it."""
        killed = self._under_load(self._kill_all)
        title = self._chance.choice(sorted(FAULTS))
        befell = self._under_load(lambda: self._befall(title), padding_bytes(title))
        totals = self.totals
        return (
            f"all killed ({killed}); {title} ({befell}); so far {totals.writes} acknowledged, "
            f"{totals.unknown} unknown, {totals.reads} reads"
        )

    def _under_load(self, happen: Callable[[], None], padding: int = 0) -> str:
        settings = replace(HARD, padding_bytes=padding)
        with self._load.running(self._chance.randrange(10**9), settings):
            self._load.first_write_after(time.monotonic(), WRITES_STAND_STILL_SECONDS_MAX)
            time.sleep(self._chance.uniform(LOAD_SECONDS_MIN, LOAD_SECONDS_MAX))
            happen()
            stood = self._load.first_write_after(time.monotonic(), WRITES_STAND_STILL_SECONDS_MAX)
            time.sleep(LOAD_SECONDS_MIN)
        self._load.until_all_answer(self._cluster.running)
        found = self._load.verify(self._cluster.running, self._held)
        self._held = self._load.held(next(iter(self._cluster.hosts.values())))
        self.totals.writes += found.writes
        self.totals.unknown += found.unknown
        self.totals.reads += found.reads
        return f"writes again after {stood:.2f} s"

    def _kill_all(self) -> None:
        self._cluster.kill_all()
        self._cluster.start()

    def _befall(self, title: str) -> None:
        with FAULTS[title](self._cluster, self._chance):
            self._load.first_write_after(time.monotonic(), WRITES_STAND_STILL_SECONDS_MAX)
            time.sleep(self._chance.uniform(LOAD_SECONDS_MIN, LOAD_SECONDS_MAX))
