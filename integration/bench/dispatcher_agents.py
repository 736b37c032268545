"""Thousands of agents in one process of the dispatcher's benchmark, told what to do by lines of JSON.

    python -m integration.bench.dispatcher_agents DIRECTORY CPU

Each agent has a certificate and an address of its own, and speaks the real protocol over TLS of its own: it
registers, beats, takes assignments, and reports every state of its tasks as the real one does, one report at a time.
It is light in that it is a protocol without tasks or queues, and that its containers are timers.
"""

import asyncio
import logging
import os
import random
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import uvloop
from typing_extensions import override

from common import descriptors
from common.backoff import delays
from common.codec import decode, encode
from common.garbage import walk_old_objects_rarely
from common.model.node import Role
from common.model.task import Task, TaskState, TaskStatus
from common.pki.authority import trust_in
from common.pki.contexts import client_context
from common.pki.identity import MANAGER_NAME
from common.protocol.framing import ALIVE, FrameSplitter, length_prefix
from common.protocol.messages import (
    PROTOCOL_VERSION,
    REPORTS_PER_MESSAGE_MAX,
    Assignments,
    FromManager,
    Heartbeat,
    HeartbeatTaken,
    Message,
    Register,
    Report,
    ReportTaken,
    SessionOpened,
    TaskReport,
)
from common.protocol.tls_channel import FROM_MANAGER_BYTES_MAX, PROTOCOL, SILENCE_SECONDS
from common.protocol.upgrade import host_and_port
from integration.bench.dispatcher_cluster import (
    agent_address,
    agent_id,
    description,
    identity,
    root_in,
)
from integration.bench.told import obey
from manager.routes import DISPATCH
from worker.agent.session import BACKOFF_FIRST_SECONDS, BACKOFF_LONGEST_SECONDS, OPEN_SECONDS_MAX

PREPARE_SECONDS: Final = 0.1
START_SECONDS: Final = 0.3
STOP_SECONDS: Final = 0.1
DIALS_MAX: Final = 256
"""Handshakes at the same time: those of thousands of machines would not share one core."""
CONTAINER_ID: Final = "0123456789abcdef" * 4
_BEAT: Final = encode(Heartbeat())
_END_OF_HEAD: Final = b"\r\n\r\n"


