"""``./test.sh chaos``: long runs that try to break things, from a seed.

    python -m integration.chaos [--rounds N] [--seed S]

First the simulated cluster, ``SEEDS_PER_ROUND`` seeds a round, and a leader with ``FLEET_AGENTS`` simulated agents.
Then a real host: each round changes services at random, kills swarmd or a container with SIGKILL at a random moment,
starts swarmd again, and asks: are all services as they should be, is every acknowledged change there, does nothing
run that should not? Exit code 1 at the first answer that is no; the seed repeats the choices (not the timing).
"""

import argparse
import contextlib
import functools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from integration.chaos_heartbeats import keep_busy
from integration.chaos_managers import kill_managers_for_real
from integration.host import REPOSITORY, Host, wait_for
from integration.start_faults import sweep_all

SEEDS_PER_ROUND = 20
FLEET_AGENTS, ROUNDS_PER_FLEET = 5000, 5
CHANGES_PER_ROUND = 4
SERVICES_MAX = 4
REPLICAS_MAX = 5


def main() -> None:
    """Runs all rounds."""
    parser = argparse.ArgumentParser(prog="chaos", description="tries to break swarmd, from a seed")
    parser.add_argument("--rounds", type=int, default=10, help="how many rounds (10)")
    parser.add_argument(
        "--seed", type=int, default=None, help="repeat the choices of an earlier run"
    )
    parser.add_argument(
        "--only", choices=tuple(PARTS), help="one of the parts (default: one after the other)"
    )
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # cleans up first
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"chaos: {given.rounds} rounds, seed {seed} (repeat with --seed {seed})", flush=True)
    for name, part in PARTS.items():
        if given.only in (None, name):
            part(seed, given.rounds)
    print("chaos: nothing broke", flush=True)


def simulate(seed: int, rounds: int) -> None:
    """The whole cluster in one process and virtual time, a seed a run."""
    count = rounds * SEEDS_PER_ROUND
    print(f"==> simulation: seeds {seed} to {seed + count - 1}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "tests/simulation"],
        env=os.environ | {"SWARMD_SEEDS": f"{seed}:{seed + count}"},
        cwd=REPOSITORY,
        check=False,
    )
    if done.returncode:
        sys.exit(1)


