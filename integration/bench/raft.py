"""The replicated log by itself: 1, 3 and 5 managers, each a process, over TLS on loopback, each write made durable.

Commands have 250 bytes. "In flight" is how many writes the leader's clients have under way at once, each beginning the
next when one is done. A batch is one entry of 200 such changes; "store batch" is one of 200 updates of services that
every member decodes, checks and applies, as a manager does it.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from integration.bench import snapshot
from integration.bench.raft_links import write_certificates
from integration.bench.rows import Row, row
from integration.host import REPOSITORY, wait_for
from integration.links import inside, run

MANAGERS, USUAL = (1, 3, 5), 3
BYTES, BATCH = 250, 200
SECONDS, SAMPLES = 3.0, 3
IN_FLIGHT = (1, 64, 1024)
KILLS, SETTLE_SECONDS = 5, 1.0
IDLE_SECONDS = 5.0


def measure() -> Iterator[Row]:
    """Every row."""
    for count in MANAGERS:
        with _group(count, "log") as group:
            yield from _writes(group)
            if count == USUAL:
                yield row("raft", f"{group.title} idle cpu", "% of a core", _idle(group))
                yield row("raft", "kill -9 of the leader to next write", "ms", _leader_kills(group))
        with _group(count, "store") as group:
            samples = [group.leader().ask("bench_store", 1, SECONDS, BATCH) for _ in range(SAMPLES)]
            rates = [one["rate"] * BATCH for one in samples]
            yield row("raft", f"{group.title} store batch {BATCH}", "changes/s", rates)
    yield from snapshot.measure()


def _writes(group: "_Group") -> Iterator[Row]:
    leader = group.leader()
    leader.ask("bench", 64, 1.0, BYTES)  # warm
    for in_flight in IN_FLIGHT:
        samples = [leader.ask("bench", in_flight, SECONDS, BYTES) for _ in range(SAMPLES)]
        title = (
            f"{group.title} serial" if in_flight == 1 else f"{group.title} {in_flight} in flight"
        )
        yield row("raft", title, "writes/s", [one["rate"] for one in samples])
        for percentile in ("p50", "p99"):
            yield row("raft", f"{title} {percentile}", "ms", [one[percentile] for one in samples])
    samples = [leader.ask("bench", 1, SECONDS, BYTES * BATCH) for _ in range(SAMPLES)]
    rates = [one["rate"] * BATCH for one in samples]
    yield row("raft", f"{group.title} batch {BATCH}", "changes/s", rates)


def _idle(group: "_Group") -> list[float]:
    """Processor time of all members together."""
    time.sleep(SETTLE_SECONDS)
    samples = []
    for _ in range(SAMPLES):
        before = sum(one.ask("status")["cpu"] for one in group.members)
        time.sleep(IDLE_SECONDS)
        after = sum(one.ask("status")["cpu"] for one in group.members)
        samples.append(100 * (after - before) / IDLE_SECONDS)
    return samples


def _leader_kills(group: "_Group") -> list[float]:
    samples = []
    for _ in range(KILLS):
        leader = group.leader()
        rest = [one for one in group.members if one is not leader]
        for one in rest:
            one.post("status")
        for one in rest:
            one.answer()
        killed = time.monotonic()
        leader.kill()
        for one in rest:
            one.post("write")
        samples.append(1000 * (min(one.answer()["at"] for one in rest) - killed))
        leader.start()
        group.until_alike()
        time.sleep(SETTLE_SECONDS)
    return samples


class _Member:
    """A process that is one member."""

    def __init__(self, namespace: str, directory: Path, number: int, mode: str) -> None:
        self.number, self._mode = number, mode
        self._namespace, self._directory = namespace, directory
        self._process: subprocess.Popen[str] | None = None
        self.start(first=number == 0)

    def start(self, *, first: bool = False) -> None:
        mode = self._mode + ("+bootstrap" if first else "")
        command = [sys.executable, "-m", "integration.bench.raft_member"]
        with (self._directory / f"log{self.number}").open("a") as log:
            self._process = subprocess.Popen(
                [*inside(self._namespace), *command, str(self._directory), str(self.number), mode],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=REPOSITORY,
            )  # fmt: skip
        self.answer()

    def ask(self, *words: Any) -> dict[str, Any]:
        self.post(*words)
        return self.answer()

    def post(self, *words: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (
            f"member {self.number} ended; see {self._directory}/log{self.number}:\n"
            + (self._directory / f"log{self.number}").read_text()[-4000:]
        )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None


class _Group:
    """All members."""

    def __init__(self, members: Sequence[_Member]) -> None:
        self.members = members
        count = len(members)
        self.title = f"{count} manager" + ("s" if count > 1 else "")

    def leader(self) -> _Member:
        """The one that leads, once there is one."""

        def leading() -> list[_Member]:
            return [one for one in self.members if one.ask("status")["leads"]]

        return wait_for("a leader", leading)[0]

    def until_alike(self) -> None:
        """Waits until every member is one and has applied as much as the others."""

        def are_alike() -> bool:
            each = [one.ask("status") for one in self.members]
            return len({(one["applied"], one["members"]) for one in each}) == 1

        wait_for("the members to be alike", are_alike)


@contextlib.contextmanager
def _group(count: int, mode: str) -> Iterator[_Group]:
    """So many members in a namespace of their own, one of them leading."""
    name = f"swarmd-raft-{os.getpid()}"
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    members: list[_Member] = []
    try:
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        write_certificates(directory, count)
        members += [_Member(name, directory, number, mode) for number in range(count)]
        group = _Group(members)
        for number in range(1, count):
            group.leader().ask("add", number)
        group.until_alike()
        yield group
    finally:
        for one in members:
            one.kill()
        run("ip", "netns", "del", name, check=False)
        shutil.rmtree(directory, ignore_errors=True)
