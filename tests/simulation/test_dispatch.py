"""One leader and 1,000 agents in virtual time, from a seed: hosts hang, connections break, leaders change, tasks move.

The leader is the real dispatcher with all loops, over a store in memory; ``SWARMD_AGENTS=5000`` makes it larger, and
``SWARMD_FLEET_SEEDS=7:9`` repeats runs. Agents are light, but take assignments as the real one does.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest

from common.apart import apart
from common.model.cluster import DEFAULT_HEARTBEAT_SECONDS, Cluster
from common.model.node import Node, NodeState
from common.model.service import Replicated
from common.model.task import Task, TaskState
from common.protocol.channel import Channel
from manager.control.registry import run_loops
from manager.dispatcher.server import GRACE_PERIODS, JITTER, Dispatcher
from manager.store.changes import Create, Update
from manager.store.store import MAX_CHANGES_PER_ENTRY, Store, memory_store
from tests.simulation.dispatch_fleet import AGAIN_SECONDS_MAX, STEP_SECONDS, Agent, Fleet
from tests.support.builders import node, service
from tests.support.fake_clock import FakeClock, settle

AGENTS = int(os.environ.get("SWARMD_AGENTS", "1000"))
TASKS_PER_AGENT = 2
SERVICES = 20
GRACE_SECONDS = GRACE_PERIODS * DEFAULT_HEARTBEAT_SECONDS
DOWN_SECONDS_MAX = 2 * GRACE_SECONDS + DEFAULT_HEARTBEAT_SECONDS
"""From a host's last word to its being down, a change of leader in between included."""
SETTLE_SECONDS = 10.0
ROUNDS = 2


def seeds() -> range:
    first, _, end = os.environ.get("SWARMD_FLEET_SEEDS", "0:1").partition(":")
    return range(int(first), int(end))


@dataclass
class Stage:
    """The cluster, whoever leads it, and what was seen of its nodes."""

    clock: FakeClock
    chance: random.Random
    store: Store
    group: asyncio.TaskGroup
    dispatcher: Dispatcher | None = None
    reign: asyncio.Task[None] | None = None
    led_at: float = 0.0
    downs: list[tuple[float, str]] = field(default_factory=list)
    """When which node was found to be down."""
    fleet: Fleet = field(init=False)

    def serve(self, channel: Channel, node_id: str) -> None:
        if self.dispatcher is None:
            channel.close()
        else:
            self.group.create_task(self.dispatcher.serve(channel, "", node_id))

    async def lead(self) -> None:
        """Another manager leads."""
        await self.abdicate()
        self.dispatcher = Dispatcher(self.store, self.clock, self.chance)
        self.reign = self.group.create_task(self._reign(self.dispatcher))
        self.led_at = self.clock.monotonic()

    async def abdicate(self) -> None:
        if self.reign is not None:
            self.reign.cancel()
            with suppress(asyncio.CancelledError):
                await self.reign
        self.dispatcher = self.reign = None

    async def _reign(self, dispatcher: Dispatcher) -> None:
        store = await self.store.begin_reign()

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(run_loops(store, self.clock, self.chance))
                group.create_task(dispatcher.run(store))

        await apart(both())

    async def watch(self) -> None:
        """Notes nodes that go down, and fails at once where one was heard within its grace."""
        async with self.store.watch() as watch:
            async for committed in watch:
                for item in committed.changed:
                    if isinstance(item.new, Node) and isinstance(item.old, Node):
                        self._note(item.old, item.new)

    def _note(self, old: Node, new: Node) -> None:
        if new.status.state is NodeState.DOWN and old.status.state is not NodeState.DOWN:
            now = self.clock.monotonic()
            silent = now - self.fleet.agents[new.id].spoke_at
            assert silent >= GRACE_SECONDS, f"{new.id} is down after {silent:.1f} s of silence"
            self.downs.append((now, new.id))

    async def scale(self, replicas: int) -> None:
        for one in list(self.store.state.services.values()):
            spec = replace(one.spec, mode=Replicated(replicas=replicas))
            await self.store.propose([Update(object=replace(one, spec=spec))])