def simulate_agents(seed: int, rounds: int) -> None:
    """One leader with 5,000 agents in one process and virtual time, a seed a run."""
    count = max(1, rounds // ROUNDS_PER_FLEET)
    print(f"==> {FLEET_AGENTS} agents: seeds {seed} to {seed + count - 1}", flush=True)
    environment = {
        "SWARMD_AGENTS": str(FLEET_AGENTS),
        "SWARMD_FLEET_SEEDS": f"{seed}:{seed + count}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "tests/simulation/test_dispatch.py"],
        env=os.environ | environment,
        cwd=REPOSITORY,
        check=False,
    )
    if done.returncode:
        sys.exit(1)


def kill_for_real(seed: int, rounds: int) -> None:
    """A real host, whose swarmd and containers are killed again and again."""
    host = Host(f"swarmd-c{os.getpid()}", Path(tempfile.mkdtemp(prefix="swarmd-chaos-")))
    try:
        host.make()
        host.start()
        host.init()
        host.import_hello("1", "2")
        chaos = RealChaos(host, random.Random(seed))
        for number in range(1, rounds + 1):
            print(f"==> round {number}: {chaos.round()}", flush=True)
    except BaseException:
        print(host.tail(), file=sys.stderr)
        raise
    finally:
        with contextlib.suppress(KeyboardInterrupt):
            host.remove()


class RealChaos:
    """What was acknowledged, and whether it is so."""

    def __init__(self, host: Host, chance: random.Random) -> None:
        self._host, self._chance = host, chance
        self._wanted: dict[str, tuple[int, str]] = {}
        self._made = 0

    def round(self) -> str:
        """Changes, a kill among them, and the questions. Gives a line about it."""
        kill_after = self._chance.randrange(CHANGES_PER_ROUND)
        number = self._chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM))
        changes = []
        for turn in range(CHANGES_PER_ROUND):
            changes.append(self._change())
            if turn == kill_after:
                time.sleep(self._chance.random() * 0.5)
                self._host.stop(number)
                time.sleep(self._chance.random() * 0.3)
                self._host.start()
                changes.append(f"swarmd {number.name}")
        if self._chance.random() < 0.5:
            changes.append(self._kill_container())
        began = time.monotonic()
        self._check()
        return f"{', '.join(changes)}; settled in {time.monotonic() - began:.1f} s"

    def _change(self) -> str:
        """One change that is acknowledged before it counts."""
        name = self._chance.choice(sorted(self._wanted) or [""])
        if len(self._wanted) < SERVICES_MAX and (not name or self._chance.random() < 0.4):
            return self._create()
        match self._chance.choice(("scale", "update", "rm")):
            case "scale":
                replicas = self._chance.randrange(REPLICAS_MAX + 1)
                self._host.ctl("service", "scale", "-d", f"{name}={replicas}")
                self._wanted[name] = (replicas, self._wanted[name][1])
                return f"{name} to {replicas}"
            case "update":
                version = self._chance.choice("12")
                self._host.ctl(
                    "service", "update", "-d", "--image", f"hello:{version}", "--update-parallelism", "0",
                    "--update-monitor", "100ms", "--update-failure-action", "continue", name,
                )  # fmt: skip
                self._wanted[name] = (self._wanted[name][0], version)
                return f"{name} to hello:{version}"
            case _:
                self._host.ctl("service", "rm", name)
                del self._wanted[name]
                return f"no more {name}"

    def _create(self) -> str:
        self._made += 1
        name, replicas = f"s{self._made}", self._chance.randrange(1, REPLICAS_MAX + 1)
        self._host.ctl(
            "service", "create", "-d", "--name", name, "--replicas", str(replicas), "--restart-delay", "0s",
            "--publish", f"{8000 + self._made}:80", "--env", "REPLICA={{.Task.Slot}}", "hello:1",
        )  # fmt: skip
        self._wanted[name] = (replicas, "1")
        return f"{name} with {replicas}"

    def _kill_container(self) -> str:
        pids = [
            (name, task["Status"]["ContainerStatus"]["PID"])
            for name in sorted(self._wanted)
            for task in self._host.running(name)
        ]
        if not pids:
            return "nothing to kill"
        name, pid = self._chance.choice(pids)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return f"a container of {name} killed"

    def _check(self) -> None:
        names = self._host.ctl("service", "ls", "--format", "{{.Name}}").stdout.split()
        assert sorted(names) == sorted(self._wanted), f"{names} instead of {sorted(self._wanted)}"
        for name, (replicas, version) in self._wanted.items():
            settled = functools.partial(self._is_settled, name, replicas, version)
            wait_for(f"{name} to settle", settled, seconds=60)
        total = sum(replicas for replicas, _ in self._wanted.values())
        wait_for("surplus containers to go", lambda: len(self._containers()) == total, seconds=60)
        for number, (name, (replicas, version)) in enumerate(sorted(self._wanted.items())):
            port = 8000 + int(name[1:])
            if replicas:
                assert f"version {version}" in self._host.page(port), (
                    f"{name} ({number}) does not answer"
                )

    def _is_settled(self, name: str, replicas: int, version: str) -> bool:
        running = self._host.running(name)
        images = {task["Spec"]["ContainerSpec"]["Image"] for task in running}
        return len(running) == replicas and images <= {f"hello:{version}"}

    def _containers(self) -> list[str]:
        return self._host.ctl("container", "ls", "-q").stdout.split()


PARTS = {
    "simulation": simulate,
    "agents": simulate_agents,
    "host": kill_for_real,
    "managers": kill_managers_for_real,
    "heartbeats": keep_busy,
    "starts": sweep_all,
}

if __name__ == "__main__":
    main()