class Fleet:
    """All agents, and what they have seen together."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.trust = trust_in(root_in(directory).certificate)
        self.chance = random.Random(1)
        self.agents: list[Agent] = []
        self.address = ""
        self.dials = asyncio.Semaphore(DIALS_MAX)
        self.latencies: list[float] = []
        """Seconds from the time that the entry of an assignment bears to an agent that holds the task."""
        self.ended = 0
        """Sessions that did not last."""
        self.reported = 0
        """Statuses that were acknowledged."""
        self.is_storming = False
        """Whether an agent whose report was taken reports all its tasks again, at once."""

    async def run(self) -> None:
        """Obeys, with the agents running beside."""
        async with asyncio.TaskGroup() as group:
            await obey(partial(self._do, group))
            for agent in self.agents:
                agent.stop()

    async def _do(self, group: asyncio.TaskGroup, name: str, *arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self, f"do_{name}")(group, *arguments)
        return answer

    # ---------------------------------------------------------------------------- what it is told

    def do_make(self, _group: asyncio.TaskGroup, count: int) -> dict[str, Any]:
        """Makes so many agents, with their certificates."""
        self.agents = [Agent(self, number, self._context(number)) for number in range(count)]
        return {}

    def do_dial(self, group: asyncio.TaskGroup, address: str) -> dict[str, Any]:
        """Has all of them look for the leader there, from now on."""
        self.address = address
        for agent in self.agents:
            agent.running = group.create_task(agent.run())
        return {}

    def do_begin_storm(self, _group: asyncio.TaskGroup) -> dict[str, Any]:
        """Has each agent report all its tasks anew whenever the report before was taken."""
        self.is_storming = True
        for agent in self.agents:
            agent.report_all()
        return {}

    def do_end_storm(self, _group: asyncio.TaskGroup) -> dict[str, Any]:
        """No more of that."""
        self.is_storming = False
        return {}

    def do_take(self, _group: asyncio.TaskGroup) -> dict[str, Any]:
        """What was seen since this was asked last."""
        latencies, self.latencies = self.latencies, []
        reported, self.reported = self.reported, 0
        ended, self.ended = self.ended, 0
        return {
            "latencies": latencies,
            "reported": reported,
            "ended": ended,
            "at": time.monotonic(),
            "cpu": time.process_time(),
        }

    def _context(self, number: int) -> ssl.SSLContext:
        own = identity(self._directory, agent_id(number), Role.WORKER)
        return client_context(own.root, own.certificate, own.key)


class Agent:
    """One node's agent. Its tasks are kept over sessions, as containers are."""

    def __init__(self, fleet: Fleet, number: int, context: ssl.SSLContext) -> None:
        self._fleet, self.number, self._context = fleet, number, context
        self._statuses: dict[str, TaskStatus] = {}
        self._wanted: dict[str, TaskState] = {}
        self._waiting: dict[str, None] = {}
        self._number = 0
        self._under_way = 0
        self._line: _Line | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._is_open = False
        self.running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """One session after another."""
        waits = self._waits()
        while True:
            try:
                async with self._fleet.dials:
                    line = await self._dial()
                    opened = asyncio.timeout(OPEN_SECONDS_MAX)
                    async with opened:
                        await line.opened
            except (OSError, TimeoutError):
                pass
            else:
                waits = self._waits()
                await line.ended
                self._fleet.ended += 1
            await asyncio.sleep(next(waits))

    def stop(self) -> None:
        """Ends it."""
        if self.running is not None:
            self.running.cancel()
        if self._line is not None:
            self._line.abort()

    def _waits(self) -> Iterator[float]:
        return delays(BACKOFF_FIRST_SECONDS, BACKOFF_LONGEST_SECONDS, self._fleet.chance)

    async def _dial(self) -> "_Line":
        host, port = host_and_port(self._fleet.address)
        line = _Line(self)
        await asyncio.get_running_loop().create_connection(
            lambda: line,
            host,
            port,
            ssl=self._context,
            server_hostname=MANAGER_NAME,
            local_addr=(agent_address(self.number), 0),
        )
        return line

    # ------------------------------------------------------------------------------ the protocol

    def begin(self, line: "_Line") -> None:
        """The stream stands."""
        self._line, self._under_way = line, 0
        line.send(
            encode(
                Register(
                    node_id=agent_id(self.number),
                    description=description(self.number, self._fleet.trust),
                    protocol=PROTOCOL_VERSION,
                )
            )
        )

    def take(self, message: Message) -> None:
        """What the manager says."""
        match message:
            case SessionOpened(heartbeat_period_seconds=seconds):
                if self._line is not None and not self._line.opened.done():
                    self._line.opened.set_result(None)
                self._waiting = dict.fromkeys(self._statuses)
                self._report()
                self._beat_after(seconds)
            case HeartbeatTaken(heartbeat_period_seconds=seconds):
                self._beat_after(seconds)
            case Assignments():
                self._assign(message)
            case ReportTaken():
                self._fleet.reported += self._under_way
                self._under_way = 0
                if self._fleet.is_storming and not self._waiting:
                    self.report_all()
                else:
                    self._report()
            case _:
                pass

    def end(self) -> None:
        """The stream is gone."""
        self._line = None
        if self._beat is not None:
            self._beat.cancel()

    def _beat_after(self, seconds: float) -> None:
        self._beat = asyncio.get_running_loop().call_later(seconds, self._send_beat)

    def _send_beat(self) -> None:
        if self._line is not None:
            self._line.send(_BEAT)

    # --------------------------------------------------------------------------------- the tasks

    def _assign(self, assignments: Assignments) -> None:
        now = time.time()
        for task_id in assignments.removed_task_ids:
            self._statuses.pop(task_id, None)
            self._wanted.pop(task_id, None)
            self._waiting.pop(task_id, None)
        for task in assignments.tasks:
            self._wanted[task.id] = task.desired_state
            if task.id not in self._statuses:
                self._begin(task, now)
            self._go_on(task.id)
        self._report()

    def _begin(self, task: Task, now: float) -> None:
        if task.status.state is TaskState.ASSIGNED:
            self._fleet.latencies.append(now - task.status.applied_at)
            self._become(task.id, TaskState.PREPARING, now)
            self._later(PREPARE_SECONDS, task.id, TaskState.READY)
        else:
            self._statuses[task.id] = replace(task.status, applied_at=0.0)

    def _go_on(self, task_id: str) -> None:
        """The next step of a task that waits for nothing but to be wanted so."""
        status = self._statuses.get(task_id)
        if status is None or status.state > TaskState.RUNNING:
            return
        wanted = self._wanted[task_id]
        if wanted >= TaskState.SHUTDOWN:
            self._later(STOP_SECONDS, task_id, TaskState.SHUTDOWN)
        elif wanted is TaskState.RUNNING and status.state is TaskState.READY:
            self._become(task_id, TaskState.STARTING, time.time())
            self._later(START_SECONDS, task_id, TaskState.RUNNING)

    def _later(self, seconds: float, task_id: str, state: TaskState) -> None:
        asyncio.get_running_loop().call_later(seconds, self._reach, task_id, state)

    def _reach(self, task_id: str, state: TaskState) -> None:
        status = self._statuses.get(task_id)
        if status is not None and status.state < state:
            self._become(task_id, state, time.time())
            self._go_on(task_id)
            self._report()

    def _become(self, task_id: str, state: TaskState, now: float) -> None:
        before = self._statuses.get(task_id)
        self._statuses[task_id] = TaskStatus(
            timestamp=now,
            state=state,
            message=state.name.lower(),
            container_status=before.container_status if before else None,
        )
        self._waiting[task_id] = None

    # ------------------------------------------------------------------------------- the reports

    def report_all(self) -> None:
        """Reports each task anew: it has something to say every time."""
        now = time.time()
        for task_id, status in self._statuses.items():
            self._statuses[task_id] = replace(status, timestamp=now)
            self._waiting[task_id] = None
        self._report()

    def _report(self) -> None:
        if self._under_way or not self._waiting or self._line is None:
            return
        chosen = list(self._waiting)[:REPORTS_PER_MESSAGE_MAX]
        for task_id in chosen:
            del self._waiting[task_id]
        self._number += 1
        self._under_way = len(chosen)
        reports = tuple(TaskReport(task_id=one, status=self._statuses[one]) for one in chosen)
        self._line.send(encode(Report(number=self._number, reports=reports)))