@asynccontextmanager
async def stage(seed: int) -> AsyncIterator[Stage]:
    clock, chance = FakeClock(), random.Random(seed)
    store = memory_store(clock, chance)
    names = [f"n{number:05d}" for number in range(AGENTS)]
    await store.propose([Create(object=Cluster(id="cluster"))])
    for start in range(0, AGENTS, MAX_CHANGES_PER_ENTRY):
        batch = names[start : start + MAX_CHANGES_PER_ENTRY]
        await store.propose([Create(object=node(name)) for name in batch])
    async with asyncio.TaskGroup() as group:
        made = Stage(clock, chance, store, group)
        made.fleet = Fleet(names, clock, chance, made.serve)
        await made.lead()
        await settle()
        running = [group.create_task(made.fleet.run()), group.create_task(made.watch())]
        yield made
        for task in running:
            task.cancel()
        await made.abdicate()
        for agent in made.fleet.agents.values():
            made.fleet.cut(agent)


@pytest.mark.parametrize("seed", seeds())
async def test_no_node_is_wrongly_down_and_nothing_told_is_lost(seed: int) -> None:
    async with stage(seed) as cluster:
        replicas = AGENTS * TASKS_PER_AGENT // SERVICES
        for number in range(SERVICES):
            await cluster.store.propose([Create(object=service(replicas, name=f"s{number}"))])
        await cluster.clock.advance(10.0)
        for number in range(ROUNDS):
            hung = await _a_round(cluster, replicas + 5 * number, change_leader=number % 2 == 1)
            _check_that_exactly_these_were_lost(cluster, hung)
        _check_that_all_agree(cluster)


async def _a_round(cluster: Stage, replicas: int, *, change_leader: bool) -> list[Agent]:
    """Some hosts hang for good, some for a moment, connections break, services are scaled; gives the first."""
    cluster.downs.clear()
    chance, fleet = cluster.chance, cluster.fleet
    agents = chance.sample(list(fleet.agents.values()), AGENTS // 20)
    hung, slow, cut = (
        agents[: AGENTS // 60],
        agents[AGENTS // 60 : AGENTS // 30],
        agents[AGENTS // 30 :],
    )
    for agent in hung:
        fleet.silence(agent, DOWN_SECONDS_MAX + 10.0)
    for agent in slow:
        fleet.silence(
            agent, GRACE_SECONDS - (1 + JITTER) * DEFAULT_HEARTBEAT_SECONDS - STEP_SECONDS
        )
    for agent in cut:
        fleet.cut(agent)
    await cluster.scale(replicas)
    await cluster.clock.advance(chance.uniform(0.0, 3.0))
    if change_leader:
        await cluster.lead()
    await cluster.clock.advance(DOWN_SECONDS_MAX + 10.0 + AGAIN_SECONDS_MAX)
    await cluster.clock.advance(SETTLE_SECONDS)
    return hung


def _check_that_exactly_these_were_lost(cluster: Stage, hung: list[Agent]) -> None:
    lost = sorted(name for _, name in cluster.downs)
    assert lost == sorted(agent.node_id for agent in hung)
    ready = [one.status.state is NodeState.READY for one in cluster.store.state.nodes.values()]
    assert all(ready), f"{ready.count(False)} nodes did not come back"


def _check_that_all_agree(cluster: Stage) -> None:
    """Each agent has what the store says, and the store has what each agent saw."""
    state = cluster.store.state
    for one in state.services.values():
        tasks = [task for task in state.tasks_of_service(one.id) if _runs(task)]
        assert isinstance(one.spec.mode, Replicated)
        assert len(tasks) == one.spec.mode.replicas
    for agent in cluster.fleet.agents.values():
        stored = {task.id: task for task in state.tasks_of_node(agent.node_id)}
        assert stored.keys() == agent.inbox.tasks.keys()
        assert {key: task.status.state for key, task in stored.items()} == {
            key: status.state for key, status in agent.statuses.items()
        }


def _runs(task: Task) -> bool:
    return task.status.state is TaskState.RUNNING and task.desired_state is TaskState.RUNNING
