"""A manager as a process of the dispatcher's benchmark: it is told what to do by lines of JSON.

    python -m integration.bench.dispatcher_leader DIRECTORY NUMBER CPU MODE

The manager is the real one: store, log with fsync, loops, dispatcher, cluster listener, event loop and collector as in
swarmd; only the API and a worker of its own are left out. ``MODE``: "first" begins a cluster, "again" starts with what
is on disk, and "+asyncio" behind it takes asyncio's own event loop.
"""

import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from common import descriptors
from common.clock import SystemClock
from common.errors import StaleVersionError
from common.garbage import walk_old_objects_rarely
from common.ids import container_id_source, id_source
from common.model.cluster import Cluster, RootCa
from common.model.container_spec import ContainerSpec
from common.model.node import Node, NodeState, NodeStatus, Role, TlsInfo
from common.model.policies import FailureAction, UpdateConfig
from common.model.service import Replicated, Service, ServiceSpec
from common.model.task import ContainerStatus, Task, TaskSpec, TaskState, TaskStatus
from common.pki.authority import trust_in
from common.pki.contexts import client_context, server_context
from common.protocol.stream import FramedStream, StreamBounds
from common.protocol.upgrade import Door, dial
from integration.bench.dispatcher_cluster import (
    CLUSTER_ID,
    agent_address,
    agent_id,
    description,
    identity,
    peer,
    root_in,
)
from integration.bench.fresh_process import pss_bytes
from integration.bench.told import obey
from manager.listener import ClusterListener
from manager.node import Manager
from manager.raft.peers import RaftStatus
from manager.raft.storage import Storage
from manager.raft.tls_links import TlsLinks
from manager.routes import ManagerRoutes
from manager.store.changes import Change, Create, Update
from manager.store.store import MAX_CHANGES_PER_ENTRY
from tests.support.stream_pairs import no_engine

TASKS_PER_SERVICE = 100
UPDATED_AT_ONCE = 20
"""Tasks of one service: ``--update-parallelism``."""
LOOK_SECONDS = 0.05
TRIES_MAX = 5