class _Line(asyncio.Protocol):
    """A connection of an agent: asks for the stream, then splits what comes."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._transport: asyncio.Transport | None = None
        self._splitter = FrameSplitter(FROM_MANAGER_BYTES_MAX)
        self._head: bytearray | None = bytearray()
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._alive: asyncio.TimerHandle | None = None
        self._spoke = True

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(
            f"POST {DISPATCH} HTTP/1.1\r\nHost: manager\r\nConnection: Upgrade\r\n"
            f"Upgrade: {PROTOCOL}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        self._say_alive()

    @override
    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            head, end, rest = bytes(self._head).partition(_END_OF_HEAD)
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.abort()
                return
            self._head, data = None, rest
            self._agent.begin(self)
        for frame in self._splitter.feed(data):
            self._agent.take(cast(Message, decode(cast(Any, FromManager), frame)))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._alive is not None:
            self._alive.cancel()
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("no session came about"))
            self.opened.exception()
        self.ended.set_result(None)
        self._agent.end()

    def send(self, frame: bytes) -> None:
        """Sends a frame."""
        if self._transport is not None:
            self._spoke = True
            self._transport.write(length_prefix(frame) + frame)

    def abort(self) -> None:
        """Ends it."""
        if self._transport is not None:
            self._transport.abort()

    def _say_alive(self) -> None:
        """As the real stream: three times in the time of silence, unless something else was said."""
        if not self._spoke and self._transport is not None and self._head is None:
            self._transport.write(ALIVE)
        self._spoke = False
        self._alive = asyncio.get_running_loop().call_later(SILENCE_SECONDS / 3, self._say_alive)


async def main(directory: Path) -> None:
    """Lives until standard input ends."""
    await Fleet(directory).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    os.sched_setaffinity(0, {int(sys.argv[2])})
    descriptors.raise_limit()
    walk_old_objects_rarely()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(Path(sys.argv[1])))