class Leader:
    """Does what it is told."""

    def __init__(self, directory: Path, number: int) -> None:
        self._directory, self._number = directory, number
        self._clock, self._chance = SystemClock(), random.Random(os.urandom(8))
        self._identity = identity(directory, peer(number).node_id, Role.MANAGER)
        self._links: TlsLinks
        self.manager = Manager(
            Storage.at(directory / f"raft{number}"),
            peer(number),
            self._new_links,
            self._dial_manager,
            self._clock,
            self._chance,
        )

    def _new_links(self, status: Callable[[], RaftStatus]) -> TlsLinks:
        own = self._identity
        context = client_context(own.root, own.certificate, own.key)
        self._links = TlsLinks(
            peer(self._number),
            CLUSTER_ID,
            lambda: context,
            status,
            clock=self._clock,
            chance=self._chance,
        )
        return self._links

    async def _dial_manager(self, door: Door, bounds: StreamBounds) -> FramedStream:
        own = self._identity
        context = client_context(own.root, own.certificate, own.key)
        return await dial(door, context, bounds, lambda _: None)

    async def run(self, *, is_first: bool) -> None:
        """Takes part until it has been told everything."""
        own = self._identity
        async with asyncio.TaskGroup() as group:
            asked = ManagerRoutes(self.manager, group.create_task, self._clock, no_engine)
            routes = [*asked.routes(), self._links.route()]
            context = server_context(own.root, own.certificate, own.key)
            address = peer(self._number).address
            listener = ClusterListener(
                address, lambda: context, CLUSTER_ID, routes, vouch=asked.vouch
            )
            async with listener:
                await self.manager.log.start(bootstrap=is_first)
                running = group.create_task(self.manager.run())
                await obey(self._do)
                running.cancel()
                await self.manager.log.stop()

    async def _do(self, name: str, *arguments: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await getattr(self, f"do_{name}")(*arguments)
        return answer

    # ---------------------------------------------------------------------------- what it is told

    async def do_status(self) -> dict[str, Any]:
        """How it stands, and what it has cost."""
        state = self.manager.store.state
        down = sum(node.status.state is not NodeState.READY for node in state.nodes.values())
        return {
            "leads": self.manager.leads,
            "at": time.monotonic(),
            "cpu": time.process_time(),
            "memory": pss_bytes(),
            "not_ready": down,
            "tasks": len(state.tasks),
            "running": sum(_runs(task) for task in state.tasks.values()),
            "applied": state.index,
        }

    async def do_add(self, number: int) -> dict[str, Any]:
        """Adds a member to the log."""
        await self.manager.log.add(peer(number))
        return {}

    async def do_load(self, agents: int, tasks: int) -> dict[str, Any]:
        """Writes so many nodes, and so many running tasks on them."""
        await self.manager.log.until_leader()
        root = root_in(self._directory)
        authority = RootCa(certificate=root.certificate, key=root.key)
        await self._write([Create(object=Cluster(id=CLUSTER_ID, root_ca=authority))])
        trust = trust_in(root.certificate)
        await self._write([Create(object=_node(number, trust)) for number in range(agents)])
        new_id, new_container_id = id_source(self._chance), container_id_source(self._chance)
        for first in range(0, tasks, TASKS_PER_SERVICE):
            service = _service(new_id(), first // TASKS_PER_SERVICE)
            created: list[Change] = [Create(object=service)]  # with its tasks, lest others be made
            for number in range(first, first + TASKS_PER_SERVICE):
                task = _task(new_id(), service, number - first + 1, agent_id(number % agents))
                created.append(Create(object=_running(task, new_container_id(), self._clock.now())))
            await self.manager.store.propose(created)
        return {}

    async def do_until_served(self, agents: int) -> dict[str, Any]:
        """Comes back when so many nodes have a session and all are ready."""
        await self.manager.log.until_leader()
        led_at, cpu_before = time.monotonic(), time.process_time()
        sessions, nodes = self.manager.dispatcher._sessions, self.manager.store.state.nodes
        while len(sessions) < agents or not all(
            node.status.state is NodeState.READY for node in nodes.values()
        ):
            await asyncio.sleep(LOOK_SECONDS)
        return {
            "seconds": time.monotonic() - led_at,
            "cpu": time.process_time() - cpu_before,
        }

    async def do_roll(self, seconds: float, per_second: float) -> dict[str, Any]:
        """Begins a rolling update of one service after the other, so that so many tasks a second are replaced."""
        began = time.monotonic()
        pause = TASKS_PER_SERVICE / per_second
        updated = 0
        ids = list(self.manager.store.state.services)
        while (now := time.monotonic()) < began + seconds:
            await self._force_update(ids[updated % len(ids)])
            updated += 1
            await asyncio.sleep(max(0.0, began + updated * pause - now))
        return {"tasks": updated * TASKS_PER_SERVICE}

    async def do_until_settled(self, tasks: int) -> dict[str, Any]:
        """Comes back when so many tasks run, and none is on its way to."""
        state = self.manager.store.state
        while True:
            wanted = [one for one in state.tasks.values() if one.desired_state <= TaskState.RUNNING]
            if len(wanted) == tasks and all(_runs(task) for task in wanted):
                return {"at": time.monotonic()}
            await asyncio.sleep(LOOK_SECONDS)

    async def _force_update(self, service_id: str) -> None:
        """A user's ``service update --force``, as the API writes it."""
        for _ in range(TRIES_MAX):
            old = self.manager.store.state.services[service_id]
            template = old.spec.task_template
            forced = replace(template, force_update=template.force_update + 1)
            new = replace(
                old,
                spec=replace(old.spec, task_template=forced),
                previous_spec=old.spec,
                previous_spec_version=old.spec_version,
                update_status=None,
            )
            try:
                await self.manager.store.propose([Update(object=new)])
            except StaleVersionError:
                continue
            return
        raise AssertionError(f"service {service_id} is never at rest")

    async def _write(self, changes: Sequence[Change]) -> None:
        for start in range(0, len(changes), MAX_CHANGES_PER_ENTRY):
            await self.manager.store.propose(changes[start : start + MAX_CHANGES_PER_ENTRY])


# ------------------------------------------------------------------------------------ the cluster


def _node(number: int, trust: TlsInfo) -> Node:
    return Node(
        id=agent_id(number),
        description=description(number, trust),
        status=NodeStatus(state=NodeState.READY, addr=agent_address(number)),
    )


def _service(service_id: str, number: int) -> Service:
    container = ContainerSpec(
        image=f"registry.example.com/team/application-{number}:1",
        env=("LOG_LEVEL=info", f"SERVICE=application-{number}"),
    )
    update = UpdateConfig(
        parallelism=UPDATED_AT_ONCE, monitor_seconds=1.0, failure_action=FailureAction.CONTINUE
    )
    spec = ServiceSpec(
        name=f"application-{number}",
        task_template=TaskSpec(container_spec=container),
        mode=Replicated(replicas=TASKS_PER_SERVICE),
        update_config=update,
    )
    return Service(id=service_id, spec=spec)


def _task(task_id: str, service: Service, slot: int, node_id: str) -> Task:
    return Task(
        id=task_id,
        service_id=service.id,
        service_name=service.spec.name,
        slot=slot,
        spec=service.spec.task_template,
        spec_version=service.spec_version,
        node_id=node_id,
    )


def _running(task: Task, container_id: str, now: float) -> Task:
    status = TaskStatus(
        state=TaskState.RUNNING,
        timestamp=now,
        applied_at=now,
        message="started",
        container_status=ContainerStatus(container_id=container_id, pid=4711),
    )
    return replace(task, status=status, running_at=now)


def _runs(task: Task) -> bool:
    return task.status.state is TaskState.RUNNING and task.desired_state is TaskState.RUNNING


async def main(directory: Path, number: int, mode: str) -> None:
    """Takes part until standard input ends."""
    await Leader(directory, number).run(is_first=mode.startswith("first"))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    os.sched_setaffinity(0, {int(sys.argv[3])})
    descriptors.raise_limit()
    walk_old_objects_rarely()
    factory = None if sys.argv[4].endswith("+asyncio") else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[4]))
